"""Looks through a sequence once, for what has to be true of all of its frames.

That is which values become 0 and 255, whether the result has colour, and how the
sources are aligned.
"""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from densefuse_tf.errors import REGISTER_FIRST
from densefuse_tf.errors import UserError
from densefuse_tf.io import pixels
from densefuse_tf.io import temperatures
from densefuse_tf.io import video
from densefuse_tf.pipelines import aligning
from densefuse_tf.pipelines.footage import Footage
from densefuse_tf.pipelines.footage import ImageFiles
from densefuse_tf.pipelines.footage import Source
from densefuse_tf.pipelines.footage import first
from densefuse_tf.pipelines.footage import together
from densefuse_tf.pipelines.settings import RegistrationSettings

# A warning names so many frames.
_SHOWN = 3
# From one of the frames that are registered to the next: neighbours are too alike.
_STEP = 10


@dataclasses.dataclass
class _Seen:
    """Collects what the frames of one source have been like so far.

    Its value range is (min, max), "auto" or None, as the user gave it, and `flag` is
    what a warning calls that choice.
    """

    source: Source
    value_range: Any
    flag: str
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

    @property
    def is_given(self) -> bool:
        """Returns whether the user gave the lowest and the highest value."""
        return isinstance(self.value_range, tuple)

    @property
    def needs_all(self) -> bool:
        """Returns whether all frames have to be looked at."""
        if isinstance(self.source, ImageFiles) or self.value_range == "auto":
            return True
        return self.source.is_deep and not self.is_given

    @property
    def is_inside(self) -> bool:
        """Returns whether a frame lies within a range that is given."""
        return self.count > len(self.outside) or not self.is_given

    def add(self, frame: np.ndarray, index: int) -> None:
        """Looks at a frame."""
        name = self.source.name(index)
        if self.dtype is None:
            self.first, self.size, self.dtype = name, frame.shape[:2], frame.dtype
        if frame.shape[:2] != self.size:
            raise UserError(
                f"{self.first} is {video.text(self.size)} and {name} is "
                f"{video.text(frame.shape[:2])}: the frames of a sequence must have "
                "the same size"
            )
        if frame.dtype != self.dtype and not self.is_given:
            raise UserError(
                f"{self.first} has values of type {self.dtype} and {name} of "
                f"{frame.dtype}: expected one type, or to be told the value range"
            )
        self.count += 1
        if said := pixels.outside(frame, self.value_range):
            self.outside[name] = said
        if self.value_range == "auto" or not (self.is_given or frame.dtype == np.uint8):
            judged = pixels.judge(frame, "auto")
            self.judged.append(dataclasses.replace(judged, foreign=None))
        if not self.is_in_false_colors and pixels.is_color(frame):
            self.has_color = True
            self.is_in_false_colors = pixels.is_in_false_colors(frame)

    def decide(self) -> tuple[float, float] | None:
        """Returns the values that become 0 and 255; None where 8 bits stay."""
        if self.value_range is None and self.dtype in (None, np.uint8):
            return None
        if self.outside:
            name, said = next(iter(self.outside.items()))
            if len(self.outside) == self.source.count:
                raise UserError(
                    f"{name}: {said}, and so do all frames: expected a range of their "
                    f"values, as {self.flag}LOW,HIGH"
                )
            more = len(self.outside) - 1
            logging.warning("%s: %s%s", name, said, f", and {more} more" * (more > 0))
        low, high = self.value_range if self.is_given else self._found()
        logging.info(
            "%s: %g..%g brought to 0..255 in all frames", self.source.path, low, high
        )
        return low, high

    def _found(self) -> tuple[float, float]:
        """Finds the range of all temperatures; warns of what is left out of it."""
        judged, empty = temperatures.together(self.judged)
        left_out = []
        odd = [index for index, one in enumerate(self.judged) if one.found]
        if odd:
            what = f"{self.source.name(odd[0])}: {self.judged[odd[0]].found}"
            others = f", and pixels of {len(odd) - 1} other frames" * (len(odd) > 1)
            left_out.append(f"{what}{others}")
        if empty:
            names = ", ".join(self.source.name(index) for index in empty[:_SHOWN])
            left_out.append(f"empty frames, {names}{', ...' * (len(empty) > _SHOWN)}")
        path, low, high = self.source.path, judged.low, judged.high
        if left_out:
            logging.warning(pixels.LEFT_OUT, path, "; ".join(left_out), self.flag)
        if self.dtype != np.uint8 and judged.has_outliers:
            logging.warning(
                "%s: the extremes of its frames %g and %g, which become 0 and 255, are "
                "far from almost all values, so that the contrast is low: %s%g,%g "
                "leaves such dead or hot pixels out",
                *(path, low, high, self.flag, *(judged.inner or (low, high))),
            )
        # A sequence of one value becomes 0, as such an image does.
        return low, high if high > low else low + max(1.0, abs(low))


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
    flags = range_flags or [pixels.UNCHOSEN] * len(sources)
    seen = list(map(_Seen, sources, value_ranges, flags))
    to_the_end = any(one.needs_all for one in seen)
    if to_the_end or any(one.is_given for one in seen) or not _is_settled(color, seen):
        frames = together(source.frames() for source in sources)
        with contextlib.closing(frames):
            for index, moment in enumerate(
                progress(frames, sources[0].count, "looking through")
            ):
                for one, frame in zip(seen, moment, strict=True):
                    one.add(frame, index)
                if index == 0 and registration is None:
                    _check_sizes(seen)
                are_inside = all(one.is_inside for one in seen)
                if not to_the_end and are_inside and _is_settled(color, seen):
                    break
    if infrared and seen[0].is_in_false_colors:
        said = pixels.false_colors_warning(
            sources[0].path, color, looks_swapped=not seen[-1].has_color
        )
        logging.warning("%s", said)
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
        seen[0].size if seen[0].dtype is not None else first(sources, "size"),
        tuple(one.decide() for one in seen),
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
