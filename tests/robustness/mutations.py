"""Damaged images, videos and folders, made from whole ones by a random generator.

The damage is what disks, networks and programs do: flipped bits, missing and foreign
bytes, numbers of other sizes.
"""

import os
import pathlib
import struct
from collections.abc import Mapping, Sequence

import image_bytes
import imagecodecs
import numpy as np
import videos
from PIL import Image

Random = np.random.Generator

_NUMBERS = (0, 1, 2, 3, 7, 8, 9, 16, 17, 255, 256, 4096, 32768, 60000, 65535)
_NUMBERS += (2**20, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".PNG", ".gif", "")
# In names: letters, what shells and patterns mean something by, bytes that are no text.
_LETTERS = [*"aIRvis0123456789 ._-[]*?!{}()'\"\\\n\t;&$#é火", "\udcff", "\u202e"]


def image_files() -> dict[str, bytes]:
    """Returns whole files of every kind, grey and in colour, by name."""
    folder = pathlib.Path(__file__).resolve().parents[2] / "examples"
    grey = np.asarray(Image.open(folder / "pairs/ir/street.png").convert("L"))
    color = np.asarray(
        Image.open(folder / "multifocus/right/coffee.png").convert("RGB")
    )
    grey, color = grey[100:148, 100:140], color[100:148, 100:140]
    deep = color.astype(np.uint16) * 257
    bit = Image.fromarray(grey).convert("1")
    palette = Image.fromarray(color).quantize(16)
    cmyk = Image.fromarray(color).convert("CMYK")
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = {"save_all": True, "append_images": [Image.fromarray(255 - grey)]}
    planes = {"photometric": "rgb", "planarconfig": "separate"}
    encoded, tiff = image_bytes.encoded, image_bytes.tiff
    return {
        "grey.png": encoded(grey, "PNG"),
        "rgb.png": encoded(color, "PNG"),
        "alpha.png": encoded(np.dstack([color, grey]), "PNG", exif=exif),
        "bit.png": encoded(bit, "PNG"),
        "palette.png": encoded(palette, "PNG", transparency=3),
        "deep.png": imagecodecs.png_encode(deep),
        "animated.png": encoded(grey, "PNG", **frames),
        "grey.jpg": encoded(grey, "JPEG"),
        "rgb.jpg": encoded(color, "JPEG", exif=exif),
        "progressive.jpg": encoded(color, "JPEG", progressive=True),
        "cmyk.jpg": encoded(cmyk, "JPEG"),
        "rgb.webp": encoded(color, "WEBP", exif=exif),
        "rgb.bmp": encoded(color, "BMP"),
        "palette.bmp": encoded(palette, "BMP"),
        "bit.bmp": encoded(bit, "BMP"),
        "plain.tif": tiff(color),
        "deep.tif": tiff(deep, byteorder=">"),
        "big.tif": tiff(grey, bigtiff=True),
        "float.tif": tiff(grey / np.float32(3), compression="zlib", predictor=True),
        "lzw.tif": tiff(color, compression="lzw", rowsperstrip=5),
        "tiles.tif": tiff(color, compression="zlib", tile=(16, 16)),
        "planes.tif": tiff(np.moveaxis(color, -1, 0), **planes),
        "zstd.tif": tiff(grey, compression="zstd"),
        "packbits.tif": tiff(grey, compression="packbits"),
        "jpeg.tif": tiff(color, compression="jpeg", photometric="rgb"),
        "pages.tif": tiff(np.stack([grey, 255 - grey])),
        "palette.tif": encoded(palette, "TIFF"),
        "cmyk.tif": encoded(cmyk, "TIFF"),
    }


def video_files(folder: pathlib.Path) -> dict[str, bytes]:
    """Makes whole videos of every kind, 6 frames of 48x64, in the folder."""
    size = (48, 64)
    grey, color = videos.scene(6, size), videos.scene(6, size, channels=(3,))
    deep = [frame.astype(np.uint16) * 257 for frame in grey]
    for name, codec, frames, options in (
        ("h264.mp4", "libx264", color, ()),
        ("grey.mov", "libx264", grey, ("-movflags", "+faststart", "-bf", "0")),
        ("h264.mkv", "libx264", grey, ()),
        ("deep.mkv", "ffv1", deep, ()),
        ("vp8.webm", "libvpx", grey, ("-deadline", "realtime", "-cpu-used", "8")),
        ("mpeg4.avi", "mpeg4", grey, ()),
        ("h264.ts", "libx264", grey, ()),
        ("asf.wmv", "wmv2", grey, ()),
    ):
        # Without random identifiers the bytes are always the same.
        options = (*options, "-fflags", "+bitexact")
        videos.write(folder / name, frames, codec=codec, options=options)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def pick(random: Random, choices: Sequence):
    """Returns one of the choices, as it is; NumPy's choice would convert bytes."""
    return choices[int(random.integers(len(choices)))]


def damaged(random: Random, data: bytes) -> bytes:
    """Returns data with one to three damages."""
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
                value = pick(random, [b"\0", b"\xff", b"\x80", b"A"])
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
                form = pick(random, ["<H", ">H", "<I", ">I"])
                size = struct.calcsize(form)
                if place + size <= len(changed):
                    number = pick(random, _NUMBERS) % 256**size
                    struct.pack_into(form, changed, place, number)
    return bytes(changed)


def damaged_file(random: Random, files: Mapping[str, bytes]) -> tuple[str, bytes]:
    """Returns one of the files, damaged, and a name, whose suffix may be wrong."""
    name = pick(random, sorted(files))
    data = damaged(random, files[name])
    suffix = pathlib.Path(name).suffix
    if suffix == ".png" and random.random() < 0.5:
        data = _with_checksums(data)
    if random.random() < 0.2:
        suffix = pick(random, _SUFFIXES)
    return f"file{suffix}", data


def _with_checksums(data: bytes) -> bytes:
    """Returns a PNG whose checksums are right: damage before it was written."""
    chunks, place = [], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        content = data[place + 8 : place + 8 + length]
        chunks.append(image_bytes.chunk(data[place + 4 : place + 8], content))
        place += 12 + length
    return data[:8] + b"".join(chunks)


def odd_files(folder: pathlib.Path, data: bytes, suffix: str) -> list[pathlib.Path]:
    """Makes what is no file or has an odd name, named as images or videos are."""
    names = ("empty", "folder", "link", "pipe", "ring", "zero", "whole", "to pipe")
    empty, inner, link, pipe, ring, zero, whole, to_pipe = paths = [
        folder / f"{name}{suffix}" for name in names
    ]
    empty.touch()
    inner.mkdir()
    link.symlink_to("missing")
    os.mkfifo(pipe)
    ring.symlink_to(ring.name)
    zero.symlink_to("/dev/zero")
    whole.write_bytes(data)
    to_pipe.symlink_to(pipe.name)
    paths += [folder / f"missing{suffix}", folder, whole / "below.png"]
    paths += [folder / ("x" * 300), folder / f"nul\0{suffix}"]
    for letter in _LETTERS:
        path = folder / f"{letter} 1{suffix}"
        path.write_bytes(data)
        paths.append(path)
    return paths


def folders(random: Random, folder: pathlib.Path) -> list[str]:
    """Fills two or three folders at random; returns sources that may be paired."""
    sources = []
    count, oddness = int(random.integers(1, 6)), int(random.choice([5, 100]))
    for number in range(random.integers(2, 4)):
        source = folder / str(number)
        source.mkdir(parents=True)
        for _ in range(count):
            letters = [pick(random, _LETTERS) for _ in range(random.integers(1, 9))]
            suffix = pick(random, _SUFFIXES[: -2 if oddness > 5 else None])
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
        letters = "".join(pick(random, [*"IR*?[]!-.1", "**"]) for _ in range(5))
        odd = ["", "\0", "x" * 5000, f"{source}/missing", "[", "\udcff"]
        odd += [f"{source}/*{pick(random, _SUFFIXES)}", *map(str, source.iterdir())]
        odd += [f"{source}/{deep}{letters}" for deep in ("", "**/", "*/**/")]
        sources.append(pick(random, odd) if random.integers(oddness) < 3 else source)
    return [str(source) for source in sources]
