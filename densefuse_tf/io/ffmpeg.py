"""Video files to frames and back: everything that ffmpeg does.

ffmpeg, which imageio-ffmpeg brings, decodes and encodes in processes of its own. Those
that decode get a file from anywhere: they are limited in what they open and in the
memory they take. imageio-ffmpeg's own functions are not used, since they do not say how
ffmpeg ended.
"""

import contextlib
import dataclasses
import fractions
import math
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.io import pixels

# By their suffixes, files are taken for videos without being asked to, and the videos
# that can be written, as H.264.
INPUT_FORMATS = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".wmv", ".mpg", ".mpeg"),
    *(".ts", ".mts", ".m2ts", ".flv", ".ogv", ".3gp"),
)
OUTPUT_FORMATS = (".mp4", ".m4v", ".mov", ".mkv")

# A video may not have other files or addresses opened. The containers, by the names of
# ffmpeg's demuxers and recognised by their content, are such as hold all of a video:
# playlists and scripts (HLS, DASH, concat, SDP, AviSynth) are none of them.
_CONTAINERS = (
    *("mov", "matroska", "avi", "asf", "mpeg", "mpegvideo", "mpegts", "flv", "ogg"),
    *("mxf", "nut", "yuv4mpegpipe"),
)
_INPUT_PARAMS = [
    *("-protocol_whitelist", "file", "-format_whitelist", ",".join(_CONTAINERS)),
]
# The first stream that is no cover picture, each frame once, whatever its time.
_STREAM_PARAMS = ["-map", "0:V:0", "-fps_mode", "passthrough"]
# How YUV becomes RGB: by default ffmpeg repeats each chroma sample for two by two
# pixels and rounds down, which is off by twice as much in the mean.
_DECODER_PARAMS = ["-sws_flags", "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"]
# Visually lossless, in the colours of today's screens, with the tags that say so:
# without them players guess the matrix from the height.
_ENCODER_PARAMS = [
    *("-crf", "14", "-color_range", "tv", "-colorspace", "bt709"),
    *("-color_primaries", "bt709", "-color_trc", "bt709"),
]
_SCALE = "scale=out_color_matrix=bt709:out_range=tv"

# What a decoding ffmpeg may take: this, and for each pixel of a frame what 48 frames
# in work of up to 4 bytes a pixel come to, up to what 8K takes. A block holds no more
# than a frame of 8 bytes a pixel: tables of frames that are not there end at that.
_BASE_BYTES = 1_500_000_000
_BYTES_PER_PIXEL = 48 * 4
_MOST_BYTES = 8_000_000_000
_BASE_BLOCK_BYTES = 2**28
_BLOCK_BYTES_PER_PIXEL = 8

# What ffmpeg says of the stream that is read.
_STREAM = re.compile(
    r"^Output #0, .*?^  Stream #0:0\b.*?: Video: ([^\n]*)$", re.M | re.S
)
_STREAM_SIZE = re.compile(r", (\d+)x(\d+)\b")
# Grey of more than 8 bits: sensor counts or temperatures, which are read as they are.
_DEEP_GRAY = re.compile(r"[^,]*, (gray(?:9|10|12|14|16|f32))(?:le|be)\b")
_MESSAGE = re.compile(r"^((?:\[[^]]* @ [^]]*\] )*)\[([a-z]+)\] ", re.M)

# Shows progress: items, how many there are or None, and what is done with them.
Progress = Callable[[Iterable, int | None, str], Iterable]


def unseen(items: Iterable, total: int | None, what: str) -> Iterable:
    """The `Progress` that shows nothing."""
    del total, what
    return items


@dataclasses.dataclass(frozen=True)
class VideoFile:
    """A video file that ffmpeg has decoded to its end once.

    Attributes:
      path: The file.
      count: How many frames it has, exactly.
      size: (height, width) in pixels, turned upright as its rotation tag says.
      rate: Frames per second.
      pixel_aspect: Width to height of a pixel; None if the file does not say.
      pixel_format: What ffmpeg is asked for: rgb24, or grey of more than 8 bits.
    """

    path: pathlib.Path
    count: int
    size: tuple[int, int]
    rate: fractions.Fraction
    pixel_aspect: fractions.Fraction | None
    pixel_format: str

    @property
    def is_deep(self) -> bool:
        """Whether the frames have more than 8 bits."""
        return self.pixel_format != "rgb24"

    def name(self, index: int) -> str:
        """What an error calls the frame."""
        return f"{self.path}, frame {index + 1}"

    def frames(self) -> Iterator[np.ndarray]:
        """Yields all frames: [height, width, 3] uint8, or [height, width] deep grey.

        Transparency is left out.

        Raises:
          UserError: There are fewer than `count` any more.
        """
        dtype, shape = np.dtype(np.uint8), (*self.size, 3)
        if self.is_deep:
            is_float = self.pixel_format.startswith("grayf")
            dtype, shape = np.dtype("<f4" if is_float else "<u2"), self.size
        frame_bytes = math.prod(shape) * dtype.itemsize
        height, width = self.size
        output = [
            *_DECODER_PARAMS,
            *("-s", f"{width}x{height}", "-pix_fmt", self.pixel_format),
            *("-c:v", "rawvideo", "-f", "rawvideo", "-"),
        ]
        with _decoding(self.path, height * width, "error", output) as decoder:
            for index in range(self.count):
                data = decoder.process.stdout.read(frame_bytes)
                if len(data) < frame_bytes:
                    raise self._lost(index)
                frame = np.frombuffer(data, dtype).reshape(shape)
                if dtype.kind == "f":
                    pixels.check(frame, self.name(index))
                yield frame

    def _lost(self, read: int) -> UserError:
        return UserError(
            f"{self.path}: only {read} of {self.count} frames could be read: the file "
            "has changed, or ffmpeg was stopped"
        )


def is_video(path: str | os.PathLike) -> bool:
    """Whether the path of a source is named as a video file."""
    suffix = pathlib.Path(path).suffix.lower()
    return suffix in INPUT_FORMATS and not os.path.isdir(path)


def open_video(path: pathlib.Path, max_pixels: int, progress: Progress) -> VideoFile:
    """Decodes a video to its end, which only says whether it is whole.

    Args:
      path: The file.
      max_pixels: The largest frame that is read.
      progress: Shows how far it is.

    Raises:
      UserError: It is no video, has no frames, is cut off or damaged, or its frames are
        not equally far apart in time.
    """
    # ffmpeg would wait for the other end of a named pipe.
    if not os.path.isfile(path):
        raise _not_a_video(path, "expected a regular file")
    size, pixel_format = _stream(path)
    _check_pixels(path, size, max_pixels)
    header: dict[str, str] = {}
    count = 0
    gap = None
    # Without autoscale frames of another size are told by their bytes.
    output = ["-noautoscale", "-f", "framecrc", "-"]
    with _decoding(path, math.prod(size), "error", output) as decoder:
        moments = _moments(decoder.process.stdout, header)
        for time, frame_bytes in progress(moments, None, f"checking {path}"):
            if count == 0:
                start, first_bytes = time, frame_bytes
                _check_pixels(path, _size(header), max_pixels)
            elif frame_bytes != first_bytes:
                raise UserError(
                    f"{path}: frame {count + 1} has another size than those before: "
                    "the frames of a sequence must have the same size"
                )
            elif gap is None and time != start + count:
                gap = UserError(_not_constant(path, header, count, time - start))
            count += 1
        complaint = decoder.complaint()
    if count == 0:
        raise _not_a_video(path, complaint)
    if complaint:
        raise UserError(
            f"{path}: cut off or damaged, {count} frames could be decoded: expected a "
            f"whole video ({complaint}); `ffmpeg -i {path} NEW` keeps what can be read"
        )
    # Not before, for what is cut off may lack frames here and there as well.
    if gap is not None:
        raise gap
    return VideoFile(
        path, count, _size(header), _rate(header), _pixel_aspect(header), pixel_format
    )


@dataclasses.dataclass(frozen=True)
class _Running:
    """An ffmpeg: its process, and the file with what it says."""

    process: subprocess.Popen
    said: BinaryIO

    def text(self) -> str:
        """The start of what it has said, once it has ended."""
        self.process.wait()
        self.said.seek(0)
        return self.said.read(2**20).decode(errors="replace").replace("\r", "\n")

    def complaint(self) -> str:
        """The first mistake it tells of, in one line; empty if there is none."""
        text = self.text()
        for found in _MESSAGE.finditer(text):
            if found[2] in ("error", "fatal", "panic"):
                return " ".join(text[found.end() :].partition("\n")[0].split())
        status = self.process.returncode
        return f"ffmpeg ended with status {status}" if status else ""

    def end(self) -> None:
        """Ends it at once, if it has not ended, and lets go of its files."""
        with self.said, self.process:
            self.process.kill()


def _start(arguments: Sequence[str], **pipes: int) -> _Running:
    """Starts ffmpeg.

    Args:
      arguments: Behind those that are the same for all.
      **pipes: stdin, stdout and bufsize, as of subprocess.Popen.
    """
    command = [_ffmpeg(), "-hide_banner", "-nostats", *arguments]
    # What it says goes to a file: nobody has to read it while frames are read. In a
    # session of its own it is not interrupted from the keyboard, but by the command.
    said = tempfile.TemporaryFile()
    return _Running(
        subprocess.Popen(command, stderr=said, start_new_session=True, **pipes), said
    )


@contextlib.contextmanager
def _decoding(
    path: pathlib.Path, frame_pixels: int, level: str, output: Sequence[str]
) -> Iterator[_Running]:
    """An ffmpeg that decodes a file, and has ended on leaving.

    Args:
      path: The file.
      frame_pixels: Of a frame: what the memory it may take depends on.
      level: How much it says.
      output: What it makes of the frames, and where.
    """
    block = min(
        max(_BASE_BLOCK_BYTES, _BLOCK_BYTES_PER_PIXEL * frame_pixels), 2**31 - 1
    )
    running = _start(
        [
            *("-nostdin", "-v", f"level+{level}", "-xerror", "-max_alloc", str(block)),
            *(*_INPUT_PARAMS, "-i", f"file:{path}", *_STREAM_PARAMS, *output),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        memory = min(_BASE_BYTES + _BYTES_PER_PIXEL * frame_pixels, _MOST_BYTES)
        _limit_memory(running.process.pid, memory)
        yield running
    finally:
        running.end()


def _limit_memory(pid: int, limit: int) -> None:
    """Has a process get no more memory, where that can be had: on Linux."""
    # It may have ended already, or be limited to less.
    with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):
        import resource

        resource.prlimit(pid, resource.RLIMIT_DATA, (limit, limit))


def _stream(path: pathlib.Path) -> tuple[tuple[int, int], str]:
    """What a video says of itself: (height, width), and `VideoFile.pixel_format`."""
    output = ["-c", "copy", "-frames:v", "1", "-f", "null", "-"]
    with _decoding(path, 0, "info", output) as decoder:
        complaint = decoder.complaint()
        text = _MESSAGE.sub(r"\1", decoder.text())
    found = _STREAM.search(text)
    size = found and _STREAM_SIZE.search(found[1])
    if not size:
        raise _not_a_video(path, complaint)
    gray = _DEEP_GRAY.match(found[1])
    return (int(size[2]), int(size[1])), f"{gray[1]}le" if gray else "rgb24"


def _not_a_video(path: pathlib.Path, complaint: str) -> UserError:
    if complaint.startswith("Format not on whitelist"):
        complaint = (
            "expected MP4, MOV, Matroska, WebM, AVI, ASF, MPEG, FLV, Ogg, MXF, NUT or "
            "Y4M, and no playlist"
        )
    return UserError(
        f"{path}: cannot be read as a video: {complaint or 'it has no frames'}"
    )


def _moments(
    lines: Iterable[bytes], header: dict[str, str]
) -> Iterator[tuple[int, int]]:
    """The time of each frame, counted in frames, and how many bytes it has.

    `header` receives what comes before. See ffmpeg's framecrc format. A frame rate of
    25 is a time base of 1/25 there, to which times are rounded.
    """
    for line in lines:
        if line.startswith(b"#"):
            key, _, value = line[1:].decode(errors="replace").partition(" 0: ")
            header[key] = value.strip()
        else:
            _, _, time, _, size, *_ = line.split(b",")
            yield int(time), int(size)


def _size(header: dict[str, str]) -> tuple[int, int]:
    width, height = map(int, header["dimensions"].split("x"))
    return height, width


def _rate(header: dict[str, str]) -> fractions.Fraction:
    return 1 / fractions.Fraction(header["tb"])


def _pixel_aspect(header: dict[str, str]) -> fractions.Fraction | None:
    width, _, height = header.get("sar", "0/1").partition("/")
    return fractions.Fraction(int(width), int(height)) if int(width) else None


def _check_pixels(path: pathlib.Path, size: tuple[int, int], max_pixels: int) -> None:
    height, width = size
    if min(size) < 2 or height * width > max_pixels:
        raise UserError(
            f"{path}: has frames of {height}x{width} pixels (height x width): expected "
            f"at least 2x2, and {max_pixels} pixels at most"
        )


def _not_constant(
    path: pathlib.Path, header: dict[str, str], count: int, time: int
) -> str:
    rate = text(_rate(header))
    return (
        f"{path}: has no constant frame rate: of {rate} frames per second, frame "
        f"{count + 1} is shown when frame {time + 1} is due; `ffmpeg -i {path} "
        f"-r {rate} NEW` makes it constant"
    )


def _ffmpeg() -> str:
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise UserError(f"videos need ffmpeg: {error}") from error


def text(value: int | fractions.Fraction | tuple[int, int]) -> str:
    """A count, a size as height x width, or a frame rate, for a message."""
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    # A frame rate of 30000/1001 is known as 29.97.
    return str(value) if isinstance(value, int) else f"{float(value):.6g}"


class Encoder:
    """An ffmpeg that writes a video: H.264 of the frames' size, without sound.

    4:2:0 (yuv420p), which every player plays, or 4:4:4 (yuv444p) where the height or
    the width is odd, since half of such a side there is not.
    """

    def __init__(
        self,
        path: pathlib.Path,
        temporary: pathlib.Path,
        size: tuple[int, int],
        rate: fractions.Fraction,
        pixel_aspect: fractions.Fraction | None,
    ):
        """Starts it.

        Args:
          path: What an error calls the video.
          temporary: Where ffmpeg writes; its suffix says the container.
          size: (height, width) of the frames.
          rate: Frames per second.
          pixel_aspect: Width to height of a pixel, or None.
        """
        self._path = path
        self._temporary = temporary
        self._count = 0
        height, width = size
        filters = _SCALE
        if pixel_aspect:
            filters += f",setsar={pixel_aspect}"
        chroma = "yuv444p" if height % 2 or width % 2 else "yuv420p"
        arguments = [
            *("-v", "level+error", "-y"),
            *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}"),
            *("-r", str(rate), "-i", "-", "-vf", filters, "-pix_fmt", chroma),
            *("-c:v", "libx264", *_ENCODER_PARAMS, f"file:{temporary}"),
        ]
        # No buffer: what is left in one would be written once more, in vain, when
        # ffmpeg is gone.
        self._running = _start(
            arguments, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )

    def add(self, frame: np.ndarray) -> None:
        """Takes the next frame: uint8, [height, width] or [height, width, 3].

        Raises:
          UserError: ffmpeg does not run any more.
        """
        # Grey as RGB: exact, while ffmpeg's own way from grey to BT.709 is not.
        left = memoryview(np.ascontiguousarray(pixels.rgb(frame))).cast("B")
        try:
            while left:
                left = left[self._running.process.stdin.write(left) :]
        except OSError as error:
            raise self._cannot_write() from error
        self._count += 1

    def finish(self) -> None:
        """Waits until all frames are in the file.

        Raises:
          UserError: ffmpeg could not write them.
        """
        self._running.process.stdin.close()
        if self._running.process.wait():
            raise self._cannot_write()
        self._running.end()

    def kill(self) -> None:
        """Ends ffmpeg at once, whatever it has still to encode."""
        self._running.end()

    def _cannot_write(self) -> UserError:
        self._running.process.stdin.close()
        reason = f"ffmpeg was stopped after about {self._count} frames"
        if complaint := self._running.complaint():
            reason += f" ({complaint})"
        if shutil.disk_usage(self._temporary.parent).free < 2**20:
            reason = "No space left on device"
        return UserError(f"{self._path}: cannot be written: {reason}")
