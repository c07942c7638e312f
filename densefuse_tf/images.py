"""Files to arrays and back: every read, pairing and write goes through here.

Image files come from anywhere, so a reader trusts no header: the size is checked
before pixels are decoded, and whatever is wrong with a file ends in one UserError that
names it. Pillow decodes PNG, JPEG and BMP, imagecodecs the PNG files of 16 bits (of
which Pillow keeps 8), and tifffile reads TIFF. They are imported when a file is read,
so that `--help` does not wait for them.
"""

import contextlib
import glob
import logging as python_logging
import os
import pathlib
import re
import stat
import struct
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, Literal

import numpy as np
from absl import logging

from densefuse_tf import files
from densefuse_tf.errors import UserError

MAX_PIXELS = 200_000_000

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
_KINDS = "PNG, TIFF, JPEG or BMP"

# What decoding one image may take, as estimated from its header, when the limit is
# MAX_PIXELS: 200 million pixels of 8-bit colour fit, and the process stays below 2 GB.
_MAX_BYTES = 1_600_000_000

# The reflection padding of the network needs two pixels in each direction.
_MIN_SIDE = 2

# Compressions of TIFF whose decoders are told how much to put out; the others hold
# files of another format, with a header of their own, and are no photographs' choice.
_TIFF_COMPRESSIONS = {1, 5, 7, 8, 32773, 32946, 50000}

# Every encoder writes fewer scans; thousands of them over a large image take minutes.
_MAX_JPEG_SCANS = 100

# Rows are converted in bands of about this many pixels, to hold one band twice and
# not the image.
_BAND_PIXELS = 4_000_000

warnings.filterwarnings("ignore", module=r"(PIL|tifffile|imagecodecs)\.")


class _Hush(python_logging.Filter):
    """Drops what the readers log of damaged files while this package reads one.

    The one line of the UserError says it. A program that uses tifffile for itself, in
    another thread or at another time, keeps its log.
    """

    def __init__(self):
        super().__init__()
        self._reading = threading.local()

    def filter(self, record: python_logging.LogRecord) -> bool:
        return not getattr(self._reading, "now", False)

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        self._reading.now = True
        try:
            yield
        finally:
            self._reading.now = False


hush = _Hush()
for _name in ("tifffile", "imagecodecs", "imageio_ffmpeg"):
    python_logging.getLogger(_name).addFilter(hush)


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
            where = "the folder"
        elif os.path.lexists(path):
            return [path]
        elif glob.has_magic(source):
            found = [pathlib.Path(name) for name in _glob(source)]
            where = "the pattern"
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
        raise UserError(
            f"{source}: {where} has no image among its {len(found)} entries: expected "
            f"files named {', '.join(FORMATS)}"
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
        lonely = [path.name for path in _without_partner(found)]
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
        with hush(), _open(name) as file:
            size = os.fstat(file.fileno()).st_size
            kind = _kind(name, file.read(16))
            file.seek(0)

            def allow(width: int, height: int, estimate: int) -> None:
                _check_header(name, width, height, estimate, max_pixels)

            if kind == "TIFF":
                image, orientation = _read_tiff(name, file, size, allow)
            else:
                image, orientation = _read_pillow(name, kind, file, size, allow)
        image = _upright(name, image, orientation)
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
    check(image, name)
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
        with hush(), _open(name) as file:
            size = os.fstat(file.fileno()).st_size
            kind = _kind(name, file.read(16))
            file.seek(0)
            if kind == "TIFF":
                _read_tiff(name, file, size, stop)
            else:
                _read_pillow(name, kind, file, size, stop)
    except _Measured as measured:
        return measured.args[0]
    except Exception:
        # Whatever a damaged file raises; see `read`.
        pass
    return 0


def check(image: np.ndarray, name: str) -> None:
    """Checks that an array is an image that can be fused.

    Args:
      image: [height, width] or [height, width, 3]; uint8, uint16 or a float type.
      name: What the message calls it.

    Raises:
      UserError: Another type, shape or dtype; smaller than 2x2; values that are NaN,
        infinite or beyond the range of float32.
    """
    if not isinstance(image, np.ndarray):
        raise UserError(
            f"{name}: is a {type(image).__name__}: expected a NumPy array [height, "
            "width] or [height, width, 3]"
        )
    _check_shape(image, name)
    if image.dtype not in (np.uint8, np.uint16) and image.dtype.kind != "f":
        raise UserError(
            f"{name}: has values of type {image.dtype}: expected uint8, uint16 or "
            "float32"
        )
    height, width = image.shape[:2]
    if min(height, width) < _MIN_SIDE:
        raise UserError(_too_small(name, width, height))
    if image.dtype.kind == "f":
        # The extremes are NaN if any value is, and need no second array of the size.
        low, high = float(image.min()), float(image.max())
        limit = float(np.finfo(np.float32).max)
        if not (-limit <= low and high <= limit):
            raise UserError(
                f"{name}: has values that are NaN, infinite or beyond float32: "
                "expected finite ones only"
            )


def _check_shape(image: np.ndarray, name: str) -> None:
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise UserError(
            f"{name}: is an array of shape {list(image.shape)}: expected [height, "
            "width] or [height, width, 3]"
        )


def to_pixel_range(
    image: np.ndarray,
    value_range: Literal["auto"] | tuple[float, float] | None = None,
) -> tuple[np.ndarray, tuple[float, float]]:
    """Brings pixel values to the 0..255 that the network takes.

    Args:
      image: An image as `read` returns it.
      value_range: The values that become 0 and 255; what lies outside is clipped.
        "auto" takes the image's own minimum and maximum, over all channels together;
        an image of one value becomes 0. None leaves uint8 as it is and means "auto"
        for every other dtype.

    Returns:
      float32 of the same shape in 0..255, and the values that became 0 and 255.

    Raises:
      UserError: `value_range` is neither; its first value must be the smaller one.
    """
    if value_range is None and image.dtype == np.uint8:
        return image.astype(np.float32), (0.0, 255.0)
    if value_range is None or value_range == "auto":
        low, high = float(image.min()), float(image.max())
        if low == high:
            return np.zeros(image.shape, np.float32), (low, high)
    else:
        try:
            low, high = (float(value) for value in value_range)
        except (TypeError, ValueError):
            low = high = np.nan
        if not (np.isfinite([low, high]).all() and low < high):
            raise UserError(
                f"value range {value_range!r}: expected auto, or two numbers of which "
                "the first is the smaller one"
            )
    scaled = np.empty(image.shape, np.float32)
    for rows in row_bands(image):
        # In double precision, for temperatures: 300.01 K and 300.02 K differ by few
        # ulp.
        band = (image[rows].astype(np.float64) - low) * (255.0 / (high - low))
        scaled[rows] = np.clip(band, 0.0, 255.0)
    return scaled, (low, high)


def gray(image: np.ndarray) -> np.ndarray:
    """The luma of ITU-R BT.601-2, L = 0.299 R + 0.587 G + 0.114 B.

    Args:
      image: [height, width], returned as it is, or [height, width, 3].

    Returns:
      [height, width]. Integers keep their dtype and equal Pillow's `convert("L")`,
      whose weights are multiples of 1/65536; floats become float32.
    """
    if image.ndim == 2:
        return image
    is_float = image.dtype.kind == "f"
    luma = np.empty(image.shape[:2], np.float32 if is_float else image.dtype)
    for rows in row_bands(image):
        if is_float:
            luma[rows] = image[rows].astype(np.float32) @ _YCBCR[0]
            continue
        red, green, blue = (image[rows, :, c].astype(np.uint32) for c in range(3))
        # The sum for 65535 and the half added to round still fit in 32 bits.
        luma[rows] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    return luma


def row_bands(image: np.ndarray) -> Iterator[slice]:
    """The rows of an image, some millions of pixels at a time.

    What is converted band by band needs room for a wider copy of a band, and not of
    the image.

    Args:
      image: [height, width] or [height, width, 3].

    Yields:
      Slices of rows, from top to bottom.
    """
    height, width = image.shape[:2]
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        yield slice(top, min(height, top + rows))


def rgb(image: np.ndarray) -> np.ndarray:
    """[height, width, 3]: the image as it is, or three times its one channel."""
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image


def is_color(image: np.ndarray) -> bool:
    """Whether an image is [height, width, 3] with channels that differ somewhere."""
    return image.ndim == 3 and bool((image != image[..., :1]).any())


# Rows: Y, Cb, Cr; columns: R, G, B; BT.601 with full range, as in JFIF.
_YCBCR = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.299 / 1.772, -0.587 / 1.772, 0.5],
        [0.5, -0.587 / 1.402, -0.114 / 1.402],
    ]
)
_RGB = np.linalg.inv(_YCBCR)
_CHROMA_ZERO = np.array([0.0, 128.0, 128.0])


def to_ycbcr(rgb: np.ndarray) -> np.ndarray:
    """RGB to Y, Cb, Cr: BT.601 with full range, as in JFIF.

    Args:
      rgb: [height, width, 3] in 0..255.

    Returns:
      float32 [height, width, 3]; Y in 0..255, Cb and Cr with 128 for no colour.
    """
    return (rgb @ _YCBCR.T + _CHROMA_ZERO).astype(np.float32)


def from_ycbcr(ycbcr: np.ndarray) -> np.ndarray:
    """Y, Cb, Cr to RGB, the inverse of `to_ycbcr`.

    Args:
      ycbcr: [height, width, 3] as `to_ycbcr` returns it.

    Returns:
      float32 [height, width, 3], not clipped: a luma that was changed can make values
      outside of 0..255.
    """
    return ((ycbcr - _CHROMA_ZERO) @ _RGB.T).astype(np.float32)


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
    _check_shape(image, os.fspath(path))
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


def _too_small(name: str, width: int, height: int) -> str:
    return (
        f"{name}: is {height}x{width} pixels (height x width): expected at least "
        f"{_MIN_SIDE}x{_MIN_SIDE}"
    )


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


def _kind(name: str, start: bytes) -> str:
    """The format of a file that starts with these 16 bytes."""
    if start[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if start[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if start[:2] == b"BM":
        return "BMP"
    what = f"starts with the bytes {start[:8].hex(' ')}" if start else "is empty"
    raise UserError(f"{name}: {what}: expected a {_KINDS} image")


def _check_header(
    name: str, width: int, height: int, estimate: int, max_pixels: int
) -> None:
    """Refuses by what the header promises, before anything of that size exists."""
    if min(width, height) < _MIN_SIDE:
        raise UserError(_too_small(name, width, height))
    if width * height > max_pixels:
        raise UserError(
            f"{name}: its header promises {height}x{width} = {height * width} pixels: "
            f"expected at most {max_pixels}"
        )
    # Who raises the limit on pixels raises this one too.
    allowed = _MAX_BYTES * max(MAX_PIXELS, max_pixels) // MAX_PIXELS
    if estimate > allowed:
        raise UserError(
            f"{name}: {height}x{width} pixels of its kind take about "
            f"{estimate / 1e6:.0f} MB to decode: expected at most {allowed / 1e6:.0f}"
        )


def _read_pillow(
    name: str,
    kind: str,
    file: BinaryIO,
    file_size: int,
    allow: Callable[[int, int, int], None],
) -> tuple[np.ndarray, int]:
    """Pixels and orientation of a PNG, JPEG or BMP."""
    # The class of the format, and not Image.open: no other format's reader comes into
    # play, and Pillow's own limit on pixels, a global setting, stays untouched.
    if kind == "PNG":
        from PIL.PngImagePlugin import PngImageFile as ImageFile
    elif kind == "JPEG":
        from PIL.JpegImagePlugin import JpegImageFile as ImageFile
    else:
        from PIL.BmpImagePlugin import BmpImageFile as ImageFile

    picture = ImageFile(file)
    width, height = picture.size
    if kind == "PNG":
        file.seek(24)
        bits, color_type = file.read(2)
        if bits == 16:
            channels = 1 if color_type in (0, 4) else 3
            if color_type in (4, 6) or "transparency" in picture.info:
                # All channels as decoded, and the colours apart from the alpha.
                channels = 2 * channels + 1
            allow(width, height, 2 * channels * width * height + file_size)
            _verify_png(file)
            file.seek(0)
            image = _decode_png_16(name, file.read())
            return image, _orientation(picture)
    allow(width, height, _pillow_bytes(picture, kind))
    if kind == "PNG":
        _verify_png(file)
    elif kind == "JPEG" and picture.info.get("progressive"):
        _check_scans(name, file)
    file.seek(0)
    frames = getattr(picture, "n_frames", 1)
    if frames > 1:
        logging.info("%s: has %d frames; the first one is read", name, frames)
    picture.load()
    image = _from_pillow(name, picture)
    orientation = _orientation(picture)
    return image, orientation


def _pillow_bytes(picture, kind: str) -> int:
    """What decoding takes at most: Pillow's storage and the array made of it."""
    width, height = picture.size
    channel = 2 if picture.mode in ("1", "L") else 7
    if kind == "JPEG" and picture.info.get("progressive"):
        # All the coefficients, in two bytes each, until the last scan.
        channel += 2 * len(picture.getbands())
    estimate = channel * width * height
    if any(tile[0] == "bmp_rle" for tile in picture.tile):
        # Some versions of Pillow take one escape code for 255 rows, however few
        # there are.
        estimate += 2 * (255 * width + width * height)
    return estimate


def _verify_png(file: BinaryIO) -> None:
    """Raises if a PNG is cut off, or a chunk's checksum is wrong."""
    from PIL.PngImagePlugin import PngImageFile

    file.seek(0)
    PngImageFile(file).verify()
    # It stops at the last chunk's name, before its checksum.
    if file.read(4) != b"\xaeB`\x82":
        raise OSError("image file is truncated")


def _check_scans(name: str, file: BinaryIO) -> None:
    """Refuses a progressive JPEG made to keep the decoder busy."""
    file.seek(0)
    scans = 0
    while block := file.read(1 << 24):
        scans += block.count(b"\xff\xda")
    if scans > _MAX_JPEG_SCANS:
        raise UserError(
            f"{name}: is a JPEG of {scans} scans: expected at most {_MAX_JPEG_SCANS}"
        )


def _from_pillow(name: str, picture) -> np.ndarray:
    """The uint8 array of a loaded 8-bit picture, band by band."""
    width, height = picture.size
    is_gray = picture.mode in ("1", "L", "LA")
    has_alpha = picture.has_transparency_data
    mode = "RGBA" if has_alpha else "L" if is_gray else "RGB"
    image = np.empty((height, width) if is_gray else (height, width, 3), np.uint8)
    alpha = np.empty((height, width), np.uint8) if has_alpha else None
    for rows in row_bands(image):
        area = (0, rows.start, width, rows.stop)
        band = np.asarray(picture.crop(area).convert(mode))
        if has_alpha:
            alpha[rows] = band[..., 3]
            band = band[..., 0] if is_gray else band[..., :3]
        image[rows] = band
    if has_alpha:
        image = _over_black(name, image, alpha)
    if picture.mode in ("P", "PA") and not is_color(image):
        return np.ascontiguousarray(image[..., 0])
    return image


def _decode_png_16(name: str, data: bytes) -> np.ndarray:
    """The uint16 array of a PNG with 16 bits a channel."""
    import imagecodecs

    image = imagecodecs.png_decode(data)
    if image.ndim == 2 or image.shape[2] == 3:
        return image
    color, alpha = image[..., :-1], image[..., -1]
    color = np.ascontiguousarray(color[..., 0] if color.shape[2] == 1 else color)
    return _over_black(name, color, alpha)


def _over_black(name: str, image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Blends an integer image with black where `alpha` says that it is transparent."""
    opaque = np.iinfo(alpha.dtype).max
    if (alpha == opaque).all():
        return image
    if not alpha.any():
        logging.info("%s: its alpha channel is zero everywhere and is ignored", name)
        return image
    logging.info("%s: its transparent pixels are blended with black", name)
    for rows in row_bands(image):
        band = image[rows].astype(np.uint32)
        weight = alpha[rows].astype(np.uint32)
        weight = weight[..., None] if image.ndim == 3 else weight
        image[rows] = (band * weight + opaque // 2) // opaque
    return image


def _orientation(picture) -> int:
    # Damaged metadata is no reason to refuse an image that is otherwise whole.
    try:
        return int(picture.getexif().get(0x0112, 1))
    except Exception:
        return 1


def _upright(name: str, image: np.ndarray, orientation: int) -> np.ndarray:
    """Turns an image as its tag says (TIFF 6.0, tag 274; the same in EXIF)."""
    if orientation not in range(2, 9):
        return image
    logging.info("%s: turned upright by its orientation tag (%d)", name, orientation)
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _read_tiff(
    name: str,
    file: BinaryIO,
    file_size: int,
    allow: Callable[[int, int, int], None],
) -> tuple[np.ndarray, int]:
    """Pixels and orientation of the first page of a TIFF."""
    import tifffile

    # The flags keep tifffile from reading what microscopes' programs add, and from
    # opening other files that they name.
    tiff = tifffile.TiffFile(
        file,
        _multifile=False,
        is_lsm=False,
        is_ndpi=False,
        is_ome=False,
        is_scanimage=False,
    )
    page = tiff.pages.first
    _check_tiff(name, page, file_size, allow)
    if page.compression == 7:
        _check_tiff_jpeg(name, page, file)
    if len(tiff.pages) > 1:
        logging.info("%s: has %d pages; the first one is read", name, len(tiff.pages))
    image = _tiff_pixels(name, page, page.asarray(maxworkers=1))
    tag = page.tags.get(274)
    return image, tag.value if tag is not None and isinstance(tag.value, int) else 1


def _check_tiff(
    name: str, page, file_size: int, allow: Callable[[int, int, int], None]
) -> None:
    """Refuses a page by its tags."""
    width, height = page.imagewidth, page.imagelength
    allow(width, height, 0)
    if page.dtype is None or page.dtype.kind not in "buif":
        raise UserError(
            f"{name}: is a TIFF of {page.bitspersample}-bit samples of format "
            f"{_tag_name(page.sampleformat)}: expected integers or floats"
        )
    itemsize = page.dtype.itemsize
    channels = page.samplesperpixel
    # The array read, what is made of it, and unless the samples lie in the file as
    # they are, the file and a strip or tile, which may be larger than the image.
    plain = (
        page.dtype in (np.uint8, np.uint16, np.float32)
        and _tag_name(page.photometric) in ("MINISBLACK", "RGB")
        and channels in (1, 3)
        and page.axes != "SYX"
    )
    estimate = width * height * channels * (itemsize if plain else 2 * itemsize + 5)
    if not page.is_contiguous:
        segment = int(np.prod([int(side) for side in page.chunks], dtype=object))
        estimate += 2 * segment * itemsize + file_size
    allow(width, height, estimate)
    if page.axes not in ("YX", "YXS", "SYX"):
        raise UserError(
            f"{name}: is a TIFF with the axes {page.axes}: expected an image of height "
            "and width, grey or RGB"
        )
    if int(page.compression) not in _TIFF_COMPRESSIONS:
        raise UserError(
            f"{name}: is a TIFF compressed by {_tag_name(page.compression)}: expected "
            "none, LZW, Deflate, PackBits, Zstandard or JPEG"
        )
    offsets, counts = page.dataoffsets, page.databytecounts
    expected = int(np.prod([int(count) for count in page.chunked], dtype=object))
    whole = (
        len(offsets) == len(counts)
        and (len(offsets) == expected or page.is_contiguous)
        and all(
            count > 0 and 0 < offset and offset + count <= file_size
            for offset, count in zip(offsets, counts, strict=False)
        )
    )
    if not whole:
        raise UserError(
            f"{name}: cut off or damaged: expected {expected} strips or tiles of "
            f"pixels in the TIFF file of {file_size} bytes"
        )


def _check_tiff_jpeg(name: str, page, file: BinaryIO) -> None:
    """Refuses strips or tiles whose own header has them larger than the TIFF's."""
    if page.is_tiled:
        largest = page.tilelength, page.tilewidth
    else:
        largest = min(page.rowsperstrip, page.imagelength), page.imagewidth
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
        file.seek(offset)
        height, width = _jpeg_size(file.read(count))
        if height > largest[0] or width > largest[1]:
            raise UserError(
                f"{name}: is a TIFF with a JPEG of {height}x{width} pixels in it: "
                f"expected at most {largest[0]}x{largest[1]}"
            )


def _jpeg_size(data: bytes) -> tuple[int, int]:
    """Height and width of a JPEG by its first frame header, as decoders find it."""
    place = 2
    while True:
        # Anything up to the next 0xFF is passed over; several of them count as one.
        place = data.index(b"\xff", place)
        while data[place] == 0xFF:
            place += 1
        marker = data[place]
        place += 1
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return struct.unpack_from(">HH", data, place + 3)
        # Markers without a segment.
        if marker not in (0x00, 0x01, *range(0xD0, 0xD9)):
            place += int.from_bytes(data[place : place + 2], "big")


def _tiff_pixels(name: str, page, image: np.ndarray) -> np.ndarray:
    """What the samples mean, by the page's photometric interpretation."""
    if page.axes == "SYX":
        image = np.moveaxis(image, 0, -1)
    photometric = _tag_name(page.photometric)
    extras = tuple(page.extrasamples)
    # tifffile puts out JPEG's YCbCr as RGB.
    if photometric == "YCBCR" and page.compression == 7:
        photometric = "RGB"
    channels = {
        "MINISWHITE": 1,
        "MINISBLACK": 1,
        "PALETTE": 1,
        "RGB": 3,
        "SEPARATED": 4,
    }.get(photometric)
    found = image.shape[2] if image.ndim == 3 else 1
    if channels is None or found not in (channels, channels + 1):
        raise UserError(
            f"{name}: is a TIFF of {found} channels, {photometric}: expected grey, "
            "palette, RGB or CMYK, each with or without alpha"
        )
    alpha = None
    if found > channels:
        # 2 is alpha by which the colours are not multiplied yet; where they are (1),
        # the pixels are blended with black already; 0 is something unknown.
        alpha = image[..., -1] if extras[:1] == (2,) else None
        image = image[..., :channels]
    if channels == 1 and image.ndim == 3:
        image = image[..., 0]
    image = _sample_range(name, page, photometric, np.ascontiguousarray(image))
    if alpha is not None and alpha.dtype == image.dtype and alpha.dtype.kind == "u":
        image = _over_black(name, image, alpha)
    return image


def _sample_range(name: str, page, photometric: str, image: np.ndarray) -> np.ndarray:
    """Samples as stored to uint8, uint16 or float32 intensities."""
    bits = page.bitspersample
    if photometric == "PALETTE":
        return _apply_palette(name, page.colormap, image)
    if image.dtype == bool:
        image = image.astype(np.uint8)
    if image.dtype not in (np.uint8, np.uint16):
        with np.errstate(over="ignore"):
            image = image.astype(np.float32, copy=False)
        if photometric == "MINISWHITE":
            return -image
    elif photometric == "MINISWHITE":
        image = (2**bits - 1) - image
    if bits < 8:
        # No copy of a wider type: 255 is a multiple of 2^bits - 1 for 1, 2 and 4 bits.
        image = image * np.uint8(255 // (2**bits - 1))
    if photometric == "SEPARATED":
        if image.dtype != np.uint8:
            raise UserError(f"{name}: is CMYK of {bits} bits: expected 8")
        black = 255 - image[..., 3:].astype(np.uint16)
        image = ((255 - image[..., :3]) * black + 127) // 255
        return image.astype(np.uint8)
    return image


def _apply_palette(name: str, palette: np.ndarray, image: np.ndarray) -> np.ndarray:
    if palette is None or image.dtype not in (np.uint8, np.uint16):
        raise UserError(f"{name}: is a TIFF whose palette is missing")
    palette = np.asarray(palette, np.uint16).T
    if image.max() >= len(palette):
        raise UserError(
            f"{name}: has pixels of value {image.max()}: expected less than "
            f"{len(palette)}, the size of its palette"
        )
    # 16 bits as the format demands, 8 as nearly all programs mean.
    image = (palette >> 8).astype(np.uint8)[image]
    return image if is_color(image) else np.ascontiguousarray(image[..., 0])


def _tag_name(value: object) -> str:
    """MINISBLACK of tifffile's PHOTOMETRIC.MINISBLACK, 99 of 99."""
    return getattr(value, "name", str(value))
