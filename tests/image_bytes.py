"""Makes image files as bytes, by other libraries."""

import io
import struct
import zlib

import imagecodecs
import numpy as np
import tifffile
from PIL import Image


def ramp(*shape: int, dtype=np.uint8) -> np.ndarray:
    """Makes an image of different values that use all bits of the dtype."""
    top = 1.0 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    values = np.linspace(0, 1, int(np.prod(shape)))
    values = np.random.default_rng(0).permutation(values).reshape(shape)
    return (values * top).astype(dtype)


def smooth(height: int = 24, width: int = 32) -> np.ndarray:
    """Makes an RGB image that JPEG changes little."""
    y, x = np.mgrid[:height, :width]
    return np.stack([4 * x + 40, 6 * y + 30, 3 * (x + y)], -1).astype(np.uint8)


def encoded(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, format=kind, **options)
    return file.getvalue()


def tiff(image: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, image, **options)
    return file.getvalue()


def raw_tiff(image: np.ndarray, tags=(), without=(), strips=None, order="<") -> bytes:
    """Makes a TIFF by hand, uncompressed unless its strips are given as bytes.

    `tags` adds or replaces {code: (type, values)}, with bytes for types 1, 2 and 7; the
    tags `without` are left out. It has one page, whose pixels end the file.
    """
    height, width, *channels = image.shape
    samples = channels[0] if channels else 1
    strips = strips or [image.astype(image.dtype.newbyteorder(order)).tobytes()]
    entries = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [image.dtype.itemsize * 8] * samples),
        259: (3, [1]),
        262: (3, [1 if samples == 1 else 2]),
        273: (4, [0] * len(strips)),
        277: (3, [samples]),
        278: (4, [-(-height // len(strips))]),
        279: (4, [len(strip) for strip in strips]),
        339: (3, [3 if image.dtype.kind == "f" else 1] * samples),
        **dict(tags),
    }
    codes = sorted(set(entries) - set(without))
    formats = {1: "s", 2: "s", 3: "H", 4: "I", 5: "I", 7: "s", 11: "f"}

    def packed(kind, values) -> bytes:
        if isinstance(values, bytes):
            return values
        return struct.pack(f"{order}{len(values)}{formats[kind]}", *values)

    def written() -> bytes:
        """Writes all but the strips."""
        directory = struct.pack(f"{order}H", len(codes))
        long_values = b""
        start = 8 + 2 + 12 * len(codes) + 4
        for code in codes:
            kind, values = entries[code]
            data = packed(kind, values)
            count = len(values) // (2 if kind == 5 else 1)
            if len(data) > 4:
                place = struct.pack(f"{order}I", start + len(long_values))
                long_values += data + b"\0" * (len(data) % 2)
                data = place
            directory += struct.pack(f"{order}HHI", code, kind, count)
            directory += data.ljust(4, b"\0")
        header = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
        return header + directory + bytes(4) + long_values

    offset = len(written())
    for index, strip in enumerate(strips):
        entries[273][1][index] = offset
        offset += len(strip)
    return written() + b"".join(strips)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
    )


def with_chunks(data: bytes, *chunks: bytes, before: bytes = b"IDAT") -> bytes:
    """Puts chunks into a PNG before the first of a kind."""
    place = data.index(before) - 4
    return data[:place] + b"".join(chunks) + data[place:]


def with_segment(data: bytes, marker: int, content: bytes) -> bytes:
    """Puts a segment into a JPEG as its first."""
    return (
        data[:2]
        + struct.pack(">BBH", 255, marker, len(content) + 2)
        + content
        + data[2:]
    )


def exif(orientation: int = 6) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def xmp(orientation: int = 6) -> bytes:
    return b'<rdf:Description tiff:Orientation="%d"/>' % orientation


def with_png_header(data: bytes, width: int, height: int, bits: int = 8) -> bytes:
    """Replaces size and bits in a PNG's header, and makes its checksum right."""
    header = b"IHDR" + struct.pack(">IIB", width, height, bits) + data[25:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def gray_png(values: np.ndarray, bits: int, **options) -> bytes:
    """Makes a grey PNG of 1, 2, 4 or 8 bits; its rows must fill whole bytes."""
    height, width = values.shape
    digits = np.unpackbits(values.astype(np.uint8)[..., None], axis=2)[..., -bits:]
    packed = np.packbits(digits.reshape(height, -1), axis=1)
    return with_png_header(encoded(packed, "PNG", **options), width, height, bits)


def whole_files() -> dict[str, bytes]:
    """Makes a small file of every kind, by name."""
    photo = smooth()
    palette = Image.fromarray(photo).convert("P")
    return {
        "grey.png": encoded(photo[..., 0], "PNG"),
        "rgb.png": encoded(photo, "PNG"),
        "palette.png": encoded(palette, "PNG"),
        "bits16.png": imagecodecs.png_encode(photo.astype(np.uint16) * 257),
        "alpha.png": encoded(np.dstack([photo, photo[..., 0]]), "PNG"),
        "grey.jpg": encoded(photo[..., 0], "JPEG"),
        "rgb.jpg": encoded(photo, "JPEG"),
        "progressive.jpg": encoded(photo, "JPEG", progressive=True),
        "cmyk.jpg": encoded(Image.fromarray(photo).convert("CMYK"), "JPEG"),
        "rgb.webp": encoded(photo, "WEBP"),
        "rgb.bmp": encoded(photo, "BMP"),
        "palette.bmp": encoded(palette, "BMP"),
        "plain.tif": tiff(photo),
        "bits16.tif": tiff(photo.astype(np.uint16) * 257),
        "float.tif": tiff(photo[..., 0] / np.float32(3)),
        "lzw.tif": tiff(photo, compression="lzw", rowsperstrip=5),
        "deflate.tif": tiff(photo, compression="zlib", tile=(16, 16)),
        "zstd.tif": tiff(photo, compression="zstd"),
        "jpeg.tif": tiff(photo, compression="jpeg", photometric="rgb"),
        "palette.tif": encoded(palette, "TIFF"),
    }
