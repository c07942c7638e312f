"""Writes and reads small videos by imageio-ffmpeg, as other programs would."""

import pathlib
import subprocess

import imageio_ffmpeg
import numpy as np
from PIL import Image

PIXEL_FORMATS = {
    ("|u1", 2): ("gray", "yuv420p"),
    ("|u1", 3): ("rgb24", "yuv444p"),
    ("<u2", 2): ("gray16le", "gray16le"),
}
# Without these, ffmpeg's colours are off by some levels.
EXACT = ("-sws_flags", "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp")


def scene(count, size=(32, 48), seed=0, channels=()):
    """Makes frames of a smooth random scene that moves by a pixel a frame."""
    rng = np.random.default_rng(seed)
    height, width = size[0], size[1] + count
    coarse = rng.integers(
        30, 226, (height // 8 + 2, width // 8 + 2, *channels), np.uint8
    )
    enlarged = Image.fromarray(coarse).resize((width, height), Image.BILINEAR)
    picture = np.asarray(enlarged)
    return [picture[:, x : x + size[1]] for x in range(count)]


def write(path, frames, *, fps=25, options=(), codec="libx264", kind=None):
    """Writes frames, which have the pixel format `kind` if it is given."""
    frame = np.asarray(frames[0])
    pixels, stored = PIXEL_FORMATS[(frame.dtype.str, frame.ndim)]
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = imageio_ffmpeg.write_frames(
        str(path),
        frame.shape[1::-1],
        pix_fmt_in=pixels if kind is None or frame.ndim == 3 else kind,
        pix_fmt_out=kind or stored,
        fps=fps,
        quality=None,
        codec=codec,
        macro_block_size=1,
        ffmpeg_log_level="error",
        output_params=list(options),
    )
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
    writer.close()
    return path


def read(path):
    """Reads all frames as [count, height, width, 3] uint8, and the metadata."""
    reader = imageio_ffmpeg.read_frames(
        str(path), output_params=["-fps_mode", "passthrough", *EXACT]
    )
    about = next(reader)
    width, height = about["size"]
    frames = [np.frombuffer(data, np.uint8) for data in reader]
    return np.reshape(frames, (-1, height, width, 3)), about


def ffmpeg(*arguments):
    """Runs ffmpeg for what imageio-ffmpeg has no function for."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *arguments]
    subprocess.run([str(part) for part in command], check=True)


def stand_in(folder, monkeypatch, condition, action):
    """Has imageio-ffmpeg start a script that does `action` where `condition` holds."""
    real = imageio_ffmpeg.get_ffmpeg_exe()
    script = folder / "stand_in_ffmpeg"
    script.write_text(
        f'#!/bin/sh\nreal="{real}"\ncase "$*" in\n'
        f'*{condition}*) {action};;\n*) exec "$real" "$@";;\nesac\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(script))
