"""Tests of densefuse_tf.io.decoding through images.read: all formats and refusals."""

import io
import logging
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from image_bytes import encoded
from image_bytes import gray_png
from image_bytes import ramp
from image_bytes import smooth
from image_bytes import tiff
from image_bytes import whole_files
from image_bytes import with_png_header
from PIL import Image
from PIL import ImageOps

from densefuse_tf.errors import UserError
from densefuse_tf.io import formats
from densefuse_tf.io import images


def refusal(path, **options) -> str:
    """Returns the line in which `read` refuses a file; it starts with the name."""
    with pytest.raises(UserError) as caught:
        images.read(path, **options)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line


@pytest.mark.parametrize("shape", [(13, 17), (13, 17, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_reads_every_bit_of_8_and_16_bit_files(put, shape, dtype, suffix):
    image = ramp(*shape, dtype=dtype)
    data = tiff(image) if suffix == "tif" else imagecodecs.png_encode(image)
    read = images.read(put(data, f"image.{suffix}"))
    np.testing.assert_array_equal(read, image)
    assert read.dtype == dtype
    assert read.flags.writeable and read.flags.c_contiguous


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "zstd"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tile": (16, 16)},
        {"rowsperstrip": 3},
        {"bigtiff": True, "byteorder": ">"},
        {"planarconfig": "separate"},
        {"predictor": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_values_do_not_depend_on_storage(put, compression, options, dtype):
    if "predictor" in options:
        options = {"predictor": compression in ("lzw", "zlib")}
    image = ramp(20, 21, 3, dtype=dtype)
    stored = np.moveaxis(image, -1, 0) if "planarconfig" in options else image
    path = put(tiff(stored, photometric="rgb", compression=compression, **options))
    np.testing.assert_array_equal(images.read(path), image)


@pytest.mark.parametrize("dtype", ["int16", "int32", "uint32", "float16", "float64"])
def test_tiff_integers_and_floats_of_other_sizes_become_float32(put, dtype):
    image = np.array([[1, 2, 3], [40, 50, 600]]).astype(dtype)
    read = images.read(put(tiff(image)))
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, image)


@pytest.mark.parametrize("suffix", ["bmp", "jpg"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_bmp_and_jpeg_have_pillows_values(put, suffix, mode):
    image = Image.fromarray(smooth()).convert(mode)
    kind = formats.WRITTEN[f".{suffix}"].name
    path = put(encoded(image, kind), f"image.{suffix}")
    np.testing.assert_array_equal(images.read(path), np.asarray(Image.open(path)))
    np.testing.assert_allclose(images.read(path), np.asarray(image), atol=12)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_lossless_webp_is_exact(put, mode):
    image = Image.fromarray(smooth())
    if mode == "RGBA":
        image.putalpha(Image.fromarray(ramp(24, 32)))
    read = images.read(put(encoded(image, "WEBP", lossless=True, exact=True)))
    alpha = np.asarray(image.convert("RGBA"))[..., 3:].astype(int)
    np.testing.assert_array_equal(read, (smooth() * alpha + 127) // 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_palette_becomes_rgb_and_one_of_greys_grey(put, kind):
    for mode in ("RGB", "L"):
        image = Image.fromarray(smooth()).convert(mode).quantize(16)
        read = images.read(put(encoded(image, kind)))
        np.testing.assert_array_equal(read, np.asarray(image.convert(mode)))


def test_transparent_palette_entries_become_black(put):
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8)).convert("P")
    image.putpalette([200, 10, 10, 10, 200, 10])
    read = images.read(put(encoded(image, "PNG", transparency=0)))
    assert read.tolist() == [[[0, 0, 0], [10, 200, 10]], [[10, 200, 10], [0, 0, 0]]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_one_bit_becomes_0_and_255(put, kind):
    pattern = np.indices((9, 11)).sum(0) % 3 == 0
    read = images.read(put(encoded(pattern, kind)))
    np.testing.assert_array_equal(read, np.where(pattern, 255, 0))
    assert read.dtype == np.uint8


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparent_pixels_are_blended_with_black(put, caplog, kind, mode):
    alpha = np.array([[0, 51, 255], [255, 255, 128]], np.uint8)
    color = np.array([[200, 100, 50], [5, 0, 255]], np.uint8)
    channels = [color] * (len(mode) - 1) + [alpha]
    image = Image.merge(mode, [Image.fromarray(channel) for channel in channels])
    with caplog.at_level(logging.INFO, logger="absl"):
        read = images.read(put(encoded(image, kind)))
    gray = read if mode == "LA" else read[..., 0]
    assert read.ndim == (2 if mode == "LA" else 3)
    assert gray.tolist() == [[0, 20, 50], [5, 0, 128]]
    assert "blended with black" in caplog.text


@pytest.mark.parametrize("channels", [2, 4])
def test_transparent_16_bit_pixels_are_blended_with_black(put, channels):
    image = np.full((2, 3, channels), 40000, np.uint16)
    image[..., -1] = 65535
    image[0, 0, -1] = 0
    image[0, 1, -1] = 13107
    read = images.read(put(imagecodecs.png_encode(image)))
    gray = read if channels == 2 else read[..., 1]
    assert read.dtype == np.uint16
    assert gray.tolist() == [[0, 8000, 40000], [40000, 40000, 40000]]


@pytest.mark.parametrize("alpha", [0, 255])
def test_alpha_of_zeros_or_ones_only_is_ignored(put, alpha):
    image = np.dstack([smooth(), np.full((24, 32), alpha, np.uint8)])
    for data in (encoded(image, "PNG"), encoded(image, "BMP")):
        np.testing.assert_array_equal(images.read(put(data)), smooth())


@pytest.mark.parametrize(
    ("sample", "expected"), [("unassalpha", 50), ("assocalpha", 100), (0, 100)]
)
def test_tiff_alpha_is_applied_unless_colours_include_it(put, sample, expected):
    image = np.full((4, 5, 4), 100, np.uint8)
    image[..., 3] = 128
    path = put(tiff(image, photometric="rgb", extrasamples=[sample]))
    assert images.read(path).tolist() == [[[expected] * 3] * 5] * 4


@pytest.mark.parametrize(("bits", "step"), [(1, 255), (2, 85), (4, 17), (8, 1)])
def test_grey_of_few_bits_spans_0_to_255_and_a_transparent_value_is_black(
    put, bits, step
):
    values = np.arange(16).reshape(2, 8) % 2**bits
    data = gray_png(values, bits)
    np.testing.assert_array_equal(images.read(put(data)), values * step)
    data = gray_png(values, bits, transparency=1)
    expected = np.where(values == 1, 0, values * step)
    np.testing.assert_array_equal(images.read(put(data)), expected)


def test_transparent_16_bit_grey_value_becomes_black(put):
    values = np.array([[1000, 50000], [7, 8]], np.uint16)
    read = images.read(put(encoded(values, "PNG", transparency=50000)))
    assert read.tolist() == [[1000, 0], [7, 8]]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(put, kind):
    image = Image.fromarray(smooth())
    read = images.read(put(encoded(image.convert("CMYK"), kind, quality=98)))
    np.testing.assert_allclose(read, smooth(), atol=6)


def test_tiff_with_white_as_zero_is_inverted(put):
    for dtype, white in ((np.uint8, 255), (np.uint16, 65535), (np.float32, 0)):
        image = ramp(5, 6, dtype=dtype)
        path = put(tiff(image, photometric="miniswhite"))
        np.testing.assert_array_equal(images.read(path), white - image)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation_tag_is_applied(put, caplog, orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = put(encoded(smooth(), kind, exif=exif))
    with caplog.at_level(logging.INFO, logger="absl"):
        read = images.read(path)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    np.testing.assert_array_equal(read, expected)
    assert read.flags.c_contiguous
    assert ("upright" in caplog.text) == (orientation != 1)


def test_only_first_page_is_read_and_log_says_so(put, caplog):
    pages = [ramp(6, 7), 255 - ramp(6, 7)]
    frames = [Image.fromarray(page) for page in pages]
    animation = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    for data in (tiff(np.stack(pages)), animation):
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="absl"):
            np.testing.assert_array_equal(images.read(put(data)), pages[0])
        assert "has 2 pages; the first one is read" in caplog.text


def test_content_decides_format(put):
    image = ramp(6, 7)
    for data in (encoded(image, "PNG"), encoded(image, "BMP"), tiff(image)):
        np.testing.assert_array_equal(images.read(put(data, "photo.jpg")), image)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "is empty"),
        (b"this is no image\n", "starts with the bytes 74 68"),
        (b"\x89PNG", "starts with the bytes 89 50"),
        (b"GIF89a" + bytes(20), "is in the format GIF:"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "is in the format HEIC:"),
        (b"\0\0\0\x18ftypavif" + bytes(20), "is in the format AVIF:"),
        (b"\0\0\0\x0cjP  \r\n" + bytes(20), "is in the format JPEG 2000:"),
        (b"\x89PNG\r\n\x1a\n", "cut off or damaged"),
        (b"\xff\xd8\xff", "cut off or damaged"),
        (b"\xff\xd8\xff\xe0" + bytes(50), "cut off or damaged"),
        (b"BM", "cut off or damaged"),
        (b"II*\0", "cut off or damaged"),
        (b"II*\0\xff\xff\xff\xff", "cut off or damaged"),
        (b"II*\0\x08\0\0\0" + bytes(200), "is 0x0 pixels"),
    ],
)
def test_other_content_is_refused(put, data, found):
    line = refusal(put(data))
    assert found in line and "expected" in line


@pytest.mark.parametrize("name", whole_files())
def test_truncated_file_is_refused(put, name):
    data = whole_files()[name]
    images.read(put(data, name))
    lengths = {*np.linspace(0, len(data) - 1, 40).astype(int), len(data) - 1}
    # The last byte of LZW is but a mark of its end: all pixels are there.
    for length in lengths - ({len(data) - 1} if name == "lzw.tif" else set()):
        refusal(put(data[:length], name))


@pytest.mark.parametrize("name", ["grey.png", "bits16.png"])
def test_png_with_wrong_checksum_is_refused(put, name):
    data = bytearray(whole_files()[name])
    data[data.index(b"IDAT") + 8] ^= 1
    assert "cut off or damaged: expected a whole PNG" in refusal(put(data))


@pytest.mark.parametrize("value", [np.nan, 1e300])
def test_tiff_with_value_that_is_not_finite_is_refused(put, value):
    image = np.full((8, 9), value)
    assert "NaN, infinite or beyond float32" in refusal(put(tiff(image), "nan.tif"))


@pytest.mark.parametrize("shape", [(1, 50), (50, 1), (1, 1)])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "BMP"])
def test_image_of_one_row_or_column_is_refused(put, shape, kind):
    line = refusal(put(encoded(np.zeros(shape, np.uint8), kind)))
    assert f"is {shape[0]}x{shape[1]} pixels (height x width)" in line
    assert "expected at least 2x2" in line


@pytest.mark.parametrize(
    ("image", "options", "found"),
    [
        (ramp(9, 8, 5), {"planarconfig": "contig"}, "5 channels"),
        (ramp(16, 9, 8), {"volumetric": True, "tile": (16, 16, 16)}, "of depth 16"),
        (np.ones((8, 9), np.complex64), {}, "complex64 values"),
        (ramp(8, 9, 3), {"photometric": "cielab"}, "CIELAB"),
        (ramp(8, 9), {"compression": "lzma"}, "compressed by LZMA"),
        (ramp(8, 9), {"compression": "jpeg2000"}, "JPEG2000"),
    ],
)
def test_tiff_of_unsupported_sort_is_refused(put, image, options, found):
    options = {"photometric": "minisblack", **options}
    line = refusal(put(tiff(image, **options), "odd.tif"))
    assert found in line and "expected" in line


@pytest.mark.parametrize(
    ("place", "value", "found"),
    [(30, 4, "Unsupported BMP compression"), (28, 7, "Unsupported BMP pixel depth")],
)
def test_bmp_of_unsupported_sort_is_called_that(put, place, value, found):
    data = bytearray(encoded(smooth(), "BMP"))
    data[place] = value
    line = refusal(put(bytes(data), "odd.bmp"))
    assert "is a sort of BMP that is not read" in line and found in line


def huge_headers() -> dict[str, bytes]:
    """Makes files whose header promises far more pixels than there are."""
    files = whole_files()
    jpeg, bmp = files["rgb.jpg"], files["rgb.bmp"]
    start = jpeg.index(b"\xff\xc0") + 5
    sizes = struct.pack(">HH", 60000, 60000)
    wide = io.BytesIO(files["plain.tif"])
    tags = tifffile.TiffFile(wide).pages[0].tags
    tags["ImageWidth"].overwrite(60000)
    tags["ImageLength"].overwrite(60000)
    return {
        "grey.png": with_png_header(files["grey.png"], 60000, 60000),
        "bits16.png": with_png_header(files["bits16.png"], 60000, 60000, 16),
        "one_bit.png": with_png_header(files["grey.png"], 2**31 - 1, 2**31 - 1, 1),
        "plain.bmp": bmp[:18] + struct.pack("<ii", 60000, 60000) + bmp[26:],
        "upside_down.bmp": bmp[:18] + struct.pack("<ii", 60000, -60000) + bmp[26:],
        "wide.tif": wide.getvalue(),
        "photo.jpg": jpeg[:start] + sizes + jpeg[start + 4 :],
    }


@pytest.mark.parametrize("name", huge_headers())
def test_size_is_checked_before_decoding(put, name):
    line = refusal(put(huge_headers()[name], name))
    # Decoding would find that the pixels are missing and say so.
    assert "its header promises" in line and "expected at most 200000000" in line


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "BMP"])
def test_max_pixels_is_largest_size_read(put, kind):
    path = put(encoded(smooth(10, 12), kind))
    assert images.read(path, max_pixels=120).shape == (10, 12, 3)
    assert "10x12 = 120 pixels: expected at most 119" in refusal(path, max_pixels=119)


@pytest.mark.parametrize(
    "options",
    [{}, {"tile": (16, 16)}, {"rowsperstrip": 8}, {"planarconfig": "separate"}],
)
def test_jpeg_inside_tiff_may_be_strips_tiles_or_planes(put, options):
    stored = smooth()
    if "planarconfig" in options:
        stored = np.moveaxis(stored, -1, 0)
    data = tiff(stored, compression="jpeg", photometric="rgb", **options)
    difference = images.read(put(data)).astype(int) - smooth()
    assert np.abs(difference).mean() < 3


def test_folder_or_missing_file_is_refused(tmp_path):
    (tmp_path / "folder.png").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder.png")
    assert "No such file" in refusal(tmp_path / "vanished.png")
    refusal("null\0byte.png")
    with pytest.raises(UserError, match=r"two\\nlines\.png: cannot be read"):
        images.read("two\nlines.png")
