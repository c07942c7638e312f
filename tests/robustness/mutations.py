"""Damaged images, videos and checkpoints, made from whole ones by a random generator.

Some damage is what disks and networks do: flipped bits, missing and foreign bytes. The
rest is what people do who know the format: checksums are right again, and one number
says what it should not.
"""

import bz2
import functools
import io
import json
import lzma
import os
import pathlib
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence

import image_bytes
import imagecodecs
import numpy as np
import tifffile
import videos
from PIL import Image

Random = np.random.Generator

_NUMBERS = (0, 1, 2, 3, 7, 8, 9, 16, 17, 255, 256, 4096, 32768, 60000, 65535)
_NUMBERS += (2**20, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".PNG", ".gif", "")
# In names: letters, what shells and patterns mean something by, bytes that are no text.
_LETTERS = [*"aIRvis0123456789 ._-[]*?!{}()'\"\\\n\t;&$#é火", "\udcff", "\u202e"]


def photographs() -> list[np.ndarray]:
    """Parts of the examples: grey and in colour."""
    folder = pathlib.Path(__file__).resolve().parents[2] / "examples/pairs"
    grey = np.asarray(Image.open(folder / "ir/camera.png").convert("L"))
    color = np.asarray(Image.open(folder / "vis/coffee.png").convert("RGB"))
    return [grey[100:148, 100:140], color[100:148, 100:140]]


def image_files() -> dict[str, bytes]:
    """Whole files of every kind, named by it."""
    grey, color = photographs()
    deep = color.astype(np.uint16) * 257
    alpha = np.dstack([color, grey])
    palette = Image.fromarray(color).quantize(16)
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = {"save_all": True, "append_images": [Image.fromarray(255 - grey)]}
    return {
        "grey.png": image_bytes.encoded(grey, "PNG"),
        "rgb.png": image_bytes.encoded(color, "PNG"),
        "alpha.png": image_bytes.encoded(alpha, "PNG", exif=exif),
        "bit.png": image_bytes.encoded(Image.fromarray(grey).convert("1"), "PNG"),
        "palette.png": image_bytes.encoded(palette, "PNG", transparency=3),
        "deep.png": imagecodecs.png_encode(deep),
        "animated.png": image_bytes.encoded(grey, "PNG", **frames),
        "grey.jpg": image_bytes.encoded(grey, "JPEG"),
        "rgb.jpg": image_bytes.encoded(color, "JPEG", exif=exif),
        "progressive.jpg": image_bytes.encoded(color, "JPEG", progressive=True),
        "cmyk.jpg": image_bytes.encoded(Image.fromarray(color).convert("CMYK"), "JPEG"),
        "rgb.bmp": image_bytes.encoded(color, "BMP"),
        "palette.bmp": image_bytes.encoded(palette, "BMP"),
        "bit.bmp": image_bytes.encoded(Image.fromarray(grey).convert("1"), "BMP"),
        "plain.tif": image_bytes.tiff(color),
        "deep.tif": image_bytes.tiff(deep, byteorder=">"),
        "big.tif": image_bytes.tiff(grey, bigtiff=True),
        "float.tif": image_bytes.tiff(
            grey / np.float32(3), compression="zlib", predictor=True
        ),
        "lzw.tif": image_bytes.tiff(color, compression="lzw", rowsperstrip=5),
        "tiles.tif": image_bytes.tiff(color, compression="zlib", tile=(16, 16)),
        "planes.tif": image_bytes.tiff(
            np.moveaxis(color, -1, 0), photometric="rgb", planarconfig="separate"
        ),
        "zstd.tif": image_bytes.tiff(grey, compression="zstd"),
        "packbits.tif": image_bytes.tiff(grey, compression="packbits"),
        "jpeg.tif": image_bytes.tiff(color, compression="jpeg", photometric="rgb"),
        "pages.tif": image_bytes.tiff(np.stack([grey, 255 - grey])),
        "palette.tif": image_bytes.encoded(palette, "TIFF"),
        "cmyk.tif": image_bytes.encoded(Image.fromarray(color).convert("CMYK"), "TIFF"),
    }


# What happens to any file.


def damaged(random: Random, data: bytes) -> bytes:
    """Damage that asks for no knowledge of the format."""
    changed = bytearray(data)
    for _ in range(random.integers(1, 4)):
        if not changed:
            break
        # Headers are where the numbers are.
        reach = len(changed) if random.random() < 0.5 else min(len(changed), 300)
        place = int(random.integers(reach))
        length = int(random.integers(1, 64))
        match random.integers(8):
            case 0 | 1:
                for _ in range(random.integers(1, 12)):
                    bit = 1 << int(random.integers(8))
                    changed[int(random.integers(reach))] ^= bit
            case 2:
                value = _pick(random, [b"\0", b"\xff", b"\x80", b"A"])
                changed[place : place + length] = value * length
            case 3:
                other = int(random.integers(len(changed)))
                changed[place : place + length] = changed[other : other + length]
            case 4:
                del changed[int(random.integers(len(changed))) :]
            case 5:
                changed += random.bytes(length) * int(random.integers(1, 50))
            case 6:
                if random.random() < 0.5:
                    del changed[place : place + length]
                else:
                    changed[place:place] = random.bytes(length)
            case 7:
                form = _pick(random, ["<H", ">H", "<I", ">I"])
                size = struct.calcsize(form)
                if place + size <= len(changed):
                    struct.pack_into(form, changed, place, _number(random, size))
    return bytes(changed)


def _pick(random: Random, choices: Sequence):
    # NumPy's own choice would make NumPy's strings of them, without zeros at the end.
    return choices[int(random.integers(len(choices)))]


def _number(random: Random, size: int) -> int:
    return _pick(random, _NUMBERS) % 256**size


# What happens to images.


def damaged_image(random: Random, files: Mapping[str, bytes]) -> tuple[str, bytes]:
    """A damaged file, and what it may be named."""
    name = _pick(random, sorted(files))
    data = files[name]
    kind = pathlib.Path(name).suffix
    if random.random() < 0.5:
        data = {
            ".png": _damaged_chunks,
            ".jpg": _damaged_segments,
            ".tif": _damaged_tags,
            ".bmp": _damaged_fields,
        }[kind](random, data)
    if random.random() < 0.6:
        data = damaged(random, data)
    if random.random() < 0.05:
        data += files[_pick(random, sorted(files))]
    suffix = kind if random.random() < 0.8 else _pick(random, _SUFFIXES)
    return f"image{suffix}", data


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(image_bytes.chunk(*each) for each in chunks)


def ihdr(width: int, height: int, bits: int = 8, color: int = 0) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, place = [], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        name = data[place + 4 : place + 8]
        chunks.append((name, data[place + 8 : place + 8 + length]))
        place += 12 + length
    return chunks


def _damaged_chunks(random: Random, data: bytes) -> bytes:
    """A PNG whose checksums are right."""
    chunks = _chunks(data)
    index = int(random.integers(len(chunks)))
    name, content = chunks[index]
    match random.integers(6):
        case 0:
            fields = list(struct.unpack(">IIBBBBB", chunks[0][1]))
            field = int(random.integers(7))
            fields[field] = _number(random, 4 if field < 2 else 1)
            chunks[0] = (b"IHDR", struct.pack(">IIBBBBB", *fields))
        case 1:
            chunks[index] = (name, damaged(random, content))
        case 2:
            chunks.insert(int(random.integers(len(chunks))), chunks[index])
        case 3:
            del chunks[index]
        case 4:
            names = [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"tRNS", b"PLTE"]
            names += [b"acTL", b"fcTL", b"fdAT", b"gAMA", b"IDAT", b"IEND", b"sBIT"]
            content = random.bytes(int(random.integers(1, 40)))
            if random.random() < 0.5:
                content = b"name\0\0" + zlib.compress(content * 1000)
            chunks.insert(1, (_pick(random, names), content))
        case 5:
            pixels = zlib.decompress(b"".join(c for n, c in chunks if n == b"IDAT"))
            other = zlib.compress(damaged(random, pixels))
            chunks = [each for each in chunks if each[0] != b"IDAT"]
            chunks.insert(len(chunks) - 1, (b"IDAT", other))
    return png(*chunks)


def _damaged_segments(random: Random, data: bytes) -> bytes:
    """A JPEG with another number after one of its markers."""
    changed = bytearray(data)
    markers = [
        place
        for place in range(2, len(data) - 12)
        if data[place] == 0xFF and data[place + 1] in b"\xc0\xc2\xc4\xda\xdb\xdd\xe0"
    ]
    place = _pick(random, markers)
    field = place + _pick(random, [2, 4, 5, 7, 9, 10])
    struct.pack_into(">H", changed, field, _number(random, 2))
    return bytes(changed)


def _damaged_tags(random: Random, data: bytes) -> bytes:
    """A TIFF with another type, count or value of one of its tags."""
    changed = bytearray(data)
    page = tifffile.TiffFile(io.BytesIO(data)).pages.first
    order = page.parent.byteorder
    tag = list(page.tags)[int(random.integers(len(page.tags)))]
    form = order + _pick(random, ["H", "I"])
    field = tag.offset + _pick(random, [0, 2, 4, 8])
    if random.random() < 0.3:
        field = tag.valueoffset
    if field + 4 <= len(changed):
        number = _number(random, struct.calcsize(form))
        struct.pack_into(form, changed, field, number)
    return bytes(changed)


def _damaged_fields(random: Random, data: bytes) -> bytes:
    """A BMP with another number in its header."""
    changed = bytearray(data)
    fields = [(field, "<I") for field in (10, 14, 18, 22, 30, 34, 46)]
    field, form = _pick(random, [*fields, (26, "<H"), (28, "<H")])
    struct.pack_into(form, changed, field, _number(random, struct.calcsize(form)))
    return bytes(changed)


@functools.cache
def zeros(megabytes: int) -> bytes:
    """A zlib stream of so many megabytes of zeros, a thousandth as long."""
    packer = zlib.compressobj(9)
    start = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = megabytes * 2**20 % 65521 << 16 | 1
    end = packer.flush()[:-4] + struct.pack(">I", checksum)
    return start + block * (megabytes - 1) + end


def largest_images() -> dict[str, bytes]:
    """199.9 of the 200 million pixels that are allowed, in colour, all black."""
    width, height = 21_845, 9_152
    # A row of a PNG has a byte more: 2^16.
    rows = png(
        ihdr(width, height, 8, 2), (b"IDAT", zeros(height // 16)), (b"IEND", b"")
    )
    # All strips of the TIFF are the same bytes.
    strip = zlib.compress(bytes(64 * width * 3))
    numbers = {256: [width], 257: [height], 258: [8] * 3, 259: [8], 262: [2]}
    numbers |= {273: [8] * (height // 64), 277: [3], 278: [64]}
    numbers |= {279: [len(strip)] * (height // 64)}
    directory, values = struct.pack("<H", len(numbers)), b""
    start = 8 + len(strip)
    place = start + 2 + 12 * len(numbers) + 4
    for tag, own in numbers.items():
        packed = struct.pack(f"<{len(own)}I", *own)
        field = packed
        if len(own) > 1:
            field = struct.pack("<I", place + len(values))
            values += packed
        directory += struct.pack("<HHI", tag, 4, len(own)) + field
    tiff = b"II*\0" + struct.pack("<I", start) + strip + directory + bytes(4) + values
    return {"png": rows, "tif": tiff}


def image_bombs() -> dict[str, Callable[[], bytes]]:
    """Small files that ask for much more than they should get; what makes them."""
    grey, color = photographs()
    tiny, end = (b"IDAT", zlib.compress(bytes(6))), (b"IEND", b"")

    def text(name: bytes, start: bytes = b"name\0\0"):
        return name, start + zeros(3000)

    def tiff(compression: str, pack: Callable[[], bytes], image=grey) -> bytes:
        whole = image_bytes.tiff(image, compression=compression, rowsperstrip=48)
        return _with_strip(whole, pack())

    def jpeg() -> bytes:
        data = bytearray(image_bytes.encoded(color, "JPEG"))
        frame = data.index(b"\xff\xc0") + 5
        data[frame : frame + 4] = struct.pack(">HH", 40_000, 40_000)
        return bytes(data)

    frame = struct.pack(">IIIIIHHBB", 0, 50_000, 50_000, 0, 0, 1, 1, 0, 0)
    frames = (b"acTL", struct.pack(">II", 2**31 - 1, 0)), (b"fcTL", frame)
    pixels = (b"IDAT", zeros(3000))
    black = bytes(2**25)
    return {
        "header.png": lambda: png(ihdr(50_000, 50_000), tiny, end),
        "deep_header.png": lambda: png(ihdr(14_100, 14_100, 16, 6), tiny, end),
        "pixels.png": lambda: png(ihdr(2, 2), pixels, end),
        "pixels_16.png": lambda: png(ihdr(2, 2, 16), pixels, end),
        "profile.png": lambda: png(ihdr(2, 2), text(b"iCCP"), tiny, end),
        "text.png": lambda: png(ihdr(2, 2), text(b"zTXt"), tiny, end),
        "texts.png": lambda: png(ihdr(2, 2), *[(b"tEXt", b"a\0b")] * 50_000, tiny, end),
        "late_text.png": lambda: png(ihdr(2, 2), tiny, text(b"zTXt"), end),
        "international.png": lambda: png(
            ihdr(2, 2), text(b"iTXt", b"name\0\1\0\0\0"), tiny, end
        ),
        "frames.png": lambda: png(ihdr(2, 2), *frames, tiny, end),
        "header.jpg": jpeg,
        "deflate.tif": lambda: tiff("zlib", lambda: zeros(3000)),
        "lzw.tif": lambda: tiff("lzw", lambda: imagecodecs.lzw_encode(black)),
        "zstd.tif": lambda: tiff("zstd", lambda: imagecodecs.zstd_encode(black) * 99),
        "packbits.tif": lambda: tiff("packbits", lambda: b"\x81\0" * 3_000_000),
        "jpeg.tif": lambda: tiff("jpeg", jpeg, color),
        "pages.tif": lambda: (
            b"II*\0\x08\0\0\0"
            + b"".join(struct.pack("<HI", 0, 14 + 6 * n) for n in range(200_000))
        ),
        "ring.tif": lambda: image_bytes.tiff(grey)[:-4] + struct.pack("<I", 8),
        "runs.bmp": lambda: _runs_bmp(20_000, 10_000),
        "tall_runs.bmp": lambda: _runs_bmp(2, 50_000_000),
    }


def _with_strip(tiff: bytes, strip: bytes) -> bytes:
    """A TIFF of one strip with another one."""
    changed = bytearray(tiff)
    tags = tifffile.TiffFile(io.BytesIO(tiff)).pages.first.tags
    values = {"StripOffsets": len(tiff), "StripByteCounts": len(strip)}
    for name, value in values.items():
        # As a 32-bit number, whatever it was.
        tag = tags[name]
        struct.pack_into("<HII", changed, tag.offset + 2, 4, 1, value)
    return bytes(changed) + strip


def _runs_bmp(width: int, height: int) -> bytes:
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, 0, 0, 0, 256, 256)
    start = 14 + len(info) + 1024
    return (
        b"BM" + struct.pack("<IHHI", start, 0, 0, start) + info + bytes(1024)
    ) + b"\0\2\xff\xff" * 1000


def odd_files(folder: pathlib.Path, data: bytes, suffix: str) -> list[pathlib.Path]:
    """What is no file, or has an odd name, under the names of images or videos."""
    paths = [folder / f"{name}{suffix}" for name in ("empty", "folder", "link", "pipe")]
    paths[0].touch()
    paths[1].mkdir()
    paths[2].symlink_to("missing")
    os.mkfifo(paths[3])
    ring, device, whole = (
        folder / f"{name}{suffix}" for name in ("ring", "zero", "whole")
    )
    ring.symlink_to(ring.name)
    device.symlink_to("/dev/zero")
    whole.write_bytes(data)
    to_pipe = folder / f"to pipe{suffix}"
    to_pipe.symlink_to(f"pipe{suffix}")
    paths += [ring, device, to_pipe, folder / f"missing{suffix}", folder]
    paths += [whole / "below.png", folder / ("x" * 300), folder / f"nul\0{suffix}"]
    for letter in _LETTERS:
        path = folder / f"{letter} 1{suffix}"
        path.write_bytes(data)
        paths.append(path)
        path = folder / f"damaged {letter}{suffix}"
        path.write_bytes(data[:50])
        paths.append(path)
    return paths


# What happens to videos.


def video_files(folder: pathlib.Path) -> dict[str, bytes]:
    """Whole files of every kind, named by it; made in the folder."""
    size = (48, 64)
    grey, color = videos.scene(6, size), videos.scene(6, size, channels=(3,))
    deep = [frame.astype(np.uint16) * 257 for frame in grey]
    for name, codec, frames, options in (
        ("h264.mp4", "libx264", color, ()),
        ("grey.mov", "libx264", grey, ("-movflags", "+faststart", "-bf", "0")),
        ("parts.mp4", "libx264", grey, ("-movflags", "+frag_keyframe+empty_moov")),
        ("h264.mkv", "libx264", grey, ()),
        ("deep.mkv", "ffv1", deep, ()),
        ("vp8.webm", "libvpx", grey, ("-deadline", "realtime", "-cpu-used", "8")),
        ("mpeg4.avi", "mpeg4", grey, ()),
        ("jpeg.avi", "mjpeg", color, ("-pix_fmt", "yuvj444p")),
        ("raw.avi", "rawvideo", color, ("-pix_fmt", "bgr24")),
        ("h264.ts", "libx264", grey, ()),
        ("mpeg.mpg", "mpeg2video", grey, ("-pix_fmt", "yuv420p")),
        ("asf.wmv", "wmv2", grey, ()),
        ("flash.flv", "flv", grey, ()),
    ):
        # Without identifiers by chance: always the same bytes.
        options = (*options, "-fflags", "+bitexact")
        videos.write(folder / name, frames, codec=codec, options=options)
    sound = ("-f", "lavfi", "-i", "sine=duration=0.2", "-c:v", "copy", "-c:a", "aac")
    turned = ("-display_rotation", "90", "-i", folder / "h264.mp4")
    videos.ffmpeg(*turned, *sound, folder / "turned.mp4")
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _hex(words: str) -> list[bytes]:
    return [bytes.fromhex(word) for word in words.split()]


# After these come numbers: sizes, counts, times and places.
_VIDEO_FIELDS = {
    ".mp4": (
        b"ftyp moov mvhd tkhd elst mdhd hdlr stsd avc1 avcC stts ctts stsc stsz stco "
        b"stss dref trun tfhd tfdt trex moof mdat mp4a esds"
    ).split(),
    ".avi": b"RIFF LIST avih strh strf vids idx1 movi 00dc 00db".split(),
    ".mkv": _hex("4282 18538067 b082 b081 ba82 ba81 63a2 2ad7b1 1654ae6b 1f43b675 a3"),
    ".ts": _hex("474000 475000 000001e0 00000167 00000165"),
    ".mpg": _hex("000001ba 000001bb 000001e0 000001b3 000001b5 00000100"),
    ".flv": b"FLV onMetaData duration width height framerate".split(),
    ".wmv": _hex("3026b275 a1dcab8c 9107dcb7 3626b275 574d5632"),
}
_VIDEO_FIELDS |= {".mov": _VIDEO_FIELDS[".mp4"], ".webm": _VIDEO_FIELDS[".mkv"]}


def damaged_video(random: Random, files: Mapping[str, bytes]) -> tuple[str, bytes]:
    """A damaged file, and what it may be named."""
    name = _pick(random, sorted(files))
    data = files[name]
    kind = pathlib.Path(name).suffix
    if random.random() < 0.7:
        data = _damaged_numbers(random, data, _VIDEO_FIELDS[kind])
    if random.random() < 0.4:
        data = damaged(random, data)
    if random.random() < 0.05:
        data += files[_pick(random, sorted(files))]
    others = [*sorted(_VIDEO_FIELDS), ".ogv", ".MP4", ".m3u8", ".txt", ""]
    suffix = kind if random.random() < 0.8 else _pick(random, others)
    return f"video{suffix}", data


def _damaged_numbers(random: Random, data: bytes, fields: Sequence[bytes]) -> bytes:
    """Other numbers a little behind some of the fields."""
    changed = bytearray(data)
    for _ in range(random.integers(1, 4)):
        field = _pick(random, fields)
        places = [i for i in range(len(data)) if data.startswith(field, i)]
        if places:
            place = _pick(random, places) + int(random.integers(-4, 48))
            form = _pick(random, ["B", "<H", ">H", "<I", ">I", ">I"])
            size = struct.calcsize(form)
            if 0 <= place <= len(data) - size:
                struct.pack_into(form, changed, place, _number(random, size))
    return bytes(changed)


def video_bombs(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Small videos that promise gigabytes, in sizes or in numbers of frames."""

    def table(samples: int) -> bytes:
        changed = bytearray(files["grey.mov"])
        for box, numbers in (
            # Every sample of one byte; all in one chunk; each a frame long.
            (b"stsz", (1, samples)),
            (b"stsc", (1, 1, samples, 1)),
            (b"stts", (1, samples, 512)),
        ):
            place = changed.index(box) + 8
            struct.pack_into(f">{len(numbers)}I", changed, place, *numbers)
        return bytes(changed)

    def with_size(name: str, width: int, height: int) -> bytes:
        changed = bytearray(files[name])
        place = changed.index(b"strf") + 8
        struct.pack_into("<Iii", changed, place, 40, width, height)
        return bytes(changed)

    y4m = b"YUV4MPEG2 W%d H%d F25:1 C444p16\nFRAME\n"
    return {
        "three million frames.mov": table(3 * 10**6),
        "fifty million frames.mov": table(5 * 10**7),
        "all frames.mov": table(2**32 - 1),
        "large.y4m": y4m % (40_000, 40_000),
        "largest allowed.y4m": y4m % (5_000, 4_000) + bytes(6 * 20_000_000),
        "wide.avi": with_size("mpeg4.avi", 2**30, 2),
        "raw.avi": with_size("raw.avi", 30_000, 30_000),
        "jpeg.avi": with_size("jpeg.avi", 65_535, 65_535),
    }


def playlists(folder: pathlib.Path, port: int) -> dict[str, str]:
    """Texts that have other files or addresses opened, by the names they may have."""
    other, address = folder / "other.ts", f"127.0.0.1:{port}"
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"
    dash = (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4">'
        '<Representation id="1" bandwidth="1"><BaseURL>{}</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>"
    )
    texts = {
        "hls.m3u8": hls.format(other.name),
        "absolute.m3u8": hls.format(other),
        "remote.m3u8": hls.format(f"http://{address}/a.ts"),
        "concat.ffconcat": f"ffconcat version 1.0\nfile {other.name}\n",
        "remote.ffconcat": f"ffconcat version 1.0\nfile tcp://{address}\n",
        "dash.mpd": dash.format(other.name),
        "remote.mpd": dash.format(f"http://{address}/a.mp4"),
        "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "list.asx": f'<asx version="3.0"><entry><ref href="http://{address}"/></entry></asx>',
        "reference.mov": f"[Reference]\nRef1=http://{address}/a\n",
        "script.avs": f'DirectShowSource("{other}")\n',
    }
    return texts | {f"{name}.mp4": text for name, text in texts.items()}


# What happens to folders of images.


def folders(random: Random, folder: pathlib.Path) -> list[str]:
    """Fills two or three folders at random; what somebody may ask to be paired."""
    sources = []
    count, oddness = int(random.integers(1, 6)), int(random.choice([5, 100]))
    for number in range(random.integers(2, 4)):
        source = folder / str(number)
        source.mkdir(parents=True)
        for _ in range(count):
            letters = [_pick(random, _LETTERS) for _ in range(random.integers(1, 9))]
            suffix = _pick(random, _SUFFIXES[: -2 if oddness > 5 else None])
            path = source / ("".join(letters) + suffix)
            if os.path.lexists(path) or path.name in (".", ".."):
                continue
            match random.integers(oddness):
                case 0:
                    path.mkdir()
                case 1:
                    path.symlink_to("missing")
                case 2:
                    path.symlink_to(random.choice([str(source), str(folder), ".."]))
                case 3:
                    os.mkfifo(path)
                case _:
                    path.touch()
        entries = sorted(map(str, source.iterdir()))
        match random.integers(oddness):
            case 0 if entries:
                sources.append(_pick(random, entries))
            case 1:
                special = [*"IR*?[]!-.1", "**"]
                letters = [_pick(random, special) for _ in range(5)]
                deep = _pick(random, ["", "**/", "*/**/"])
                sources.append(f"{source}/{deep}{''.join(letters)}")
            case 2:
                sources.append(f"{source}/*{_pick(random, _SUFFIXES)}")
            case 3:
                odd = ["", "\0", "x" * 5000, str(source / "missing"), "[", "\udcff"]
                sources.append(_pick(random, odd))
            case _:
                sources.append(str(source))
    return [str(source) for source in sources]


# What happens to checkpoints.


def damaged_keras(random: Random, data: bytes) -> bytes:
    """A damaged .keras file."""
    choice = random.random()
    if choice < 0.3:
        return damaged(random, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = _pick(random, sorted(members))
    if choice < 0.6:
        name = "model.weights.h5"
        members[name] = _damaged_hdf5(random, members[name])
    elif choice < 0.9:
        config = json.loads(members["config.json"])
        for _ in range(random.integers(1, 4)):
            _change_value(random, config)
        members["config.json"] = json.dumps(config).encode()
    else:
        members[name] = damaged(random, members[name])
    file = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if random.random() < 0.2 else zipfile.ZIP_STORED
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _damaged_hdf5(random: Random, data: bytes) -> bytes:
    """Other numbers in what describes the tensors, which are the long rest."""
    changed = bytearray(data)
    words = [b"TREE", b"SNOD", b"HEAP", b"\x01\0\x06\0", b"\0\0\0\0\0\0\0\0"]
    for _ in range(random.integers(1, 8)):
        place = changed.find(_pick(random, words), int(random.integers(len(changed))))
        if place >= 0:
            place += int(random.integers(64))
            if random.random() < 0.5 and place < len(changed):
                changed[place] ^= 1 << int(random.integers(8))
            elif place + 8 <= len(changed):
                number = _pick(random, [*_NUMBERS, 2**63, 2**64 - 1])
                struct.pack_into("<Q", changed, place, number)
    return bytes(changed)


def _change_value(random: Random, value) -> None:
    """Changes something somewhere in a JSON value, in place."""
    while isinstance(value, dict | list) and value:
        keys = sorted(value) if isinstance(value, dict) else list(range(len(value)))
        key = _pick(random, keys)
        inner = value[key]
        if not isinstance(inner, dict | list) or not inner or random.random() < 0.1:
            others = [None, True, -1, 2**70, 1e308, "", "x", "__lambda__", [], {}]
            others += [[[]] * 3, {"class_name": "Lambda"}, {"class_name": ["a"]}]
            value[key] = _pick(random, others)
            return
        value = inner


def keras_bombs(data: bytes) -> dict[str, bytes]:
    """Small .keras files that unpack to gigabytes, and tell lies about that."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    bombs = {}
    for name in members:
        for honest in (False, True):
            stream = zeros(3000)[2:]
            size = 3000 * 2**20 if honest else len(members[name])
            bombs[f"{name} {honest}"] = _archive(members, name, stream, 8, size)
    filters = [{"id": lzma.FILTER_LZMA1, "preset": 0}]
    packed = lzma.compress(bytes(2**29), lzma.FORMAT_RAW, filters=filters)
    properties = lzma._encode_filter_properties(filters[0])
    header = struct.pack("<BBH", 9, 4, len(properties)) + properties
    bombs["LZMA"] = _archive(members, "config.json", header + packed, 14, 100)
    packed = bz2.compress(bytes(2**25)) * 100
    bombs["bzip2"] = _archive(members, "config.json", packed, 12, 100)
    return bombs


def _archive(members, name: str, stream: bytes, method: int, size: int) -> bytes:
    """A zip archive in which one member has this stream and pretends this size."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for each, content in members.items():
            archive.writestr(each, stream if each == name else content)
        info = archive.getinfo(name)
        info.compress_type, info.file_size = method, size
        # The header before the member is written already: it has to agree.
        file.seek(info.header_offset)
        file.write(info.FileHeader())
        file.seek(0, io.SEEK_END)
    return file.getvalue()


def bundle_changes(random: Random, names: list[str]) -> Callable:
    """A change of a TensorFlow 1 checkpoint's index, for `tensor_bundles.rewrite`."""
    import tensor_bundles

    numbers = (-(2**63), -(2**31), -1, *range(25), 99, 101, 999, 2**30, 2**31 - 1)
    large = (*numbers, 2**40, 2**62, 2**63 - 1)
    name = _pick(random, names)

    def number(choices=large) -> int:
        return _pick(random, choices)

    match random.integers(8):
        case 0:
            dims = [number() for _ in range(random.integers(0, 6))]
            return tensor_bundles.entry(name, dims=dims)
        case 1:
            return tensor_bundles.entry(name, dtype=int(random.integers(0, 140)))
        case 2:
            return tensor_bundles.entry(name, size=number())
        case 3:
            return tensor_bundles.entry(name, offset=number())
        case 4:
            small = [n for n in numbers if abs(n) < 2**31]
            return tensor_bundles.entry(name, shard_id=number(small))
        case 5:
            slices = [(number(), number()) for _ in range(random.integers(1, 4))]
            return tensor_bundles.entry(name, slices=slices)
        case 6:
            small = [n for n in numbers if abs(n) < 2**31]
            return tensor_bundles.header(num_shards=number(small))
        case _:

            def change(table):
                key = name.encode()
                table[key] = damaged(random, table[key])

            return change
