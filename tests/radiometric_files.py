"""Makes radiometric JPEGs with the structure that ExifTool documents.

https://exiftool.org/TagNames/FLIR.html: APP1 segments "FLIR\\0", 1, number and last
number hold the parts of an FFF file: a header of 64 bytes, a directory of 32 bytes for
each record, and the records: 1 the sensor's counts, 14 the photograph, 32 the camera's
constants, 42 how the photograph lies.
"""

import io
import pathlib
import struct

import numpy as np
from PIL import Image

# The constants of Planck's law as the cameras store it are near those of an E40.
R1, R2, B, F, OFFSET = 14906.0, 0.01, 1396.6, 1.0, -7261
_KELVIN = 273.15
_MOST = 65000
# Cameras leave entries of their directories free.
_ENTRIES = 16


def counts(celsius: np.ndarray) -> np.ndarray:
    """Returns the counts of a sensor, uint16, of a black body with no air before it."""
    exact = R1 / (R2 * (np.exp(B / (np.asarray(celsius) + _KELVIN)) - F)) - OFFSET
    return np.rint(exact).astype(np.uint16)


def radiometric(
    shown: np.ndarray,
    celsius: np.ndarray | None = None,
    photograph: np.ndarray | None = None,
    placing: tuple[float, int, int] | None = None,
    as_png: bool = False,
    low_bytes_first: bool = False,
) -> bytes:
    """Returns a JPEG of `shown`, with what else is given inside.

    Args:
      shown: What viewers show, uint8.
      celsius: Temperatures, [h, w].
      photograph: uint8, [H, W, 3].
      placing: real_to_ir and the shift (x, y).
      as_png: Whether the counts are a PNG, with their bytes the wrong way round, and
        the photograph is one of Y, Cb and Cr.
      low_bytes_first: Whether the directory is as drones' cameras write it: numbers of
        the other order, and no entry free.
    """
    records = []
    if celsius is not None:
        raw = counts(celsius)
        stored = _encoded(raw.byteswap(), "PNG") if as_png else raw.tobytes()
        records += [(1, _image_header(raw) + stored), (32, camera_info())]
    if photograph is not None:
        stored = _encoded(photograph, "JPEG", quality=95)
        if as_png:
            planes = photograph
            if photograph.ndim == 3:
                planes = np.asarray(Image.fromarray(photograph).convert("YCbCr"))
            stored = _encoded(planes, "PNG")
        records.append((14, _image_header(photograph) + stored))
    if placing is not None:
        x1, x2, y1, y2 = 0, 79, 0, 59
        records.append((42, struct.pack("<f6h", *placing, x1, x2, y1, y2)))
    return _with_segments(
        _encoded(shown, "JPEG", quality=95), _fff(records, low_bytes_first)
    )


def write(path: pathlib.Path, *args, **options) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(radiometric(*args, **options))
    return path


def dji(shown: np.ndarray) -> bytes:
    """Returns a JPEG with thermal data where DJI's cameras store theirs."""
    exif = Image.Exif()
    exif[0x010F] = "DJI"
    data = _encoded(shown, "JPEG", exif=exif)
    body = b"RK" * 100
    end = 4 + int.from_bytes(data[4:6], "big")
    segment = b"\xff\xe3" + struct.pack(">H", len(body) + 2) + body
    return data[:end] + segment + data[end:]


def _encoded(image: np.ndarray, kind: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def _image_header(image: np.ndarray) -> bytes:
    height, width = image.shape[:2]
    return struct.pack("<3H", 2, width, height).ljust(32, b"\0")


def camera_info() -> bytes:
    info = bytearray(900)
    room = 20 + _KELVIN
    for place, *values in (
        # Emissivity, distance, reflected, atmosphere, window and its transmission.
        (32, 1.0, 0.0, room, room, room, 1.0),
        (60, 0.5),
        (88, R1, B, F),
        # Transmission of the atmosphere: alpha 1 and 2, beta 1 and 2, X.
        (112, 0.006569, 0.01262, -0.002276, -0.00667, 1.9),
        (780, R2),
    ):
        struct.pack_into(f"<{len(values)}f", info, place, *values)
    struct.pack_into("<i", info, 776, OFFSET)
    return bytes(info)


def _fff(records: list[tuple[int, bytes]], low_bytes_first: bool) -> bytes:
    order, entries = ("<", len(records)) if low_bytes_first else (">", _ENTRIES)
    directory, content = b"", b""
    start = 64 + 32 * entries
    for number, body in records:
        place = start + len(content)
        entry = struct.pack(f"{order}HHIIII", number, 1, 100, 1, place, len(body))
        directory += entry.ljust(32, b"\0")
        content += body
    header = b"FFF\0" + b"densefuse tests".ljust(16, b"\0")
    header += struct.pack(f"{order}IIII", 100, 64, entries, len(records) + 1)
    header, directory = header.ljust(64, b"\0"), directory.ljust(32 * entries, b"\0")
    return header + directory + content


def _with_segments(jpeg: bytes, content: bytes) -> bytes:
    """Puts content into as many APP1 segments as it needs, behind APP0."""
    parts = [content[at : at + _MOST] for at in range(0, len(content), _MOST)]
    segments = b"".join(
        b"\xff\xe1"
        + struct.pack(">H", len(part) + 10)
        + struct.pack(">5s3B", b"FLIR", 1, number, len(parts) - 1)
        + part
        for number, part in enumerate(parts)
    )
    end = 4 + int.from_bytes(jpeg[4:6], "big")
    return jpeg[:end] + segments + jpeg[end:]
