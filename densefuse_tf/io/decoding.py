"""Decodes the bytes of an image file into pixels.

imageio decodes PNG, JPEG, BMP and WebP here, with its Pillow plugin; TIFF goes to
`tiff`, and PNG files of 16 bits, of which Pillow keeps 8, and grey ones with a
transparent value go to imagecodecs. `images` imports this module when it reads a file,
since it imports Pillow.
"""

import logging as python_logging
import re
import threading
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

import imageio.v3 as iio
import numpy as np
from absl import logging
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from densefuse_tf.errors import UserError
from densefuse_tf.io import formats
from densefuse_tf.io import pixels

if TYPE_CHECKING:
    from densefuse_tf.io import tiff

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
    read = _read
    if kind == "TIFF":
        # Imports tifffile, which other formats do without.
        from densefuse_tf.io import tiff

        read = tiff.read
    image, alpha, orientation, xmp, pages = read(name, file, check)
    if pages > 1:
        logging.info("%s: has %d pages; the first one is read", name, pages)
    if alpha is not None:
        image = _over_black(name, image, alpha)
    if (orientation := _orientation(name, orientation, xmp)) > 1:
        logging.info("%s: turned upright by its orientation tag", name)
        # TIFF 6.0, tag 274; the same in EXIF.
        if orientation >= 5:
            image = image.swapaxes(0, 1)
        if orientation in (3, 4, 7, 8):
            image = image[::-1]
        if orientation in (2, 3, 6, 7):
            image = image[:, ::-1]
    return np.require(image, requirements=["C", "W"])


def _read(name: str, file: BinaryIO, check: Callable) -> "tiff.Stored":
    """Reads the first frame of a PNG, JPEG, BMP or WebP; see `tiff.read`."""
    del name
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
        # imageio documents the dots for all frames, but does not declare them.
        pages = reader.properties(index=...).n_images or 1  # type: ignore[arg-type]
        if _is_png_beyond_pillow(file, has_alpha):
            import imagecodecs

            file.seek(0)
            image = imagecodecs.png_decode(file.read())
        else:
            wanted = "L" if mode in ("1", "L", "LA") else "RGB"
            wanted += "A" if has_alpha or mode in ("LA", "PA", "RGBA") else ""
            # Pillow would copy an image to convert it to the mode it has.
            convert: dict[str, Any] = {} if wanted == mode else {"mode": wanted}
            image = reader.read(index=0, writeable_output=False, **convert)
        # imageio knows some palettes whole only when the image is decoded.
        about = reader.metadata(index=0, exclude_applied=False)
    alpha = None
    if image.ndim == 3 and image.shape[2] in (2, 4):
        image, alpha = image[..., :-1], image[..., -1]
        image = image[..., 0] if image.shape[2] == 1 else image
    if mode in ("P", "PA"):
        image = pixels.without_equal_channels(image)
    return image, alpha, about.get("Orientation"), b"", pages


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


def _orientation(name: str, value: object, xmp: bytes) -> int:
    """Returns 1 to 8 from the value of an EXIF or TIFF tag, or else of an XMP packet."""
    if value is None:
        found = re.search(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([0-9]+)", xmp)
        value = int(found[1]) if found else 1
    if isinstance(value, int) and 1 <= value <= 8:
        return value
    logging.info("%s: its orientation tag is not 1 to 8 and is ignored", name)
    return 1


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
