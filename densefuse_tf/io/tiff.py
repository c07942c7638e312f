"""Reads the first page of TIFF files through imageio's tifffile plugin.

What the samples mean (white is zero, palettes, CMYK, few bits) is settled here.
"""

import math
import os
from collections.abc import Callable
from typing import BinaryIO

import imageio.v3 as iio
import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.io import pixels

# Pixels, alpha or None, orientation tag or None, number of pages.
Stored = tuple[np.ndarray, np.ndarray | None, object, int]

# tifffile would read what microscopes' programs add, and open files that they name.
_PLAIN_TIFF = dict.fromkeys(
    ("_multifile", "is_lsm", "is_ndpi", "is_ome", "is_scanimage"), False
)
# Values of TIFF's tags, and how many channels there are besides alpha.
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_CHANNELS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4}
_JPEG = 7
_COMPRESSIONS = (1, 5, _JPEG, 8, 32946, 32773, 50000)
_UNASSOCIATED_ALPHA = 2


def read(name: str, file: BinaryIO, check: Callable[[int, int], None]) -> Stored:
    """Reads the first page of an open TIFF file; see `decoding.decode`.

    Returns:
      Pixels as `images.read` describes them, but not yet blended with alpha and turned
      upright; alpha of the same dtype, or None; the value of the orientation tag; the
      number of pages.
    """
    with iio.imopen(file, "r", plugin="tifffile", **_PLAIN_TIFF) as reader:
        tags = reader.metadata(index=..., page=0)
        check(tags.get("ImageLength", 0), tags.get("ImageWidth", 0))
        dtype = reader.properties(index=..., page=0).dtype
        samples = tags.get("SamplesPerPixel", 1)
        meaning = tags.get("PhotometricInterpretation", _BLACK_IS_ZERO)
        compression = tags.get("Compression", 1)
        if meaning == _YCBCR and compression == _JPEG:
            # tifffile converts it.
            meaning = _RGB
        depth, channels = tags.get("ImageDepth", 1), _CHANNELS.get(meaning, 0)
        if (
            (dtype is None or dtype.kind not in "buif")
            or not (channels and channels <= samples <= channels + 1)
            or (meaning == _CMYK and dtype != np.uint8)
            or (depth, compression in _COMPRESSIONS) != (1, True)
        ):
            meaning, compression = (
                getattr(value, "name", value) for value in (meaning, compression)
            )
            raise UserError(
                f"{name}: is a TIFF of depth {depth} with {samples} channels of "
                f"{dtype} values, {meaning}, compressed by {compression}: expected "
                "depth 1, integers or floats, grey, palette, RGB or 8-bit CMYK, each "
                "with or without alpha, compressed by none, LZW, Deflate, PackBits, "
                "Zstandard or JPEG"
            )
        _check_segments(tags, file)
        pages = reader.properties(index=..., page=...).n_images
        image = reader.read(index=..., page=0, maxworkers=1)
    alpha = None
    if samples > 1:
        if tags.get("PlanarConfiguration") == 2:
            image = np.moveaxis(image, 0, -1)
        if samples > channels and dtype in (np.uint8, np.uint16):
            # Where the colours are multiplied by alpha already, it has done its work.
            has_alpha = _values(tags, "ExtraSamples")[:1] == [_UNASSOCIATED_ALPHA]
            alpha = image[..., -1] if has_alpha else None
        image = image[..., 0] if channels == 1 else image[..., :channels]
    return _intensities(image, meaning, tags), alpha, tags.get("Orientation"), pages


def _values(tags: dict, *names: str) -> list:
    """Returns the values of the first of these tags that is there; [] if none is."""
    return next((np.ravel(tags[name]).tolist() for name in names if name in tags), [])


def _check_segments(tags: dict, file: BinaryIO) -> None:
    """Raises if strips or tiles are missing, which tifffile would leave out.

    What a JPEG in them says of its size must agree, too: the decoder believes it.
    """
    height, width = tags["ImageLength"], tags["ImageWidth"]
    columns = [*_values(tags, "TileWidth"), width][0]
    rows = min([*_values(tags, "RowsPerStrip"), height])
    rows = [*_values(tags, "TileLength"), rows][0]
    expected = math.ceil(height / rows) * math.ceil(width / columns)
    if tags.get("PlanarConfiguration") == 2:
        expected *= tags.get("SamplesPerPixel", 1)
    offsets = _values(tags, "TileOffsets", "StripOffsets")
    counts = _values(tags, "TileByteCounts", "StripByteCounts")
    size = os.fstat(file.fileno()).st_size
    if not len(offsets) == len(counts) == expected or any(
        not 0 < offset < offset + count <= size
        for offset, count in zip(offsets, counts, strict=True)
    ):
        raise ValueError(f"not all of its {expected} strips or tiles are there")
    if tags.get("Compression") == _JPEG:
        for offset, count in zip(offsets, counts, strict=True):
            file.seek(offset)
            inner = iio.improps(file.read(count), plugin="pillow").shape
            if inner[0] > rows or inner[1] > columns:
                raise ValueError(f"a JPEG in it is {inner[0]}x{inner[1]}")


def _intensities(image: np.ndarray, meaning: int, tags: dict) -> np.ndarray:
    """Converts samples as stored to uint8, uint16 or float32 intensities."""
    if meaning == _PALETTE:
        # 16 bits as the format demands, 8 as nearly all programs mean.
        palette = np.reshape(_values(tags, "ColorMap"), (3, -1)).T >> 8
        return pixels.without_equal_channels(palette.astype(np.uint8)[image])
    if image.dtype == bool:
        image = image.astype(np.uint8)
    if image.dtype not in (np.uint8, np.uint16):
        with np.errstate(over="ignore"):
            image = image.astype(np.float32, copy=False)
        return -image if meaning == _WHITE_IS_ZERO else image
    bits = next(iter(_values(tags, "BitsPerSample")), 1)
    if meaning == _WHITE_IS_ZERO:
        image = (2**bits - 1) - image
    if bits < 8:
        # 255 is a multiple of 2^bits - 1 for 1, 2 and 4 bits.
        image = image * np.uint8(255 // (2**bits - 1))
    if meaning == _CMYK:
        black = 255 - image[..., 3:].astype(np.uint16)
        image = (((255 - image[..., :3]) * black + 127) // 255).astype(np.uint8)
    return image
