"""Fuses image files, one pair or a folder full: reading and writing overlap computing.

Threads read the next source images and write the last results while the calling thread
fuses. How many images are held at a time does not depend on how many there are, and a
large pair is held alone.
"""

import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from absl import logging

from densefuse_tf.errors import UserError
from densefuse_tf.io import formats
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.io.ordered_map import ordered_map
from densefuse_tf.io.streamed import Made
from densefuse_tf.io.streamed import Streamed
from densefuse_tf.pipelines.settings import FileOptions
from densefuse_tf.pipelines.settings import RegistrationSettings

if TYPE_CHECKING:
    from densefuse_tf.pipelines.aligning import Aligner
    from densefuse_tf.pipelines.aligning import Scene
    from densefuse_tf.registration import Registration

# The pairs that are read ahead, and the results that are written behind, at most.
_AHEAD = 2
_BEHIND = 2
# The first pairs, whose headers are looked at before the work: in a second or two.
_SIZES_CHECKED = 1000
# The source pixels of either, at most. A pair that has more by itself is read when its
# turn comes, and written before the next one is read: computing it takes so long that
# nothing is lost, and it needs the memory.
_MAX_PIXELS_HELD = 40_000_000


@dataclasses.dataclass(frozen=True)
class Pair:
    """Names the sources of one scene, infrared first, and the file of the result."""

    sources: tuple[pathlib.Path, ...]
    output: pathlib.Path

    @property
    def raw_output(self) -> pathlib.Path:
        """Returns the file of the decoder's output: beside the image, .npy."""
        return self.output.with_suffix(".npy")


@dataclasses.dataclass(frozen=True)
class Result:
    """Says how the fusion of one pair ended.

    Attributes:
      pair: The pair.
      sources: The source images in 0..255, uint8 or float32, aligned if that was asked
        for; empty after an error, or if they were not asked for.
      image: The fused image, uint8; None where there are no sources.
      error: The reason why the pair could not be fused, or None.
      registration: How the sources were aligned; None where they were not.
      looks_misaligned: Whether two sources that were not aligned look as if they should
        have been, see `registration.looks_misaligned`.
    """

    pair: Pair
    sources: tuple[np.ndarray, ...] = ()
    image: np.ndarray | None = None
    error: UserError | None = None
    registration: "Registration | None" = None
    looks_misaligned: bool = False


def plan(
    sources: Sequence[tuple[pathlib.Path, ...]], output: str | os.PathLike
) -> Sequence[Pair]:
    """Names the file of each result.

    Args:
      sources: The source images of each scene, infrared first, as `images.pair`
        matches them.
      output: A file, for one pair; else a folder, where each result takes the name of
        the pair's last source, the visible image, as PNG.

    Returns:
      The pairs, with their outputs, which `outputs.check_pairs` has to check.

    Raises:
      UserError: A file is given for several pairs, or one that cannot be written.
    """
    folder = pathlib.Path(output)
    is_folder = folder.is_dir() or str(output).endswith(("/", os.sep))
    suffix = folder.suffix.lower()
    is_image = suffix in formats.NAMED
    if is_folder or not suffix or (len(sources) > 1 and not is_image):
        plain = sources.plain if isinstance(sources, Made) else sources
        return Made(_pair, Streamed(lambda: _with_outputs(plain, folder), len(sources)))
    if len(sources) > 1:
        raise UserError(
            f"{folder} is named as an image: expected a folder for {len(sources)} pairs"
        )
    if suffix not in formats.WRITTEN:
        raise UserError(
            f"{folder}: cannot write an image named {folder.suffix}: expected "
            f"{', '.join(formats.WRITTEN)}"
        )
    return [Pair(sources[0], folder)]


def _with_outputs(
    sources: Iterable[tuple[str | os.PathLike, ...]], folder: pathlib.Path
) -> Iterator[tuple[str, ...]]:
    # A path in the folder, as pathlib writes it, without its name.
    start = str(folder / "_")[:-1]
    for each in sources:
        paths = [os.fspath(path) for path in each]
        stem = os.path.splitext(paths[-1][paths[-1].rfind("/") + 1 :])[0]
        yield f"{start}{stem}.png", *paths


def _pair(texts: tuple[str, ...]) -> Pair:
    output, *sources = map(pathlib.Path, texts)
    return Pair(tuple(sources), output)


def texts(pairs: Sequence[Pair]) -> Sequence[tuple[str, ...]]:
    """Returns the paths of each pair, that of the result first.

    A million pairs that were planned take seconds so, and several times as long to be
    made.
    """
    if isinstance(pairs, Made):
        return pairs.plain
    return Streamed(
        lambda: ((str(pair.output), *map(str, pair.sources)) for pair in pairs),
        len(pairs),
    )


def without_result(pairs: Sequence[Pair], options: FileOptions) -> Sequence[Pair]:
    """Returns the pairs of which a file that `options` asks for is not there yet."""
    is_missing = np.fromiter(
        (
            not os.path.isfile(output)
            or (
                options.save_raw
                and not os.path.isfile(f"{os.path.splitext(output)[0]}.npy")
            )
            for output, *_ in texts(pairs)
        ),
        bool,
    )
    missing = Streamed(
        lambda: itertools.compress(texts(pairs), is_missing), int(is_missing.sum())
    )
    return Made(_pair, missing)


def prepare_aligner(
    pairs: Iterable[Pair], options: FileOptions, settings: RegistrationSettings
) -> "Aligner":
    """Finds out how the pairs of a run are aligned, before the first one is fused.

    Args:
      pairs: All pairs of the run, of which the first that can be read are.
      options: Says how they are read.
      settings: With a registration asked for.

    Raises:
      UserError: `aligning.prepare` raises it, or no pair can be read.
    """
    from densefuse_tf.pipelines import aligning

    def scenes() -> Iterator["Scene"]:
        error, read = None, False
        for pair in pairs:
            try:
                sources = _sources(pair, options)
            except UserError as caught:
                error = error or caught
            else:
                read = True
                yield sources, [str(path) for path in pair.sources]
        if error is not None and not read:
            raise error

    return aligning.prepare(settings, scenes())


def check_sizes(pairs: Sequence[Pair]) -> None:
    """Finds source images of unequal sizes by the headers of the files.

    Where all pairs are like that, they are refused; where some are, a warning names the
    first, and the others can be fused. Of very many pairs the first are looked at.

    Args:
      pairs: One pair or more.

    Raises:
      UserError: The sources of all pairs have unequal sizes.
    """
    looked_at = pairs[:_SIZES_CHECKED]
    errors = []
    for pair in looked_at:
        try:
            images.require_same_size(pair.sources)
        except UserError as error:
            errors.append(error)
    if errors and len(errors) == len(pairs):
        raise errors[0]
    if errors:
        logging.warning(
            "%d of %d pairs cannot be fused, the first of them: %s",
            len(errors),
            len(looked_at),
            errors[0],
        )


def fuse_pairs(
    fuser,
    pairs: Iterable[Pair],
    options: FileOptions,
    *,
    aligner: "Aligner | None" = None,
    with_images: bool = True,
    computing: contextlib.AbstractContextManager | None = None,
) -> Generator[Result, None, None]:
    """Fuses pairs of image files.

    Args:
      fuser: A `fuser.Fuser`.
      pairs: Any number of them.
      options: Says how they are read and written.
      aligner: Aligns the sources of each pair; without it they are fused as they are.
      with_images: Whether the results hold the images. Without them images are let go
        as soon as they are written.
      computing: Entered while `fuser` computes: a lock, where threads share it.

    Yields:
      The results in order, each when its files are written. A pair that fails has its
      error set and leaves no file; the others go on.
    """
    read = ordered_map(
        functools.partial(
            _read, options=options, aligner=aligner, is_checked=aligner is None
        ),
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
    written = ordered_map(
        functools.partial(_write, with_images=with_images),
        # The calling thread computes while `ordered_map` takes its items.
        map(compute, read),
        workers=_BEHIND,
        most=_BEHIND + 1,
        cost=_pixels,
        most_cost=_MAX_PIXELS_HELD,
    )
    with contextlib.closing(read), contextlib.closing(written):
        yield from written


@dataclasses.dataclass
class _Work:
    """Holds a pair on its way: `_read` sets the sources, `_compute` what is fused."""

    pair: Pair
    sources: tuple[np.ndarray, ...] = ()
    image: np.ndarray | None = None
    raw: np.ndarray | None = None
    error: UserError | None = None
    registration: "Registration | None" = None
    looks_misaligned: bool = False


def _pixels(work: _Work) -> int:
    """Counts the source pixels of a pair that is fused."""
    if work.image is None:
        return 0
    height, width = work.image.shape[:2]
    return height * width * len(work.pair.sources)


def _sources(pair: Pair, options: FileOptions) -> tuple[np.ndarray, ...]:
    """Reads the source images and brings them to 0..255."""
    sources = []
    count = len(pair.sources)
    ranges = options.ranges(count)
    flags = options.range_flags or ("the value range ",) * count
    for path, value_range, flag in zip(pair.sources, ranges, flags, strict=True):
        image = images.read(path, max_pixels=options.max_pixels)
        # 8-bit images stay as they are, unless a range is asked for.
        if image.dtype != np.uint8 or value_range is not None:
            is_auto = value_range is None or value_range == "auto"
            if is_auto and pixels.extremes_are_outliers(image):
                logging.warning(
                    "%s: its extremes %g and %g, which become 0 and 255, are far from "
                    "almost all of its values, so that the contrast is low: "
                    "%s1%%,99%% leaves such dead or hot pixels out",
                    *(path, image.min(), image.max(), flag),
                )
            image, (low, high) = pixels.to_pixel_range(image, value_range)
            logging.info("%s: %g..%g brought to 0..255", path, low, high)
        sources.append(image)
    return tuple(sources)


def _read(
    pair: Pair,
    options: FileOptions,
    aligner: "Aligner | None",
    is_checked: bool = False,
) -> _Work:
    """Reads the source images and aligns them, or checks whether they are aligned."""
    registration = None
    looks_misaligned = False
    try:
        sources = _sources(pair, options)
        if aligner is not None:
            sources, registration = aligner.align(
                sources, [str(path) for path in pair.sources]
            )
        if is_checked and _are_two_of_one_size(sources):
            from densefuse_tf.registration import misalignment

            looks_misaligned = misalignment.looks_misaligned(*sources)
    except UserError as error:
        return _Work(pair, error=error)
    return _Work(
        pair, sources, registration=registration, looks_misaligned=looks_misaligned
    )


def _are_two_of_one_size(sources: Sequence[np.ndarray]) -> bool:
    return len(sources) == 2 and sources[0].shape[:2] == sources[1].shape[:2]


def _compute(
    work: _Work,
    fuser,
    options: FileOptions,
    with_images: bool,
    computing: contextlib.AbstractContextManager,
) -> _Work:
    if work.error is None:
        names = [str(path) for path in work.pair.sources]
        try:
            with computing:
                fused = fuser.fuse(work.sources, names=names, are_scaled=True)
            work.image, work.raw = fused.image, fused.raw if options.save_raw else None
        except UserError as error:
            work.error = error
    if not with_images:
        work.sources = ()
    return work


def _write(work: _Work, with_images: bool) -> Result:
    if work.image is None:
        return Result(work.pair, error=work.error)
    try:
        # The image comes last: where it is, the pair is done.
        with images.writing(work.pair.output, work.image):
            if work.raw is not None:
                images.write_raw(work.pair.raw_output, work.raw)
    except UserError as error:
        return Result(work.pair, error=error)
    result = Result(
        work.pair,
        registration=work.registration,
        looks_misaligned=work.looks_misaligned,
    )
    if with_images:
        return dataclasses.replace(result, sources=work.sources, image=work.image)
    return result
