"""Tests of densefuse_tf.io.images: measuring, writing and imports."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from image_bytes import encoded
from image_bytes import ramp
from image_bytes import smooth
from image_bytes import tiff
from PIL import Image

from densefuse_tf.errors import UserError
from densefuse_tf.io import images

ROOT = pathlib.Path(__file__).resolve().parents[2]


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
def test_pixel_count_needs_the_header_only(put, data):
    assert images.pixel_count(put(data)) == 13 * 17
    # What follows the header is not read.
    assert images.pixel_count(put(data[:-9])) in (0, 13 * 17)


def test_pixel_count_of_other_files_is_0(put, tmp_path):
    assert images.pixel_count(put(b"no image")) == 0
    assert images.pixel_count(put(b"")) == 0
    assert images.pixel_count(tmp_path / "missing.png") == 0
    assert images.pixel_count(tmp_path) == 0


@pytest.mark.parametrize("shape", [(13, 17), (13, 17, 3)])
@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".tiff", ".bmp"])
def test_written_image_is_read_back_exactly(tmp_path, shape, suffix):
    path = tmp_path / "new" / f"image{suffix}"
    image = ramp(*shape)
    images.write(path, image)
    np.testing.assert_array_equal(images.read(path), image)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert Image.open(path).format == images.FORMATS[suffix.lower()]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_written_jpeg_is_close(tmp_path, suffix):
    path = tmp_path / f"image{suffix}"
    images.write(path, smooth())
    np.testing.assert_allclose(images.read(path), smooth(), atol=4)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a", "a.png.part", ".png"])
def test_write_refuses_other_suffixes(tmp_path, name):
    with pytest.raises(UserError, match=r"expected \.png"):
        images.write(tmp_path / name, ramp(4, 4))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["float32", "uint16", "int64", "bool"])
def test_write_refuses_other_dtypes(tmp_path, dtype):
    with pytest.raises(UserError, match=f"{dtype} values: expected uint8"):
        images.write(tmp_path / "a.png", np.ones((4, 4), dtype))
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


def test_import_loads_no_reader_and_no_tensorflow():
    code = (
        "import sys; from densefuse_tf.io import images; "
        "late = {'tensorflow', 'PIL', 'imageio', 'tifffile', 'imagecodecs'}; "
        "assert not late & set(sys.modules), late & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
