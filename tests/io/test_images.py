"""densefuse_tf.io.images: finding, pairing, measuring and writing."""

import os
import pathlib

import numpy as np
import pytest
from image_bytes import encoded
from image_bytes import ramp
from image_bytes import smooth
from image_bytes import tiff
from PIL import Image

from densefuse_tf.errors import UserError
from densefuse_tf.io import images

# Finding and pairing.


@pytest.fixture
def folder(tmp_path):
    def make(name: str, *files: str) -> pathlib.Path:
        for file in files:
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        return tmp_path / name

    return make


def names(paths) -> list[str]:
    return [path.name for path in paths]


def test_find_takes_the_images_of_a_folder_in_natural_order(folder):
    place = folder(
        "ir", "IR10.png", "IR2.PNG", "IR1.Tiff", "ir3.tif", "IR4.jpeg", "IR05.JPG",
        "IR6.bmp", "notes.txt", "README", ".IR0.png", "IR7.png.part", "IR8.gif",
        "sub/IR9.png",
    )  # fmt: skip
    (place / "trap.png").mkdir()
    expected = ["IR1.Tiff", "IR2.PNG", "ir3.tif", "IR4.jpeg", "IR05.JPG", "IR6.bmp"]
    assert names(images.find(place)) == [*expected, "IR10.png"]
    assert names(images.find(str(place))) == names(images.find(place))


def test_natural_order_has_no_limit_on_digits(folder):
    long = "9" * 5000
    place = folder(
        "a", "x9.png", "x10.png", "x.png", "7.png", "b12c3.png", "b12c20.png"
    )
    expected = ["7.png", "b12c3.png", "b12c20.png", "x.png", "x9.png", "x10.png"]
    assert names(images.find(place)) == expected
    paths = [pathlib.Path(f"x{long}.png"), pathlib.Path("x2.png")]
    assert sorted(paths, key=images._natural) == paths[::-1]


def test_find_takes_a_single_file_whatever_its_name(folder):
    place = folder("a", "image.dat", ".hidden.png", "odd[1].png", "odd1.png")
    for name in ("image.dat", ".hidden.png", "odd[1].png"):
        assert images.find(place / name) == [place / name]
    (place / "link.png").symlink_to("missing.png")
    assert images.find(place / "link.png") == [place / "link.png"]


def test_find_takes_a_glob(folder):
    place = folder("a", "IR10.png", "IR9.png", "VIS1.png", "IR1.txt", "sub/IR11.png")
    assert names(images.find(f"{place}/IR*")) == ["IR9.png", "IR10.png"]
    assert names(images.find(place / "IR?.png")) == ["IR9.png"]
    assert len(images.find(f"{place}/**/IR*.png")) == 3


def test_find_goes_into_a_folder_once(folder, monkeypatch):
    """Two links that make rings: without an end, to all practical purposes."""
    place = folder("a", "IR1.png", "sub/IR2.png", ".hidden/IR3.png", "other/IR4.txt")
    for name in ("one", "two", "sub/three"):
        (place / name).symlink_to(place)
    (place / "other/linked").symlink_to(folder("b", "IR5.png"))
    assert names(images.find(f"{place}/**/IR*.png")) == [
        "IR1.png",
        "IR5.png",
        "IR2.png",
    ]
    monkeypatch.chdir(place)
    assert images.find("**/*2.png") == [pathlib.Path("sub/IR2.png")]
    assert names(images.find("**")) == ["IR1.png", "IR5.png", "IR2.png"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("missing", "no such file or folder"),
        ("empty", "the folder has no image"),
        ("*.png", "the pattern matches nothing"),
        ("empty/*", "the pattern matches no image"),
        ("null\0byte", "no such file or folder"),
        ("", "is empty"),
    ],
)
def test_find_refuses_what_has_no_image(folder, monkeypatch, source, found):
    monkeypatch.chdir(folder("empty", "notes.txt").parent)
    with pytest.raises(UserError, match=r"expected|no such") as caught:
        images.find(source)
    assert found in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_find_refuses_a_folder_without_permission(folder):
    place = folder("closed", "a.png")
    place.chmod(0)
    try:
        with pytest.raises(UserError, match="cannot be read: Permission denied"):
            images.find(place)
    finally:
        place.chmod(0o700)


def test_pair_matches_in_natural_order(folder):
    ir = folder("ir", "IR1.png", "IR2.png", "IR10.png")
    vis = folder("vis", "VIS10.bmp", "VIS1.bmp", "VIS2.bmp")
    pairs = images.pair([ir, str(vis / "*")])
    assert [tuple(names(each)) for each in pairs] == [
        ("IR1.png", "VIS1.bmp"),
        ("IR2.png", "VIS2.bmp"),
        ("IR10.png", "VIS10.bmp"),
    ]
    triples = images.pair([ir, vis, ir])
    assert len(triples) == 3 and all(len(each) == 3 for each in triples)


def test_pair_takes_single_files(folder):
    place = folder("a", "1.png", "2.png")
    assert images.pair([place / "1.png", place / "2.png"]) == [
        (place / "1.png", place / "2.png")
    ]


@pytest.mark.parametrize(
    ("first", "second", "lonely"),
    [
        # By number, though the names differ; by name; by place where neither helps.
        (["IR1.png", "IR2.png", "IR3.png"], ["VIS1.png", "VIS3.png"], "IR2.png"),
        (["a.png", "b.png"], ["a.jpg", "b.jpg", "ab.jpg"], "ab.jpg"),
        (["x.png", "y.png", "z.png"], ["cam.png"], "y.png, z.png"),
        (["1.png"], [f"{n}.png" for n in range(1, 7)], "2.png, 3.png, 4.png, ..."),
        (["IR01.png", "IR02.png"], ["VIS1.png"], "IR02.png"),
    ],
)
def test_pair_names_the_counts_and_who_has_no_partner(folder, first, second, lonely):
    ir, vis = folder("ir", *first), folder("vis", *second)
    with pytest.raises(UserError) as caught:
        images.pair([ir, vis])
    line = str(caught.value)
    assert f"{ir} has {len(first)}, {vis} has {len(second)}" in line
    assert f"without partner: {lonely};" in line


def test_pair_names_who_has_no_partner_once(folder):
    sources = [folder("ir", "1.png", "2.png"), folder("vis", "1.png", "2.png")]
    with pytest.raises(UserError, match="without partner: 2.png;"):
        images.pair([*sources, folder("fused", "1.png")])


@pytest.mark.parametrize("sources", [[], ["a.png"]])
def test_pair_needs_two_sources(sources):
    with pytest.raises(UserError, match="expected two or more"):
        images.pair(sources)


# Measuring.


@pytest.mark.parametrize(
    "data",
    [
        encoded(ramp(13, 17), "PNG"),
        encoded(ramp(13, 17, dtype=np.uint16), "PNG"),
        encoded(ramp(13, 17, 3), "BMP"),
        encoded(ramp(13, 17, 3), "JPEG", progressive=True),
        tiff(ramp(13, 17, dtype=np.float32)),
        tiff(ramp(13, 17, 3), compression="zlib"),
    ],
    ids=["png", "deep png", "bmp", "jpeg", "float tiff", "tiff"],
)
def test_counts_pixels_from_the_header(put, data):
    assert images.pixel_count(put(data)) == 13 * 17
    # What follows the header is not read.
    assert images.pixel_count(put(data[:-9])) in (0, 13 * 17)


def test_no_image_has_no_pixels(put, tmp_path):
    assert images.pixel_count(put(b"no image")) == 0
    assert images.pixel_count(put(b"")) == 0
    assert images.pixel_count(tmp_path / "missing.png") == 0
    assert images.pixel_count(tmp_path) == 0


# Writing.


@pytest.mark.parametrize("shape", [(13, 17), (13, 17, 3)])
@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".tiff", ".bmp"])
def test_what_is_written_is_read_again(tmp_path, shape, suffix):
    path = tmp_path / "new" / f"image{suffix}"
    image = ramp(*shape)
    images.write(path, image)
    np.testing.assert_array_equal(images.read(path), image)
    assert names(path.parent.iterdir()) == [path.name]
    assert Image.open(path).format == images.FORMATS[suffix.lower()]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpeg_is_written_nearly_without_loss(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    images.write(path, smooth())
    np.testing.assert_allclose(images.read(path), smooth(), atol=4)


def test_part_of_an_array_is_written(tmp_path):
    image = ramp(20, 20, 3)[::2, ::-1]
    images.write(tmp_path / "a.png", image)
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), image)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a", "a.png.part", ".png"])
def test_an_unknown_suffix_is_refused(tmp_path, name):
    with pytest.raises(UserError, match=r"expected \.png"):
        images.write(tmp_path / name, ramp(4, 4))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["float32", "uint16", "int64", "bool"])
def test_only_uint8_is_written(tmp_path, dtype):
    with pytest.raises(UserError, match=f"{dtype} values: expected uint8"):
        images.write(tmp_path / "a.png", np.ones((4, 4), dtype))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "shape"), [("a.jpg", (70000, 2)), ("a.png", (4, 4, 7)), ("a.png", (4,))]
)
def test_what_the_format_cannot_hold_leaves_the_old_file(tmp_path, name, shape):
    path = tmp_path / name
    path.write_bytes(b"old")
    with pytest.raises(UserError) as caught:
        images.write(path, np.zeros(shape, np.uint8))
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert path.read_bytes() == b"old"
    assert names(tmp_path.iterdir()) == [name]


def test_writing_where_nothing_can_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for write, name in ((images.write, "a.png"), (images.write_raw, "a.npy")):
        with pytest.raises(UserError, match="cannot be written"):
            write(tmp_path / "file" / name, ramp(4, 4))
        (tmp_path / name).mkdir()
        with pytest.raises(UserError, match="cannot be written"):
            write(tmp_path / name, ramp(4, 4))
    assert sorted(names(tmp_path.iterdir())) == ["a.npy", "a.png", "file"]


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3)])
@pytest.mark.parametrize("name", ["raw.npy", "raw"])
def test_raw_values_are_kept(tmp_path, shape, name):
    raw = ramp(*shape, dtype=np.float32) * 600 - 90
    images.write_raw(tmp_path / name, raw)
    read = np.load(tmp_path / name, allow_pickle=False)
    np.testing.assert_array_equal(read, raw)
    assert read.dtype == np.float32
    assert names(tmp_path.iterdir()) == [name]


# The real pairs, where they are.


def test_real_pairs_are_read_and_matched(shared):
    pairs = images.pair([shared / "tno" / "IR*.png", shared / "tno" / "VIS*.png"])
    assert [ir.name[2:] for ir, _ in pairs] == [vis.name[3:] for _, vis in pairs]
    assert len(pairs) == 21 and pairs[1][0].name == "IR2.png"
    for path in pairs[0]:
        image = images.read(path)
        np.testing.assert_array_equal(image, np.asarray(Image.open(path)))
        assert image.shape == (270, 360) and image.dtype == np.uint8
