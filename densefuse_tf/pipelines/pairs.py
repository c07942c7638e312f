"""Fuses image files, one pair or a folder full: reading and writing overlap computing.

Threads read the next source images and write the last results while the calling thread
fuses. How many images are held at a time does not depend on how many there are, and a
large pair is held alone.
"""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.io import radiometric
from densefuse_tf.io.ordered_map import ordered_map
from densefuse_tf.pipelines import aligning
from densefuse_tf.pipelines import reading
from densefuse_tf.pipelines.aligning import Aligner
from densefuse_tf.pipelines.planning import Pair
from densefuse_tf.pipelines.settings import FileOptions
from densefuse_tf.pipelines.settings import RegistrationSettings
from densefuse_tf.registration.misalignment import looks_misaligned

if TYPE_CHECKING:
    from densefuse_tf.registration import Registration

# The pairs of which one has to have values within a range that was given, at most.
_RANGES_CHECKED = 100
# The pairs that are read ahead, and the results that are written behind, at most.
_AHEAD = 2
_BEHIND = 2
# The source pixels of either, at most. A pair that has more by itself is read when its
# turn comes, and written before the next one is read: computing it takes so long that
# nothing is lost, and it needs the memory.
_MAX_PIXELS_HELD = 40_000_000


@dataclasses.dataclass
class Outcome:
    """Holds a pair on its way, and says how its fusion ended.

    Attributes:
      pair: The pair.
      sources: The source images in 0..255, uint8 or float32, aligned if that was asked
        for; empty after an error, or if they were not asked for.
      image: The fused image, uint8; None where there are no sources.
      raw: The decoder's output, until it is written.
      error: The reason why the pair could not be fused, or None.
      registration: How the sources were aligned; None where they were not.
      looks_misaligned: Whether two sources that were not aligned look as if they should
        have been, see `registration.looks_misaligned`.
      is_in_false_colors: Whether the infrared image has a palette's colours.
      looks_swapped: Whether it has, and the visible image has no colour.
      values: The infrared values that became 0 and 255.
      lacks_reader: Whether a package is missing that reads the infrared temperatures.
    """

    pair: Pair
    sources: tuple[np.ndarray, ...] = ()
    image: np.ndarray | None = None
    raw: np.ndarray | None = None
    error: UserError | None = None
    registration: "Registration | None" = None
    looks_misaligned: bool = False
    is_in_false_colors: bool = False
    looks_swapped: bool = False
    values: reading.Values = reading.AS_THEY_ARE
    lacks_reader: bool = False

    @property
    def reason(self) -> str:
        """Returns the error in one line."""
        return " ".join(str(self.error).split())

    def warning(self, color: str) -> str:
        """Says that the infrared image shows no temperatures; "" where it may.

        Args:
          color: As in `FusionSettings`.
        """
        path = self.pair.sources[0]
        if self.lacks_reader:
            return radiometric.LACKS_READER % path
        if not self.is_in_false_colors:
            return ""
        return pixels.false_colors_warning(
            path, color, looks_swapped=self.looks_swapped
        )


def prepare_aligner(
    pairs: Iterable[Pair], options: FileOptions, settings: RegistrationSettings
) -> Aligner:
    """Finds out how the pairs of a run are aligned, before the first one is fused.

    Args:
      pairs: All pairs of the run, of which the first that can be read are.
      options: Says how they are read.
      settings: With a registration asked for.

    Raises:
      UserError: `aligning.prepare` raises it, or no pair can be read.
    """

    def scenes() -> Iterator[aligning.Scene]:
        error, read = None, False
        for pair in pairs:
            try:
                # What is said of a pair is said when it is fused.
                found = reading.read(pair.sources, options, tell=False)
            except UserError as caught:
                error = error or caught
            else:
                read = True
                yield aligning.Scene(found.sources, found.names, found.guess)
        if error is not None and not read:
            raise error

    return aligning.prepare(settings, scenes())


def check_ranges(pairs: Iterable[Pair], options: FileOptions) -> None:
    """Refuses a range of values outside of which every image of a source lies.

    Args:
      pairs: All pairs of a run, of which some are read: the first one as a rule.
      options: Says how they are read.
    """
    ranges = list(enumerate(options.value_ranges or ()))
    for index, value_range in ranges:
        said = ""
        for pair in itertools.islice(pairs, _RANGES_CHECKED):
            path = pair.sources[index]
            if not isinstance(value_range, tuple):
                break
            try:
                image = reading.stored(pair.sources, options).sources[index]
            except UserError:
                continue
            outside = pixels.outside(image, value_range)
            if not outside:
                said = ""
                break
            said = said or f"{path}: {outside}"
        if said:
            flag = (options.range_flags or ())[index : index + 1]
            raise UserError(
                f"{said}, and so do all of this source: expected a range of its values"
                + "".join(f", as {name}LOW,HIGH" for name in flag)
            )


def fuse_pairs(
    fuser,
    pairs: Iterable[Pair],
    options: FileOptions,
    *,
    aligner: Aligner | None = None,
    with_images: bool = True,
    computing: contextlib.AbstractContextManager | None = None,
) -> Generator[Outcome, None, None]:
    """Fuses pairs of image files.

    Args:
      fuser: A `channels.ChannelFuser`.
      pairs: Any number of them.
      options: Says how they are read and written.
      aligner: Aligns the sources of each pair; without it they are fused as they are.
      with_images: Whether the outcomes hold the images. Without them images are let go
        as soon as they are written.
      computing: Entered while `fuser` computes: a lock, where threads share it.

    Yields:
      How each pair ended, in order, when its files are written. A pair that fails has
      its error set and leaves no file; the others go on.
    """
    read = ordered_map(
        functools.partial(_read, options=options, aligner=aligner),
        pairs,
        workers=_AHEAD,
        most=_AHEAD,
        cost=lambda pair: sum(map(images.pixel_count, pair.sources)),
        most_cost=_MAX_PIXELS_HELD,
    )
    compute = functools.partial(
        _compute,
        fuser=fuser,
        options=options,
        with_images=with_images,
        computing=computing or contextlib.nullcontext(),
    )
    palette = fuser.palette if options.scale else None
    written = ordered_map(
        functools.partial(
            _write,
            with_images=with_images,
            palette=palette,
            overwrite=options.overwrite,
        ),
        # The calling thread computes while `ordered_map` takes its items.
        map(compute, read),
        workers=_BEHIND,
        most=_BEHIND + 1,
        cost=_pixels,
        most_cost=_MAX_PIXELS_HELD,
    )
    with contextlib.closing(read), contextlib.closing(written):
        yield from written


def _pixels(outcome: Outcome) -> int:
    """Counts the source pixels of a pair that is fused."""
    if outcome.image is None:
        return 0
    height, width = outcome.image.shape[:2]
    return height * width * len(outcome.pair.sources)


def _read(pair: Pair, options: FileOptions, aligner: Aligner | None) -> Outcome:
    """Reads the source images and aligns them, or looks whether they are aligned."""
    outcome = Outcome(pair)
    try:
        read = reading.read(pair.sources, options)
        sources, outcome.values = read.sources, read.values
        outcome.lacks_reader = read.lacks_reader
        outcome.is_in_false_colors = options.infrared and pixels.is_in_false_colors(
            sources[0]
        )
        outcome.looks_swapped = outcome.is_in_false_colors and not pixels.is_color(
            sources[-1]
        )
        if aligner is not None:
            sources, outcome.registration = aligner.align(
                sources, read.names, read.guess
            )
        elif len(sources) == 2 and sources[0].shape[:2] == sources[1].shape[:2]:
            outcome.looks_misaligned = looks_misaligned(*sources)
        outcome.sources = sources
    except UserError as error:
        outcome.error = error
    return outcome


def _compute(
    outcome: Outcome,
    fuser,
    options: FileOptions,
    with_images: bool,
    computing: contextlib.AbstractContextManager,
) -> Outcome:
    if outcome.error is None:
        names = [str(path) for path in outcome.pair.sources]
        sources = outcome.sources
        if outcome.is_in_false_colors and fuser.color == "luma":
            # Its colours are a palette's, and never those of the result.
            sources = (pixels.gray(sources[0]), *sources[1:])
        try:
            with computing:
                fused = fuser.fuse(sources, names=names, are_scaled=True)
            outcome.image = fused.image
            outcome.raw = fused.raw if options.save_raw else None
        except UserError as error:
            outcome.error = error
    if not with_images:
        outcome.sources = ()
    return outcome


def _write(
    outcome: Outcome, with_images: bool, palette: str | None, overwrite: bool
) -> Outcome:
    """Writes a result, with the scale of a palette beside it if one is given."""
    output, raw_output = outcome.pair.output, outcome.pair.raw_output
    image = outcome.image
    if image is not None:
        if palette is not None:
            from densefuse_tf.io import panels

            low, high, are_celsius = outcome.values
            image = panels.with_scale(image, palette, low, high, "°C" * are_celsius)
        try:
            # The image comes last: where it is, the pair is done.
            with images.writing(output, image, overwrite=overwrite):
                if outcome.raw is not None:
                    images.write_raw(raw_output, outcome.raw, overwrite=overwrite)
        except UserError as error:
            outcome.error = error
    outcome.raw = None
    if outcome.error is not None or not with_images:
        outcome.sources, outcome.image = (), None
    return outcome
