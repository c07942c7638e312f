"""Decodes the bytes of an image file into pixels.

imageio decodes: its Pillow plugin PNG, JPEG, BMP and WebP, its tifffile plugin TIFF.
PNG files of 16 bits, of which Pillow keeps 8, and grey ones with a transparent value go
to imagecodecs. What the samples mean (white is zero, CMYK, alpha) is settled here.
`images` imports this module when it reads a file, since it imports Pillow.
"""

import logging as python_logging
import math
import os
import threading
import warnings
from collections.abc import Callable
from typing import BinaryIO

import imageio.v3 as iio
import numpy as np
from absl import logging
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from densefuse_tf.errors import UserError
from densefuse_tf.io import pixels

_READ = ("PNG", "TIFF", "JPEG", "BMP", "WebP")
# Formats by the bytes at an offset. Those that are not read are named in the error.
_SIGNATURES = (
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("JPEG", 0, b"\xff\xd8\xff"),
    *(("TIFF", 0, start) for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    ("BMP", 0, b"BM"),
    ("WebP", 8, b"WEBP"),
    *(("HEIC", 4, b"ftyp" + brand) for brand in (b"hei", b"hev", b"mif1", b"msf1")),
    ("AVIF", 4, b"ftypavi"),
    ("GIF", 0, b"GIF8"),
    ("JPEG 2000", 4, b"jP  "),
    ("JPEG XL", 4, b"JXL "),
    ("OpenEXR", 0, b"v/1\x01"),
    ("NumPy", 0, b"\x93NUMPY"),
    ("FITS", 0, b"SIMPLE  ="),
    ("PDF", 0, b"%PDF"),
)
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

_pillow_limit = threading.Lock()

# The UserError says in one line what is wrong with a file.
warnings.filterwarnings("ignore", module=r"(PIL|tifffile|imagecodecs|imageio)\.")
for _reader in ("tifffile", "imagecodecs"):
    python_logging.getLogger(_reader).setLevel(python_logging.CRITICAL)


def kind(name: str, file: BinaryIO) -> str:
    """Tells the format of an open file by its first bytes.

    Args:
      name: What the message calls the file.
      file: At its beginning, where it is left.

    Returns:
      PNG, TIFF, JPEG, BMP or WebP.

    Raises:
      UserError: It is none of these.
    """
    start = file.read(16)
    file.seek(0)
    what = f"starts with the bytes {start[:8].hex(' ')}" if start else "is empty"
    for found, offset, signature in _SIGNATURES:
        if start.startswith(signature, offset):
            if found in _READ:
                return found
            what = f"is in the format {found}"
    raise UserError(f"{name}: {what}: expected {', '.join(_READ[:-1])} or {_READ[-1]}")


def decode(
    name: str, kind: str, file: BinaryIO, check: Callable[[int, int], None]
) -> np.ndarray:
    """Decodes the first image of an open file and turns it upright.

    Args:
      name: What messages and the log call the file.
      kind: Its format, as `kind` says.
      file: At its beginning.
      check: Called with height and width before any pixel is decoded; it refuses them
        by raising an exception.

    Returns:
      As `images.read` describes it.

    Raises:
      UserError: The image is of a sort that is not read.
      Exception: Of any other type, for a damaged file: whatever its reader raises.
    """
    read = _tiff if kind == "TIFF" else _picture
    image, alpha, orientation = read(name, file, check)
    if alpha is not None:
        image = _over_black(name, image, alpha)
    if orientation in range(2, 9):
        logging.info("%s: turned upright by its orientation tag", name)
        # TIFF 6.0, tag 274; the same in EXIF.
        if orientation >= 5:
            image = image.swapaxes(0, 1)
        if orientation in (3, 4, 7, 8):
            image = image[::-1]
        if orientation in (2, 3, 6, 7):
            image = image[:, ::-1]
    return np.require(image, requirements=["C", "W"])


def _picture(name: str, file: BinaryIO, check: Callable) -> tuple:
    """The pixels, alpha or None, and orientation of a PNG, JPEG, BMP or WebP."""
    with _pillow_limit:
        # `check` is the limit on pixels here.
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            reader = iio.imopen(file, "r", plugin="pillow")
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    with reader:
        check(*reader.properties(index=0).shape[:2])
        # This decodes a PNG.
        about = reader.metadata(index=0)
        mode, has_alpha = about["mode"], "transparency" in about
        _log_pages(name, reader.properties(index=...).n_images)
        if _is_png_beyond_pillow(file, has_alpha):
            import imagecodecs

            file.seek(0)
            image = imagecodecs.png_decode(file.read())
        else:
            wanted = "L" if mode in ("1", "L", "LA") else "RGB"
            wanted += "A" if has_alpha or mode in ("LA", "PA", "RGBA") else ""
            # Pillow would copy an image to convert it to the mode it has.
            wanted = None if wanted == mode else wanted
            image = reader.read(index=0, mode=wanted, writeable_output=False)
        # Of some palettes imageio can tell all only when the image is decoded.
        about = reader.metadata(index=0, exclude_applied=False)
    alpha = None
    if image.ndim == 3 and image.shape[2] in (2, 4):
        image, alpha = image[..., :-1], image[..., -1]
        image = image[..., 0] if image.shape[2] == 1 else image
    if mode in ("P", "PA"):
        image = _gray_if_equal(image)
    return image, alpha, about.get("Orientation")


def _is_png_beyond_pillow(file: BinaryIO, has_alpha: bool) -> bool:
    """Whether a file is a PNG that Pillow would change.

    Raises if a PNG is cut off, or a chunk's checksum is wrong.
    """
    file.seek(0)
    if file.read(4) != b"\x89PNG":
        return False
    file.seek(0)
    PngImageFile(file).verify()
    # Pillow stops before the checksum of the last chunk.
    if file.read(4) != b"\xaeB`\x82":
        raise OSError("image file is truncated")
    file.seek(24)
    bits, color_type = file.read(2)
    return bits == 16 or (color_type == 0 and has_alpha)


def _tiff(name: str, file: BinaryIO, check: Callable) -> tuple:
    """The pixels, alpha or None, and orientation of a TIFF's first page."""
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
        _log_pages(name, reader.properties(index=..., page=...).n_images)
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
    return _intensities(image, meaning, tags), alpha, tags.get("Orientation")


def _values(tags: dict, *names: str) -> list:
    """The values of the first of these tags that is there; [] if none is."""
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
    """TIFF's samples as stored to uint8, uint16 or float32 intensities."""
    if meaning == _PALETTE:
        # 16 bits as the format demands, 8 as nearly all programs mean.
        palette = np.reshape(_values(tags, "ColorMap"), (3, -1)).T >> 8
        return _gray_if_equal(palette.astype(np.uint8)[image])
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


def _gray_if_equal(image: np.ndarray) -> np.ndarray:
    return image if pixels.is_color(image) else image[..., 0]


def _log_pages(name: str, count: int | None) -> None:
    if count and count > 1:
        logging.info("%s: has %d pages; the first one is read", name, count)


def _over_black(name: str, image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Blends an integer image with black where `alpha` says that it is transparent."""
    opaque = np.iinfo(alpha.dtype).max
    if (alpha == opaque).all():
        return image
    if not alpha.any():
        logging.info("%s: its alpha channel is zero everywhere and is ignored", name)
        return image
    logging.info("%s: its transparent pixels are blended with black", name)
    blended = np.empty_like(image)
    for rows in pixels.row_bands(image):
        weight = alpha[rows].astype(np.uint32)
        weight = weight[..., None] if image.ndim == 3 else weight
        blended[rows] = (image[rows] * weight + opaque // 2) // opaque
    return blended
