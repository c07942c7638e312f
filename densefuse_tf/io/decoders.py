"""The bytes of image files to pixels, whatever the bytes are.

Pillow decodes PNG, JPEG and BMP, imagecodecs the PNG files of 16 bits (of which Pillow
keeps 8), and tifffile TIFF. They are imported when a file is read, so that `--help`
does not wait for them.
"""

import contextlib
import logging as python_logging
import os
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
from absl import logging

from densefuse_tf.errors import UserError
from densefuse_tf.io.pixels import is_color
from densefuse_tf.io.pixels import row_bands

# Compressions of TIFF whose decoders are told how much to put out; the others hold
# files of another format, with a header of their own, and are no photographs' choice.
_TIFF_COMPRESSIONS = {1, 5, 7, 8, 32773, 32946, 50000}

# Every encoder writes fewer scans; thousands of them over a large image take minutes.
MAX_JPEG_SCANS = 100

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
for _name in ("tifffile", "imagecodecs"):
    python_logging.getLogger(_name).addFilter(hush)


def kind(name: str, file: BinaryIO) -> str:
    """The format of an open file, by its first bytes.

    Args:
      name: What the message calls the file.
      file: At its beginning, where it is left.

    Returns:
      PNG, JPEG, TIFF or BMP.

    Raises:
      UserError: It is none of these.
    """
    start = file.read(16)
    file.seek(0)
    if start[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if start[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if start[:2] == b"BM":
        return "BMP"
    what = f"starts with the bytes {start[:8].hex(' ')}" if start else "is empty"
    raise UserError(f"{name}: {what}: expected a PNG, TIFF, JPEG or BMP image")


def decode(
    name: str, kind: str, file: BinaryIO, allow: Callable[[int, int, int], None]
) -> np.ndarray:
    """Decodes the first image of an open file and turns it upright.

    Args:
      name: What messages and the log call the file.
      kind: Its format, as `kind` says.
      file: At its beginning.
      allow: Called with the width, the height and an estimate of the bytes that
        decoding takes (0 where it is not known yet) before any pixel is decoded. It
        ends the reading by raising an exception.

    Returns:
      As `images.read` describes it.

    Raises:
      UserError: The image is of a sort that is not read.
      Exception: Of any other type, for a damaged file: whatever its reader raises.
    """
    size = os.fstat(file.fileno()).st_size
    if kind == "TIFF":
        image, orientation = _read_tiff(name, file, size, allow)
    else:
        image, orientation = _read_pillow(name, kind, file, size, allow)
    return _upright(name, image, orientation)


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
    if kind == "PNG" and color_type == 0 and "transparency" in picture.info:
        # Pillow spreads the pixels over 0..255 (of 1 bit this value too), but leaves
        # the transparent value as it stands in the file.
        picture.info["transparency"] *= {2: 85, 4: 17}.get(bits, 1)
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
    if scans > MAX_JPEG_SCANS:
        raise UserError(
            f"{name}: is a JPEG of {scans} scans: expected at most {MAX_JPEG_SCANS}"
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
