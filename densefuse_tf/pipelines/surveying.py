"""The frames of a sequence: video files or numbered images, looked through once.

What is decided for all frames is found here: which values become 0 and 255, whether
the result has colour, and how the sources are aligned. A thread for each source reads
ahead.
"""

import contextlib
import dataclasses
import fractions
import itertools
import os
import pathlib
from collections.abc import Generator, Iterable, Sequence

import numpy as np
from absl import logging

from densefuse_tf.errors import REGISTER_FIRST
from densefuse_tf.errors import UserError
from densefuse_tf.io import finding
from densefuse_tf.io import formats
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.io import temperatures
from densefuse_tf.io import video
from densefuse_tf.io.ordered_map import ordered_map
from densefuse_tf.pipelines import aligning
from densefuse_tf.pipelines.settings import RegistrationSettings

# The frames of each source that are read ahead.
_AHEAD = 2
# A warning names so many frames.
_SHOWN = 3
# From one of the frames that are registered to the next: neighbours are too alike.
_STEP = 10


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Holds the frames of a sequence as image files, in order."""

    paths: tuple[pathlib.Path, ...]
    max_pixels: int = images.MAX_PIXELS

    @property
    def path(self) -> pathlib.Path:
        return self.paths[0].parent

    @property
    def count(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """Returns the name of a frame for an error."""
        return str(self.paths[index])

    def frames(self) -> Generator[np.ndarray, None, None]:
        """Yields all frames as `images.read` returns them."""
        for path in self.paths:
            yield images.read(path, max_pixels=self.max_pixels, masked=True)


Source = video.VideoFile | ImageFiles


def open_sources(
    sources: Sequence[str | os.PathLike],
    *,
    max_pixels: int = images.MAX_PIXELS,
    any_sizes: bool = False,
    progress: video.Progress = video.unseen,
) -> tuple[Source, ...]:
    """Opens the sources of one scene, and decodes each video once.

    Only that says how many frames there are, and whether all of them are whole.

    Args:
      sources: k >= 2 video files, or folders or glob patterns of images as
        `finding.find` takes them; either may stand beside the other.
      max_pixels: The largest frame that is read.
      any_sizes: Whether the sizes of the sources may differ.
      progress: Shows how far it is.

    Returns:
      The k sources, of one count, frame size and rate as far as these are known yet.

    Raises:
      UserError: The counts, sizes or rates differ; all sources are one file; a file is
        no video, has no frames, is cut off or damaged, or has frames that are not
        equally far apart in time.
    """
    paths = [pathlib.Path(source) for source in sources]
    are_videos = [
        os.path.isfile(path) and path.suffix.lower() not in formats.READ
        for path in paths
    ]
    if not any(are_videos) or len(sources) < 2:
        pairs = finding.pair(sources)
        if not any_sizes:
            images.require_same_size(pairs[0])
        return tuple(ImageFiles(each, max_pixels) for each in zip(*pairs, strict=True))
    finding.refuse_one_file([tuple(paths)])
    opened = [
        video.open_video(path, max_pixels, progress)
        if path_is_video
        else ImageFiles(tuple(finding.find(source)), max_pixels)
        for source, path, path_is_video in zip(sources, paths, are_videos, strict=True)
    ]
    _check_alike(
        "frames", "one frame of each for every moment", sources, opened, "count"
    )
    videos = [source for source in opened if isinstance(source, video.VideoFile)]
    names = [source.path for source in videos]
    if not any_sizes:
        _check_alike(
            "height and width", f"the same; {REGISTER_FIRST}", names, videos, "size"
        )
    if not all(video.have_same_rate(each, videos[0]) for each in videos):
        _check_alike("frames per second", "the same", names, videos, "rate")
    return tuple(opened)


def _check_alike(
    what: str, expected: str, names: Sequence, sources: Sequence[Source], attribute: str
) -> None:
    found = [getattr(source, attribute) for source in sources]
    if len(set(found)) > 1:
        each = ", ".join(
            f"{os.fspath(name)} has {video.text(value)}"
            for name, value in zip(names, found, strict=True)
        )
        raise UserError(f"the sources differ in {what}: {each}; expected {expected}")


@dataclasses.dataclass(frozen=True)
class Footage:
    """Holds the sources and what is true of all of their frames.

    Attributes:
      sources: k sources with `count` frames each.
      size: (height, width) of every frame that is fused.
      value_ranges: For each source the values that become 0 and 255; None where 8 bits
        stay as they are.
      has_color: Whether the results do.
      in_gray: For each source whether its luma is all that is fused of it.
      aligner: Aligns the frames of each moment; None where they are as they are read.
      has_foreign: For each source whether pixels of its frames are no temperatures;
        by default of none.
    """

    sources: tuple[Source, ...]
    size: tuple[int, int]
    value_ranges: tuple[tuple[float, float] | None, ...]
    has_color: bool
    in_gray: tuple[bool, ...]
    aligner: aligning.Aligner | None = None
    has_foreign: tuple[bool, ...] = ()

    @property
    def count(self) -> int:
        return self.sources[0].count

    @property
    def rate(self) -> fractions.Fraction | None:
        """Frames per second; None where all sources are images."""
        return _first(self.sources, "rate")

    @property
    def pixel_aspect(self) -> fractions.Fraction | None:
        """Returns a pixel's width to height, from the last source that knows it.

        Aligned frames have the pixels of the source that stays as it is.
        """
        sources = self.sources[::-1]
        if self.aligner is not None:
            sources = self.aligner.settings.fixed_first(self.sources)[:1]
        return _first(sources, "pixel_aspect")

    def names(self, index: int) -> tuple[str, ...]:
        """Returns the names of the k frames of a moment for an error."""
        return tuple(source.name(index) for source in self.sources)

    def frames(self) -> Generator[tuple[np.ndarray, ...], None, None]:
        """Yields the k frames of each moment in 0..255, as a `ChannelFuser` takes them.

        uint8 or float32, [height, width] or [height, width, 3].

        Raises:
          UserError: A frame cannot be read.
        """
        frames = _together(
            _prepared(source.frames(), value_range, in_gray, has_foreign)
            for source, value_range, in_gray, has_foreign in zip(
                self.sources,
                self.value_ranges,
                self.in_gray,
                self.has_foreign or [False] * len(self.sources),
                strict=True,
            )
        )
        if self.aligner is None:
            return frames
        # The thread that fuses has enough to do.
        return _ahead(self._aligned(frames, self.aligner))

    def _aligned(
        self,
        frames: Generator[tuple[np.ndarray, ...], None, None],
        aligner: aligning.Aligner,
    ) -> Generator[tuple[np.ndarray, ...], None, None]:
        with contextlib.closing(frames):
            for index, sources in enumerate(frames):
                yield aligner.align(sources, self.names(index))[0]


def _first(sources: Iterable[Source], attribute: str):
    found = (getattr(source, attribute, None) for source in sources)
    return next((value for value in found if value is not None), None)


def _prepared(
    frames: Generator[np.ndarray, None, None],
    value_range: tuple[float, float] | None,
    in_gray: bool,
    has_foreign: bool,
) -> Generator[np.ndarray, None, None]:
    with contextlib.closing(frames):
        for frame in frames:
            if value_range is not None:
                judged = pixels.judge(frame, "auto" if has_foreign else value_range)
                low, high = value_range
                frame = pixels.scale(
                    frame, dataclasses.replace(judged, low=low, high=high)
                )
            yield pixels.gray(frame) if in_gray else frame


def _together(
    iterators: Iterable[Generator[np.ndarray, None, None]],
) -> Generator[tuple[np.ndarray, ...], None, None]:
    """Yields a tuple of one item of each; a thread for each goes ahead."""
    with contextlib.ExitStack() as stack:
        ahead = [
            stack.enter_context(contextlib.closing(_ahead(iterator)))
            for iterator in iterators
        ]
        yield from zip(*ahead, strict=True)


def _ahead(items: Generator) -> Generator:
    """Yields the items of a generator, which runs in a thread."""
    end = object()
    ahead = ordered_map(
        lambda _: next(items, end), itertools.repeat(None), workers=1, most=_AHEAD + 1
    )
    with contextlib.closing(items), contextlib.closing(ahead):
        yield from itertools.takewhile(lambda item: item is not end, ahead)


@dataclasses.dataclass
class _Seen:
    """Collects what the frames of one source have been like so far."""

    first: str = ""
    size: tuple[int, int] = (0, 0)
    dtype: np.dtype | None = None
    # How each frame was judged, without its pixels, where a range is to be found.
    judged: list[temperatures.Judged] = dataclasses.field(default_factory=list)
    has_color: bool = False
    is_in_false_colors: bool = False
    # What is said of frames outside of a range that is given, by their names.
    outside: dict[str, str] = dataclasses.field(default_factory=dict)
    count: int = 0

    def add(self, frame: np.ndarray, name: str, value_range) -> None:
        """Looks at a frame; its range of values is (min, max), "auto" or None."""
        any_dtype = isinstance(value_range, tuple)
        is_judged = value_range == "auto" or (
            value_range is None and frame.dtype != np.uint8
        )
        if self.dtype is None:
            self.first, self.size, self.dtype = name, frame.shape[:2], frame.dtype
        if frame.shape[:2] != self.size:
            raise UserError(
                f"{self.first} is {video.text(self.size)} and {name} is "
                f"{video.text(frame.shape[:2])}: the frames of a sequence must have "
                "the same size"
            )
        if frame.dtype != self.dtype and not any_dtype:
            raise UserError(
                f"{self.first} has values of type {self.dtype} and {name} of "
                f"{frame.dtype}: expected one type, or to be told the value range"
            )
        self.count += 1
        if said := pixels.outside(frame, value_range):
            self.outside[name] = said
        if is_judged:
            judged = pixels.judge(frame, "auto")
            self.judged.append(dataclasses.replace(judged, foreign=None))
        if not self.is_in_false_colors and pixels.is_color(frame):
            self.has_color = True
            self.is_in_false_colors = pixels.is_in_false_colors(frame)


def survey(
    sources: Sequence[Source],
    *,
    value_ranges: Sequence | None = None,
    range_flags: Sequence[str] | None = None,
    color: str = "auto",
    infrared: bool = False,
    registration: RegistrationSettings | None = None,
    progress: video.Progress = video.unseen,
) -> Footage:
    """Looks through the frames for what has to be true of all of them.

    - Image files are all read, which shows their sizes and damage before the first is
      fused.
    - Values: where a range has to be found it is that of all temperatures. Each frame
      is judged for itself, and empty ones are left out, see `temperatures.together`.
    - Colour: a source has colour if the channels of any of its frames differ anywhere.
      With "auto" the results have colour if any source has; with "luma" they have that
      of the last source that has any, also in frames where that one is grey.

    - With a registration, one transform for all frames: the median of those of some
      frames at the start.

    Frames of videos are looked at only until nothing more depends on them.

    Args:
      sources: From `open_sources`.
      value_ranges: For each source (min, max); "auto" for the extremes of its frames;
        None for "auto" where frames have more than 8 bits, while those of 8 stay as
        they are. By default None for each.
      range_flags: As in `FileOptions`, for a warning of extremes that are outliers.
      color: As in `FusionSettings`.
      infrared: As in `FileOptions`.
      registration: Says whether and how frames are aligned; the sizes of the sources
        may then differ.
      progress: Shows how far it is.

    Returns:
      The sources with what was found.

    Raises:
      UserError: Frames differ in size, or in type where no range is given; a frame
        cannot be read; a range is given by percentiles, which are those of an image;
        each frame is to be registered by itself; `aligning.prepare` raises it.
    """
    if registration is not None and not registration.is_on:
        registration = None
    if registration is not None and registration.register == "each":
        raise UserError(
            "register is 'each': expected once for a video, whose frames share one "
            "transform and one size"
        )
    value_ranges = value_ranges or [None] * len(sources)
    if any(isinstance(given, pixels.Percentiles) for given in value_ranges):
        raise UserError(
            "a value range is given by percentiles: expected two numbers or auto for "
            "a video, whose frames share one range"
        )
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

    def are_inside() -> bool:
        """Returns whether a frame of each source lies within a range that is given."""
        return all(
            one.count > len(one.outside) or not given
            for one, given in zip(seen, is_given, strict=True)
        )

    if to_the_end or any(is_given) or not _is_settled(color, seen):
        frames = _together(source.frames() for source in sources)
        with contextlib.closing(frames):
            for index, moment in enumerate(
                progress(frames, sources[0].count, "looking through")
            ):
                for one, frame, source, given in zip(
                    seen, moment, sources, value_ranges, strict=True
                ):
                    one.add(frame, source.name(index), given)
                if index == 0 and registration is None:
                    _check_sizes(seen)
                if not to_the_end and are_inside() and _is_settled(color, seen):
                    break
    if infrared and seen[0].is_in_false_colors:
        logging.warning("%s", pixels.false_colors(sources[0].path, color))
        if color == "luma":
            seen[0].has_color = False
    has_color = color in ("rgb", "thermal") or (
        color != "gray" and any(s.has_color for s in seen)
    )
    # With "luma" only the source that gives the chroma needs to have any.
    last = max((i for i, one in enumerate(seen) if one.has_color), default=None)
    in_gray = tuple(
        not has_color or color == "thermal" or (color == "luma" and index != last)
        for index in range(len(sources))
    )
    footage = Footage(
        tuple(sources),
        # Where no frame was looked at, all sources are videos.
        seen[0].size if seen[0].dtype is not None else _first(sources, "size"),
        tuple(
            _value_range(source, one, value_range, flag)
            for source, one, value_range, flag in zip(
                sources,
                seen,
                value_ranges,
                range_flags or ["the value range "] * len(sources),
                strict=True,
            )
        ),
        has_color,
        in_gray,
        has_foreign=tuple(any(each.found for each in one.judged) for one in seen),
    )
    return footage if registration is None else _aligned(footage, registration)


def _aligned(footage: Footage, settings: RegistrationSettings) -> Footage:
    """Finds the transform of all frames."""
    step = max(1, min(_STEP, footage.count // aligning.FIRST))
    with contextlib.closing(footage.frames()) as frames:
        scenes = (
            aligning.Scene(sources, footage.names(index))
            for index, sources in enumerate(frames)
            if index % step == 0
        )
        aligner = aligning.prepare(settings, scenes)
    return dataclasses.replace(
        footage, size=aligner.shape or footage.size, aligner=aligner
    )


def _is_settled(color: str, seen: Sequence[_Seen]) -> bool:
    """Returns whether further frames cannot change what is fused in colour."""
    if color == "auto":
        return any(one.has_color for one in seen)
    return color != "luma" or seen[-1].has_color


def _check_sizes(seen: Sequence[_Seen]) -> None:
    for one in seen:
        if one.size != seen[0].size:
            raise UserError(
                f"{seen[0].first} is {video.text(seen[0].size)} and {one.first} is "
                f"{video.text(one.size)}: the frames of all sources must have the "
                f"same size; {REGISTER_FIRST}"
            )


def _value_range(
    source: Source, seen: _Seen, value_range, flag: str
) -> tuple[float, float] | None:
    if value_range is None and seen.dtype in (None, np.uint8):
        return None
    if seen.outside:
        name, said = next(iter(seen.outside.items()))
        if len(seen.outside) == source.count:
            raise UserError(
                f"{name}: {said}, and so do all frames: expected a range of their "
                f"values, as {flag}LOW,HIGH"
            )
        more = len(seen.outside) - 1
        logging.warning("%s: %s%s", name, said, f", and {more} more" * (more > 0))
    if not isinstance(value_range, tuple):
        judged, empty = temperatures.together(seen.judged)
        left_out = []
        odd = [index for index, one in enumerate(seen.judged) if one.found]
        if odd:
            what = f"{source.name(odd[0])}: {seen.judged[odd[0]].found}"
            others = f", and pixels of {len(odd) - 1} other frames" * (len(odd) > 1)
            left_out.append(f"{what}{others}")
        if empty:
            names = ", ".join(source.name(index) for index in empty[:_SHOWN])
            left_out.append(f"empty frames, {names}{', ...' * (len(empty) > _SHOWN)}")
        if left_out:
            logging.warning(pixels.LEFT_OUT, source.path, "; ".join(left_out), flag)
        value_range = (judged.low, judged.high)
        if seen.dtype != np.uint8 and judged.has_outliers:
            logging.warning(
                "%s: the extremes of its frames %g and %g, which become 0 and 255, are "
                "far from almost all values, so that the contrast is low: %s%g,%g "
                "leaves such dead or hot pixels out",
                *(source.path, *value_range, flag, *(judged.inner or value_range)),
            )
        if judged.low == judged.high:
            # A sequence of one value becomes 0, as such an image does.
            value_range = (judged.low, judged.low + max(1.0, abs(judged.low)))
    logging.info(
        "%s: %g..%g brought to 0..255 in all frames", source.path, *value_range
    )
    return value_range
