"""Tests of densefuse_tf.io.images: measuring, writing and imports."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from image_bytes import encoded
from image_bytes import ramp
from image_bytes import smooth
from image_bytes import whole_files
from PIL import Image

from densefuse_tf.errors import UserError
from densefuse_tf.io import formats
from densefuse_tf.io import images

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", whole_files())
def test_the_size_is_known_from_the_header(put, name):
    path = put(whole_files()[name])
    assert images.stored_size(path) == (24, 32)
    assert images.pixel_count(path) == 24 * 32


def test_what_is_no_image_has_no_pixels(put, tmp_path):
    for path in (put(b"no image"), tmp_path / "missing.png", tmp_path):
        assert images.stored_size(path) is None
        assert images.pixel_count(path) == 0


def test_unequal_sizes_are_found_by_the_headers(put):
    """Only where no orientation tag can make them equal, and nothing is damaged."""
    wide, high, small = (
        put(encoded(ramp(*size), "PNG"), f"{name}.png")
        for name, size in (("w", (13, 17)), ("h", (17, 13)), ("s", (9, 17)))
    )
    with pytest.raises(UserError, match=r"w.png is 13x17 and .*s.png is 9x17: the so"):
        images.require_same_size([wide, wide, small])
    images.require_same_size([wide, wide])
    images.require_same_size([wide, high])
    images.require_same_size([wide, put(b"no image", "text.png")])


@pytest.mark.parametrize("shape", [(13, 17), (13, 17, 3)])
@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".tiff", ".bmp"])
def test_written_image_is_read_back_exactly(tmp_path, shape, suffix):
    path = tmp_path / "new" / f"image{suffix}"
    # The values need not lie side by side in memory.
    image = ramp(*shape)[:, ::-1]
    images.write(path, image)
    np.testing.assert_array_equal(images.read(path), image)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert Image.open(path).format == formats.WRITTEN[suffix.lower()].name


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_written_jpeg_is_close(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    images.write(path, smooth())
    np.testing.assert_allclose(images.read(path), smooth(), atol=4)


@pytest.mark.parametrize(
    ("name", "dtype", "message"),
    [
        *((name, "uint8", r"expected \.png") for name in ("a.gif", "a.webp", "a")),
        ("a.png.part", "uint8", r"expected \.png"),
        ("a.png", "float32", "float32 values: expected uint8"),
        ("a.png", "uint16", "uint16 values: expected uint8"),
    ],
)
def test_write_refuses_other_suffixes_and_dtypes(tmp_path, name, dtype, message):
    with pytest.raises(UserError, match=message):
        images.write(tmp_path / name, np.ones((4, 4), dtype))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "shape"), [("a.jpg", (70000, 2)), ("a.png", (4, 4, 7)), ("a.png", (4,))]
)
def test_failed_write_leaves_old_file(tmp_path, name, shape):
    path = tmp_path / name
    path.write_bytes(b"old")
    with pytest.raises(UserError) as caught:
        images.write(path, np.zeros(shape, np.uint8))
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3)])
@pytest.mark.parametrize("name", ["raw.npy", "raw"])
def test_write_raw_keeps_values(tmp_path, shape, name):
    raw = ramp(*shape, dtype=np.float32) * 600 - 90
    images.write_raw(tmp_path / name, raw)
    read = np.load(tmp_path / name, allow_pickle=False)
    np.testing.assert_array_equal(read, raw)
    assert read.dtype == np.float32
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_pillows_own_limit_on_pixels_stays(put, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert images.read(put(encoded(ramp(9, 9), "PNG"))).shape == (9, 9)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_import_loads_no_reader_and_no_tensorflow():
    code = (
        "import sys; from densefuse_tf.io import images; "
        "late = {'tensorflow', 'PIL', 'imageio', 'tifffile', 'imagecodecs'}; "
        "assert not late & set(sys.modules), late & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
