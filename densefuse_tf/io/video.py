"""Reads video files through ffmpeg, each once to its end before it is used.

imageio's own video plugins return the frames before a damage and say nothing of it:
here ffmpeg's exit status and messages are checked, and the number of frames is known.
"""

import array
import dataclasses
import fractions
import math
import os
import pathlib
import re
import shlex
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

import numpy as np
from absl import logging

from densefuse_tf.errors import UserError
from densefuse_tf.io import pixels
from densefuse_tf.io.ffmpeg import Ffmpeg

# A video opens no address. Its first stream that is no cover picture is read, each
# frame once, whatever its time.
_INPUT_PARAMS = ["-nostdin", "-xerror", "-protocol_whitelist", "file"]
_STREAM_PARAMS = ["-map", "0:V:0", "-fps_mode", "passthrough"]
# By default ffmpeg repeats each chroma sample for two by two pixels and rounds down,
# which is off by twice as much in the mean.
DECODER_PARAMS = ["-sws_flags", "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"]
# Grey of more than 8 bits holds sensor counts or temperatures, which are read as they
# are.
_DEEP_GRAY = re.compile("(gray(?:9|10|12|14|16|f32))[lb]e")
# Its line on a stream: the pixel format and what is known of colours and fields, and
# the frame rate to two digits.
_STREAM = re.compile(
    r"Output #0, .*? Stream #0:0\b.*?: Video: [^\n,]*, (\w+)(?:\(([^\n]*?)\))?, "
    r"[0-9]+x[0-9]+(?:[^\n]*?, ([0-9.]+k?) fps\b)?",
    re.S,
)
# AVI and MOV have no name for grey of 16 bits: ffmpeg refuses that of cameras, and
# takes its own for colours of 5 bits.
_RAW_Y16 = re.compile(
    r"Video: (?:none \(Y16 |rawvideo(?: \([^)\n]*\))?, rgb555[lb]e\b)[^\n]*?, "
    r"([0-9]+x[0-9]+)[^\n]*?, ([0-9.]+) fps\b"
)
# "top first", "bottom coded first (swapped)".
_FIELDS = "first"
_HDR = ("smpte2084", "arib-std-b67")
# A step between frames of more than so many usual ones is a gap, no jitter; a rate that
# a file gives is roughly that of its frames; 2997/100 stands for 30000/1001.
_LATE = 1.75
_ROUGHLY = 0.02
_ROUNDING = 1e-4
_MAX_DENOMINATOR = 100_000
# A single frame that has no rate gets this one.
_UNKNOWN = 25
# What a video keeps when ffmpeg writes it anew: all bits of each value.
_ANEW = "-c:v ffv1 NEW.mkv"

# Shows progress: items, how many there are or None, and what is done with them.
Progress = Callable[[Iterable, int | None, str], Iterable]


def unseen(items: Iterable, total: int | None, what: str) -> Iterable:
    """Shows no progress; the `Progress` of quiet callers."""
    del total, what
    return items


@dataclasses.dataclass(frozen=True)
class VideoFile:
    """A video file that ffmpeg has decoded to its end once.

    Attributes:
      path: The file.
      count: The exact number of frames.
      size: (height, width) in pixels, turned upright as its rotation tag says.
      rate: Frames per second.
      jitter: How far frames are apart from the times of this rate, in seconds.
      pixel_aspect: Width to height of a pixel; None if the file does not say.
      pixel_format: The format that ffmpeg is asked for: rgb24, or deep grey.
      is_untagged_hd: Whether its colours are those of BT.709, and it does not say so.
    """

    path: pathlib.Path
    count: int
    size: tuple[int, int]
    rate: fractions.Fraction
    jitter: float
    pixel_aspect: fractions.Fraction | None
    pixel_format: str
    is_untagged_hd: bool

    @property
    def paths(self) -> tuple[pathlib.Path, ...]:
        """Returns the files of the frames: this one."""
        return (self.path,)

    @property
    def is_deep(self) -> bool:
        """Whether the frames have more than 8 bits."""
        return self.pixel_format != "rgb24"

    def name(self, index: int) -> str:
        """Returns what an error calls the frame."""
        return f"{self.path}, frame {index + 1}"

    def frames(self) -> Generator[np.ndarray, None, None]:
        """Yields all frames: [height, width, 3] uint8, or [height, width] deep grey.

        Transparency is left out.

        Raises:
          UserError: There are fewer than `count` any more.
        """
        dtype, shape = layout(self.pixel_format, self.size)
        frame_bytes = math.prod(shape) * dtype.itemsize
        height, width = self.size
        output = [*DECODER_PARAMS, "-s", f"{width}x{height}"]
        if self.is_untagged_hd:
            output += ["-vf", "scale=in_color_matrix=bt709"]
        output += ["-pix_fmt", self.pixel_format, "-f", "rawvideo"]
        with _decoding(self.path, "error", output) as decoder:
            for index in range(self.count):
                data = decoder.output.read(frame_bytes)
                if len(data) < frame_bytes:
                    raise UserError(
                        f"{self.path}: only {index} of {self.count} frames could be "
                        "read: the file has changed, or ffmpeg was stopped"
                    )
                frame = np.frombuffer(data, dtype).reshape(shape)
                if dtype.kind == "f":
                    pixels.check(frame, self.name(index))
                yield frame


def layout(
    pixel_format: str, size: tuple[int, int]
) -> tuple[np.dtype, tuple[int, ...]]:
    """Returns the type and the shape of a frame that ffmpeg gives as raw video."""
    if pixel_format == "rgb24":
        return np.dtype("u1"), (*size, 3)
    is_float = pixel_format.startswith("grayf")
    deep = "<f4" if is_float else "<u2"
    return np.dtype("u1" if pixel_format == "gray" else deep), size


def open_video(path: pathlib.Path, max_pixels: int, progress: Progress) -> VideoFile:
    """Decodes a video to its end, which alone tells whether it is whole.

    Args:
      path: The file.
      max_pixels: The largest frame that is read.
      progress: Shows how far it is.

    Raises:
      UserError: It is no video, has no frames, is cut off or damaged, or its frames are
        not equally far apart in time.
    """

    def unreadable(reason: str) -> UserError:
        return UserError(f"{path}: cannot be read as a video: {reason}")

    # ffmpeg would wait for the other end of a named pipe.
    if not os.path.isfile(path):
        raise unreadable("expected a regular file")
    header: dict[str, str] = {}
    times = array.array("q")
    # Without autoscale frames of another size are told by their bytes.
    as_stored = ["-enc_time_base", "demux", "-noautoscale", "-f", "framecrc"]
    with _decoding(path, "info", as_stored) as decoder:
        moments = _moments(decoder.output, header)
        for time, frame_bytes in progress(moments, None, f"checking {path}"):
            if not times:
                first_bytes = frame_bytes
                width, height = map(int, header["dimensions"].split("x"))
                if min(height, width) < 2 or height * width > max_pixels:
                    raise UserError(
                        f"{path}: has frames of {height}x{width} pixels (height x "
                        f"width): expected at least 2x2, and {max_pixels} pixels at "
                        "most"
                    )
            elif frame_bytes != first_bytes:
                raise UserError(
                    f"{path}: frame {len(times) + 1} has another size than those "
                    "before: the frames of a sequence must have the same size"
                )
            times.append(time)
        complaint = decoder.complaint()
        said = decoder.said()
    source = shlex.quote(f"file:{path}")
    if raw := _RAW_Y16.search(said):
        raise UserError(
            f"{path}: is a raw Y16 {path.suffix[1:].upper()}, which ffmpeg cannot read "
            f"as grey of 16 bits: `ffmpeg -i {source} -c copy -f rawvideo - | ffmpeg "
            f"-f rawvideo -pix_fmt gray16le -s {raw[1]} -r {raw[2]} -i - {_ANEW}` "
            "makes a video that is read"
        )
    if not times:
        raise unreadable(complaint or "it has no frames")
    if complaint:
        raise UserError(
            f"{path}: cut off or damaged, {len(times)} frames could be decoded: "
            f"expected a whole video ({complaint}); {rewriting(path)} keeps what can "
            "be read"
        )
    about_stream = _STREAM.search(said)
    stored, about, fps = about_stream.groups("") if about_stream else ("", "", "")
    tick = fractions.Fraction(header["tb"])
    rate, jitter, gap = _rate(np.array(times), tick, _nominal(fps))
    # A file that is cut off may lack frames here and there as well.
    if gap is not None:
        frame, due = gap
        raise UserError(
            f"{path}: has no constant frame rate: of {text(rate)} frames per second, "
            f"frame {frame} is shown when frame {due} is due; "
            f"{rewriting(path, '-r', text(rate))} makes it constant"
        )
    matrix, transfer = _colors(about)
    if transfer in _HDR:
        logging.warning(
            "%s: is HDR (%s), whose values are fused as they are; make it SDR first if "
            "the result is too flat or too dark",
            *(path, transfer),
        )
    if _FIELDS in about:
        logging.warning(
            "%s: is interlaced: each frame has the lines of two moments, which are "
            "fused as they are; %s joins them",
            *(path, rewriting(path, "-vf", "bwdif=send_frame")),
        )
    deep = _DEEP_GRAY.fullmatch(stored)
    return VideoFile(
        path,
        len(times),
        (height, width),
        rate,
        jitter,
        (fractions.Fraction(header["sar"]) if "sar" in header else None) or None,
        f"{deep[1]}le" if deep else "rgb24",
        # As players take it.
        stored.startswith(("yuv", "nv", "p0"))
        and matrix == "unknown"
        and (width >= 1280 or height > 576),
    )


def _colors(about: str) -> tuple[str, str]:
    """Returns the matrix and the transfer function, or "unknown", of ffmpeg's line."""
    known = [
        word
        for word in about.split(", ")
        if word not in ("", "tv", "pc", "progressive") and _FIELDS not in word
    ]
    # matrix/primaries/transfer, or one word where they are the same.
    words = (known or ["unknown"])[0].split("/")
    return words[0], words[-1]


def _nominal(fps: str) -> fractions.Fraction:
    """Returns the rate that ffmpeg writes with two digits: 29.97 is 30000/1001."""
    rate = fractions.Fraction(fps.replace("k", "000") or _UNKNOWN)
    ntsc = fractions.Fraction(round(rate * 1001 / 1000) * 1000, 1001)
    return ntsc if round(float(ntsc), 2) == float(rate) else rate


def _rate(
    times: np.ndarray, tick: fractions.Fraction, nominal: fractions.Fraction
) -> tuple[fractions.Fraction, float, tuple[int, int] | None]:
    """Finds the frame rate, and whether it is constant but for a jitter.

    Args:
      times: When each frame is shown, in ticks.
      tick: In seconds.
      nominal: The rate that the file gives.

    Returns:
      (count - 1) / (last - first), or the nominal rate where times are only rounded;
      the jitter in seconds; the first frame that is not shown when it is due, and which
      one is, from 1, or None.
    """
    steps = np.diff(times)
    if not len(steps) or times[-1] <= times[0]:
        return nominal, 0.0, None
    usual = max(1.0, float(np.median(steps)))
    mean = float(times[-1] - times[0]) / len(steps)
    (late,) = np.nonzero(steps > _LATE * usual)
    ahead = times - times[0] - mean * np.arange(len(times))
    jitter = np.ptp(ahead)
    if len(late) or jitter >= mean:
        frame = int(late[0] + 1 if len(late) else np.abs(ahead).argmax())
        usual_rate = 1 / (fractions.Fraction(usual) * tick)
        if abs(nominal / usual_rate - 1) > _ROUGHLY:
            nominal = fractions.Fraction(f"{float(usual_rate):.2f}")
        shift = steps[frame - 1] / usual - 1 if len(late) else ahead[frame] / mean
        return nominal, 0.0, (frame + 1, frame + 1 + (round(shift) or 1))
    duration = int(times[-1] - times[0]) * tick
    error = tick if mean > 2 else tick * fractions.Fraction(mean) / 20
    rate = fractions.Fraction(len(steps)) / duration
    for rounded in (nominal, fractions.Fraction(f"{float(rate):.2f}")):
        if rounded and abs(len(steps) / rounded - duration) <= error:
            return rounded, float(jitter * tick), None
    rate = rate.limit_denominator(_MAX_DENOMINATOR)
    return rate, float(jitter * tick), None


def rewriting(path: str | os.PathLike, *options: str) -> str:
    """Returns ffmpeg's command for a message that writes a video anew, in backticks."""
    words = " ".join(("", *options))
    return f"`ffmpeg -i {shlex.quote(f'file:{path}')}{words} {_ANEW}`"


def have_same_rate(one: VideoFile, other: VideoFile) -> bool:
    """Returns whether their rates are the same but for a rounding, or their jitter."""
    drift = abs(1 / one.rate - 1 / other.rate)
    jitter = one.jitter + other.jitter
    return drift * one.count <= jitter or drift * one.rate < _ROUNDING


def _moments(
    lines: Iterable[bytes], header: dict[str, str]
) -> Iterator[tuple[int, int]]:
    """Yields the time of each frame, in ticks, and how many bytes it has.

    `header` receives what comes before; see ffmpeg's framecrc format.
    """
    for line in lines:
        if line.startswith(b"#"):
            key, _, value = line[1:].decode(errors="replace").partition(" 0: ")
            header[key] = value.strip()
        else:
            _, _, time, _, size, *_ = line.split(b",")
            yield int(time), int(size)


def _decoding(path: pathlib.Path, level: str, output: Sequence[str]) -> Ffmpeg:
    """Starts an ffmpeg that decodes a file to its standard output."""
    arguments = [*_INPUT_PARAMS, "-i", f"file:{path}", *_STREAM_PARAMS, *output, "-"]
    return Ffmpeg(level, arguments)


def text(value: int | fractions.Fraction | tuple[int, int]) -> str:
    """Writes a count, a size as height x width, or a frame rate for a message."""
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    # A frame rate of 30000/1001 is known as 29.97.
    return str(value) if isinstance(value, int) else f"{float(value):.6g}"
