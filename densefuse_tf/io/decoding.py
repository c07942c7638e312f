"""Decodes the bytes of an image file into pixels.

imageio decodes PNG, JPEG, BMP and WebP, with its Pillow plugin; TIFF goes to `tiff`,
PGM and PPM to `pnm`. PNG and JPEG files of more than 8 bits, of which Pillow keeps 8 or
nothing, and grey PNG files with a transparent value go to imagecodecs. `images` imports
this module when it reads a file, since it imports Pillow.
"""

import io
import logging as python_logging
import re
import struct
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

import imageio.v3 as iio
import numpy as np
from PIL import Image
from PIL import ImageOps

from densefuse_tf.errors import UserError
from densefuse_tf.io import formats
from densefuse_tf.io import pixels
from densefuse_tf.io import pnm
from densefuse_tf.io import segments
from densefuse_tf.io import telling

if TYPE_CHECKING:
    from densefuse_tf.io import tiff

_APART = {"PNG": segments.png, "JPEG": segments.jpeg, "WebP": segments.webp}
# Pillow's own limit on pixels is the process's: it is lifted for a moment.
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
      The name of a format that is read.

    Raises:
      UserError: It is none of these.
    """
    start = file.read(16)
    file.seek(0)
    what = f"starts with the bytes {start[:8].hex(' ')}" if start else "is empty"
    for each in formats.FORMATS:
        if start.startswith(each.starts, each.offset):
            if each.is_read:
                return each.name
            what = f"is in the format {each.name}"
    *names, last = (each.name for each in formats.FORMATS if each.is_read)
    raise UserError(f"{name}: {what}: expected {', '.join(names)} or {last}")


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
    mask = None
    if kind == "TIFF":
        # Imports tifffile, which other formats do without.
        from densefuse_tf.io import tiff

        image, alpha, orientation, xmp, pages = tiff.read(name, file, check)
        if image.dtype != np.uint8:
            mask = tiff.without_value(file, image)
    elif kind in ("PGM", "PPM"):
        return pnm.read(file, check)
    else:
        image, alpha, orientation, xmp, pages = _read(kind, name, file, check)
    if pages > 1:
        telling.info("%s: has %d pages; the first one is read", name, pages)
    if alpha is not None:
        image = _over_black(name, image, alpha)
        if image.dtype != np.uint8 and alpha.any() and not alpha.all():
            mask = (alpha == 0) | (False if mask is None else mask)
    if mask is not None:
        image = np.ma.masked_array(image, mask if image.ndim == 2 else pixels.rgb(mask))
    if (orientation := _orientation(name, orientation, xmp)) > 1:
        telling.info("%s: turned upright by its orientation tag", name)
        # TIFF 6.0, tag 274; the same in EXIF.
        if orientation >= 5:
            image = image.swapaxes(0, 1)
        if orientation in (3, 4, 7, 8):
            image = image[::-1]
        if orientation in (2, 3, 6, 7):
            image = image[:, ::-1]
    if isinstance(image, np.ma.MaskedArray):
        return image.copy(order="C")
    return np.require(image, requirements=["C", "W"])


def of_pillow(source: Image.Image, name: str) -> np.ndarray:
    """Decodes an image of Pillow as the file that would hold it."""
    upright = ImageOps.exif_transpose(source)
    kind = "TIFF" if upright.mode[0] in "IF" else "PNG"
    if upright.mode not in ("1", "L", "LA", "P", "RGB", "RGBA") and kind == "PNG":
        upright = upright.convert("RGB")
    stored = io.BytesIO()
    upright.save(stored, kind, compress_level=0)
    stored.seek(0)
    return decode(name, kind, stored, lambda height, width: None)


def _read(kind: str, name: str, file: BinaryIO, check: Callable) -> "tiff.Stored":
    """Reads the first frame of a PNG, JPEG, BMP or WebP; see `tiff.read`."""
    parts = segments.Parts(b"")
    if kind in _APART:
        parts = _APART[kind](name, file, check)
        file = io.BytesIO(parts.data)
    pages = parts.pages
    if parts.bits > 8:
        image, mode = _by_imagecodecs(kind, parts.data), ""
    else:
        with _opened(file) as reader:
            check(*reader.properties(index=0).shape[:2])
            # imageio documents the dots for all frames, but does not declare them.
            frames = reader.properties(index=...).n_images  # type: ignore[arg-type]
            pages = max(pages, frames or 1)
            about = reader.metadata(index=0)
            mode, has_alpha = about["mode"], "transparency" in about
            if kind == "PNG" and mode in ("1", "L") and has_alpha:
                image = _by_imagecodecs(kind, parts.data)
            else:
                wanted = "L" if mode in ("1", "L", "LA") else "RGB"
                wanted += "A" if has_alpha or mode in ("LA", "PA", "RGBA") else ""
                # Pillow would copy an image to convert it to the mode it has.
                convert: dict[str, Any] = {} if wanted == mode else {"mode": wanted}
                image = reader.read(index=0, writeable_output=False, **convert)
    alpha = None
    if image.ndim == 3 and image.shape[2] in (2, 4):
        image, alpha = image[..., :-1], image[..., -1]
        image = image[..., 0] if image.shape[2] == 1 else image
    if mode in ("P", "PA"):
        image = pixels.without_equal_channels(image)
    orientation = None
    if parts.exif:
        try:
            orientation = segments.orientation(parts.exif)
        except (struct.error, KeyError):
            telling.info("%s: its EXIF data are broken and are ignored", name)
    return image, alpha, orientation, parts.xmp, pages


def _opened(file: BinaryIO):
    """Opens a file by imageio; `check` is the limit on pixels here."""
    with _pillow_limit:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return iio.imopen(file, "r", plugin="pillow")
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _by_imagecodecs(kind: str, data: bytes) -> np.ndarray:
    # Late, since few files need it.
    import imagecodecs

    decode = imagecodecs.png_decode if kind == "PNG" else imagecodecs.jpeg8_decode
    return decode(data)


def _orientation(name: str, value: object, xmp: bytes) -> int:
    """Returns 1 to 8 from the value of a tag of EXIF or TIFF, or else of XMP."""
    if value is None:
        found = re.search(
            rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([0-9]+)(?=[\"'\s<])", xmp
        )
        value = int(found[1]) if found else 1
    if isinstance(value, int) and 1 <= value <= 8:
        return value
    telling.info("%s: its orientation tag is not 1 to 8 and is ignored", name)
    return 1


def _over_black(name: str, image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Blends an integer image with black where `alpha` says that it is transparent."""
    opaque = np.iinfo(alpha.dtype).max
    if (alpha == opaque).all():
        return image
    if not alpha.any():
        telling.info("%s: its alpha channel is zero everywhere and is ignored", name)
        return image
    telling.info("%s: its transparent pixels are blended with black", name)
    blended = np.empty_like(image)
    for rows in pixels.row_bands(image):
        weight = alpha[rows].astype(np.uint32)
        weight = weight[..., None] if image.ndim == 3 else weight
        blended[rows] = (image[rows] * weight + opaque // 2) // opaque
    return blended
