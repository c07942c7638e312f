"""Radiometric JPEGs: temperatures, photographs, and what is no such file."""

import json
import struct

import numpy as np
import pytest
from PIL import Image

from densefuse_tf import extras
from densefuse_tf.errors import UserError
from densefuse_tf.io import radiometric
from tests import image_bytes
from tests import radiometric_files

needs_flyr = pytest.mark.skipif(
    bool(extras.missing("flir")), reason="needs flyr: pip install '.[flir]'"
)
SHOWN = image_bytes.smooth(60, 80)
CELSIUS = np.linspace(-10, 120, 30 * 40).reshape(30, 40)
RAMP = np.tile(np.arange(128, dtype=np.uint8), (96, 1))
PHOTOGRAPH = np.stack([RAMP, 160 - RAMP, RAMP // 2], axis=2)


@pytest.fixture
def file(tmp_path):
    def write(*args, **options):
        return radiometric_files.write(tmp_path / "x.jpg", SHOWN, *args, **options)

    return write


@needs_flyr
@pytest.mark.parametrize("stored", [{}, {"as_png": True}, {"low_bytes_first": True}])
def test_temperatures_and_the_photograph_are_read(file, stored):
    found = radiometric.read(file(CELSIUS, PHOTOGRAPH, (1.5, 6, -4), **stored))
    assert found.celsius.dtype == np.float32
    np.testing.assert_allclose(found.celsius, CELSIUS, atol=0.01)
    np.testing.assert_allclose(found.photograph, PHOTOGRAPH, atol=8)
    assert found.placing == (1.5, 6, -4)


@needs_flyr
def test_a_grey_photograph_is_read(file):
    found = radiometric.read(file(CELSIUS, RAMP, as_png=True)).photograph
    np.testing.assert_array_equal(found, RAMP)


@needs_flyr
def test_a_camera_that_stores_numbers_the_other_way_round_is_one_line(file):
    path = file(CELSIUS)
    data = bytearray(path.read_bytes())
    at = data.index(radiometric_files.camera_info())
    data[at : at + 2] = b"\0\2"
    path.write_bytes(data)
    with pytest.raises(UserError, match="x.jpg: .* not read.* the high bytes first"):
        radiometric.read(path)


@needs_flyr
def test_a_file_of_many_segments_is_read(file):
    photograph = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    found = radiometric.read(file(CELSIUS, photograph))
    assert found.photograph.shape == (480, 640, 3)
    assert found.placing is None


@needs_flyr
def test_segments_may_be_in_any_order_among_others(file):
    photograph = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    path = file(CELSIUS, photograph)
    expected, data = radiometric.read(path), path.read_bytes()
    # Behind APP0, which is its first segment.
    start = end = 4 + int.from_bytes(data[4:6], "big")
    parts = []
    while data[end : end + 2] == b"\xff\xe1":
        after = end + 2 + int.from_bytes(data[end + 2 : end + 4], "big")
        parts.append(data[end:after])
        end = after
    assert len(parts) > 3
    exif = image_bytes.exif(6).removeprefix(b"Exif\0\0")
    other = [
        b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
        for body in (b"Exif\0\0" + exif, b"Exif\0\0II*\0\xff\xff\xff\x7f", b"XMP")
    ]
    shuffled = [*parts[:1], other[0], *parts[:0:-1], parts[0], *other[1:]]
    path.write_bytes(data[:start] + b"".join(shuffled) + data[end:])
    found = radiometric.read(path)
    # As the sensors saw them, whatever EXIF says of the picture.
    np.testing.assert_array_equal(found.celsius, expected.celsius)
    np.testing.assert_array_equal(found.photograph, expected.photograph)


@needs_flyr
@pytest.mark.parametrize("photograph", [PHOTOGRAPH, PHOTOGRAPH[:12, :16]])
def test_a_portrait_and_a_small_photograph_are_read(file, photograph):
    turned = photograph.swapaxes(0, 1).copy()
    found = radiometric.read(file(CELSIUS.T.copy(), turned, (1.5, 6, -4)))
    np.testing.assert_allclose(found.celsius, CELSIUS.T, atol=0.01)
    np.testing.assert_allclose(found.photograph, turned, atol=8)


@needs_flyr
@pytest.mark.parametrize("mode", ["LA", "YCbCrA"])
def test_alpha_of_a_photograph_is_left_out(file, mode, monkeypatch):
    image = Image.fromarray(RAMP if mode == "LA" else PHOTOGRAPH)
    planes = np.asarray(image if mode == "LA" else image.convert("YCbCr"))
    stored = np.dstack([planes, np.full_like(RAMP, 255)])
    encode = radiometric_files._encoded

    def encoded(image, kind, **options):
        is_photograph = image.shape[:2] == RAMP.shape and kind == "PNG"
        return encode(stored if is_photograph else image, kind, **options)

    monkeypatch.setattr(radiometric_files, "_encoded", encoded)
    found = radiometric.read(file(CELSIUS, np.asarray(image), as_png=True))
    np.testing.assert_allclose(found.photograph, np.asarray(image), atol=3)


@needs_flyr
@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_figures_that_are_none_are_left_out(file, scale):
    assert radiometric.read(file(CELSIUS, PHOTOGRAPH, (scale, 0, 0))).placing is None


@needs_flyr
def test_a_file_without_a_photograph_says_what_is_there(file):
    path = file(CELSIUS)
    assert radiometric.read(path).photograph is None
    with pytest.raises(UserError, match=r"x.jpg: has temperatures of 30x40 pixels and"):
        radiometric.read_pair(path)


@needs_flyr
def test_pixels_whose_temperature_is_none_are_masked(file, monkeypatch):
    counts = radiometric_files.counts(CELSIUS)
    # Below what the sensor gives at absolute zero.
    counts[3, 5] = 0
    monkeypatch.setattr(radiometric_files, "counts", lambda _: counts)
    found = radiometric.read(file(CELSIUS)).celsius
    assert np.argwhere(np.ma.getmaskarray(found)).tolist() == [[3, 5]]


@needs_flyr
@pytest.mark.parametrize("limit, what", [(1000, "30x40"), (5000, "96x128")])
def test_an_image_inside_that_is_too_large_is_refused(file, limit, what):
    path = file(CELSIUS, PHOTOGRAPH)
    with pytest.raises(UserError, match=f"has an image of {what} pixels inside"):
        radiometric.read(path, max_pixels=limit)


@needs_flyr
def test_a_file_that_is_cut_off_or_damaged_is_one_line(file):
    path = file(CELSIUS, PHOTOGRAPH)
    data = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(data)
        start = data.index(b"FLIR\0")
        for at in random.integers(start, start + 600, 4):
            damaged[at] = random.integers(256)
        path.write_bytes(damaged[: random.integers(start, len(data))])
        try:
            radiometric.read(path)
        except UserError as error:
            refused += 1
            assert str(error).startswith(f"{path}: ")
    assert refused > 10


@needs_flyr
def test_a_directory_of_billions_of_entries_is_refused_at_once(file):
    path = file(CELSIUS)
    data = bytearray(path.read_bytes())
    at = data.index(b"FFF\0") + 28
    data[at : at + 4] = b"\xff\xff\xff\x00"
    path.write_bytes(data)
    with pytest.raises(UserError, match="damaged .*a directory of 4294967040 entries"):
        radiometric.read(path)


def test_makers_are_told_by_what_is_inside(file, tmp_path):
    assert radiometric.maker(file(CELSIUS)) == "FLIR"
    dji = tmp_path / "dji.jpg"
    dji.write_bytes(radiometric_files.dji(SHOWN))
    assert radiometric.maker(dji) == "DJI"
    with pytest.raises(UserError, match=r"dji.jpg: has thermal data of DJI .* TIFF"):
        radiometric.read(dji)
    Image.fromarray(SHOWN).save(plain := tmp_path / "plain.jpg")
    Image.fromarray(SHOWN).save(png := tmp_path / "plain.png")
    (empty := tmp_path / "empty.jpg").touch()
    for path in (plain, png, empty, tmp_path, tmp_path / "missing.jpg"):
        assert radiometric.maker(path) == ""
    with pytest.raises(UserError, match=r"plain.jpg: has no temperatures"):
        radiometric.read(plain)


def test_without_the_extra_a_line_says_what_to_install(file, monkeypatch):
    monkeypatch.setitem(extras._PACKAGES, "flir", {"no_flyr": "flyr"})
    with pytest.raises(UserError, match=r"pip install '.\[flir\]'"):
        radiometric.read(file(CELSIUS))


@needs_flyr
@pytest.mark.parametrize("name", ["FLIR", "FLIR_T640"])
def test_files_of_cameras(shared, name):
    known = json.loads((shared / f"flir/{name}.json").read_text())
    celsius, photograph, placing = radiometric.read_pair(shared / f"flir/{name}.jpg")
    for image, what in ((celsius, "thermal"), (photograph, "photograph")):
        size = known[what]["height"], known[what]["width"]
        assert image.shape[:2] == size
    np.testing.assert_allclose(
        [celsius.min(), celsius.max()], known["thermal"]["celsius"], atol=0.01
    )
    assert placing is not None


@needs_flyr
@pytest.mark.parametrize(
    "name, line",
    [
        ("FLIR_E40", "has temperatures of 120x160 pixels and no photograph"),
        ("DJI_XT2", "has temperatures of 512x640 pixels and no photograph"),
        ("DJI_H20T", "has thermal data of DJI that are not read"),
    ],
)
def test_files_of_cameras_that_lack_something_say_what(shared, name, line):
    with pytest.raises(UserError, match=line):
        radiometric.read_pair(shared / f"flir/{name}.jpg")
