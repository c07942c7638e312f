"""Files to arrays and back: every read, pairing and write goes through here.

Image files come from anywhere, so a reader trusts no header: the size is checked
before pixels are decoded, and whatever is wrong with a file ends in one UserError that
names it.
"""

import contextlib
import glob
import os
import pathlib
import re
import stat
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.io import decoders
from densefuse_tf.io import files
from densefuse_tf.io import limits
from densefuse_tf.io import pixels

MAX_PIXELS = limits.MAX_PIXELS

# File formats by suffix, for writing and for picking the images out of a folder. What
# a file is when it is read, its first bytes say.
FORMATS = {
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".bmp": "BMP",
}

# What decoding one image may take, as estimated from its header, when the limit is
# MAX_PIXELS: 200 million pixels of 8-bit colour fit, and the process stays below 2 GB.
_MAX_BYTES = 1_600_000_000


def find(source: str | os.PathLike) -> list[pathlib.Path]:
    """The image files that `source` stands for, in natural sort order.

    Natural order compares runs of digits as numbers, so IR2 comes before IR10, and
    letters without regard to case.

    Args:
      source: A file, a folder or a glob pattern (`**` for any depth). Of a folder, and
        of a pattern's matches, the files with the suffix of a PNG, TIFF, JPEG or BMP
        image in any case are taken; hidden files (.name) and subfolders are not. A
        single file is taken whatever its name.

    Returns:
      One path or more.

    Raises:
      UserError: Nothing is there, or no image in it, or the folder cannot be read.
    """
    source = os.fspath(source)
    path = pathlib.Path(source)
    if not source:
        raise UserError(
            "the path of an image is empty: expected a file, a folder or a glob pattern"
        )
    try:
        if path.is_dir():
            found = list(path.iterdir())
            where = "the folder has"
        elif os.path.lexists(path):
            return [path]
        elif glob.has_magic(source):
            found = [pathlib.Path(name) for name in _glob(source)]
            where = "the pattern matches"
        else:
            raise UserError(f"{source}: no such file or folder")
        images = [
            entry
            for entry in found
            if entry.suffix.lower() in FORMATS
            and not entry.name.startswith(".")
            and not entry.is_dir()
        ]
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise _cannot_read(source, error) from error
    if not images:
        what = "nothing" if not found else "no image"
        raise UserError(
            f"{source}: {where} {what}: expected files named {', '.join(FORMATS)}"
        )
    return sorted(images, key=_natural)


def _glob(pattern: str) -> list[str]:
    """As glob.glob, but ** goes into a folder once: links to folders may make rings."""
    parts = pattern.split("/")
    if "**" not in parts:
        return glob.glob(pattern)
    deep = parts.index("**")
    head, tail = "/".join(parts[:deep]), "/".join(parts[deep + 1 :])
    bases = glob.glob(head) if head else ["/" if deep else "."]
    seen, found = set(), {}
    for base in sorted(bases):
        for folder, folders, _ in os.walk(base, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            inner = os.path.join(glob.escape(folder), tail or "*")
            found.update(dict.fromkeys(_glob(inner)))
    return list(found)


def pair(sources: Sequence[str | os.PathLike]) -> list[tuple[pathlib.Path, ...]]:
    """Matches the images of k sources, the first with the first, in natural order.

    Args:
      sources: k >= 2 files, folders or glob patterns, as for `find`.

    Returns:
      One tuple of k paths for each scene.

    Raises:
      UserError: Fewer than two sources, or they hold different numbers of images.
    """
    if len(sources) < 2:
        raise UserError(f"{len(sources)} source given: expected two or more to fuse")
    found = [find(source) for source in sources]
    if len({len(paths) for paths in found}) > 1:
        counts = ", ".join(
            f"{os.fspath(source)} has {len(paths)}"
            for source, paths in zip(sources, found, strict=True)
        )
        lonely = list(dict.fromkeys(path.name for path in _without_partner(found)))
        names = ", ".join(lonely[:3]) + (", ..." if len(lonely) > 3 else "")
        raise UserError(
            f"the sources have different numbers of images: {counts}; without partner: "
            f"{names}; expected one image of each source for every scene"
        )
    return list(zip(*found, strict=True))


def read(path: str | os.PathLike, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Reads a PNG, TIFF, JPEG or BMP image.

    What the file is, its content says, not its suffix. Then:

    - Grey stays grey, 1-bit becomes 0 and 255, a palette of greys becomes grey, other
      palettes and CMYK become RGB. Colour profiles and gamma are not applied.
    - Transparent pixels are blended with black, so that what cannot be seen adds
      nothing to the fused image. An alpha channel of zeros only is ignored.
    - An orientation tag (EXIF or TIFF) is applied: the image stands as every viewer
      shows it, so a pair that looks registered is registered, and the fused image,
      which carries no tag, stands upright. For a pair registered pixel by pixel by a
      program that ignores the tag, remove the tag first.
    - Of several pages or frames, the first is read.

    The last three are logged where they happen.

    Args:
      path: The file.
      max_pixels: The largest height times width, checked before pixels are decoded.

    Returns:
      [height, width] or [height, width, 3], of dtype uint8 or uint16 as in the file,
      or float32 for TIFF of floats or of signed or 32-bit integers. All finite.

    Raises:
      UserError: The file is missing, no such image, cut off or damaged, has NaN or
        infinite values, or is smaller than 2x2 or larger than allowed.
    """
    name = os.fspath(path)
    kind = None
    try:
        with decoders.hush(), _open(name) as file:
            kind = decoders.kind(name, file)

            def allow(width: int, height: int, estimate: int) -> None:
                _check_header(name, width, height, estimate, max_pixels)

            image = decoders.decode(name, kind, file, allow)
    except UserError:
        raise
    except MemoryError as error:
        raise UserError(f"{name}: there is not enough memory to read it") from error
    except Exception as error:
        # A damaged file raises anything, from KeyError to SyntaxError, in its reader.
        if kind is None or (isinstance(error, OSError) and error.errno):
            raise _cannot_read(name, error) from error
        detail = " ".join(str(error).split())[:150] or type(error).__name__
        raise UserError(
            f"{name}: cut off or damaged: expected a whole {kind} file ({detail})"
        ) from error
    pixels.check(image, name)
    return image


class _Measured(Exception):
    """Ends a reader at the header, with the number of pixels."""


def pixel_count(path: str | os.PathLike) -> int:
    """Height times width of an image, from its header: no pixel is decoded.

    Args:
      path: A file that `read` takes.

    Returns:
      The number of pixels; 0 for what is no image, of which `read` says why.
    """
    name = os.fspath(path)

    def stop(width: int, height: int, estimate: int) -> None:
        raise _Measured(width * height)

    try:
        with decoders.hush(), _open(name) as file:
            decoders.decode(name, decoders.kind(name, file), file, stop)
    except _Measured as measured:
        return measured.args[0]
    except Exception:
        # Whatever a damaged file raises; see `read`.
        pass
    return 0


def write(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes an 8-bit image in the format of the suffix, whole or not at all.

    See `writing`.
    """
    with writing(path, image):
        pass


@contextlib.contextmanager
def writing(path: str | os.PathLike, image: np.ndarray) -> Iterator[None]:
    """Writes an 8-bit image, which takes its name when the body has ended.

    If the body raises, there is no new file, and an old one stays as it was.

    Args:
      path: Ends in .png, .tif, .tiff, .jpg, .jpeg or .bmp. JPEG is written at quality
        95 without chroma subsampling; the others lose nothing.
      image: uint8, [height, width] or [height, width, 3].

    Raises:
      UserError: Another suffix, shape or dtype; more than the format can hold; or the
        file cannot be written.
    """
    from PIL import Image

    path = pathlib.Path(path)
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise UserError(
            f"{path}: cannot write an image named {path.suffix or 'without suffix'}: "
            f"expected {', '.join(FORMATS)}"
        )
    if image.dtype != np.uint8:
        raise UserError(f"{path}: cannot write {image.dtype} values: expected uint8")
    pixels.require_shape(image, os.fspath(path))
    options = {
        # A third of the time that the default level 6 takes, for files as small.
        "PNG": {"compress_level": 4},
        "JPEG": {"quality": 95, "subsampling": 0},
        "TIFF": {"compression": "tiff_adobe_deflate"},
    }
    with files.replacing(path) as temporary:
        try:
            picture = Image.fromarray(np.ascontiguousarray(image))
            with open(temporary, "wb") as file:
                picture.save(file, format=kind, **options.get(kind, {}))
        except ValueError as error:
            raise UserError(f"{path}: cannot be written as {kind}: {error}") from error
        yield


def write_raw(path: str | os.PathLike, array: np.ndarray) -> None:
    """Writes an array as .npy (NumPy's format, float32), whole or not at all.

    Raises:
      UserError: The file cannot be written.
    """
    with files.replacing(path) as temporary, open(temporary, "wb") as file:
        np.save(file, np.asarray(array, np.float32), allow_pickle=False)


def _natural(path: pathlib.Path) -> tuple:
    # The suffix apart, so that x.png comes before x1.png.
    # re.split puts text at even and digits at odd places, so only like meets like. A
    # number is compared by its length and digits: int() refuses very long ones.
    parts = re.split(r"([0-9]+)", str(path.with_suffix("")))
    key = []
    for place, part in enumerate(parts):
        digits = part.lstrip("0") if place % 2 else ""
        key.append((len(digits), digits) if place % 2 else part.casefold())
    return key, str(path)


def _without_partner(found: list[list[pathlib.Path]]) -> list[pathlib.Path]:
    """The images that other sources lack: by name, by number, else by position."""

    def stem(path: pathlib.Path) -> object:
        return path.stem.casefold()

    def numbers(path: pathlib.Path) -> object:
        return tuple(digits.lstrip("0") for digits in re.findall("[0-9]+", path.stem))

    for key in (stem, numbers):
        keys = [[key(path) for path in paths] for paths in found]
        common = set.intersection(*map(set, keys))
        if common and all(len(set(own)) == len(own) for own in keys):
            return [
                path
                for own, paths in zip(keys, found, strict=True)
                for own_key, path in zip(own, paths, strict=True)
                if own_key not in common
            ]
    shortest = min(map(len, found))
    return [path for paths in found for path in paths[shortest:]]


def _cannot_read(name: str | os.PathLike, error: Exception) -> UserError:
    reason = getattr(error, "strerror", None) or error
    return UserError(f"{os.fspath(name)}: cannot be read: {reason}")


def _open(name: str) -> BinaryIO:
    status = os.stat(name) if os.path.exists(name) else os.lstat(name)
    if stat.S_ISLNK(status.st_mode):
        raise UserError(
            f"{name}: is a link to {os.readlink(name)}, which is missing: expected an "
            "image file"
        )
    # Opening a named pipe would wait for its other end.
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise UserError(f"{name}: is {what}: expected an image file")
    return open(name, "rb")


def _check_header(
    name: str, width: int, height: int, estimate: int, max_pixels: int
) -> None:
    """Refuses by what the header promises, before anything of that size exists."""
    pixels.require_size(height, width, name)
    if width * height > max_pixels:
        raise UserError(
            f"{name}: its header promises {height}x{width} = {height * width} pixels: "
            f"expected at most {max_pixels} (max_pixels)"
        )
    # Who raises the limit on pixels raises this one too.
    allowed = _MAX_BYTES * max(MAX_PIXELS, max_pixels) // MAX_PIXELS
    if estimate > allowed:
        raise UserError(
            f"{name}: {height}x{width} pixels of its kind take about "
            f"{estimate / 1e6:.0f} MB to decode: expected at most {allowed / 1e6:.0f}"
        )
