"""Reads and writes image files: every image of the library goes through here.

A reader trusts no header: the size is checked before pixels are decoded, and whatever
is wrong with a file ends in one UserError that names it.
"""

import contextlib
import os
import pathlib
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Union

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.io import formats
from densefuse_tf.io import pixels
from densefuse_tf.io import temperatures

if TYPE_CHECKING:
    from PIL import Image


# What an image may be given as: an array, a file, or an image of Pillow.
Source = Union[np.ndarray, str, os.PathLike[str], "Image.Image"]


def load(source: Source, name: str) -> np.ndarray:
    """Returns the array of an image that is given as one, as a file or by Pillow.

    An image of Pillow is treated as a file that holds it; see `read`. What NumPy makes
    an array of by itself, as a tensor, is one; anything else is returned as it is.

    Args:
      source: The image.
      name: What messages call it.
    """
    if isinstance(source, str | os.PathLike):
        return read(source)
    # It is there if there is an image of it.
    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and isinstance(source, pillow.Image):
        from densefuse_tf.io import decoding

        return decoding.of_pillow(source, name)
    if isinstance(source, np.ndarray) or not hasattr(source, "__array__"):
        return typing.cast(np.ndarray, source)
    try:
        return np.asarray(source)
    except Exception as error:
        # A tensor of another device, or one that takes part in a gradient.
        reason = " ".join(str(error).split())
        raise UserError(
            f"{name}: is a {type(source).__name__} that is no array: {reason}"
        ) from error


def read(
    path: str | os.PathLike,
    *,
    max_pixels: int = formats.MAX_PIXELS,
    masked: bool = False,
) -> np.ndarray:
    """Reads a PNG, TIFF, JPEG, BMP, WebP, PGM or PPM image.

    The content of a file says what it is, whatever its suffix; docs/files.md lists what
    cameras write. Then:

    - Grey stays grey, 1-bit becomes 0 and 255, a palette of greys becomes grey, other
      palettes and CMYK become RGB. Colour profiles and gamma are not applied.
    - Transparent pixels are blended with black, so that what cannot be seen adds
      nothing to the fused image. An alpha channel of zeros only is ignored.
    - An orientation tag (EXIF or TIFF, or else XMP) is applied: the image stands as
      every viewer shows it, so a pair that looks registered is registered, and the
      fused image, which carries no tag, stands upright. For a pair registered pixel by
      pixel by a program that ignores the tag, remove the tag first. All else that a
      file says of itself is ignored, damaged or not.
    - The first of several pages or frames is read; if the first page of a TIFF is a
      reduced copy, the largest page is.

    The last three are logged where they happen.

    Args:
      path: The file.
      max_pixels: The largest height times width, checked before pixels are decoded.
      masked: Whether an image of more than 8 bits may have pixels without a value: NaN,
        infinite, fully transparent, or named by a GDAL_NODATA tag or a mask of a TIFF
        file. A masked array is returned where there are any.

    Returns:
      [height, width] or [height, width, 3], of dtype uint8 or uint16 as in the file,
      or float32 for TIFF of floats or of signed or 32-bit integers. All finite.

    Raises:
      UserError: The file is missing, is no such image, is cut off or damaged, has NaN
        or infinite values, or is smaller than 2x2 or larger than allowed.
    """
    name = os.fspath(path)

    def check(height: int, width: int) -> None:
        pixels.require_size(height, width, name)
        if width * height > max_pixels:
            raise UserError(
                f"{name}: its header promises {height}x{width} = {height * width} "
                f"pixels: expected at most {max_pixels} (max_pixels)"
            )

    try:
        image = _decode(name, check)
    except MemoryError as error:
        raise UserError(f"{name}: there is not enough memory to read it") from error
    if not masked or image.dtype == np.uint8:
        image = np.ma.getdata(image)
    pixels.check(image, name, any_values=masked)
    foreign = temperatures.without_value(image) if masked else None
    if foreign is None:
        return image
    mask = foreign if image.ndim == 2 else pixels.rgb(foreign)
    return np.ma.masked_array(np.ma.getdata(image), mask)


class _Measured(Exception):
    """Ends the reading at the header, with height and width."""


def stored_size(path: str | os.PathLike) -> tuple[int, int] | None:
    """Returns height and width of an image from its header: no pixel is decoded.

    Args:
      path: A file that `read` takes.

    Returns:
      (height, width) as they are stored: an orientation tag may swap them when the
      image is read. None for what is no image; `read` says why it is none.
    """

    def stop(height: int, width: int) -> None:
        raise _Measured(height, width)

    try:
        _decode(os.fspath(path), stop)
    except _Measured as measured:
        height, width = measured.args
        return height, width
    except UserError:
        pass
    return None


def require_same_size(paths: Sequence[str | os.PathLike]) -> None:
    """Refuses source images of a pair whose headers say that their sizes differ.

    What headers leave open shows when the images are read: damage, and sides that an
    orientation tag swaps.
    """
    sizes = []
    for path in paths:
        size = stored_size(path)
        if size is None:
            return
        sizes.append(size)
    if len({tuple(sorted(size)) for size in sizes}) > 1:
        pixels.require_same_size(sizes, paths)


def pixel_count(path: str | os.PathLike) -> int:
    """Returns the number of pixels by the header; 0 for what is no image."""
    height, width = stored_size(path) or (0, 0)
    return height * width


def _decode(name: str, check: Callable[[int, int], None]) -> np.ndarray:
    """Decodes a file; whatever is wrong with it becomes one UserError."""
    # Late, since it imports Pillow.
    from densefuse_tf.io import decoding

    with files.open_to_read(name, "an image file") as file:
        kind = decoding.kind(name, file)
        try:
            return decoding.decode(name, kind, file, check)
        except (UserError, MemoryError, _Measured):
            raise
        except Exception as error:
            # A damaged file raises anything, from KeyError to SyntaxError, in its
            # reader. imageio says little of what its plugin raised.
            cause = error.__cause__ or error
            detail = " ".join(str(cause).split())[:150] or type(cause).__name__
            what = f"cut off or damaged: expected a whole {kind} file"
            if "upported" in detail:
                what = f"is a sort of {kind} that is not read: expected another"
            raise UserError(f"{name}: {what} ({detail})") from error


def write(
    path: str | os.PathLike, image: np.ndarray, *, overwrite: bool = True
) -> None:
    """Writes an image in the format of the suffix, whole or not at all.

    See `writing`.
    """
    with writing(path, image, overwrite=overwrite):
        pass


@contextlib.contextmanager
def writing(
    path: str | os.PathLike, image: np.ndarray, *, overwrite: bool = True
) -> Iterator[None]:
    """Writes an image, which takes its name when the body has ended.

    If the body raises, there is no new file, and an old one stays as it was.

    Args:
      path: Ends in .png, .tif, .tiff, .jpg, .jpeg or .bmp. JPEG is written at quality
        95 without chroma subsampling; the others lose nothing.
      image: [height, width] or [height, width, 3]; uint8, or in TIFF uint16 or float32
        as well, where the mask of a masked array marks pixels without a value.
    """
    path = pathlib.Path(path)
    kind = formats.written(path)
    is_deep = kind.is_deep and image.dtype in (np.uint16, np.float32)
    if image.dtype != np.uint8 and not is_deep:
        raise UserError(f"{path}: cannot write {image.dtype} values: expected uint8")
    pixels.require_shape(image, os.fspath(path))
    with files.replacing(path, overwrite=overwrite) as temporary:
        try:
            if is_deep:
                from densefuse_tf.io import tiff

                tiff.write(temporary, image)
            else:
                from PIL import Image

                Image.fromarray(np.ascontiguousarray(image)).save(
                    temporary, kind.name, **(kind.options or {})
                )
        except ValueError as error:
            raise UserError(
                f"{path}: cannot be written as {kind.name}: {error}"
            ) from error
        yield


def write_raw(
    path: str | os.PathLike, array: np.ndarray, *, overwrite: bool = True
) -> None:
    """Writes an array as .npy (NumPy's format, float32), whole or not at all."""
    with (
        files.replacing(path, overwrite=overwrite) as temporary,
        open(temporary, "wb") as file,
    ):
        np.save(file, np.asarray(array, np.float32), allow_pickle=False)
