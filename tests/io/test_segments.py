"""Tests of densefuse_tf.io.segments through images.read: metadata that is broken."""

import logging
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
from image_bytes import encoded
from image_bytes import exif
from image_bytes import png_chunk
from image_bytes import smooth
from image_bytes import with_chunks
from image_bytes import with_segment
from image_bytes import xmp
from PIL import Image

from densefuse_tf.errors import UserError
from densefuse_tf.io import images

IMAGE = smooth()
TURNED = np.rot90(IMAGE, -1)
PNGS = {
    "rgb": (encoded(IMAGE, "PNG"), IMAGE),
    "grey": (encoded(IMAGE[..., 0], "PNG"), IMAGE[..., 0]),
    "bits16": (imagecodecs.png_encode(IMAGE * np.uint16(257)), IMAGE * np.uint16(257)),
}
# All that the standard has beside pixels, one of nobody's, and a palette of RGB.
CHUNKS = (
    *(b"acTL", b"bKGD", b"cHRM", b"cICP", b"eXIf", b"fcTL", b"gAMA", b"hIST", b"iCCP"),
    *(b"iTXt", b"pHYs", b"PLTE", b"sBIT", b"sPLT", b"sRGB", b"tEXt", b"tIME", b"tRNS"),
    *(b"zTXt", b"vpAg"),
)
LARGE = zlib.compress(bytes(5_000_000))
BROKEN = (
    *(b"", b"\0", b"abc", bytes(9), b"\xff" * 99, b"Comment\0\0" + LARGE),
    *(b"XML:com.adobe.xmp\0", b"XML:com.adobe.xmp\0\1\0\0\0junk", b"a\0\0\0" + LARGE),
    *(b"Raw profile type exif\0", b"Raw profile type exif\0\nexif\n 9\nxyz"),
)


@pytest.mark.parametrize("name", PNGS)
@pytest.mark.parametrize("kind", CHUNKS)
def test_broken_chunks_leave_the_pixels_of_a_png_alone(put, name, kind):
    data, expected = PNGS[name]
    for content in BROKEN:
        for before in (b"IDAT", b"IEND"):
            broken = with_chunks(data, png_chunk(kind, content), before=before)
            np.testing.assert_array_equal(images.read(put(broken)), expected)
    # The checksum is wrong; a length that no file has; the file ends in it.
    whole = png_chunk(kind, b"abc")
    np.testing.assert_array_equal(
        images.read(put(with_chunks(data, whole[:-1] + b"?"))), expected
    )
    if kind != b"PLTE":
        for chunk in (b"\x7f\xff\xff\xff" + whole[4:], whole[:-5]):
            cut = data[: data.index(b"IEND") - 4] + chunk
            np.testing.assert_array_equal(images.read(put(cut)), expected)


@pytest.mark.parametrize(
    ("kind", "change"),
    [(b"IHDR", 5), (b"IDAT", -1), (b"IDAT", -9), (b"IEND", 0), (b"IEND", 2)],
)
def test_broken_chunks_that_pixels_depend_on_are_refused(put, kind, change):
    data = bytearray(PNGS["rgb"][0])
    data[data.index(kind) + (len(kind) if change >= 0 else 0) + change] ^= 1
    with pytest.raises(UserError, match="cut off or damaged: expected a whole PNG"):
        images.read(put(bytes(data)))


def test_a_png_of_another_sort_is_called_that(put):
    data = with_chunks(PNGS["rgb"][0], png_chunk(b"CgBI", bytes(4)), before=b"IHDR")
    with pytest.raises(UserError, match="with a chunk 'CgBI': expected those of the"):
        images.read(put(data))


RAW = b"\nexif\n%8d\n%s\n" % (len(exif()), exif().hex().encode())
TELLING = {
    "EXIF": (b"eXIf", exif()[6:]),
    "EXIF with its head": (b"eXIf", exif()),
    "XMP": (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp()),
    "packed XMP": (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp())),
    "ImageMagick's": (b"tEXt", b"Raw profile type exif\0" + RAW),
    "ImageMagick's, packed": (
        b"zTXt",
        b"Raw profile type exif\0\0" + zlib.compress(RAW),
    ),
}


@pytest.mark.parametrize("name", TELLING)
@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
def test_png_is_turned_whatever_else_is_broken(put, name, before):
    broken = [png_chunk(b"pHYs", b"\0"), png_chunk(b"zTXt", b"a\0\0" + LARGE)]
    chunk = png_chunk(*TELLING[name])
    for chunks in ([chunk], [*broken, chunk, *broken]):
        data = with_chunks(PNGS["rgb"][0], *chunks, before=before)
        np.testing.assert_array_equal(images.read(put(data)), TURNED)


JPEG = encoded(IMAGE, "JPEG", quality=95)
XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"


@pytest.mark.parametrize("marker", [*range(0xE0, 0xF0), 0xFE])
def test_broken_segments_leave_the_pixels_of_a_jpeg_alone(put, marker):
    expected = images.read(put(JPEG))
    for content in (
        *(b"", b"\0", b"Exif\0\0", b"Exif\0\0junk", XMP_HEAD, XMP_HEAD + b"\xff<"),
        *(b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"Exif\0\0II*\0\xff\xff\xff\xff"),
        *(b"JFIF\0", b"JFIF\0\1\2\3", b"JFXX\0\x10\xff\xd8", b"Adobe", b"AVI1\0"),
        *(b"ICC_PROFILE\0", b"ICC_PROFILE\0\1\1junk", b"ICC_PROFILE\0\3\1junk"),
        *(b"Photoshop 3.0\08BIM", b"MPF\0junk", b"MPF\0II*\0\x08\0\0\0\0\0"),
        *(b"FLIR\0\1\0\0", b"x" * 65000),
    ):
        data = with_segment(JPEG, marker, content)
        np.testing.assert_array_equal(images.read(put(data)), expected)
        # Bytes between segments, and such as only fill, are skipped by all readers.
        data = JPEG[:20] + b"\xff\xff" + JPEG[20:]
        np.testing.assert_array_equal(images.read(put(data)), expected)


def exif_entry(kind: int, count: int, value: bytes) -> bytes:
    """Makes EXIF data with an orientation of any type."""
    entry = struct.pack("<HHI4s", 0x0112, kind, count, value)
    return b"Exif\0\0II*\0\x08\0\0\0\1\0" + entry + bytes(4)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (exif_entry(2, 2, b"6"), "its orientation tag is not 1 to 8"),
        (exif_entry(3, 2, b"\6\0\6\0"), "its orientation tag is not 1 to 8"),
        (exif_entry(11, 1, struct.pack("<f", 6)), "its orientation tag is not 1 to 8"),
        (exif_entry(3, 1, b"\x09"), "its orientation tag is not 1 to 8"),
        (exif_entry(3, 1, b"\0"), "its orientation tag is not 1 to 8"),
        (b"Exif\0\0junk and more", "its EXIF data are broken"),
    ],
)
def test_orientation_that_is_none_is_ignored(put, caplog, data, line):
    files = {
        "JPEG": with_segment(JPEG, 0xE1, data),
        "PNG": with_chunks(PNGS["rgb"][0], png_chunk(b"eXIf", data)),
        "WEBP": encoded(IMAGE, "WEBP", lossless=True, exif=data),
    }
    for kind, file in files.items():
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="absl"):
            read = images.read(put(file))
        loss = 20 if kind == "JPEG" else 0
        np.testing.assert_allclose(read, IMAGE, atol=loss)
        assert line in caplog.text


def test_xmp_turns_every_format_where_exif_does_not(put):
    jpeg = images.read(put(JPEG))
    for packet in (
        xmp(),
        b"<tiff:Orientation>6</tiff:Orientation>",
        b"<rdf:Description tiff:Orientation='6'/>",
    ):
        data = with_segment(JPEG, 0xE1, XMP_HEAD + packet)
        np.testing.assert_array_equal(images.read(put(data)), np.rot90(jpeg, -1))
        data = encoded(IMAGE, "WEBP", lossless=True, xmp=packet)
        np.testing.assert_array_equal(images.read(put(data)), TURNED)
    for packet in (
        b"<rdf:Description tiff:Orientation='6.5'/>",
        b"<tiff:Orientation>6.5</tiff:Orientation>",
        b"<tiff:Orientation>6",
    ):
        data = with_segment(JPEG, 0xE1, XMP_HEAD + packet)
        np.testing.assert_array_equal(images.read(put(data)), jpeg)
    both = with_segment(with_segment(JPEG, 0xE1, XMP_HEAD + xmp(3)), 0xE1, exif())
    np.testing.assert_array_equal(images.read(put(both)), np.rot90(jpeg, -1))
    both = encoded(IMAGE, "WEBP", lossless=True, xmp=xmp(3), exif=exif())
    np.testing.assert_array_equal(images.read(put(both)), TURNED)


def test_broken_metadata_leave_the_pixels_of_a_webp_alone(put):
    data = encoded(
        IMAGE, "WEBP", lossless=True, exif=b"junk", xmp=b"\xff", icc_profile=b"x"
    )
    np.testing.assert_array_equal(images.read(put(data)), IMAGE)
    place = data.index(b"EXIF")
    # A wrong length, and files that end in what comes after the pixels.
    for length in (0, 2, 2**31):
        broken = data[: place + 4] + struct.pack("<I", length) + data[place + 8 :]
        np.testing.assert_array_equal(images.read(put(broken)), IMAGE)
    for end in (place + 2, place + 9, len(data) - 1):
        np.testing.assert_array_equal(images.read(put(data[:end])), IMAGE)
    with pytest.raises(UserError, match="cut off or damaged: expected a whole WebP"):
        images.read(put(data[: place - 2]))


def deep(channels: int, bits: int) -> np.ndarray:
    """Makes a smooth image of more than 8 bits."""
    image = IMAGE.astype(np.uint16) << (bits - 8)
    return image if channels == 3 else image[..., 0].copy()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_lossless_jpeg_of_many_bits_is_exact(put, channels, bits):
    image = deep(channels, bits)
    data = imagecodecs.jpeg8_encode(image, lossless=True, bitspersample=bits)
    read = images.read(put(data))
    np.testing.assert_array_equal(read, image)
    assert read.dtype == np.uint16
    for length in (len(data) - 1, len(data) // 2, len(data) // 4):
        with pytest.raises(UserError, match="cut off or damaged: expected a whole JPE"):
            images.read(put(data[:length]))


def test_jpeg_of_12_bits_is_close_and_stands_upright(put):
    for channels in (1, 3):
        image = deep(channels, 12)
        data = imagecodecs.jpeg8_encode(image, bitspersample=12, level=98)
        turned = images.read(put(with_segment(data, 0xE1, exif())))
        assert turned.dtype == np.uint16
        difference = turned.astype(int) - np.rot90(image, -1)
        assert np.abs(difference).mean() < 20
        with pytest.raises(UserError, match="cut off or damaged"):
            images.read(put(data[: len(data) * 3 // 4]))
        assert images.stored_size(put(data)) == (24, 32)


def test_jpeg_of_other_sorts_is_called_that(put):
    data = imagecodecs.jpegls_encode(IMAGE)
    with pytest.raises(UserError, match="is a JPEG LS: expected a sequential, progr"):
        images.read(put(data))
    frame = JPEG.index(b"\xff\xc0")
    data = JPEG[:frame] + b"\xff\xc5" + JPEG[frame + 2 :]
    with pytest.raises(UserError, match="is a JPEG with the marker SOF5: expected"):
        images.read(put(data))


def test_transparent_value_of_a_length_that_none_has_is_ignored(put):
    data = encoded(Image.fromarray(IMAGE).quantize(8), "PNG")
    expected = images.read(put(data))
    for alpha, first in ((b"\xff" * 8, False), (b"\0", True)):
        read = images.read(put(with_chunks(data, png_chunk(b"tRNS", alpha))))
        assert (read == expected).all() != first
