"""Fusing image files, one pair or a folder full: reading and writing overlap computing.

A few threads read the next source images and write the last results while the calling
thread fuses; how many images are held at a time does not depend on how many there are.
"""

import collections
import concurrent.futures
import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from absl import logging

from densefuse_tf import files
from densefuse_tf import images
from densefuse_tf.errors import UserError

# Sets of source images read ahead, and results being written, at most.
_AHEAD = 2
_BEHIND = 2


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
      sources: The source images in 0..255, uint8 or float32; empty after an error.
      image: The fused image, uint8; None after an error.
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
        raise UserError(f"{folder} is a file: expected a folder for {len(pairs)} pairs")
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
) -> Iterator[Done]:
    """Fuses the images of many files.

    Args:
      fuser: A `fusion.Fuser`.
      jobs: What to fuse, of any length.
      value_ranges: For each source, what `images.to_pixel_range` takes as value range;
        by default None for each.
      save_raw: Whether the decoder's output is written as well, to `Job.raw_output`.
      max_pixels: The largest image that is read.

    Yields:
      The finished jobs in order, each when its files are written. A job that fails
      has its error set and leaves no file; the others go on.
    """
    value_ranges = value_ranges or [None] * fuser.num_sources
    jobs = iter(jobs)
    reading: collections.deque = collections.deque()
    writing: collections.deque = collections.deque()
    with (
        concurrent.futures.ThreadPoolExecutor(_AHEAD) as readers,
        concurrent.futures.ThreadPoolExecutor(_BEHIND) as writers,
    ):
        while True:
            while len(reading) < _AHEAD and (job := next(jobs, None)) is not None:
                read = readers.submit(_read, job, value_ranges, max_pixels)
                reading.append((job, read))
            if not reading:
                break
            job, read = reading.popleft()
            try:
                sources = read.result()
                fused = fuser.fuse(sources, names=[str(path) for path in job.sources])
            except UserError as error:
                writing.append((Done(job, error=error), None))
            else:
                raw = fused.raw if save_raw else None
                written = writers.submit(_write, job, fused.image, raw)
                writing.append((Done(job, sources, fused.image), written))
            while len(writing) > _BEHIND:
                yield _finished(*writing.popleft())
        while writing:
            yield _finished(*writing.popleft())


def _read(job: Job, value_ranges, max_pixels: int) -> tuple[np.ndarray, ...]:
    """The source images of a job in 0..255."""
    sources = []
    for path, value_range in zip(job.sources, value_ranges, strict=True):
        image = images.read(path, max_pixels=max_pixels)
        # 8-bit images stay as they are, unless a range is asked for.
        if image.dtype != np.uint8 or value_range is not None:
            image, (low, high) = images.to_pixel_range(image, value_range)
            logging.info("%s: %g..%g brought to 0..255", path, low, high)
        sources.append(image)
    return tuple(sources)


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
