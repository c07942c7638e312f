"""Fusing sequences: video files and numbered frames, with one brightness throughout.

What is decided image by image elsewhere is decided here once for the whole sequence:
the values that become 0 and 255 at the input, whether the result has colour, and the
range of the output. So nothing flickers.

ffmpeg decodes and encodes in processes of its own, which imageio-ffmpeg starts and
feeds. (imageio's own plugin on top of it passes no Fraction as frame rate and knows no
pixel formats of more than 8 bits but one.) A thread for each source reads ahead and
one writes behind while the calling thread fuses; how many frames are held at a time
does not depend on how many there are.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import fractions
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from absl import logging

from densefuse_tf import files
from densefuse_tf import images
from densefuse_tf.errors import UserError

# By their suffixes, files are taken for videos without being asked to, and the videos
# that can be written, as H.264.
INPUT_FORMATS = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".wmv", ".mpg", ".mpeg"),
    *(".ts", ".mts", ".m2ts", ".flv", ".ogv", ".3gp"),
)
OUTPUT_FORMATS = (".mp4", ".m4v", ".mov", ".mkv")
DEFAULT_RATE = fractions.Fraction(25)

# Frames of each source read ahead, and results waiting to be written, at most.
_AHEAD = 2
_BEHIND = 2

# A video may not have other files or addresses opened.
_INPUT_PARAMS = ["-protocol_whitelist", "file"]
# The first stream that is no cover picture, each frame once, whatever its time.
_STREAM_PARAMS = ["-map", "0:V:0", "-fps_mode", "passthrough"]
# A quality at which nobody tells the video from its frames, in the colours of today's
# screens, and said so: without the tags players guess the matrix from the height.
_ENCODER_PARAMS = [
    *("-crf", "14", "-color_range", "tv", "-colorspace", "bt709"),
    *("-color_primaries", "bt709", "-color_trc", "bt709"),
]
_SCALE = "scale=out_color_matrix=bt709:out_range=tv"

# Grey of more than 8 bits: sensor counts or temperatures, which are read as they are.
_DEEP_GRAY = re.compile(r"(gray(?:9|10|12|14|16|f32))(?:le|be)\b")

# Shows progress: items, how many there are or None, and what is done with them.
Progress = Callable[[Iterable, int | None, str], Iterable]


def _unseen(items: Iterable, total: int | None, what: str) -> Iterable:
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
            output_params=_STREAM_PARAMS,
        )
        read = 0
        try:
            with images.hush():
                next(reader)  # What the file says of itself is known.
            for data in itertools.islice(reader, self.count):
                frame = np.frombuffer(data, dtype).reshape(*self.size, *channels)
                if dtype.kind == "f":
                    images.check(frame, self.name(read))
                read += 1
                yield frame
        except (OSError, RuntimeError) as error:
            raise self._lost(read) from error
        finally:
            with images.hush():
                reader.close()
        if read < self.count:
            raise self._lost(read)

    def _lost(self, read: int) -> UserError:
        return UserError(
            f"{self.path}: only {read} of {self.count} frames could be read: the file "
            "has changed, or ffmpeg was stopped"
        )


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """The frames of a sequence as image files, in order."""

    paths: tuple[pathlib.Path, ...]
    max_pixels: int = images.MAX_PIXELS

    @property
    def path(self) -> pathlib.Path:
        return self.paths[0].parent

    @property
    def count(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """What an error calls the frame."""
        return str(self.paths[index])

    def frames(self) -> Iterator[np.ndarray]:
        """Yields all frames as `images.read` returns them."""
        for path in self.paths:
            yield images.read(path, max_pixels=self.max_pixels)


Source = VideoFile | ImageFiles


def is_video(path: str | os.PathLike) -> bool:
    """Whether the path of a source is named as a video file."""
    path = pathlib.Path(path)
    return path.suffix.lower() in INPUT_FORMATS and not path.is_dir()


def open_sources(
    sources: Sequence[str | os.PathLike],
    *,
    max_pixels: int = images.MAX_PIXELS,
    progress: Progress = _unseen,
) -> tuple[Source, ...]:
    """Opens the sources of one scene, and decodes each video once.

    Only that says how many frames there are, and whether all of them are whole.

    Args:
      sources: k >= 2 video files, or folders or glob patterns of images as
        `images.find` takes them; either may stand beside the other.
      max_pixels: The largest frame that is read.
      progress: Shows how far it is.

    Returns:
      The k sources, of one count, frame size and rate as far as these are known yet.

    Raises:
      UserError: The counts, sizes or rates differ; a file is no video, has no frames,
        is cut off or damaged, or has frames that are not equally far apart in time.
    """
    paths = [pathlib.Path(source) for source in sources]
    are_videos = [
        path.is_file() and path.suffix.lower() not in images.FORMATS for path in paths
    ]
    if not any(are_videos) or len(sources) < 2:
        pairs = images.pair(sources)
        return tuple(ImageFiles(each, max_pixels) for each in zip(*pairs, strict=True))
    opened = [
        _open_video(path, max_pixels, progress)
        if path_is_video
        else ImageFiles(tuple(images.find(source)), max_pixels)
        for source, path, path_is_video in zip(sources, paths, are_videos, strict=True)
    ]
    _check_alike(
        "frames", "one frame of each for every moment", sources, opened, "count"
    )
    videos = [source for source in opened if isinstance(source, VideoFile)]
    names = [source.path for source in videos]
    _check_alike(
        "height and width", "the same; register and crop them", names, videos, "size"
    )
    _check_alike("frames per second", "the same", names, videos, "rate")
    return tuple(opened)


def _check_alike(
    what: str, expected: str, names: Sequence, sources: Sequence[Source], attribute: str
) -> None:
    found = [getattr(source, attribute) for source in sources]
    if len(set(found)) > 1:
        each = ", ".join(
            f"{os.fspath(name)} has {_text(value)}"
            for name, value in zip(names, found, strict=True)
        )
        raise UserError(f"the sources differ in {what}: {each}; expected {expected}")


def _text(value: int | fractions.Fraction | tuple[int, int]) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    # A frame rate of 30000/1001 is known as 29.97.
    return str(value) if isinstance(value, int) else f"{float(value):.6g}"


def _open_video(path: pathlib.Path, max_pixels: int, progress: Progress) -> VideoFile:
    """Decodes a video to its end.

    imageio_ffmpeg.count_frames_and_secs would count the frames of a damaged file
    without a word, and does not tell when they are shown.
    """
    header: dict[str, str] = {}
    count = 0
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
                    elif time != start + count:
                        raise _not_constant(path, header, count, time - start)
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
            f"{path}: cut off or damaged after {count} frames or before: expected a "
            f"whole video ({detail}); what can be read of it, `ffmpeg -i` makes a new "
            "one of"
        )
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
        text = line.decode("ascii", errors="replace")
        if text.startswith("#"):
            key, _, value = text[1:].partition(" 0: ")
            header[key] = value.strip()
        else:
            yield int(text.split(",")[2])


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
        with images.hush():
            found = _DEEP_GRAY.match(next(reader)["pix_fmt"])
    except Exception as error:
        # Where ffmpeg's words are not those expected, the parser raises anything.
        raise UserError(f"{path}: ffmpeg does not say what it holds") from error
    finally:
        with images.hush():
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
) -> UserError:
    rate = _text(_rate(header))
    return UserError(
        f"{path}: has no constant frame rate: frame {count + 1} stands at the time of "
        f"frame {time + 1} at {rate} frames per second; expected a constant one, as "
        f"`ffmpeg -i {path} -r {rate}` makes it"
    )


def _ffmpeg() -> str:
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise UserError(f"videos need ffmpeg: {error}") from error


@dataclasses.dataclass(frozen=True)
class Footage:
    """Sources, and what holds for all of their frames.

    Attributes:
      sources: k sources with `count` frames each.
      size: (height, width) of every frame.
      value_ranges: For each source the values that become 0 and 255; None where 8 bits
        stay as they are.
      has_color: Whether the results do.
      in_gray: For each source whether its luma is all that is fused of it.
    """

    sources: tuple[Source, ...]
    size: tuple[int, int]
    value_ranges: tuple[tuple[float, float] | None, ...]
    has_color: bool
    in_gray: tuple[bool, ...]

    @property
    def count(self) -> int:
        return self.sources[0].count

    @property
    def rate(self) -> fractions.Fraction | None:
        """Frames per second; None where all sources are images."""
        return _first(self.sources, "rate")

    @property
    def pixel_aspect(self) -> fractions.Fraction | None:
        """Width to height of a pixel, as the last source that says so has it."""
        return _first(self.sources[::-1], "pixel_aspect")

    def names(self, index: int) -> tuple[str, ...]:
        """What an error calls the k frames."""
        return tuple(source.name(index) for source in self.sources)

    def frames(self) -> Iterator[tuple[np.ndarray, ...]]:
        """Yields the k frames of each moment in 0..255, as `Fuser.fuse` takes them.

        uint8 or float32, [height, width] or [height, width, 3].

        Raises:
          UserError: A frame cannot be read.
        """
        return _together(
            _prepared(source.frames(), value_range, in_gray)
            for source, value_range, in_gray in zip(
                self.sources, self.value_ranges, self.in_gray, strict=True
            )
        )


def _first(sources: Iterable[Source], attribute: str):
    found = (getattr(source, attribute, None) for source in sources)
    return next((value for value in found if value is not None), None)


def _prepared(
    frames: Iterator[np.ndarray],
    value_range: tuple[float, float] | None,
    in_gray: bool,
) -> Iterator[np.ndarray]:
    with contextlib.closing(frames):
        for frame in frames:
            if value_range is not None:
                frame = images.to_pixel_range(frame, value_range)[0]
            yield images.gray(frame) if in_gray else frame


def _together(
    iterators: Iterable[Iterator[np.ndarray]],
) -> Iterator[tuple[np.ndarray, ...]]:
    """Yields a tuple of one item of each; a thread for each goes ahead."""
    with contextlib.ExitStack() as stack:
        ahead = [
            stack.enter_context(contextlib.closing(_ahead(iterator)))
            for iterator in iterators
        ]
        yield from zip(*ahead, strict=True)


def _ahead(items: Iterator) -> Iterator:
    """Yields the items of a generator, which runs in a thread."""
    end = object()
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        waiting = collections.deque(
            thread.submit(next, items, end) for _ in range(_AHEAD)
        )
        try:
            while (item := waiting.popleft().result()) is not end:
                waiting.append(thread.submit(next, items, end))
                yield item
        finally:
            for future in waiting:
                future.cancel()
            thread.submit(items.close).result()


@dataclasses.dataclass
class _Seen:
    """What the frames of one source have been like so far."""

    first: str = ""
    size: tuple[int, int] | None = None
    dtype: np.dtype | None = None
    low: float = np.inf
    high: float = -np.inf
    has_color: bool = False

    def add(self, frame: np.ndarray, name: str, any_dtype: bool) -> None:
        if self.dtype is None:
            self.first, self.size, self.dtype = name, frame.shape[:2], frame.dtype
        if frame.shape[:2] != self.size:
            raise UserError(
                f"{self.first} is {_text(self.size)} and {name} is "
                f"{_text(frame.shape[:2])}: the frames of a sequence must have the "
                "same size"
            )
        if frame.dtype != self.dtype and not any_dtype:
            raise UserError(
                f"{self.first} has values of type {self.dtype} and {name} of "
                f"{frame.dtype}: expected one type, or to be told the value range"
            )
        self.low = min(self.low, float(frame.min()))
        self.high = max(self.high, float(frame.max()))
        self.has_color = self.has_color or images.is_color(frame)


def survey(
    sources: Sequence[Source],
    *,
    value_ranges: Sequence | None = None,
    color: str = "auto",
    progress: Progress = _unseen,
) -> Footage:
    """Looks the frames through for what has to hold for all of them.

    - Image files are all read, which shows their sizes and damage before the first is
      fused.
    - Values: where a range has to be found it is the sequence's minimum and maximum.
    - Colour: a source has colour if the channels of any of its frames differ anywhere.
      With "auto" the results have colour if any source has; with "luma" they have that
      of the last source that has any, also in frames where that one is grey.

    Frames of videos are looked at only until nothing more depends on them.

    Args:
      sources: From `open_sources`.
      value_ranges: For each source (min, max); "auto" for the extremes of its frames;
        None for "auto" where frames have more than 8 bits, while those of 8 stay as
        they are. By default None for each.
      color: As of `fusion.Fuser`.
      progress: Shows how far it is.

    Returns:
      The sources with what was found.

    Raises:
      UserError: Frames differ in size, or in type where no range is given; a frame
        cannot be read.
    """
    value_ranges = value_ranges or [None] * len(sources)
    seen = [_Seen() for _ in sources]
    is_given = [isinstance(value_range, tuple) for value_range in value_ranges]
    to_the_end = any(
        isinstance(source, ImageFiles)
        or value_range == "auto"
        or (source.is_deep and not given)
        for source, value_range, given in zip(
            sources, value_ranges, is_given, strict=True
        )
    )
    if to_the_end or not _is_settled(color, seen):
        frames = _together(source.frames() for source in sources)
        with contextlib.closing(frames):
            for index, moment in enumerate(
                progress(frames, sources[0].count, "looking through")
            ):
                for one, frame, source, given in zip(
                    seen, moment, sources, is_given, strict=True
                ):
                    one.add(frame, source.name(index), given)
                if index == 0:
                    _check_sizes(seen)
                if not to_the_end and _is_settled(color, seen):
                    break
    has_color = color == "rgb" or (color != "gray" and any(s.has_color for s in seen))
    # With "luma" only the source that gives the chroma needs to have any.
    last = max((i for i, one in enumerate(seen) if one.has_color), default=None)
    in_gray = tuple(
        not has_color or (color == "luma" and index != last)
        for index in range(len(sources))
    )
    return Footage(
        tuple(sources),
        seen[0].size or sources[0].size,
        tuple(
            _value_range(source, one, value_range)
            for source, one, value_range in zip(
                sources, seen, value_ranges, strict=True
            )
        ),
        has_color,
        in_gray,
    )


def _is_settled(color: str, seen: Sequence[_Seen]) -> bool:
    """Whether no frame can change any more what is fused in colour."""
    if color == "auto":
        return any(one.has_color for one in seen)
    return color != "luma" or seen[-1].has_color


def _check_sizes(seen: Sequence[_Seen]) -> None:
    for one in seen:
        if one.size != seen[0].size:
            raise UserError(
                f"{seen[0].first} is {_text(seen[0].size)} and {one.first} is "
                f"{_text(one.size)}: the frames of all sources must have the same "
                "size; register and crop them first"
            )


def _value_range(
    source: Source, seen: _Seen, value_range
) -> tuple[float, float] | None:
    if value_range is None and seen.dtype in (None, np.uint8):
        return None
    if not isinstance(value_range, tuple):
        value_range = (seen.low, seen.high)
        if seen.low == seen.high:
            # A sequence of one value becomes 0, as such an image does.
            value_range = (seen.low, seen.low + max(1.0, abs(seen.low)))
    logging.info(
        "%s: %g..%g brought to 0..255 in all frames", source.path, *value_range
    )
    return value_range


def fuse(
    fuser, footage: Footage, *, progress: Progress = _unseen
) -> Iterator[np.ndarray]:
    """Fuses a sequence with one output range.

    Args:
      fuser: A `fusion.Fuser` for as many sources and with the color that `survey` was
        given. If its output_range is "minmax", all frames are first fused for the
        extremes of the decoder's output over the sequence, which takes the time twice.
      footage: From `survey`.
      progress: Shows how far it is.

    Yields:
      The fused frames, uint8, all [height, width] or all [height, width, 3].

    Raises:
      UserError: A frame cannot be read.
    """
    output_range = fuser.output_range
    if output_range == "minmax":
        output_range = _extremes(fuser, footage, progress)
    with contextlib.closing(footage.frames()) as frames:
        for index, sources in enumerate(progress(frames, footage.count, "fusing")):
            image = fuser.fuse(
                sources, names=footage.names(index), output_range=output_range
            ).image
            # A frame without colour in a sequence that has some.
            yield _rgb(image) if footage.has_color else image


def _extremes(fuser, footage: Footage, progress: Progress) -> tuple[float, float]:
    """The least and the greatest value of the decoder's output in all frames."""
    low, high = np.inf, -np.inf
    with contextlib.closing(footage.frames()) as frames:
        for index, sources in enumerate(
            progress(frames, footage.count, "finding the range")
        ):
            raw = fuser.raw(sources, names=footage.names(index))
            low, high = min(low, raw.min()), max(high, raw.max())
    return float(low), float(high)


def _rgb(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image


def check_output(path: str | os.PathLike, sources: Sequence[Source]) -> None:
    """Refuses what `writing` cannot write, before the work.

    Raises:
      UserError: Neither a video's name nor that of a new folder; a video that would
        take the place of a source.
    """
    text, path = os.fspath(path), pathlib.Path(path)
    if not _is_folder(text):
        if path.suffix.lower() not in OUTPUT_FORMATS:
            raise UserError(
                f"{path}: cannot write a video named {path.suffix}: expected "
                f"{', '.join(OUTPUT_FORMATS)}, or the name of a folder for its frames"
            )
        real = os.path.realpath(path)
        if any(os.path.realpath(source.path) == real for source in sources):
            raise UserError(f"{path}: would overwrite a source: choose another name")
        return
    files.check_free(path)
    names = _frame_names(sources[-1])
    if len(set(names)) < len(names):
        twice = next(n for n, times in collections.Counter(names).items() if times > 1)
        raise UserError(
            f"{path / twice}: would be written twice: give the frames in "
            f"{sources[-1].path} different names"
        )


def _is_folder(path: str) -> bool:
    return path.endswith(("/", os.sep)) or not pathlib.Path(path).suffix


def _frame_names(source: Source) -> list[str]:
    """What the fused frames are called: after those of the last source."""
    if isinstance(source, ImageFiles):
        return [f"{path.stem}.png" for path in source.paths]
    return [f"{source.path.stem}_{index + 1:06}.png" for index in range(source.count)]


@contextlib.contextmanager
def writing(
    path: str | os.PathLike,
    footage: Footage,
    rate: fractions.Fraction = DEFAULT_RATE,
) -> Iterator[Callable[[np.ndarray], None]]:
    """Writes fused frames to a video, or to a folder, whole or not at all.

    A video is H.264 without sound, and of exactly the frames' size: 4:2:0 (yuv420p),
    which every player plays, or 4:4:4 (yuv444p) where the height or the width is odd,
    since half of those there is not. In a folder the frames are PNG files, named after
    those of the last source, or numbered after its video.

    Args:
      path: Ends in one of `OUTPUT_FORMATS`, else it is a folder, which must be new.
      footage: What is fused.
      rate: Frames per second if no source says how many.

    Yields:
      A function that takes the next frame, uint8 [height, width] or [height, width,
      3]. It may still be on its way when the function returns.

    Raises:
      UserError: The output cannot be written, or what ffmpeg has written does not hold
        all the frames.
    """
    if _is_folder(os.fspath(path)):
        with files.creating_folder(path) as folder:
            names = iter(_frame_names(footage.sources[-1]))

            def save(frame: np.ndarray) -> None:
                images.write(folder / next(names), frame)

            with _behind(save) as write:
                yield write
        return
    path = pathlib.Path(path)
    with files.replacing(path) as temporary:
        encoder = _Encoder(path, temporary, footage, footage.rate or rate)
        try:
            with _behind(encoder.add) as write:
                yield write
        finally:
            encoder.close()
        encoder.check()


class _Encoder:
    """An ffmpeg that writes `temporary`, for `path`."""

    def __init__(
        self,
        path: pathlib.Path,
        temporary: pathlib.Path,
        footage: Footage,
        rate: fractions.Fraction,
    ):
        import imageio_ffmpeg

        _ffmpeg()
        self._path = path
        self._temporary = temporary
        self._count = 0
        height, width = footage.size
        filters = _SCALE
        if footage.pixel_aspect:
            filters += f",setsar={footage.pixel_aspect}"
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
        try:
            # Grey as RGB: exact, while ffmpeg's own way from grey to BT.709 is not.
            self._frames.send(np.ascontiguousarray(_rgb(frame)))
        except (OSError, StopIteration) as error:
            raise self._cannot_write() from error
        self._count += 1

    def close(self) -> None:
        """Waits until ffmpeg has ended."""
        with images.hush():
            self._frames.close()

    def check(self) -> None:
        """Counts the frames in the file: its writer's end is not reported."""
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


@contextlib.contextmanager
def _behind(work: Callable[[np.ndarray], None]) -> Iterator[Callable]:
    """Yields `work` as a function that has it done in a thread, in order."""
    waiting: collections.deque = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(1) as thread:

        def submit(frame: np.ndarray) -> None:
            waiting.append(thread.submit(work, frame))
            if len(waiting) > _BEHIND:
                waiting.popleft().result()

        yield submit
        while waiting:
            waiting.popleft().result()
