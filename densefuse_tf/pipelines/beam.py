"""Launches a job on every pair of an archive, on many machines: by Apache Beam.

The launching machine writes a list of the pairs; an element of the pipeline is a chunk
of the list, which the workers do as in `jobs`.
"""

import contextlib
import dataclasses
import io
import logging
import os
import pathlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import apache_beam
from apache_beam.options import pipeline_options
from apache_beam.runners import runner as beam_runner
from apache_beam.runners.runner import PipelineState

from densefuse_tf import startup
from densefuse_tf.errors import PipelineError
from densefuse_tf.errors import UserError
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import files
from densefuse_tf.pipelines import jobs
from densefuse_tf.pipelines.aligning import Aligner
from densefuse_tf.pipelines.settings import FileOptions

# The runner on this machine, under any of its names.
_LOCAL = ("directrunner", "direct", "fnapirunner")
# Beam takes this one by its full name alone. Its own partitions have 128 elements.
_DASK = "apache_beam.runners.dask.dask_runner.DaskRunner"
_DASK_PARTITIONS = ("--dask_npartitions", "--dask_partition_size")
# The interval between looks at what is done.
_SECONDS = 0.5


class Launcher:
    """Runs pipelines on one runner.

    Attributes:
      is_local: Whether the runner is Beam's on this machine.
      threads: The cores of one of several processes that share this machine; 0 where
        the runner starts none.
    """

    def __init__(self, runner: str, options: Sequence[str] = ()):
        """Finds the runner and reads Beam's pipeline options.

        Args:
          runner: A name that Beam knows, DaskRunner, or the full name of a class.
            "DirectRunner" is Beam's FnApiRunner, to which Beam's own DirectRunner falls
            back for this pipeline after it has tried to download another program.
          options: Beam's pipeline options, as on a command line.

        Raises:
          UserError: Unknown runner, one whose extra packages are not installed, or
            options that it does not take.
        """
        self.is_local = runner.lower() in _LOCAL
        if runner.lower() in ("daskrunner", "dask"):
            runner = _DASK
        self._is_dask = runner == _DASK
        if self._is_dask and not any(o.startswith(_DASK_PARTITIONS) for o in options):
            options = [*options, "--dask_partition_size=1"]
        # What the outcomes and the exception say, and more of it.
        self._prints_here = self.is_local or self._is_dask
        with _log_level(logging.CRITICAL):
            self._options = _parsed(options)
            standard = self._options.view_as(pipeline_options.StandardOptions)
            if standard.runner:
                raise UserError("Beam's options: --runner is given, a flag of its own")
            if self.is_local:
                _check_local(self._options)
            standard.runner = "FnApiRunner" if self.is_local else runner
            self._runner = _created(standard.runner)
            # Checks the options that the runner cannot do without. Beam removes the
            # temporary folder of a pipeline that is run.
            shutil.rmtree(self._pipeline().local_tempdir, ignore_errors=True)
        self.threads = self._threads()

    def fusing(
        self, settings: FusionSettings, options: FileOptions, aligner: Aligner | None
    ) -> jobs.Fusing:
        """Returns the job of `Fusing`, for workers of this runner."""
        # What a worker does a second time finds the results of the first.
        options = dataclasses.replace(options, overwrite=True)
        return jobs.Fusing(
            jobs.with_absolute_paths(settings), options, aligner, self.threads
        )

    def run(
        self,
        job: jobs.Job,
        items: Iterable[Sequence[str | os.PathLike]],
        total: int,
        folder: str | os.PathLike,
        *,
        progress: Callable[[int], None] = lambda count: None,
    ) -> Iterator[tuple[int, Any]]:
        """Does a job on many pairs, whose number decides neither memory nor start.

        Args:
          job: Says what is done.
          items: The paths of each pair.
          total: How many there are.
          folder: An existing folder that all workers see, for a list of the pairs and
            what comes back. Both lie in a hidden folder in it, which is removed at the
            end.
          progress: Called in a thread of its own while the pipeline runs, each time
            with the number of pairs that are done since the last time.

        Yields:
          What the job says, with the index of the pair, in order. The first is yielded
          when the pipeline has come to its end.

        Raises:
          UserError: The runner does not take the options; the folder cannot be used.
          PipelineError: The pipeline did not come to its end; results that are there
            are whole.
        """
        with _working_folder(pathlib.Path(folder).absolute()) as working:
            chunks = jobs.write_list(working, items, total)
            pipeline = self._pipeline()
            _ = (
                pipeline
                | "chunks" >> apache_beam.Create(chunks)
                | "spread" >> apache_beam.Reshuffle()
                | "work" >> apache_beam.ParDo(jobs.Work(job, str(working)))
            )
            # A cluster's runner logs how the job stands.
            level = logging.CRITICAL + 1 if self._prints_here else logging.INFO
            hushed = startup.hushed() if self._prints_here else contextlib.nullcontext()
            with hushed, _log_level(level), _following(working, chunks, progress):
                try:
                    state = _run(pipeline)
                finally:
                    if self._is_dask:
                        _close_dask_client()
            if state != PipelineState.DONE:
                raise PipelineError(f"the pipeline ended as {state}")
            # A runner may take what it has lost for done.
            left = sum(
                count
                for first, _, count in chunks
                if not (working / f"{jobs.DONE}{first}").exists()
            )
            if left:
                raise PipelineError(
                    f"the runner stopped with {left} of {total} pairs to do: its "
                    "scheduler or its workers are lost"
                )
            for first, _, _ in chunks:
                yield from jobs.said(working, first)

    def _pipeline(self) -> apache_beam.Pipeline:
        try:
            return apache_beam.Pipeline(runner=self._runner, options=self._options)
        except ValueError as error:
            raise UserError(f"Beam's options: {error}") from error

    def _threads(self) -> int:
        """Returns the cores of one of several processes that share this machine."""
        direct = self._options.view_as(pipeline_options.DirectOptions)
        if direct.direct_running_mode != "multi_processing":
            return 0
        cores = os.cpu_count() or 1
        return max(1, cores // (direct.direct_num_workers or cores))


def _run(pipeline: apache_beam.Pipeline) -> str:
    """Runs the pipeline to its end and returns the state in which it ended."""
    try:
        result = pipeline.run()
        result.wait_until_finish()
    except Exception as error:  # Runners raise whatever they like.
        # A worker's traceback is a part of the message; its last line says most.
        lines = [line for line in str(error).splitlines() if line.strip()]
        reason = ": ".join([type(error).__name__, *map(str.strip, lines[-1:])])
        raise PipelineError(f"the pipeline failed: {reason}") from error
    return result.state


def _close_dask_client() -> None:
    """Ends the connection to Dask's scheduler, which Beam keeps.

    Left alone it would go on after a scheduler that is lost, and complain at the end.
    """
    import distributed

    # There is none where the connection failed.
    with contextlib.suppress(Exception):
        distributed.default_client().close()


@contextlib.contextmanager
def _following(
    folder: pathlib.Path,
    chunks: Sequence[tuple[int, int, int]],
    progress: Callable[[int], None],
) -> Iterator[None]:
    """Calls `progress` in a thread as chunks of the list get done, and at the end."""
    counts = {f"{jobs.DONE}{first}": count for first, _, count in chunks}

    def look() -> None:
        # Where the folder cannot be read for a moment, there is another one.
        with contextlib.suppress(OSError):
            finished = counts.keys() & os.listdir(folder)
            progress(sum(map(counts.pop, finished)))

    def follow() -> None:
        while not ended.wait(_SECONDS):
            look()

    ended = threading.Event()
    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        look()


def _parsed(options: Sequence[str]) -> pipeline_options.PipelineOptions:
    """Parses Beam's options; argparse prints what is wrong with them and exits."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
            parsed = pipeline_options.PipelineOptions(list(options))
            parsed.get_all_options()
    except SystemExit as error:
        said = printed.getvalue().strip().rpartition("error: ")[2]
        line = said if error.code else "--help is not for here"
        raise UserError(f"Beam's options: {line}") from error
    return parsed


def _check_local(options: pipeline_options.PipelineOptions) -> None:
    """Refuses what Beam would leave out. (Clusters may have options of their own.)"""
    with_unknown = options.get_all_options(retain_unknown_options=True)
    unknown = sorted(with_unknown.keys() - options.get_all_options().keys())
    if unknown:
        raise UserError(
            f"Beam's options: --{unknown[0]} is unknown: expected those of Beam's "
            "PipelineOptions, such as --direct_num_workers"
        )
    direct = options.view_as(pipeline_options.DirectOptions)
    if direct.direct_num_workers != 1 and direct.direct_running_mode == "in_memory":
        raise UserError(
            f"Beam's options: --direct_num_workers={direct.direct_num_workers} needs "
            "--direct_running_mode=multi_processing or multi_threading"
        )


def _created(runner: str) -> beam_runner.PipelineRunner:
    try:
        created = beam_runner.create_runner(runner)
    except (ValueError, ImportError, AttributeError, TypeError) as error:
        raise UserError(f"runner {runner}: {error}") from error
    if not isinstance(created, beam_runner.PipelineRunner):
        raise UserError(f"runner {runner}: is no runner of Beam")
    return created


@contextlib.contextmanager
def _log_level(level: int) -> Iterator[None]:
    """Shows Beam's log lines from this level on."""
    logger = logging.getLogger("apache_beam")
    previous = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(previous)


@contextlib.contextmanager
def _working_folder(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    try:
        working = pathlib.Path(tempfile.mkdtemp(prefix=".fuse-", dir=folder))
        # mkdtemp makes it private; workers may be another user's.
        working.chmod(folder.stat().st_mode)
    except OSError as error:
        raise files.cannot_write(folder, error) from error
    try:
        yield working
    finally:
        shutil.rmtree(working, ignore_errors=True)
