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
