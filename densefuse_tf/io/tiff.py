"""Reads the first page of TIFF files through tifffile.

What the samples mean (white is zero, palettes, CMYK, few bits) is settled here.
"""

import os
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import tifffile
from tifffile import COMPRESSION
from tifffile import EXTRASAMPLE
from tifffile import PHOTOMETRIC

from densefuse_tf.errors import UserError
from densefuse_tf.io import pixels

# Pixels, alpha or None, orientation tag or None, number of pages.
Stored = tuple[np.ndarray, np.ndarray | None, int | None, int]

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
}
_COMPRESSIONS = {
    COMPRESSION.NONE,
    COMPRESSION.LZW,
    COMPRESSION.JPEG,
    COMPRESSION.ADOBE_DEFLATE,
    COMPRESSION.DEFLATE,
    COMPRESSION.PACKBITS,
    COMPRESSION.ZSTD,
}


def read(name: str, file: BinaryIO, check: Callable[[int, int], None]) -> Stored:
    """Reads the first page of an open TIFF file; see `decoding.decode`.

    Returns:
      Pixels as `images.read` describes them, but not yet blended with alpha and turned
      upright; alpha of the same dtype, or None; the value of the orientation tag; the
      number of pages.
    """
    with tifffile.TiffFile(file, **_PLAIN_TIFF) as tiff:
        page = tiff.pages.first
        check(page.imagelength, page.imagewidth)
        dtype, samples = page.dtype, page.samplesperpixel
        meaning = page.photometric
        if meaning == PHOTOMETRIC.YCBCR and page.compression == COMPRESSION.JPEG:
            # tifffile converts it.
            meaning = PHOTOMETRIC.RGB
        channels = _CHANNELS.get(meaning, 0)
        if (
            (dtype is None or dtype.kind not in "buif")
            or not (channels and channels <= samples <= channels + 1)
            or (meaning == PHOTOMETRIC.SEPARATED and dtype != np.uint8)
            or page.compression not in _COMPRESSIONS
            or page.imagedepth != 1
        ):
            raise UserError(
                f"{name}: is a TIFF of depth {page.imagedepth} with {samples} channels "
                f"of {dtype} values, {_shown(meaning)}, compressed by "
                f"{_shown(page.compression)}: expected depth 1, integers or floats, "
                "grey, palette, RGB or 8-bit CMYK, each with or without alpha, "
                "compressed by none, LZW, Deflate, PackBits, Zstandard or JPEG"
            )
        _check_segments(page, os.fstat(file.fileno()).st_size)
        image = page.asarray(maxworkers=1)
        pages = len(tiff.pages)
    alpha = None
    if samples > 1:
        if page.planarconfig == 2:
            image = np.moveaxis(image, 0, -1)
        if samples > channels and dtype in (np.uint8, np.uint16):
            # Where the colours are multiplied by alpha already, it has done its work.
            if page.extrasamples[:1] == (EXTRASAMPLE.UNASSALPHA,):
                alpha = image[..., -1]
        image = image[..., 0] if channels == 1 else image[..., :channels]
    orientation = page.tags.valueof("Orientation")
    return _intensities(image, meaning, page), alpha, orientation, pages


def _shown(value: int) -> str:
    return getattr(value, "name", str(value))


def _check_segments(page: tifffile.TiffPage, size: int) -> None:
    """Raises if strips or tiles are missing, which tifffile would leave out."""
    expected = int(np.prod(page.chunked))
    if not len(page.dataoffsets) == len(page.databytecounts) == expected or any(
        not 0 < offset < offset + count <= size
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
    ):
        raise ValueError(f"not all of its {expected} strips or tiles are there")


def _intensities(
    image: np.ndarray, meaning: int, page: tifffile.TiffPage
) -> np.ndarray:
    """Converts samples as stored to uint8, uint16 or float32 intensities."""
    if meaning == PHOTOMETRIC.PALETTE:
        # 16 bits as the format demands, 8 as nearly all programs mean.
        palette = (np.asarray(page.colormap).T >> 8).astype(np.uint8)
        return pixels.without_equal_channels(palette[image])
    if image.dtype == bool:
        image = image.astype(np.uint8)
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
