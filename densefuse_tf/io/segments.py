"""Takes PNG, JPEG and WebP files apart: pixels never depend on what else is in them.

Of a file only what its pixels depend on is decoded. Of the rest the EXIF and XMP
packets are kept, which may tell how the image stands; nothing else is looked at, so
that a broken or large comment, profile or resolution is none of anybody's business.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

from densefuse_tf.errors import UserError

# How long a PNG's transparent value is by its colour type; a palette has any number.
_TRANSPARENT = {0: (2,), 2: (6,), 3: range(257)}
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_PNG_XMP = b"XML:com.adobe.xmp\0"
_PNG_EXIF = b"Raw profile type exif\0"
# No more of a packed text is looked at.
_MAX_TEXT = 2**24
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_WEBP_PIXELS = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF")


class Parts(NamedTuple):
    """What is in a file.

    Attributes:
      data: The file without all that its pixels do not depend on.
      bits: How many each sample has.
      exif: The EXIF data, or nothing.
      xmp: The XMP packet, or nothing.
      pages: How many frames there are.
    """

    data: bytes
    bits: int = 8
    exif: bytes = b""
    xmp: bytes = b""
    pages: int = 1


def png(name: str, file: BinaryIO, check: Callable[[int, int], None]) -> Parts:
    """Takes an open PNG apart; see `decoding.decode` for the arguments.

    Raises:
      UserError: Pixels depend on a chunk that is not of the standard.
      OSError: What pixels depend on is cut off, or a checksum of it is wrong.
    """
    kept = [_read(file, 8)]
    bits, color_type, pages = 0, -1, 1
    exif = xmp = kind = b""
    while kind != b"IEND":
        header = _read(file, 8)
        length, kind = struct.unpack(">I4s", header)
        body = file.read(length + 4)
        content, checksum = body[:-4], body[-4:]
        if len(body) < length + 4:
            # Pixels have ended where anything but them is cut off.
            if kind[:1].isupper():
                raise OSError("image file is truncated")
            kept.append(_PNG_END)
            break
        if kind == b"IHDR":
            width, height, bits, color_type = struct.unpack(">IIBB", content[:10])
            check(height, width)
        elif kind == b"acTL" and length == 8:
            pages = int.from_bytes(content[:4], "big")
        elif kind == b"eXIf":
            exif = content
        elif kind == b"iTXt" and content.startswith(_PNG_XMP):
            xmp = _xmp_of_png(content)
        elif kind in (b"tEXt", b"zTXt") and content.startswith(_PNG_EXIF):
            exif = exif or _exif_of_png(kind, content)
        if kind in (b"IHDR", b"IDAT", b"IEND") or (
            (kind == b"PLTE" and color_type == 3)
            or (kind == b"tRNS" and length in _TRANSPARENT.get(color_type, ()))
        ):
            if zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
                raise OSError(f"the checksum of a chunk {kind.decode()} is wrong")
            kept += [header, body]
        elif kind[:1].isupper() and kind != b"PLTE":
            raise UserError(
                f"{name}: is a PNG with a chunk {ascii(kind)[1:]}: expected those of "
                "the standard"
            )
    return Parts(b"".join(kept), bits, exif, xmp, pages)


def _xmp_of_png(content: bytes) -> bytes:
    """Returns the XMP packet of an iTXt chunk; nothing of a broken one."""
    is_packed, text = content[len(_PNG_XMP) :][:1], content.split(b"\0", 4)[-1]
    return _unpacked(text) if is_packed == b"\1" else text


def _exif_of_png(kind: bytes, content: bytes) -> bytes:
    """Returns the EXIF data of a text as ImageMagick writes it; nothing if broken."""
    text = content[len(_PNG_EXIF) :]
    # A line with the name and one with the length come first.
    digits = (_unpacked(text[1:]) if kind == b"zTXt" else text).split(b"\n", 3)[-1]
    try:
        return bytes.fromhex(digits.decode())
    except ValueError:
        return b""


def _unpacked(text: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(text, _MAX_TEXT)
    except zlib.error:
        return b""


def jpeg(name: str, file: BinaryIO, check: Callable[[int, int], None]) -> Parts:
    """Takes an open JPEG apart; see `decoding.decode` for the arguments.

    Raises:
      UserError: It is compressed in a way that is not read.
      OSError: It is cut off before its pixels.
    """
    kept = [_read(file, 2)]
    bits = 0
    exif = xmp = b""
    for code, header, body in _before_pixels(file):
        if code == 0xE1:
            if body.startswith(b"Exif\0"):
                exif = exif or body[6:]
            elif body.startswith(_JPEG_XMP):
                xmp = xmp or body[len(_JPEG_XMP) :]
        elif (code & 0xF0 == 0xC0 and code not in (0xC4, 0xC8, 0xCC)) or code == 0xF7:
            bits, height, width = struct.unpack(">BHH", body[:5])
            check(height, width)
            if code not in (0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA):
                sort = "LS" if code == 0xF7 else f"with the marker SOF{code - 0xC0}"
                raise UserError(
                    f"{name}: is a JPEG {sort}: expected a sequential, progressive or "
                    "lossless one"
                )
        # What tells the colours; other application data and comments do not matter.
        is_needed = (
            code & 0xF0 != 0xE0
            or (code == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 14)
            or (code == 0xEE and body.startswith(b"Adobe") and len(body) >= 12)
        )
        if is_needed and code != 0xFE:
            kept += [bytes([0xFF, code]), header, body]
    rest = file.read()
    # Other readers than Pillow make up what is missing.
    if bits > 8 and b"\xff\xd9" not in rest:
        raise OSError("image file is truncated")
    return Parts(b"".join([*kept, rest]), bits, exif, xmp)


def application_data(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yields number and content of the APP segments of an open JPEG, from APP0 on.

    Raises:
      OSError: The file is cut off before its pixels.
    """
    _read(file, 2)
    for code, _, body in _before_pixels(file):
        if code & 0xF0 == 0xE0:
            yield code & 0x0F, body


def webp(name: str, file: BinaryIO, check: Callable[[int, int], None]) -> Parts:
    """Takes an open WebP apart; see `decoding.decode` for the arguments."""
    del name, check
    kept: list[bytes] = []
    found: dict[bytes, bytes] = {}
    file.seek(12)
    while len(header := file.read(8)) == 8:
        kind, length = struct.unpack("<4sI", header)
        body = file.read(length + length % 2)
        if kind in _WEBP_PIXELS:
            kept += [header, body]
        found.setdefault(kind, body[:length])
    data = b"WEBP" + b"".join(kept)
    packets = found.get(b"EXIF", b""), found.get(b"XMP ", b"")
    return Parts(b"RIFF" + struct.pack("<I", len(data)) + data, 8, *packets)


def orientation(exif: bytes) -> object:
    """Returns the orientation of EXIF data: a number, None, or the tag's other type.

    Raises:
      KeyError: The data are broken.
      struct.error: The data are broken.
    """
    data = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}[data[:2]]
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack_from(f"{order}HHI", data, entry)
        if tag == 0x0112:
            if values != 1 or kind not in (3, 4):
                return f"{values} values of type {kind}"
            return struct.unpack_from(order + "HI"[kind - 3], data, entry + 8)[0]
    return None


def _before_pixels(file: BinaryIO) -> Iterator[tuple[int, bytes, bytes]]:
    """Yields marker, length and content of the segments of a JPEG, SOS the last."""
    code = 0
    while code != 0xDA:
        code = _marker(file)
        header = _read(file, 2)
        yield code, header, _read(file, max(0, int.from_bytes(header, "big") - 2))


def _marker(file: BinaryIO) -> int:
    """Returns the next marker of a JPEG that has a length."""
    code = 0
    while code in (0, 1, 0xFF) or 0xD0 <= code <= 0xD8:
        if code != 0xFF:
            while _read(file, 1) != b"\xff":
                pass
        code = _read(file, 1)[0]
    return code


def _read(file: BinaryIO, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise OSError("image file is truncated")
    return data
