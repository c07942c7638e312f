"""Reads radiometric JPEGs: temperatures, and the photograph of the visible camera.

What viewers show of such a file is a picture in false colours. FLIR's cameras store the
sensor's counts, from which temperatures are computed, and often a photograph beside it
in APP1 segments; flyr reads them, the package of the extra flir.
"""

import io
import math
import os
import re
import struct
from typing import BinaryIO, NamedTuple

import numpy as np

from densefuse_tf import extras
from densefuse_tf.errors import UserError
from densefuse_tf.io import formats
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.io import segments
from densefuse_tf.io import temperatures

_EXTRA = "flir"
# Length and magic of the first segment of FLIR's data, number and last number, and the
# start of the FFF file that the segments hold.
_FIRST_SEGMENT = re.compile(rb"\xff\xe1(..)FLIR\0\x01\0.(?=[AF]FF\0)", re.DOTALL)
_FLIR = b"FLIR\0"
_ENTRY = 32
# Numbers of records, and what stands before the image of the photograph's.
_PHOTOGRAPH, _CAMERA = 14, 32
_HEADER = 32
# The maker's name as EXIF data have it.
_DJI = b"DJI\0"
_HELP = "the camera's maker has software that writes TIFF files, which are read"
# Warns of a radiometric JPEG where the package that reads it is missing.
LACKS_READER = (
    "%s: has temperatures inside, and what a viewer shows is taken: "
    "pip install '.[flir]' in a checkout adds what reads them"
)


class Placing(NamedTuple):
    """Says where the camera takes the thermal image to lie in its photograph.

    Attributes:
      real_to_ir: The field of view of the photograph over that of the thermal image.
      x, y: How far the thermal image's centre lies from the photograph's, in pixels of
        the one or the other.
    """

    real_to_ir: float
    x: float
    y: float


class Capture(NamedTuple):
    """Holds what a radiometric JPEG does.

    Attributes:
      celsius: Temperatures, [h, w] float32; a masked array where pixels have none.
      photograph: What the visible camera saw, uint8 [H, W, 3] or [H, W]; None if there
        is none.
      placing: The camera's own figures, nearly right; None without any.
    """

    celsius: np.ndarray
    photograph: np.ndarray | None
    placing: Placing | None


class Infrared(NamedTuple):
    """Holds an infrared image and what it is.

    Attributes:
      image: Temperatures as in `Capture`, or what a viewer shows.
      are_celsius: Whether it holds temperatures.
      warning: Why the temperatures of a radiometric file are not read, and that what a
        viewer shows is taken; "" where there are none or they are read.
      lacks_reader: Whether that is because the extra is missing.
    """

    image: np.ndarray
    are_celsius: bool = False
    warning: str = ""
    lacks_reader: bool = False


def maker(path: str | os.PathLike) -> str:
    """Returns whose thermal data a file holds: "FLIR" or "DJI", "" for none."""
    is_dji = has_data = False
    try:
        # Opening a named pipe would wait for its other end.
        if not os.path.isfile(path):
            return ""
        with open(path, "rb") as file:
            start = file.read(len(formats.JPEG_START))
            file.seek(0)
            parts = segments.application_data(file)
            for number, body in parts if start == formats.JPEG_START else ():
                if number == 1 and body.startswith(_FLIR):
                    return "FLIR"
                is_dji |= number == 1 and body.startswith(b"Exif\0") and _DJI in body
                has_data |= number == 3
    except (OSError, ValueError):
        # What is wrong with it says whoever reads its picture.
        pass
    return "DJI" if is_dji and has_data else ""


def read(path: str | os.PathLike, *, max_pixels: int = formats.MAX_PIXELS) -> Capture:
    """Reads the temperatures of a file, its photograph and the camera's figures.

    Args:
      path: A JPEG of a FLIR camera.
      max_pixels: The largest height times width of either image.

    Raises:
      UserError: It is none, is damaged or stores its data in another way; the extra
        flir is not installed.
    """
    name = os.fspath(path)
    found = maker(path)
    if found != "FLIR":
        what = f"has thermal data of {found} that are not read: {_HELP}"
        if not found:
            what = "has no temperatures: expected a radiometric JPEG of a FLIR camera"
        raise UserError(f"{name}: {what}")
    extras.require(_EXTRA, f"{name}: reading the temperatures")
    import flyr

    try:
        with open(path, "rb") as file:
            data = _high_bytes_first(_flir_first(name, file))
        content = flyr.unpack(io.BytesIO(data))
        # Counts that no temperature gives become NaN.
        with np.errstate(all="ignore"):
            celsius = content.celsius.astype(np.float32)
        photograph, figures = content.optical, content.pip_info
        stream = flyr.records.extract_flir_app1(io.BytesIO(data))
        records = flyr.records.parse_flir_records(stream)
        fff = memoryview(stream.getvalue())
        if fff[records[_CAMERA][2] :][:2] == b"\0\2":
            raise ValueError("numbers with the high bytes first")
        if photograph is not None and photograph.ndim == 3:
            photograph = _in_colors(
                photograph, fff[records[_PHOTOGRAPH][2] + _HEADER :]
            )
    except Exception as error:
        # Damaged files, and those of other makers, raise anything.
        detail = " ".join(f"{type(error).__name__}: {error}".split())[:100]
        raise UserError(
            f"{name}: has thermal data in FLIR's format of a sort that is not read, or "
            f"damaged ({detail}): {_HELP}"
        ) from error
    for image in (celsius, photograph):
        if image is not None and image.shape[0] * image.shape[1] > max_pixels:
            height, width = image.shape[:2]
            raise UserError(
                f"{name}: has an image of {height}x{width} pixels inside: expected at "
                f"most {max_pixels} pixels (max_pixels)"
            )
    pixels.check(celsius, name, any_values=True)
    gaps = temperatures.without_value(celsius)
    if gaps is not None:
        celsius = np.ma.masked_array(celsius, gaps)
    if photograph is not None:
        pixels.check(photograph, f"the photograph in {name}")
    placing = None
    if figures is not None and math.isfinite(figures.real_to_ir):
        if figures.real_to_ir > 0:
            placing = Placing(figures.real_to_ir, figures.offset_x, figures.offset_y)
    return Capture(celsius, photograph, placing)


def read_infrared(
    path: str | os.PathLike, *, max_pixels: int = formats.MAX_PIXELS
) -> Infrared:
    """Reads an infrared image: of a radiometric JPEG the temperatures, if they can be.

    Args:
      path: An image file.
      max_pixels: The largest height times width.

    Returns:
      The temperatures, or what `images.read` returns with `masked`.
    """
    warning, found = "", maker(path)
    lacks_reader = found == "FLIR" and bool(extras.missing(_EXTRA))
    if lacks_reader:
        warning = LACKS_READER % os.fspath(path)
    elif found:
        try:
            return Infrared(read(path, max_pixels=max_pixels).celsius, True)
        except UserError as error:
            warning = f"{error}; what a viewer shows of it is taken"
    image = images.read(path, max_pixels=max_pixels, masked=True)
    return Infrared(image, False, warning, lacks_reader)


def read_pair(
    path: str | os.PathLike, *, max_pixels: int = formats.MAX_PIXELS
) -> tuple[np.ndarray, np.ndarray, Placing | None]:
    """Reads a file that has to hold both images; see `read`.

    Returns:
      Temperatures, the photograph, and the camera's figures.

    Raises:
      UserError: It has no photograph, or `read` raises it.
    """
    celsius, photograph, placing = read(path, max_pixels=max_pixels)
    if photograph is None:
        height, width = celsius.shape
        raise UserError(
            f"{os.fspath(path)}: has temperatures of {height}x{width} pixels and no "
            "photograph: expected the visible image in a file of its own"
        )
    return celsius, photograph, placing


def _in_colors(photograph: np.ndarray, stored: memoryview) -> np.ndarray:
    """Returns a photograph as grey or RGB.

    Args:
      photograph: As flyr decodes it, [H, W, 2 to 4].
      stored: What begins with its file.
    """
    if photograph.shape[2] < 3:
        return photograph[..., 0]
    photograph = photograph[..., :3]
    # Cameras that store a PNG put Y, Cb and Cr in the place of red, green and blue:
    # https://exiftool.org/TagNames/FLIR.html, "FLIR EmbeddedImage".
    if stored[: len(formats.PNG_START)] == formats.PNG_START:
        return pixels.to_uint8(pixels.from_ycbcr(photograph))
    return photograph


def _flir_first(name: str, file: BinaryIO) -> bytes:
    """Returns a JPEG with FLIR's segments in order before what its pixels need.

    flyr ends at the last segment, wherever it is, and looks into EXIF data.
    """
    bodies: dict[int, bytes] = {}
    for number, body in segments.application_data(file):
        if number == 1 and body.startswith(_FLIR):
            bodies.setdefault(body[len(_FLIR) + 1], body)
    first = b"".join(
        b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
        for _, body in sorted(bodies.items())
    )
    file.seek(0)
    shown = segments.jpeg(name, file, lambda height, width: None)
    return b"\xff\xd8" + first + shown.data[2:]


def _high_bytes_first(data: bytes) -> bytes:
    """Returns a radiometric JPEG with its FFF directory in the order that flyr reads.

    FLIR's cores in drones and small cameras (Tau, Vue, DJI's XT2) write the low bytes
    first. flyr also takes the FFF header for entries of the directory and counts them.

    Raises:
      ValueError: The directory is larger than its segment: flyr would go through all
        entries that a damaged file claims to have.
    """
    found = _FIRST_SEGMENT.search(data)
    if found is None:
        return data
    start, end = found.end(), found.start() + 2 + int.from_bytes(found[1], "big")
    (version,) = struct.unpack_from(">I", data, start + 20)
    # Versions are 100 and a little more.
    order = ">" if version < 1 << 16 else "<"
    header = struct.unpack_from(f"{order}4I", data, start + 20)
    place, count = header[1:3]
    if start + place + _ENTRY * count > end:
        raise ValueError(f"a directory of {count} entries at {place}")
    result = bytearray(data)
    header = (header[0], place, count + place // _ENTRY, header[3])
    struct.pack_into(">4I", result, start + 20, *header)
    for at in range(start + place, start + place + _ENTRY * count, _ENTRY):
        struct.pack_into(
            ">2H7I", result, at, *struct.unpack_from(f"{order}2H7I", data, at)
        )
    return bytes(result)
