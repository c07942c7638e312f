"""densefuse_tf.images: reading, pairing, converting and writing."""

import concurrent.futures
import io
import logging
import os
import pathlib
import struct
import subprocess
import sys
import zlib

import hypothesis
import imagecodecs
import mutations
import numpy as np
import pytest
import tifffile
from hypothesis import strategies as st
from PIL import Image
from PIL import ImageOps

from densefuse_tf import images
from densefuse_tf.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[1]


def ramp(*shape: int, dtype=np.uint8) -> np.ndarray:
    """Different values everywhere, using all bits of the dtype."""
    top = 1.0 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    values = np.linspace(0, 1, int(np.prod(shape))).reshape(shape)
    values = np.random.default_rng(0).permutation(values.ravel()).reshape(shape)
    return (values * top).astype(dtype)


def smooth(height: int = 24, width: int = 32) -> np.ndarray:
    """An RGB image that JPEG changes little."""
    y, x = np.mgrid[:height, :width]
    return np.stack([4 * x + 40, 6 * y + 30, 3 * (x + y)], -1).astype(np.uint8)


def encoded(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def tiff(image: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, image, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", checksum)


def png(width: int, height: int, bits: int, color: int, rows: bytes, *extra) -> bytes:
    """A PNG put together by hand: `rows` with their filter bytes."""
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(
                b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
            ),
            *(chunk(*each) for each in extra),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


def bmp_header(width: int, height: int, bits: int, compression: int = 0) -> bytes:
    info = struct.pack(
        "<IiiHHIIiiII", 40, width, height, 1, bits, compression, 0, 0, 0, 256, 256
    )
    palette = b"".join(bytes([value, value, value, 0]) for value in range(256))
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start, 0, 0, start) + info + palette


@pytest.fixture
def put(tmp_path):
    def write(data: bytes, name: str = "image.png") -> pathlib.Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


def refusal(path, **options) -> str:
    """What `read` says of a file that it must refuse: one line that names it."""
    with pytest.raises(UserError) as caught:
        images.read(path, **options)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line


# Reading: the values of every kind of file.


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
def test_reads_tiff_however_it_is_stored(put, compression, options, dtype):
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
def test_other_numbers_of_tiff_become_float32(put, dtype):
    image = np.array([[1, 2, 3], [40, 50, 600]]).astype(dtype)
    read = images.read(put(tiff(image)))
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, image)


@pytest.mark.parametrize("suffix", ["bmp", "jpg"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_reads_bmp_and_jpeg_as_pillow_does(put, suffix, mode):
    image = Image.fromarray(smooth()).convert(mode)
    kind = images.FORMATS[f".{suffix}"]
    path = put(encoded(image, kind), f"image.{suffix}")
    np.testing.assert_array_equal(images.read(path), np.asarray(Image.open(path)))
    np.testing.assert_allclose(images.read(path), np.asarray(image), atol=12)


def test_reads_progressive_jpeg(put):
    data = encoded(smooth(), "JPEG", progressive=True)
    path = put(data)
    np.testing.assert_array_equal(images.read(path), np.asarray(Image.open(path)))


def test_reads_bmp_of_run_lengths(put):
    rows = ramp(5, 6)
    runs = b"".join(
        b"".join(bytes([1, value]) for value in row) + b"\0\0" for row in rows[::-1]
    )
    path = put(bmp_header(6, 5, 8, compression=1) + runs + b"\0\1", "runs.bmp")
    np.testing.assert_array_equal(images.read(path), rows)


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


def test_palette_with_a_transparent_entry_is_black_there(put):
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
def test_transparent_pixels_of_16_bits_are_blended_too(put, channels):
    image = np.full((2, 3, channels), 40000, np.uint16)
    image[..., -1] = 65535
    image[0, 0, -1] = 0
    image[0, 1, -1] = 13107
    read = images.read(put(imagecodecs.png_encode(image)))
    gray = read if channels == 2 else read[..., 1]
    assert read.dtype == np.uint16
    assert gray.tolist() == [[0, 8000, 40000], [40000, 40000, 40000]]


@pytest.mark.parametrize("alpha", [0, 255])
def test_alpha_that_says_nothing_is_ignored(put, alpha):
    image = np.dstack([smooth(), np.full((24, 32), alpha, np.uint8)])
    for data in (encoded(image, "PNG"), encoded(image, "BMP")):
        np.testing.assert_array_equal(images.read(put(data)), smooth())


@pytest.mark.parametrize(
    ("sample", "expected"), [("unassalpha", 50), ("assocalpha", 100), (0, 100)]
)
def test_alpha_of_tiff_is_applied_once(put, sample, expected):
    image = np.full((4, 5, 4), 100, np.uint8)
    image[..., 3] = 128
    path = put(tiff(image, photometric="rgb", extrasamples=[sample]))
    assert images.read(path).tolist() == [[[expected] * 3] * 5] * 4


def test_16_bit_grey_with_a_transparent_value_is_black_there(put):
    rows = b"\0" + struct.pack(">2H", 1000, 50000) + b"\0" + struct.pack(">2H", 7, 8)
    data = png(2, 2, 16, 0, rows, (b"tRNS", struct.pack(">H", 50000)))
    assert images.read(put(data)).tolist() == [[1000, 0], [7, 8]]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_becomes_rgb(put, kind):
    image = Image.fromarray(smooth())
    read = images.read(put(encoded(image.convert("CMYK"), kind, quality=98)))
    np.testing.assert_allclose(read, smooth(), atol=6)


def test_tiff_in_which_0_is_white_is_inverted(put):
    image = ramp(5, 6, dtype=np.uint16)
    path = put(tiff(image, photometric="miniswhite"))
    np.testing.assert_array_equal(images.read(path), 65535 - image)


def test_jpeg_inside_tiff_is_rgb(put):
    path = put(tiff(smooth(), photometric="rgb", compression="jpeg"))
    np.testing.assert_allclose(images.read(path), smooth(), atol=12)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
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


def test_only_the_first_page_or_frame_is_read(put, caplog):
    pages = [ramp(6, 7), 255 - ramp(6, 7)]
    frames = [Image.fromarray(page) for page in pages]
    animation = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    for data, word in ((tiff(np.stack(pages)), "pages"), (animation, "frames")):
        with caplog.at_level(logging.INFO, logger="absl"):
            np.testing.assert_array_equal(images.read(put(data)), pages[0])
        assert f"has 2 {word}; the first one is read" in caplog.text


def test_the_content_counts_and_not_the_suffix(put):
    image = ramp(6, 7)
    for data in (encoded(image, "PNG"), encoded(image, "BMP"), tiff(image)):
        np.testing.assert_array_equal(images.read(put(data, "photo.jpg")), image)


def test_smallest_image(put):
    assert images.read(put(encoded(ramp(2, 2), "PNG"))).shape == (2, 2)


def test_reads_in_many_threads(put):
    paths = [put(tiff(ramp(40, 50) // 2 + n), f"{n}.tif") for n in range(24)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for n, image in enumerate(pool.map(images.read, paths)):
            np.testing.assert_array_equal(image, ramp(40, 50) // 2 + n)


# Reading: everything that is refused.


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "is empty"),
        (b"this is no image\n", "starts with the bytes 74 68"),
        (b"\x89PNG", "starts with the bytes 89 50"),
        (b"GIF89a" + bytes(20), "starts with the bytes 47 49"),
        (b"\x89PNG\r\n\x1a\n", "cut off or damaged"),
        (b"\xff\xd8\xff", "cut off or damaged"),
        (b"\xff\xd8\xff\xe0" + bytes(50), "cut off or damaged"),
        (b"BM", "cut off or damaged"),
        (b"II*\0", "cut off or damaged"),
        (b"II*\0\xff\xff\xff\xff", "cut off or damaged"),
        (b"II*\0\x08\0\0\0" + bytes(200), "is 0x0 pixels"),
        (b"MM\0+\0\x08\0\0" + b"\xff" * 8, "cut off or damaged"),
    ],
)
def test_what_is_no_image_is_refused(put, data, found):
    line = refusal(put(data))
    assert found in line and "expected" in line


def whole_files() -> dict[str, bytes]:
    photo = smooth()
    return {
        "grey.png": encoded(photo[..., 0], "PNG"),
        "rgb.png": encoded(photo, "PNG"),
        "palette.png": encoded(Image.fromarray(photo).convert("P"), "PNG"),
        "bits16.png": imagecodecs.png_encode(photo.astype(np.uint16) * 257),
        "grey.jpg": encoded(photo[..., 0], "JPEG"),
        "rgb.jpg": encoded(photo, "JPEG"),
        "progressive.jpg": encoded(photo, "JPEG", progressive=True),
        "rgb.bmp": encoded(photo, "BMP"),
        "palette.bmp": encoded(Image.fromarray(photo).convert("P"), "BMP"),
        "plain.tif": tiff(photo),
        "bits16.tif": tiff(photo.astype(np.uint16) * 257),
        "float.tif": tiff(photo[..., 0] / np.float32(3)),
        "lzw.tif": tiff(photo, compression="lzw", rowsperstrip=5),
        "deflate.tif": tiff(photo, compression="zlib", tile=(16, 16)),
        "jpeg.tif": tiff(photo, compression="jpeg", photometric="rgb"),
        "palette.tif": encoded(Image.fromarray(photo).convert("P"), "TIFF"),
    }


@pytest.mark.parametrize("name", whole_files())
def test_a_file_cut_off_anywhere_is_refused(put, name):
    data = whole_files()[name]
    images.read(put(data, name))
    lengths = {*np.linspace(0, len(data) - 1, 40).astype(int), len(data) - 1}
    for length in lengths:
        refusal(put(data[:length], name))


@pytest.mark.parametrize("name", ["grey.png", "bits16.png"])
def test_a_png_with_a_wrong_checksum_is_refused(put, name):
    data = bytearray(whole_files()[name])
    data[data.index(b"IDAT") + 8] ^= 1
    assert "cut off or damaged: expected a whole PNG" in refusal(put(bytes(data)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_tiff_with_a_value_that_is_not_finite_is_refused(put, value):
    image = np.ones((8, 9), np.float64)
    image[3, 4] = value
    assert "NaN, infinite or beyond float32" in refusal(put(tiff(image), "nan.tif"))


@pytest.mark.parametrize("shape", [(1, 50), (50, 1), (1, 1)])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "BMP"])
def test_an_image_of_one_row_or_column_is_refused(put, shape, kind):
    line = refusal(put(encoded(np.zeros(shape, np.uint8), kind)))
    assert f"is {shape[0]}x{shape[1]} pixels (height x width)" in line
    assert "expected at least 2x2" in line


@pytest.mark.parametrize(
    ("image", "options", "found"),
    [
        (ramp(9, 8, 5), {"planarconfig": "contig"}, "5 channels"),
        (ramp(16, 9, 8), {"volumetric": True, "tile": (16, 16, 16)}, "axes ZYX"),
        (np.ones((8, 9), np.complex64), {}, "expected integers or floats"),
        (ramp(8, 9, 3), {"photometric": "cielab"}, "CIELAB"),
        (ramp(8, 9), {"compression": "lzma"}, "compressed by LZMA"),
        (ramp(8, 9), {"compression": "jpeg2000"}, "JPEG2000"),
    ],
)
def test_tiff_that_is_no_photograph_is_refused(put, image, options, found):
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
def test_a_header_that_promises_too_much_is_refused_before_decoding(put, name):
    line = refusal(put(huge_headers()[name], name))
    # Decoding would find that the pixels are missing and say so.
    assert "its header promises" in line and "expected at most 200000000" in line


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "BMP"])
def test_max_pixels_is_the_largest_size_allowed(put, kind):
    path = put(encoded(smooth(10, 12), kind))
    assert images.read(path, max_pixels=120).shape == (10, 12, 3)
    assert "10x12 = 120 pixels: expected at most 119" in refusal(path, max_pixels=119)


@pytest.mark.parametrize(
    "data",
    [
        png(14000, 14000, 16, 6, b""),
        bmp_header(100_000_000, 2, 8, compression=1),
        # A tile that is larger than the image around which it lies.
        with_tags(
            tiff(ramp(8, 9), compression="zlib", tile=(16, 16)),
            TileWidth=65520,
            TileLength=65520,
        ),
    ],
    ids=["16-bit RGBA", "run lengths", "tile"],
)
def test_pixels_that_take_too_much_memory_are_refused(put, data):
    assert "MB to decode: expected at most 1600" in refusal(put(data))


def test_a_jpeg_in_a_tiff_that_is_larger_than_it_says_is_refused(put):
    data = bytearray(tiff(smooth(), compression="jpeg", photometric="rgb"))
    frame = data.index(b"\xff\xc0") + 5
    data[frame : frame + 4] = struct.pack(">HH", 40000, 40000)
    assert "a JPEG of 40000x40000 pixels in it: expected at most" in refusal(put(data))


@pytest.mark.parametrize(
    "options", [{"tile": (16, 16)}, {"rowsperstrip": 8}, {"planarconfig": "separate"}]
)
def test_reads_jpeg_inside_tiff_however_it_is_cut(put, options):
    stored = smooth()
    if "planarconfig" in options:
        stored = np.moveaxis(stored, -1, 0)
    data = tiff(stored, compression="jpeg", photometric="rgb", **options)
    difference = images.read(put(data)).astype(int) - smooth()
    assert np.abs(difference).mean() < 3


def test_a_jpeg_made_of_scans_is_refused(put):
    data = encoded(smooth(), "JPEG", progressive=True)
    end = data.rindex(b"\xff\xda")
    scan = data[end:-2]
    assert "scans" in refusal(put(data[:-2] + 100 * scan + data[-2:]))


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "folder.png").mkdir()
    assert "is a folder" in refusal(tmp_path / "folder.png")
    (tmp_path / "link.png").symlink_to("missing.png")
    assert "link to missing.png, which is missing" in refusal(tmp_path / "link.png")
    assert "No such file" in refusal(tmp_path / "vanished.png")
    os.mkfifo(tmp_path / "pipe.png")
    assert "not a regular file" in refusal(tmp_path / "pipe.png")
    refusal(tmp_path / ("long" * 200 + ".png"))
    refusal("null\0byte.png")
    with pytest.raises(UserError, match=r"two\\nlines\.png: cannot be read"):
        images.read("two\nlines.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_without_permission_is_refused(put):
    path = put(encoded(ramp(4, 4), "PNG"))
    path.chmod(0)
    assert "Permission denied" in refusal(path)


def test_the_readers_say_nothing_of_their_own(tmp_path):
    """And neither TensorFlow nor a reader is imported before it is needed."""
    random = np.random.default_rng(6)
    for number in range(150):
        _, data = mutations.damaged_image(random, mutations.image_files())
        (tmp_path / f"{number}.png").write_bytes(data)
    script = """
import sys
from densefuse_tf import images, plots
early = {"tensorflow", "PIL", "tifffile", "imagecodecs", "scipy"} & set(sys.modules)
assert not early, early
refused = 0
for path in images.find(sys.argv[1]):
    try:
        images.read(path, max_pixels=20_000_000)
    except images.UserError:
        refused += 1
assert refused > 50, refused
assert "tensorflow" not in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", script, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_programs_own_use_of_tifffile_keeps_its_log(put, caplog):
    refusal(put(b"II*\0\x08\0\0\0" + bytes(200)))
    assert not [record for record in caplog.records if record.name == "tifffile"]
    logging.getLogger("tifffile").warning("something of the program's own")
    assert "of the program's own" in caplog.text


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
        ("*.png", "the pattern has no image"),
        ("empty/*", "no image among its 1 entries"),
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


@pytest.mark.parametrize("sources", [[], ["a.png"]])
def test_pair_needs_two_sources(sources):
    with pytest.raises(UserError, match="expected two or more"):
        images.pair(sources)


# Arrays.


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(2, 2), (2, 2, 3), (9, 7), (9, 7, 3)])
def test_check_takes_images(dtype, shape):
    images.check(np.ones(shape, dtype), "it")


@pytest.mark.parametrize(
    ("image", "found"),
    [
        ([[1, 2], [3, 4]], "is a list"),
        (None, "is a NoneType"),
        (np.ones(9, np.uint8), "shape [9]"),
        (np.ones((4, 4, 1), np.uint8), "shape [4, 4, 1]"),
        (np.ones((4, 4, 4), np.uint8), "shape [4, 4, 4]"),
        (np.ones((1, 4, 4, 3), np.uint8), "shape [1, 4, 4, 3]"),
        (np.ones((4, 4), bool), "type bool"),
        (np.ones((4, 4), np.int64), "type int64"),
        (np.ones((4, 4), complex), "type complex128"),
        (np.ones((1, 4), np.uint8), "is 1x4 pixels"),
        (np.ones((4, 0), np.float32), "is 4x0 pixels"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.array([[1, 2], [np.inf, 4]]), "infinite"),
        (np.array([[1, 2], [-1e39, 4]]), "beyond float32"),
    ],
)
def test_check_refuses(image, found):
    with pytest.raises(UserError) as caught:
        images.check(image, "the second source")
    line = str(caught.value)
    assert line.startswith("the second source: ") and found in line
    assert "expected" in line


def test_uint8_is_in_the_pixel_range_already():
    image = ramp(5, 6)
    scaled, value_range = images.to_pixel_range(image)
    np.testing.assert_array_equal(scaled, image)
    assert scaled.dtype == np.float32 and value_range == (0.0, 255.0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_auto_stretches_the_images_own_range(dtype):
    image = np.array([[10, 20], [30, 60]], dtype)
    scaled, value_range = images.to_pixel_range(image, "auto")
    assert value_range == (10.0, 60.0)
    np.testing.assert_allclose(scaled, [[0, 51], [102, 255]], rtol=1e-6)
    if dtype != np.uint8:
        np.testing.assert_array_equal(images.to_pixel_range(image)[0], scaled)


def test_a_given_range_clips():
    image = np.array([[0, 1000], [2000, 65535]], np.uint16)
    scaled, value_range = images.to_pixel_range(image, (1000, 3000))
    assert scaled.tolist() == [[0, 0], [127.5, 255]] and value_range == (1000, 3000)


def test_a_constant_image_becomes_0():
    scaled, value_range = images.to_pixel_range(np.full((3, 3), 7, np.uint16))
    assert not scaled.any() and value_range == (7.0, 7.0)


def test_small_differences_of_large_values_survive():
    kelvin = np.array([[300.0, 300.01], [300.02, 300.03]])
    scaled, _ = images.to_pixel_range(kelvin, "auto")
    np.testing.assert_allclose(scaled, [[0, 85], [170, 255]], atol=1e-4)


@pytest.mark.parametrize(
    "value_range", [(5, 5), (9, 1), (0, np.nan), (0, np.inf), (1,), (1, 2, 3), "min", 3]
)
def test_a_wrong_range_is_refused(value_range):
    with pytest.raises(UserError, match="expected auto, or two numbers"):
        images.to_pixel_range(ramp(3, 3, dtype=np.uint16), value_range)


def test_gray_is_pillows_luma_to_the_last_bit():
    levels = np.arange(0, 256, 5, dtype=np.uint8)
    image = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(52, -1, 3)
    expected = np.asarray(Image.fromarray(image).convert("L"))
    np.testing.assert_array_equal(images.gray(image), expected)
    assert images.gray(image).dtype == np.uint8
    np.testing.assert_allclose(
        images.gray(image.astype(np.float32)), expected, atol=0.51
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_bands_change_nothing(monkeypatch, dtype):
    color = ramp(23, 7, 3, dtype=dtype)
    convert = [
        images.gray,
        lambda image: images.to_pixel_range(image, "auto")[0],
        lambda image: images.to_pixel_range(image, (0.1, 0.7))[0],
    ]
    whole = [work(color) for work in convert]
    monkeypatch.setattr(images, "_BAND_PIXELS", 30)
    bands = [(band.start, band.stop) for band in images.row_bands(color)]
    assert bands == [(0, 4), (4, 8), (8, 12), (12, 16), (16, 20), (20, 23)]
    for work, expected in zip(convert, whole, strict=True):
        found = work(color)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


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


def test_gray_of_greys_is_the_grey():
    for values in (np.arange(256, dtype=np.uint8), np.arange(65536).astype(np.uint16)):
        image = np.repeat(values.reshape(16, -1, 1), 3, axis=2)
        np.testing.assert_array_equal(images.gray(image), image[..., 0])
        assert images.gray(image).dtype == image.dtype
    image = ramp(6, 7)
    assert images.gray(image) is image
    assert images.gray(ramp(6, 7, 3, dtype=np.float64)).dtype == np.float32


def test_is_color():
    image = ramp(6, 7)
    assert not images.is_color(image)
    image = np.dstack([image] * 3)
    assert not images.is_color(image)
    image[5, 6, 1] ^= 1
    assert images.is_color(image)


def test_ycbcr_has_the_values_of_jfif():
    rgb = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], np.float32)
    rgb = np.concatenate([rgb, [[[0, 255, 0], [0, 0, 255], [100, 100, 100]]]])
    expected = [
        [[0, 128, 128], [255, 128, 128], [76.245, 84.972, 255.5]],
        [[149.685, 43.528, 21.235], [29.07, 255.5, 107.265], [100, 128, 128]],
    ]
    ycbcr = images.to_ycbcr(rgb)
    assert ycbcr.dtype == np.float32
    np.testing.assert_allclose(ycbcr, expected, atol=1e-3)
    photo = smooth()
    pillow = np.asarray(Image.fromarray(photo).convert("YCbCr"))
    np.testing.assert_allclose(images.to_ycbcr(photo), pillow, atol=1)


@hypothesis.settings(deadline=None, derandomize=True, max_examples=30)
@hypothesis.given(
    st.lists(st.floats(-64, 512, width=32), min_size=12, max_size=12),
)
def test_from_ycbcr_undoes_to_ycbcr(values):
    rgb = np.array(values, np.float32).reshape(2, 2, 3)
    back = images.from_ycbcr(images.to_ycbcr(rgb))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, rgb, atol=2e-3)
    luma = images.to_ycbcr(rgb)[..., 0]
    np.testing.assert_allclose(luma, images.gray(rgb), atol=1e-3)


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
