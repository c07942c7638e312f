"""Reads the full-size page of TIFF files through tifffile, odd ones through libtiff.

What the samples mean (white is zero, palettes, CMYK, few bits) is settled here.
"""

import bisect
import contextlib
import io
import os
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
import tifffile
from tifffile import COMPRESSION
from tifffile import DATATYPE
from tifffile import EXTRASAMPLE
from tifffile import PHOTOMETRIC

from densefuse_tf.errors import UserError
from densefuse_tf.io import pixels
from densefuse_tf.io import telling

# Pixels, alpha or None, what the orientation tag says or None, XMP, number of pages.
Stored = tuple[np.ndarray, np.ndarray | None, object, bytes, int]

# tifffile would read what microscopes' programs add, and open files that they name.
_PLAIN_TIFF: Any = dict.fromkeys(
    ("_multifile", "is_lsm", "is_ndpi", "is_ome", "is_scanimage"), False
)
# How many channels there are besides alpha.
_CHANNELS: dict[int, int] = {
    PHOTOMETRIC.MINISWHITE: 1,
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.PALETTE: 1,
    PHOTOMETRIC.SEPARATED: 4,
    PHOTOMETRIC.YCBCR: 3,
}
# The tag that GDAL writes, and the bit of NewSubfileType for a mask.
_NO_DATA, _MASK = 42113, 4
_COMPRESSIONS = {
    COMPRESSION.NONE,
    COMPRESSION.LZW,
    COMPRESSION.JPEG,
    COMPRESSION.ADOBE_DEFLATE,
    COMPRESSION.DEFLATE,
    COMPRESSION.PACKBITS,
    COMPRESSION.ZSTD,
}
# tifffile reads no PackBits or Zstandard where other bytes follow, and says nothing of
# LZW that ends early.
_BY_LIBTIFF = (COMPRESSION.LZW, COMPRESSION.PACKBITS, COMPRESSION.ZSTD)
_INTEGERS = (DATATYPE.SHORT, DATATYPE.LONG)
# Bits of NewSubfileType: a reduced copy, a mask.
_NO_PICTURE = 1 | _MASK


def read(name: str, file: BinaryIO, check: Callable[[int, int], None]) -> Stored:
    """Reads the full-size page of an open TIFF file; see `decoding.decode`.

    Returns:
      Pixels as `images.read` describes them, but not yet blended with alpha and turned
      upright; alpha of the same dtype, or None; what the orientation tag says, whatever
      its type, or None; the XMP packet; the number of pages.
    """
    with tifffile.TiffFile(file, **_PLAIN_TIFF) as tiff:
        first, page = tiff.pages.first, _full_size(tiff)
        if page is not first:
            telling.info("%s: the first page is a reduced copy, and skipped", name)
        check(page.imagelength, page.imagewidth)
        dtype, samples = page.dtype, page.samplesperpixel
        meaning = page.photometric
        if "PhotometricInterpretation" not in page.tags:
            meaning = PHOTOMETRIC.MINISBLACK if samples < 3 else PHOTOMETRIC.RGB
        channels = _CHANNELS.get(meaning, 0)
        if (
            (dtype is None or dtype.kind not in "buif")
            or not (channels and channels <= samples <= channels + 1)
            or (
                meaning in (PHOTOMETRIC.SEPARATED, PHOTOMETRIC.YCBCR)
                and dtype != np.uint8
            )
            or page.compression not in _COMPRESSIONS
            or page.imagedepth != 1
        ):
            raise UserError(
                f"{name}: is a TIFF of depth {page.imagedepth} with {samples} channels "
                f"of {dtype} values, {_shown(meaning)}, compressed by "
                f"{_shown(page.compression)}: expected depth 1, integers or floats, "
                "grey, palette, RGB, 8-bit CMYK or YCbCr, each with or without alpha, "
                "compressed by none, LZW, Deflate, PackBits, Zstandard or JPEG"
            )
        if page.bitspersample == 24 and dtype.kind in "iu":
            # tifffile mixes up their bytes.
            raise UserError(f"{name}: is a TIFF of 24-bit integers: expected 16 or 32")
        page.databytecounts = _byte_counts(page, file)
        if page.compression in _BY_LIBTIFF or (
            meaning == PHOTOMETRIC.YCBCR and page.compression != COMPRESSION.JPEG
        ):
            image = _by_libtiff(page, file)
        else:
            image = page.asarray(maxworkers=1)
        pages = len(tiff.pages) if page is first else 1
    alpha = None
    if samples > 1:
        if page.planarconfig == 2:
            image = np.moveaxis(image, 0, -1)
        if samples > channels and dtype in (np.uint8, np.uint16):
            # Where the colours are multiplied by alpha already, it has done its work.
            if page.extrasamples[:1] == (EXTRASAMPLE.UNASSALPHA,):
                alpha = image[..., -1]
        image = image[..., 0] if channels == 1 else image[..., :channels]
    if image.shape[:2] != (page.imagelength, page.imagewidth):
        raise ValueError(f"decoded to {image.shape}")
    # A reduced copy stands as its original does.
    tag = page.tags.get("Orientation", first.tags.get("Orientation"))
    # tifffile makes an orientation of any number.
    orientation = tag and (tag.value if tag.dtype in _INTEGERS else "no integer")
    xmp = page.tags.valueof("XMP", first.tags.valueof("XMP", b""))
    xmp = xmp if isinstance(xmp, bytes) else str(xmp).encode(errors="replace")
    return _intensities(image, meaning, page), alpha, orientation, xmp, pages


def _full_size(tiff: tifffile.TiffFile) -> tifffile.TiffPage:
    """Returns the first page, or what it is a reduced copy of."""
    first = tiff.pages.first
    pages: list[Any] = [first]
    # A broken page raises anything, and is no reason to refuse the first.
    with contextlib.suppress(Exception):
        pages += first.pages or ()
        if first.subfiletype & _NO_PICTURE:
            pages += tiff.pages
    whole = [page for page in pages if not page.subfiletype & _NO_PICTURE]
    # Where several are as large, the first is taken.
    return max(whole, key=lambda one: one.imagelength * one.imagewidth, default=first)


def _shown(value: int) -> str:
    return getattr(value, "name", str(value))


def _byte_counts(page: tifffile.TiffPage, file: BinaryIO) -> tuple[int, ...]:
    """Returns how long each strip or tile is, at most where the file says it wrongly.

    Raises if one is missing, which tifffile would leave out, or cut off, if its decoder
    would not tell.
    """
    size = os.fstat(file.fileno()).st_size
    ends = sorted({*page.dataoffsets, size})
    counts = []
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        is_there = 0 < offset < size
        if is_there and not 0 < count <= size - offset:
            # libtiff does not tell that the end of a YCbCr image is missing.
            is_there = count == 0 or page.photometric != PHOTOMETRIC.YCBCR
            count = ends[bisect.bisect(ends, offset)] - offset
            if page.compression == COMPRESSION.JPEG:
                file.seek(offset)
                is_there = b"\xff\xd9" in file.read(count)
        counts += [count] * is_there
    if len(counts) != (expected := int(np.prod(page.chunked))):
        raise ValueError(f"not all of its {expected} strips or tiles are there")
    return tuple(counts)


def _by_libtiff(page: tifffile.TiffPage, file: BinaryIO) -> np.ndarray:
    """Decodes a page of an open TIFF file."""
    file.seek(0)
    copy = io.BytesIO(file.read())
    # libtiff reads the page that the header names as the first.
    kind = page.parent.tiff
    copy.seek(kind.offsetsize)
    copy.write(struct.pack(kind.offsetformat, page.offset))
    copy.seek(0)
    with tifffile.TiffFile(copy, **_PLAIN_TIFF) as tiff:
        for name in ("StripByteCounts", "TileByteCounts"):
            if tag := tiff.pages.first.tags.get(name):
                tag.overwrite(page.databytecounts, dtype=16 if kind.is_bigtiff else 4)
    return imagecodecs.tiff_decode(copy.getvalue())


def _intensities(
    image: np.ndarray, meaning: int, page: tifffile.TiffPage
) -> np.ndarray:
    """Converts samples as stored to uint8, uint16 or float32 intensities."""
    if image.dtype == bool:
        image = image.astype(np.uint8)
    if meaning == PHOTOMETRIC.PALETTE:
        # 16 bits as the format demands, or 8, of which libtiff judges in this way.
        palette = np.asarray(page.colormap).T
        palette = (palette >> 8 if palette.max() > 255 else palette).astype(np.uint8)
        return pixels.without_equal_channels(palette[image])
    if image.dtype not in (np.uint8, np.uint16):
        with np.errstate(over="ignore"):
            image = image.astype(np.float32, copy=False)
        return -image if meaning == PHOTOMETRIC.MINISWHITE else image
    bits = page.bitspersample
    if meaning == PHOTOMETRIC.MINISWHITE:
        image = (2**bits - 1) - image
    if bits < 8:
        # 255 is a multiple of 2^bits - 1 for 1, 2 and 4 bits.
        image = image * np.uint8(255 // (2**bits - 1))
    if meaning == PHOTOMETRIC.SEPARATED:
        black = 255 - image[..., 3:].astype(np.uint16)
        image = (((255 - image[..., :3]) * black + 127) // 255).astype(np.uint8)
    return image


def without_value(file: BinaryIO, image: np.ndarray) -> np.ndarray | None:
    """Finds the pixels of which an open file says that they have no value.

    Args:
      file: It is looked through again.
      image: What `read` made of it, not turned.

    Returns:
      [height, width] bool, or None: a mask says 0, or the tag GDAL_NODATA the value.
    """
    file.seek(0)
    named, masks = "", []
    # A broken tag or page is no reason to refuse the image.
    with (
        tifffile.TiffFile(file, **_PLAIN_TIFF) as tiff,
        contextlib.suppress(Exception),
    ):
        named = _full_size(tiff).tags.valueof(_NO_DATA, "")
        masks = [
            page.asarray(maxworkers=1)
            for page in (each.aspage() for each in list(tiff.pages)[1:])
            if page.subfiletype & _MASK and page.shape == image.shape[:2]
        ]
    foreign = np.zeros(image.shape[:2], bool)
    for mask in masks:
        foreign |= mask == 0
    try:
        is_named = image == image.dtype.type(float(named))
    except (TypeError, ValueError, OverflowError):
        is_named = np.zeros(image.shape, bool)
    foreign |= is_named if image.ndim == 2 else is_named.all(axis=2)
    return foreign if foreign.any() else None


def write(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes an image of more than 8 bits.

    Args:
      path: The file.
      image: uint16 or float32. Where a mask is True, a value is written that no other
        pixel has, and named by the tag GDAL_NODATA.
    """
    mask, data = np.ma.getmaskarray(image), np.ma.getdata(image)
    tags = []
    if mask.any():
        largest = np.iinfo(np.uint16).max
        choices = (
            (0, largest, *range(1, largest))
            if data.dtype.kind == "u"
            else (0, -9999, np.finfo(np.float32).min)
        )
        taken = set(np.unique(data[~mask]).tolist())
        no_data = next(value for value in choices if value not in taken)
        data = np.where(mask, data.dtype.type(no_data), data)
        tags.append((_NO_DATA, DATATYPE.ASCII, 0, f"{no_data:g}", True))
    tifffile.imwrite(path, data, extratags=tags)
