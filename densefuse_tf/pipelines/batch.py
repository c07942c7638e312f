"""Fusing image files, one pair or a folder full: reading and writing overlap computing.

A few threads read the next source images and write the last results while the calling
thread fuses; how many images are held at a time does not depend on how many there are,
and of large ones only those in work are.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from absl import logging

from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.io import images
from densefuse_tf.io import pixels

# Sets of source images read ahead, and results being written, at most.
_AHEAD = 2
_BEHIND = 2
# The source pixels of either, at most: a set that has more by itself is read when its
# turn comes, and written before the next one is read. Computing it takes so long that
# this is no loss, and the memory is needed for that.
_PIXELS = 40_000_000


@dataclasses.dataclass(frozen=True)
class Job:
    """The source images of one scene, and where the fused image goes."""

    sources: tuple[pathlib.Path, ...]
    output: pathlib.Path

    @property
    def raw_output(self) -> pathlib.Path:
        """Where the decoder's output goes if it is saved: beside the image, .npy."""
        return self.output.with_suffix(".npy")


@dataclasses.dataclass(frozen=True)
class Done:
    """A finished job.

    Attributes:
      job: The job.
      sources: The source images in 0..255, uint8 or float32; empty after an error, or
        if they were not asked for.
      image: The fused image, uint8; None where there are no sources.
      error: What went wrong, or None.
    """

    job: Job
    sources: tuple[np.ndarray, ...] = ()
    image: np.ndarray | None = None
    error: UserError | None = None


def plan(
    pairs: Sequence[tuple[pathlib.Path, ...]], output: str | os.PathLike
) -> list[Job]:
    """Gives each pair the file its result goes to.

    Args:
      pairs: The source images of each scene, infrared first, as `images.pair` matches
        them.
      output: A file, for one pair; else a folder, where each result takes the name of
        the pair's last source, the visible image, as PNG.

    Returns:
      One job for each pair.

    Raises:
      UserError: A file is given for several pairs; two results would have the same
        name; a result would overwrite a source image.
    """
    folder = pathlib.Path(output)
    is_folder = folder.is_dir() or str(output).endswith(("/", os.sep))
    is_image = folder.suffix.lower() in images.FORMATS
    if is_folder or not folder.suffix or (len(pairs) > 1 and not is_image):
        jobs = [Job(pair, folder / f"{pair[-1].stem}.png") for pair in pairs]
    elif len(pairs) > 1:
        raise UserError(
            f"{folder} is named as an image: expected a folder for {len(pairs)} pairs"
        )
    elif not is_image:
        raise UserError(
            f"{folder}: cannot write an image named {folder.suffix}: expected "
            f"{', '.join(images.FORMATS)}"
        )
    else:
        jobs = [Job(pairs[0], folder)]
    check_outputs(jobs)
    return jobs


def check_outputs(jobs: Sequence[Job], others: Iterable[pathlib.Path] = ()) -> None:
    """Refuses outputs that would overwrite a source image or one another.

    Args:
      jobs: All jobs of a run.
      others: More files that the run will write.

    Raises:
      UserError: Names the two.
    """
    sources = {os.path.realpath(path) for job in jobs for path in job.sources}
    origins: dict[str, str] = {}
    outputs = [(job.output, str(job.sources[-1])) for job in jobs]
    outputs += [(path, "another output") for path in others]
    for path, origin in outputs:
        real = os.path.realpath(path)
        if real in sources:
            raise UserError(f"{path}: would overwrite a source image: choose another")
        if real in origins:
            raise UserError(
                f"{path}: would be written twice, for {origins[real]} and {origin}: "
                "give them different names"
            )
        origins[real] = origin


def check_writable(folder: pathlib.Path) -> None:
    """Makes the folder if need be and checks that files can be made in it.

    Raises:
      UserError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise files.cannot_write(folder, error) from error


def fuse_files(
    fuser,
    jobs: Iterable[Job],
    *,
    value_ranges: Sequence | None = None,
    save_raw: bool = False,
    max_pixels: int = images.MAX_PIXELS,
    with_images: bool = True,
) -> Iterator[Done]:
    """Fuses the images of many files.

    Args:
      fuser: A `fuser.Fuser`.
      jobs: What to fuse, of any length.
      value_ranges: For each source, what `pixels.to_pixel_range` takes as value range;
        by default None for each.
      save_raw: Whether the decoder's output is written as well, to `Job.raw_output`.
      max_pixels: The largest image that is read.
      with_images: Whether `Done` holds the images. Without them they are let go as
        soon as the result is written.

    Yields:
      The finished jobs in order, each when its files are written. A job that fails
      has its error set and leaves no file; the others go on.
    """
    value_ranges = value_ranges or [None] * fuser.num_sources
    waiting = ((job, _pixels(job)) for job in jobs)
    upcoming = next(waiting, None)
    reading, writing = _Queue(_AHEAD), _Queue(_BEHIND)
    with (
        concurrent.futures.ThreadPoolExecutor(_AHEAD) as readers,
        concurrent.futures.ThreadPoolExecutor(_BEHIND) as writers,
    ):
        while True:
            while upcoming and (not reading or reading.has_room(upcoming[1])):
                job, pixels = upcoming
                read = readers.submit(_read, job, value_ranges, max_pixels)
                reading.append((job, read), pixels)
                upcoming = next(waiting, None)
            if not reading:
                break
            (job, read), pixels = reading.popleft()
            try:
                sources = read.result()
                fused = _fuse(fuser, job, sources)
            except UserError as error:
                writing.append((Done(job, error=error), None), 0)
            else:
                raw = fused.raw if save_raw else None
                written = writers.submit(_write, job, fused.image, raw)
                done = Done(job, sources, fused.image) if with_images else Done(job)
                writing.append((done, written), pixels)
            # Nothing may hold on to the images while the next ones are computed.
            read = sources = fused = raw = written = done = None
            while writing.is_overfull():
                yield _finished(*writing.popleft()[0])
        while writing:
            yield _finished(*writing.popleft()[0])


def fuse_file(
    fuser,
    job: Job,
    *,
    value_ranges: Sequence | None = None,
    save_raw: bool = False,
    max_pixels: int = images.MAX_PIXELS,
    computing: contextlib.AbstractContextManager | None = None,
) -> Done:
    """Fuses the images of one job, as `fuse_files` does, in the calling thread.

    Args:
      fuser: A `fuser.Fuser`.
      job: What to fuse.
      value_ranges: See `fuse_files`.
      save_raw: See `fuse_files`.
      max_pixels: See `fuse_files`.
      computing: Entered while `fuser` computes: a lock, where threads share it.

    Returns:
      The job, without the images, and its error if there was one.
    """
    value_ranges = value_ranges or [None] * fuser.num_sources
    try:
        sources = _read(job, value_ranges, max_pixels)
        with computing or contextlib.nullcontext():
            fused = _fuse(fuser, job, sources)
        _write(job, fused.image, fused.raw if save_raw else None)
    except UserError as error:
        return Done(job, error=error)
    return Done(job)


class _Queue:
    """What is held at a time: so many sets, and so many of their pixels."""

    def __init__(self, most: int):
        self._most = most
        self._entries: collections.deque = collections.deque()
        self._pixels = 0

    def __len__(self) -> int:
        return len(self._entries)

    def append(self, entry, pixels: int) -> None:
        self._entries.append((entry, pixels))
        self._pixels += pixels

    def popleft(self) -> tuple:
        entry, pixels = self._entries.popleft()
        self._pixels -= pixels
        return entry, pixels

    def has_room(self, pixels: int) -> bool:
        """Whether one more fits."""
        return len(self) < self._most and self._pixels + pixels <= _PIXELS

    def is_overfull(self) -> bool:
        return len(self) > self._most or self._pixels > _PIXELS


def _pixels(job: Job) -> int:
    return sum(map(images.pixel_count, job.sources))


def _read(job: Job, value_ranges, max_pixels: int) -> tuple[np.ndarray, ...]:
    """The source images of a job in 0..255."""
    sources = []
    for path, value_range in zip(job.sources, value_ranges, strict=True):
        image = images.read(path, max_pixels=max_pixels)
        # 8-bit images stay as they are, unless a range is asked for.
        if image.dtype != np.uint8 or value_range is not None:
            image, (low, high) = pixels.to_pixel_range(image, value_range)
            logging.info("%s: %g..%g brought to 0..255", path, low, high)
        sources.append(image)
    return tuple(sources)


def _fuse(fuser, job: Job, sources: Sequence[np.ndarray]):
    return fuser.fuse(sources, names=[str(path) for path in job.sources])


def _write(job: Job, image: np.ndarray, raw: np.ndarray | None) -> None:
    # The image comes last: where it is, the job is done.
    with images.writing(job.output, image):
        if raw is not None:
            images.write_raw(job.raw_output, raw)


def _finished(done: Done, written: concurrent.futures.Future | None) -> Done:
    try:
        if written is not None:
            written.result()
    except UserError as error:
        return Done(done.job, error=error)
    return done
