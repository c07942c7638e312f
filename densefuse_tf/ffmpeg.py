"""Video files to frames and back: everything that ffmpeg does.

ffmpeg decodes and encodes in processes of its own, which imageio-ffmpeg starts and
feeds. imageio's plugin on top of that is not needed: what it adds is indexing.
"""

import dataclasses
import fractions
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from densefuse_tf import decoders
from densefuse_tf import pixels
from densefuse_tf.errors import UserError

# By their suffixes, files are taken for videos without being asked to, and the videos
# that can be written, as H.264.
INPUT_FORMATS = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".wmv", ".mpg", ".mpeg"),
    *(".ts", ".mts", ".m2ts", ".flv", ".ogv", ".3gp"),
)
OUTPUT_FORMATS = (".mp4", ".m4v", ".mov", ".mkv")

# A video may not have other files or addresses opened.
_INPUT_PARAMS = ["-protocol_whitelist", "file"]
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

# Grey of more than 8 bits: sensor counts or temperatures, which are read as they are.
_DEEP_GRAY = re.compile(r"(gray(?:9|10|12|14|16|f32))(?:le|be)\b")

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

        Raises:
          UserError: There are fewer than `count` any more.
        """
        import imageio_ffmpeg

        dtype, channels = np.dtype(np.uint8), (3,)
        if self.is_deep:
            is_float = self.pixel_format.startswith("grayf")
            dtype, channels = np.dtype("<f4" if is_float else "<u2"), ()
        reader = imageio_ffmpeg.read_frames(
            f"file:{self.path}",
            pix_fmt=self.pixel_format,
            bits_per_pixel=8 * dtype.itemsize * (3 if channels else 1),
            input_params=_INPUT_PARAMS,
            output_params=[*_STREAM_PARAMS, *_DECODER_PARAMS],
        )
        read = 0
        try:
            with decoders.hush():
                next(reader)  # What the file says of itself is known.
            for data in itertools.islice(reader, self.count):
                frame = np.frombuffer(data, dtype).reshape(*self.size, *channels)
                if dtype.kind == "f":
                    pixels.check(frame, self.name(read))
                read += 1
                yield frame
        except (OSError, RuntimeError) as error:
            raise self._lost(read) from error
        finally:
            with decoders.hush():
                reader.close()
        if read < self.count:
            raise self._lost(read)

    def _lost(self, read: int) -> UserError:
        return UserError(
            f"{self.path}: only {read} of {self.count} frames could be read: the file "
            "has changed, or ffmpeg was stopped"
        )


def is_video(path: str | os.PathLike) -> bool:
    """Whether the path of a source is named as a video file."""
    path = pathlib.Path(path)
    return path.suffix.lower() in INPUT_FORMATS and not path.is_dir()


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
    # imageio_ffmpeg.count_frames_and_secs would count the frames of a damaged file
    # without a word, and does not say when they are shown.
    header: dict[str, str] = {}
    count = 0
    gap = None
    # Errors go to a file: nobody has to read them while the frames are counted.
    with tempfile.TemporaryFile() as errors:
        command = [
            *(_ffmpeg(), "-nostdin", "-v", "error", "-xerror", *_INPUT_PARAMS),
            *("-i", f"file:{path}", *_STREAM_PARAMS, "-f", "framecrc", "-"),
        ]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        ) as process:
            try:
                times = _times(process.stdout, header)
                for time in progress(times, None, f"checking {path}"):
                    if count == 0:
                        start = time
                        _check_pixels(path, _size(header), max_pixels)
                    elif gap is None and time != start + count:
                        gap = UserError(
                            _not_constant(path, header, count, time - start)
                        )
                    count += 1
            except BaseException:
                process.kill()
                raise
        errors.seek(0)
        complaint = re.sub(rb"^(\[[^]]*\] )+", b"", errors.readline(1000))
    detail = " ".join(complaint.decode(errors="replace").split())
    if count == 0:
        raise UserError(
            f"{path}: cannot be read as a video: {detail or 'it has no frames'}"
        )
    if process.returncode or detail:
        raise UserError(
            f"{path}: cut off or damaged, {count} frames could be decoded: expected a "
            f"whole video ({detail}); `ffmpeg -i {path} NEW` keeps what can be read"
        )
    # Not before, for what is cut off may lack frames here and there as well.
    if gap is not None:
        raise gap
    return VideoFile(
        path,
        count,
        _size(header),
        _rate(header),
        _pixel_aspect(header),
        _pixel_format(path),
    )


def _times(lines: Iterable[bytes], header: dict[str, str]) -> Iterator[int]:
    """The time of each frame, counted in frames; `header` receives what comes before.

    See ffmpeg's framecrc format. A frame rate of 25 is a time base of 1/25 there, to
    which times are rounded.
    """
    for line in lines:
        if line.startswith(b"#"):
            key, _, value = line[1:].decode(errors="replace").partition(" 0: ")
            header[key] = value.strip()
        else:
            yield int(line.split(b",")[2])


def _size(header: dict[str, str]) -> tuple[int, int]:
    width, height = map(int, header["dimensions"].split("x"))
    return height, width


def _rate(header: dict[str, str]) -> fractions.Fraction:
    return 1 / fractions.Fraction(header["tb"])


def _pixel_aspect(header: dict[str, str]) -> fractions.Fraction | None:
    width, _, height = header.get("sar", "0/1").partition("/")
    return fractions.Fraction(int(width), int(height)) if int(width) else None


def _pixel_format(path: pathlib.Path) -> str:
    import imageio_ffmpeg

    reader = imageio_ffmpeg.read_frames(
        f"file:{path}", input_params=_INPUT_PARAMS, output_params=_STREAM_PARAMS
    )
    try:
        with decoders.hush():
            found = _DEEP_GRAY.match(next(reader)["pix_fmt"])
    except Exception as error:
        # Where ffmpeg's words are not those expected, the parser raises anything.
        raise UserError(f"{path}: ffmpeg does not say what it holds") from error
    finally:
        with decoders.hush():
            reader.close()
    return f"{found[1]}le" if found else "rgb24"


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
        import imageio_ffmpeg

        _ffmpeg()
        self._path = path
        self._temporary = temporary
        self._count = 0
        height, width = size
        filters = _SCALE
        if pixel_aspect:
            filters += f",setsar={pixel_aspect}"
        self._frames = imageio_ffmpeg.write_frames(
            f"file:{temporary}",
            (width, height),
            pix_fmt_in="rgb24",
            pix_fmt_out="yuv444p" if height % 2 or width % 2 else "yuv420p",
            fps=rate,
            quality=None,
            codec="libx264",
            macro_block_size=1,
            ffmpeg_log_level="quiet",
            output_params=[*_ENCODER_PARAMS, "-vf", filters],
        )
        self._frames.send(None)

    def add(self, frame: np.ndarray) -> None:
        """Takes the next frame: uint8, [height, width] or [height, width, 3].

        Raises:
          UserError: ffmpeg does not run any more.
        """
        try:
            # Grey as RGB: exact, while ffmpeg's own way from grey to BT.709 is not.
            self._frames.send(np.ascontiguousarray(pixels.rgb(frame)))
        except (OSError, StopIteration) as error:
            raise self._cannot_write() from error
        self._count += 1

    def close(self) -> None:
        """Waits until ffmpeg has ended."""
        with decoders.hush():
            self._frames.close()

    def check(self) -> None:
        """Counts the frames in the file, since how ffmpeg ended is not reported.

        Raises:
          UserError: They are not those that were added.
        """
        import imageio_ffmpeg

        try:
            written, _ = imageio_ffmpeg.count_frames_and_secs(f"file:{self._temporary}")
        except RuntimeError as error:
            raise self._cannot_write() from error
        if written != self._count:
            raise self._cannot_write()

    def _cannot_write(self) -> UserError:
        reason = f"ffmpeg was stopped after about {self._count} frames"
        if shutil.disk_usage(self._temporary.parent).free < 2**20:
            reason = "No space left on device"
        return UserError(f"{self._path}: cannot be written: {reason}")
