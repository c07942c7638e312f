"""Tests of densefuse_tf.io.tiff through images.read: files as cameras write them."""

import io
import logging
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from image_bytes import ramp
from image_bytes import raw_tiff
from image_bytes import smooth
from image_bytes import tiff
from image_bytes import xmp

from densefuse_tf.errors import UserError
from densefuse_tf.io import images

GREY = np.array([[3, 200, 7], [90, 0, 255]], np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [(), (3,), (4,)])
@pytest.mark.parametrize("order", "<>")
def test_without_a_photometric_tag_black_is_zero(put, dtype, channels, order):
    image = ramp(9, 8, *channels, dtype=dtype)
    path = put(raw_tiff(image, without=[262], order=order))
    np.testing.assert_array_equal(
        images.read(path), image[..., :3] if channels else image
    )


@pytest.mark.parametrize(("top", "unit"), [(255, 1), (65535, 257), (65280, 256)])
def test_colormap_counts_to_255_or_65535(put, top, unit):
    # Blue is 0 and green what red is not.
    levels = np.arange(256)
    colormap = [*(levels * unit), *((255 - levels) * unit), *([0] * 256)]
    path = put(raw_tiff(GREY, {262: (3, [3]), 320: (3, colormap)}))
    expected = np.stack([GREY, 255 - GREY, 0 * GREY], -1)
    assert max(colormap) == top
    np.testing.assert_array_equal(images.read(path), expected)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_palettes_of_few_bits(put, bits):
    values = np.arange(16).reshape(2, 8) % 2**bits
    digits = np.unpackbits(values.astype(np.uint8)[..., None], axis=2)[..., -bits:]
    colormap = np.random.default_rng(0).integers(0, 2**16, (3, 2**bits))
    tags = {256: (3, [8]), 258: (3, [bits]), 262: (3, [3])}
    tags[320] = 3, colormap.ravel().tolist()
    packed = np.packbits(digits.reshape(2, -1), axis=1)
    path = put(raw_tiff(packed, tags))
    np.testing.assert_array_equal(images.read(path), (colormap >> 8).T[values])


@pytest.mark.parametrize("order", "<>")
def test_integers_of_24_bits_are_refused(put, order):
    samples = np.arange(6, dtype=np.uint8).reshape(2, 3).repeat(3, axis=1)
    tags = {256: (4, [3]), 258: (3, [24])}
    with pytest.raises(UserError, match="a TIFF of 24-bit integers: expected 16 or 32"):
        images.read(put(raw_tiff(samples, tags, order=order)))


def written(*pages) -> bytes:
    """Makes a TIFF of (image, options of tifffile's write)."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for image, options in pages:
            writer.write(image, metadata=None, **options)
    return file.getvalue()


BIG, SMALL = smooth(40, 60), 255 - smooth(20, 30)
REDUCED, WHOLE, MASK = {"subfiletype": 1}, {"subfiletype": 0}, {"subfiletype": 4}


@pytest.mark.parametrize(
    "pages",
    [
        # A reduced copy as the first page; several; before a mask; with SubIFDs, of
        # which cameras make the first page a reduced copy or say nothing of it.
        [(SMALL, REDUCED), (BIG, WHOLE)],
        [(SMALL, REDUCED), (SMALL[:10], REDUCED), (SMALL, WHOLE), (BIG, WHOLE)],
        [(SMALL, REDUCED), (np.zeros((99, 99), bool), MASK), (BIG, WHOLE)],
        [(SMALL, {"subifds": 1, **REDUCED}), (BIG, WHOLE)],
        [(SMALL, {"subifds": 2, **REDUCED}), (SMALL[:9], REDUCED), (BIG, WHOLE)],
        [(SMALL, {"subifds": 1}), (BIG, WHOLE)],
        # Nothing of the kind: pages and smaller or reduced children.
        [(BIG, WHOLE), (SMALL, WHOLE)],
        [(BIG, WHOLE), (np.concatenate([SMALL] * 9), WHOLE)],
        [(BIG, {"subifds": 2}), (SMALL, REDUCED), (np.concatenate([BIG] * 2), REDUCED)],
        [(BIG, REDUCED)],
    ],
)
@pytest.mark.parametrize("compression", [None, "zlib", "packbits"])
def test_the_full_size_page_is_read(put, pages, compression):
    pages = [(page, {"compression": compression, **options}) for page, options in pages]
    path = put(written(*pages))
    np.testing.assert_array_equal(images.read(path), BIG)
    assert images.stored_size(path) == BIG.shape[:2]


def test_the_full_size_page_stands_as_its_reduced_copy(put, caplog):
    tag = (0x0112, 3, 1, 6, True)
    path = put(written((SMALL, {**REDUCED, "extratags": [tag]}), (BIG, WHOLE)))
    with caplog.at_level(logging.INFO, logger="absl"):
        np.testing.assert_array_equal(images.read(path), np.rot90(BIG, -1))
    assert "first page is a reduced copy" in caplog.text


@pytest.mark.parametrize("offsets", [[2**31], [8], [0], [3, 8]])
def test_subifds_that_are_none_do_not_matter(put, offsets):
    path = put(raw_tiff(GREY, {330: (4, offsets)}))
    np.testing.assert_array_equal(images.read(path), GREY)


COMPRESSIONS = (None, "zlib", "packbits", "zstd", "jpeg", "lzw")
LAYOUTS = {
    "one": {},
    "strips": {"rowsperstrip": 16},
    "tiles": {"tile": (16, 16)},
    "planes": {"planarconfig": "separate"},
    "big": {"bigtiff": True, "byteorder": ">"},
}
WRONG = {
    "0": lambda counts: [0] * len(counts),
    "first 0": lambda counts: [0, *counts[1:]],
    "+9": lambda counts: [count + 9 for count in counts],
    "x3": lambda counts: [3 * count for count in counts],
    "huge": lambda counts: [2**31] * len(counts),
}


def with_counts(data: bytes, change) -> bytes:
    """Changes what a TIFF says of the lengths of its strips or tiles."""
    file = io.BytesIO(data)
    with tifffile.TiffFile(file) as opened:
        tags = opened.pages.first.tags
        tag = tags.get("StripByteCounts") or tags["TileByteCounts"]
        tag.overwrite(change(tag.value), dtype=4)
    return file.getvalue()


def stored(layout: str, compression: str | None) -> bytes:
    image = smooth(32, 48)
    image = np.moveaxis(image, -1, 0) if layout == "planes" else image
    options = {"photometric": "rgb", "compression": compression, **LAYOUTS[layout]}
    return tiff(image, **options)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_wrong_byte_counts_do_not_matter(put, layout, compression):
    data = stored(layout, compression)
    expected = images.read(put(data))
    loss = 9 if compression == "jpeg" else 0
    np.testing.assert_allclose(expected, smooth(32, 48), atol=loss)
    for change in WRONG.values():
        wrong = with_counts(data, change)
        for behind in (0, 999):
            read = images.read(put(wrong + bytes(behind)))
            np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_truncated_strips_are_refused_whatever_the_counts_say(put, layout, compression):
    data = stored(layout, compression)
    for change in WRONG.values():
        wrong = with_counts(data, change)
        for lost in (9, 40, 300):
            with pytest.raises(UserError, match="cut off or damaged"):
                images.read(put(wrong[:-lost]))


@pytest.mark.parametrize("encode", [imagecodecs.lzw_encode, imagecodecs.zlib_encode])
def test_a_strip_without_its_byte_count_is_read(put, encode):
    image = smooth(40, 48)[..., 0]
    compression = 5 if encode is imagecodecs.lzw_encode else 8
    strips = [encode(image.tobytes())]
    data = raw_tiff(image, {259: (3, [compression])}, [279], strips)
    np.testing.assert_array_equal(images.read(put(data)), image)
    for lost in (5, 30):
        with pytest.raises(UserError, match="cut off or damaged"):
            images.read(put(data[:-lost]))


def test_lzw_that_ends_early_is_refused(put):
    data = tiff(smooth(40, 48), compression="lzw", rowsperstrip=16)
    with pytest.raises(UserError, match="cut off or damaged"):
        images.read(put(with_counts(data, lambda counts: [n - 5 for n in counts])))


def ycbcr(compression: int, subsampling=(1, 1)) -> tuple[bytes, np.ndarray]:
    """Makes a TIFF of blocks that are black, white, red and grey, and their RGB."""
    colors = {(16, 128, 128): 0, (235, 128, 128): 255, (126, 128, 128): 128}
    blocks = np.array(list(colors)).repeat(2, 0)[None].repeat(4, 0).astype(np.uint8)
    across, down = subsampling
    units = [
        [*blocks[y : y + down, x : x + across, 0].ravel(), *blocks[y, x, 1:]]
        for y in range(0, 4, down)
        for x in range(0, 6, across)
    ]
    data = np.array(units, np.uint8).tobytes()
    packed = imagecodecs.packbits_encode(data) if compression == 32773 else data
    tags = {
        259: (3, [compression]),
        262: (3, [6]),
        530: (3, [across, down]),
        532: (5, [15, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1]),
    }
    grey = np.array(list(colors.values())).repeat(2)[None].repeat(4, 0)
    return raw_tiff(blocks, tags, strips=[packed]), np.stack([grey] * 3, -1)


@pytest.mark.parametrize("compression", [1, 32773])
@pytest.mark.parametrize("subsampling", [(1, 1), (2, 1), (2, 2)])
def test_ycbcr_as_ffmpeg_writes_it_becomes_rgb(put, compression, subsampling):
    data, expected = ycbcr(compression, subsampling)
    np.testing.assert_allclose(images.read(put(data)), expected, atol=1)
    with pytest.raises(UserError, match="cut off or damaged"):
        images.read(put(data[:-3]))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (3, [6, 6]),
        (3, [1, 6]),
        (2, b"6\0"),
        (5, [6, 1]),
        (11, [6.0]),
        (3, [9]),
        (3, [0]),
    ],
)
def test_an_orientation_that_is_none_leaves_the_image_as_it_is(
    put, caplog, kind, values
):
    path = put(raw_tiff(GREY, {274: (kind, values)}))
    with caplog.at_level(logging.INFO, logger="absl"):
        np.testing.assert_array_equal(images.read(path), GREY)
    assert "its orientation tag is not 1 to 8 and is ignored" in caplog.text


def test_xmp_tells_the_orientation_where_no_tag_does(put):
    turned = np.rot90(GREY, -1)
    for kind in (1, 2, 7):
        path = put(raw_tiff(GREY, {700: (kind, xmp())}))
        np.testing.assert_array_equal(images.read(path), turned)
    path = put(raw_tiff(GREY, {700: (7, xmp(3)), 274: (3, [6])}))
    np.testing.assert_array_equal(images.read(path), turned)


@pytest.mark.parametrize(
    "code", [270, 282, 306, 700, 33723, 34377, 34665, 34675, 42113]
)
def test_tags_that_no_pixel_depends_on_may_be_broken(put, code):
    for kind, values in (
        (7, b"\xff\0<"),
        (2, b"x" * 999),
        (3, [7, 7, 7]),
        (4, [2**31]),
    ):
        data = raw_tiff(GREY, {code: (kind, values)})
        np.testing.assert_array_equal(images.read(put(data)), GREY)
        # Where the value lies, and what its type is, may be anything.
        entry = data.index(struct.pack("<HH", code, kind))
        for change in (slice(entry + 8, entry + 12), slice(entry + 2, entry + 4)):
            broken = bytearray(data)
            broken[change] = b"\xf0" * (change.stop - change.start)
            np.testing.assert_array_equal(images.read(put(bytes(broken))), GREY)


@pytest.mark.parametrize("offset", [2**31, 3, 8])
def test_what_comes_after_the_first_page_may_be_broken(put, offset):
    data = bytearray(raw_tiff(GREY))
    (count,) = struct.unpack_from("<H", data, 8)
    struct.pack_into("<I", data, 10 + 12 * count, offset)
    np.testing.assert_array_equal(images.read(put(bytes(data))), GREY)


def test_inks_let_pass_what_they_leave_of_white_rounded(tmp_path):
    path = tmp_path / "inks.tif"
    inks = np.random.default_rng(0).integers(0, 256, (12, 9, 4), np.uint8)
    tifffile.imwrite(path, inks, photometric="separated")
    white = 255 - inks.astype(int)
    expected = np.floor(white[..., :3] * white[..., 3:] / 255 + 0.5)
    np.testing.assert_array_equal(images.read(path), expected)
