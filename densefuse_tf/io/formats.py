"""The one table of formats: what is read, what is written, and by which names.

Importing it needs no other package.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from densefuse_tf.errors import UserError

# The largest image that is read by default, in pixels.
MAX_PIXELS = 200_000_000
JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"


@dataclasses.dataclass(frozen=True)
class Format:
    """Describes a format of images.

    Attributes:
      name: What messages call it, and Pillow, too.
      starts: One of these is at `offset` in its files, whatever their names.
      offset: Counts the bytes before it.
      suffixes: What the names of its files end in, in lower case.
      is_read: Whether it is read; an error names the others.
      options: What its writer is given; None where it is not written.
      is_deep: Whether it is written with 16 bits and with floats, too.
      has_photographs: Whether training takes its files from a folder.
    """

    name: str
    starts: tuple[bytes, ...]
    offset: int = 0
    suffixes: tuple[str, ...] = ()
    is_read: bool = False
    options: Mapping[str, Any] | None = None
    is_deep: bool = False
    has_photographs: bool = False


FORMATS = (
    Format(
        "PNG",
        (PNG_START,),
        suffixes=(".png",),
        is_read=True,
        # A third of the time that the default level 6 takes, for files as small.
        options={"compress_level": 4},
        has_photographs=True,
    ),
    Format(
        "TIFF",
        (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        suffixes=(".tif", ".tiff"),
        is_read=True,
        options={"compression": "tiff_adobe_deflate"},
        is_deep=True,
    ),
    Format(
        "JPEG",
        (JPEG_START,),
        suffixes=(".jpg", ".jpeg"),
        is_read=True,
        options={"quality": 95, "subsampling": 0},
        has_photographs=True,
    ),
    Format(
        "BMP",
        (b"BM",),
        suffixes=(".bmp",),
        is_read=True,
        options={},
        has_photographs=True,
    ),
    Format("WebP", (b"WEBP",), 8, (".webp",), is_read=True),
    Format("PGM", (b"P2", b"P5"), 0, (".pgm", ".pnm"), is_read=True),
    Format("PPM", (b"P3", b"P6"), 0, (".ppm",), is_read=True),
    Format("PBM", (b"P1\n", b"P1 ", b"P4\n", b"P4 ")),
    Format("PAM", (b"P7\n",)),
    Format("PFM", (b"Pf\n", b"PF\n")),
    Format("GIF", (b"GIF8",), 0, (".gif",)),
    Format("HEIC", (b"ftyphei", b"ftyphev", b"ftypmif1", b"ftypmsf1"), 4),
    Format("AVIF", (b"ftypavi",), 4),
    Format("JPEG 2000", (b"jP  ",), 4),
    Format("JPEG 2000", (b"\xff\x4f\xff\x51",)),
    Format("JPEG XL", (b"JXL ",), 4),
    Format("JPEG XL", (b"\xff\n",)),
    Format("OpenEXR", (b"v/1\x01",)),
    Format("NumPy", (b"\x93NUMPY",)),
    Format("FITS", (b"SIMPLE  =",)),
    Format("PDF", (b"%PDF",)),
    Format("FLIR FFF", (b"FFF\0", b"AFF\0")),
)
# By suffix: all that names of images end in, what is picked out of a folder, what is
# written, and what is trained on.
NAMED = {suffix: each for each in FORMATS for suffix in each.suffixes}
READ = tuple(suffix for suffix, each in NAMED.items() if each.is_read)
WRITTEN = {s: each for s, each in NAMED.items() if each.options is not None}
PHOTOGRAPHS = tuple(s for s, each in NAMED.items() if each.has_photographs)

# Files are taken for videos by their suffixes; H.264 is written into these containers.
WRITTEN_VIDEOS = (".mp4", ".m4v", ".mov", ".mkv")
VIDEOS = (
    *(*WRITTEN_VIDEOS, ".avi", ".webm", ".wmv", ".mpg", ".mpeg"),
    *(".ts", ".mts", ".m2ts", ".flv", ".ogv", ".3gp"),
)


def written(path: str | os.PathLike) -> Format:
    """Returns the format that a name asks for, or refuses one that is not written."""
    path = pathlib.Path(path)
    found = WRITTEN.get(path.suffix.lower())
    if found is None:
        raise UserError(
            f"{path}: cannot write an image named {path.suffix or 'without suffix'}: "
            f"expected {', '.join(WRITTEN)}"
        )
    return found


def is_video(path: str | os.PathLike) -> bool:
    """Returns whether a path is named as a video file, and is no folder."""
    return pathlib.Path(path).suffix.lower() in VIDEOS and not os.path.isdir(path)
