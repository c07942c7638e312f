"""Tests of densefuse_tf.io.decoding through images.read: all formats and refusals."""

import io
import logging
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from image_bytes import bmp_header
from image_bytes import encoded
from image_bytes import gray_png
from image_bytes import png
from image_bytes import ramp
from image_bytes import smooth
from image_bytes import tiff
from image_bytes import whole_files
from PIL import Image
from PIL import ImageOps

from densefuse_tf.errors import UserError
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
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_values_do_not_depend_on_storage(put, compression, options, dtype):
    image = ramp(20, 21, 3, dtype=dtype)
    stored = image
    if "planarconfig" in options:
        stored = np.moveaxis(image, -1, 0)
    path = put(tiff(stored, photometric="rgb", compression=compression, **options))
    np.testing.assert_array_equal(images.read(path), image)


@pytest.mark.parametrize("compression", ["lzw", "zlib"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_reads_tiff_with_a_predictor(put, compression, dtype):
    image = ramp(20, 21, dtype=dtype)
    path = put(tiff(image, compression=compression, predictor=True))
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
    kind = images.FORMATS[f".{suffix}"]
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
def test_palette_becomes_rgb(put, kind):
    image = Image.fromarray(smooth()).quantize(16)
    expected = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(images.read(put(encoded(image, kind))), expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_palette_of_greys_becomes_grey(put, kind):
    image = Image.fromarray(ramp(6, 7) % 4).convert("P")
    image.putpalette([level for value in (9, 80, 3, 200) for level in [value] * 3])
    expected = np.asarray(image.convert("L"))
    np.testing.assert_array_equal(images.read(put(encoded(image, kind))), expected)


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


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_of_few_bits_spans_0_to_255(put, bits):
    top = 2**bits - 1
    # Two pixels in the leading bits of each row's byte.
    first, second = bytes([top << (8 - bits)]), bytes([top << (8 - 2 * bits)])
    read = images.read(put(png(2, 2, bits, 0, b"\0" + first + b"\0" + second)))
    assert read.tolist() == [[255, 0], [0, 255]]


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
def test_transparent_grey_value_becomes_black(put, bits, step):
    values = np.arange(16).reshape(2, 8) % 2**bits
    data = gray_png(values, bits, (b"tRNS", struct.pack(">H", 1)))
    expected = np.where(values == 1, 0, values * step)
    np.testing.assert_array_equal(images.read(put(data)), expected)


def test_transparent_16_bit_grey_value_becomes_black(put):
    rows = b"\0" + struct.pack(">2H", 1000, 50000) + b"\0" + struct.pack(">2H", 7, 8)
    data = png(2, 2, 16, 0, rows, (b"tRNS", struct.pack(">H", 50000)))
    assert images.read(put(data)).tolist() == [[1000, 0], [7, 8]]


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
    for length in lengths:
        refusal(put(data[:length], name))


@pytest.mark.parametrize("name", ["grey.png", "bits16.png"])
def test_png_with_wrong_checksum_is_refused(put, name):
    data = bytearray(whole_files()[name])
    data[data.index(b"IDAT") + 8] ^= 1
    assert "cut off or damaged: expected a whole PNG" in refusal(put(bytes(data)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_tiff_with_value_that_is_not_finite_is_refused(put, value):
    image = np.ones((8, 9), np.float64)
    image[3, 4] = value
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


def with_tags(data: bytes, **values: int) -> bytearray:
    """A TIFF with other numbers in its header."""
    data = bytearray(data)
    page = tifffile.TiffFile(io.BytesIO(data)).pages[0]
    for name, value in values.items():
        tag = page.tags[name]
        form = {3: "<H", 4: "<I"}[tag.dtype]
        data[tag.valueoffset : tag.valueoffset + struct.calcsize(form)] = struct.pack(
            form, value
        )
    return data


def huge_headers() -> dict[str, bytes]:
    wide = with_tags(tiff(ramp(8, 9)), ImageWidth=60000, ImageLength=60000)
    jpeg = bytearray(encoded(smooth(), "JPEG"))
    frame = jpeg.index(b"\xff\xc0") + 5
    jpeg[frame : frame + 4] = struct.pack(">HH", 60000, 60000)
    return {
        "grey.png": png(60000, 60000, 8, 0, b""),
        "bits16.png": png(60000, 60000, 16, 6, b""),
        "one_bit.png": png(2**31 - 1, 2**31 - 1, 1, 0, b""),
        "plain.bmp": bmp_header(60000, 60000, 8),
        "upside_down.bmp": bmp_header(60000, -60000, 8),
        "wide.tif": wide,
        "photo.jpg": bytes(jpeg),
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
