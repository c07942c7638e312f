"""Fuses the pairs of an archive on many machines: a pipeline for Apache Beam.

The launching machine decides by `pairs.plan` what is fused and where it goes. One
element of the pipeline is one of these pairs, fused as `pairs.fuse_pairs` does it.
Workers read and write images under the paths of the launching machine: all of them have
to see the same file system. A worker may die and a bundle of pairs may be tried again,
or by two workers at a time: a result takes its name when it is whole, and each try
writes the same bytes.

A UserError, which concerns one pair, comes back as the pair's error. Any other
exception fails the bundle, for the runner to try again.
"""

import contextlib
import dataclasses
import io
import json
import logging
import os
import pathlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import apache_beam
from apache_beam.metrics import Metrics
from apache_beam.options import pipeline_options
from apache_beam.runners import runner as beam_runner
from apache_beam.runners.runner import PipelineState
from apache_beam.utils import shared

from densefuse_tf.errors import UserError
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import files
from densefuse_tf.pipelines import pairs
from densefuse_tf.pipelines.options import FileOptions

if TYPE_CHECKING:
    from densefuse_tf.pipelines.aligning import Aligner

# The runner on this machine, under any of its names.
_LOCAL = ("directrunner", "direct", "fnapirunner")
# The number of lines in the list of pairs that are one element until they are read.
_CHUNK = 1000
_PAIRS, _FAILED = "pairs", "failed"


class PipelineError(RuntimeError):
    """Says in one line why the pipeline did not come to its end."""


@dataclasses.dataclass(frozen=True)
class _Settings:
    """Says how a worker fuses; pickled, and sent to all of them.

    Attributes:
      fusion: The settings of the `fuser.Fuser`.
      options: Says how images are read and written.
      aligner: Aligns the sources; None where they are fused as they are.
      prepare: See `Launcher.run`.
      threads: The threads that TensorFlow computes an operation with; 0 for its own
        choice.
    """

    fusion: FusionSettings
    options: FileOptions
    aligner: "Aligner | None"
    prepare: Callable[[], None] | None
    threads: int


class Launcher:
    """Runs the pipeline on one runner.

    Attributes:
      is_local: Whether the runner is Beam's on this machine.
    """

    def __init__(self, runner: str, options: Sequence[str] = ()):
        """Finds the runner and reads Beam's pipeline options.

        Args:
          runner: A name that Beam knows or the full name of a class. "DirectRunner" is
            Beam's FnApiRunner, to which Beam's own DirectRunner falls back for this
            pipeline after it has tried to download another program.
          options: Beam's pipeline options, as on a command line.

        Raises:
          UserError: Unknown runner, one whose extra packages are not installed, or
            options that it does not take.
        """
        self.is_local = runner.lower() in _LOCAL
        with _log_level(logging.CRITICAL):
            self._options = _parsed(options)
            standard = self._options.view_as(pipeline_options.StandardOptions)
            if standard.runner:
                raise UserError("Beam's options: --runner is given, a flag of its own")
            if self.is_local:
                _check_local(self._options)
            standard.runner = "FnApiRunner" if self.is_local else runner
            self._runner = _created(standard.runner)
            # Checks the options that the runner cannot do without.
            self._pipeline()

    def run(
        self,
        planned: Sequence[pairs.Pair],
        settings: FusionSettings,
        options: FileOptions,
        folder: str | os.PathLike,
        *,
        aligner: "Aligner | None" = None,
        prepare: Callable[[], None] | None = None,
    ) -> list[pairs.Result]:
        """Fuses pairs of image files.

        Args:
          planned: The pairs; see `pairs.plan`.
          settings: The settings of the fusion.
          options: Says how images are read and written.
          folder: An existing folder that all workers see, for a list of the pairs and
            what comes back. Both lie in a hidden folder in it, which is removed at the
            end.
          aligner: As `pairs.fuse_pairs` takes it.
          prepare: A function of a module, called once in each process before
            TensorFlow is imported; None for nothing.

        Returns:
          The pairs that failed, in order, each with its error.

        Raises:
          UserError: The runner does not take the options; the folder cannot be used.
          PipelineError: The pipeline did not come to its end; results that are there
            are whole.
        """
        worker = _Settings(
            _with_absolute_paths(settings), options, aligner, prepare, self._threads()
        )
        with _working_folder(pathlib.Path(folder).absolute()) as working:
            chunks = _write_pairs(working / _PAIRS, planned)
            pipeline = self._pipeline()
            _ = (
                pipeline
                | "chunks" >> apache_beam.Create(chunks)
                | "pairs" >> apache_beam.ParDo(_ReadPairs(str(working / _PAIRS)))
                | "spread" >> apache_beam.Reshuffle()
                | "fuse" >> apache_beam.ParDo(_Fuse(worker))
                | "gather" >> apache_beam.GroupBy(lambda failed: 0)
                | "keep" >> apache_beam.ParDo(_KeepFailed(str(working / _FAILED)))
            )
            # A cluster's runner logs how the job stands. On this machine the log has
            # what the results and the exception say, and more of it.
            with _log_level(logging.CRITICAL + 1 if self.is_local else logging.INFO):
                state = _run(pipeline)
            if state != PipelineState.DONE:
                raise PipelineError(f"the pipeline ended as {state}")
            return _read_failed(working / _FAILED, planned)

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


class _ReadPairs(apache_beam.DoFn):
    """Turns (first index, offset, count) into (index, line), ...

    Lines stay JSON, in ASCII: Beam's strings are UTF-8, and file names any bytes.
    """

    def __init__(self, path: str):
        self._path = path

    def process(self, chunk: tuple[int, int, int]) -> Iterator[tuple[int, str]]:
        first, offset, count = chunk
        with open(self._path, encoding="ascii") as file:
            file.seek(offset)
            for index in range(first, first + count):
                yield index, file.readline()


class _Fuse(apache_beam.DoFn):
    """Turns (index, line) into a line [index, error] for each pair that failed."""

    def __init__(self, settings: _Settings):
        self._settings = settings
        # The same in all copies of this object, those in other processes included.
        self._shared = shared.Shared()
        self._counts = {
            name: Metrics.counter("densefuse_tf", name) for name in ("fused", "failed")
        }

    def setup(self) -> None:
        self._model = self._shared.acquire(lambda: _Model(self._settings))

    def process(self, element: tuple[int, str]) -> Iterator[str]:
        index, line = element
        output, *sources = json.loads(line)
        result = pairs.fuse_pair(
            self._model.fuser,
            pairs.Pair(tuple(map(pathlib.Path, sources)), pathlib.Path(output)),
            self._settings.options,
            aligner=self._settings.aligner,
            computing=self._model.computing,
        )
        if result.error is None:
            self._counts["fused"].inc()
            return
        if isinstance(result.error.__cause__, MemoryError):
            # The image is not to blame; there may be more the next time, or elsewhere.
            raise result.error.__cause__
        self._counts["failed"].inc()
        yield f"{json.dumps([index, str(result.error)])}\n"


class _Model:
    """Holds the one model of a process. Its threads read and write at the same time."""

    def __init__(self, settings: _Settings):
        if settings.prepare is not None:
            settings.prepare()
        import tensorflow as tf

        from densefuse_tf.fusion.fuser import Fuser

        if settings.threads:
            tf.config.threading.set_intra_op_parallelism_threads(settings.threads)
        self.fuser = Fuser(settings.fusion)
        self.computing = threading.Lock()


class _KeepFailed(apache_beam.DoFn):
    """Writes all lines of (key, lines) into a file."""

    def __init__(self, path: str):
        self._path = path

    def process(self, grouped: tuple[int, Iterable[str]]) -> None:
        _, lines = grouped
        with files.replacing(self._path) as temporary:
            with open(temporary, "w", encoding="ascii") as file:
                file.writelines(lines)


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


def _with_absolute_paths(settings: FusionSettings) -> FusionSettings:
    """Workers have another current folder."""
    from densefuse_tf.model import checkpoints

    module = settings.strategy_module
    if module is not None and os.path.isfile(module):
        module = os.path.abspath(module)
        settings = dataclasses.replace(settings, strategy_module=module)
    checkpoint = os.fspath(settings.checkpoint)
    if checkpoint in checkpoints.SHORT_NAMES:
        return settings
    return dataclasses.replace(settings, checkpoint=os.path.abspath(checkpoint))


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


def _write_pairs(path: pathlib.Path, planned: Sequence[pairs.Pair]) -> list[tuple]:
    """Writes a line for each pair and returns the chunks that `_ReadPairs` takes.

    Runners limit the size of what they are sent, and an archive's paths are more than
    that: they become elements of the pipeline on the workers.
    """
    chunks = []
    with (
        files.replacing(path) as temporary,
        open(temporary, "w", encoding="ascii") as file,
    ):
        for index, pair in enumerate(planned):
            if index % _CHUNK == 0:
                count = min(_CHUNK, len(planned) - index)
                chunks.append((index, file.tell(), count))
            paths = [os.path.abspath(path) for path in (pair.output, *pair.sources)]
            file.write(f"{json.dumps(paths)}\n")
    return chunks


def _read_failed(
    path: pathlib.Path, planned: Sequence[pairs.Pair]
) -> list[pairs.Result]:
    if not path.exists():
        return []
    with open(path, encoding="ascii") as file:
        errors = dict(json.loads(line) for line in file)
    return [
        pairs.Result(planned[index], error=UserError(errors[index]))
        for index in sorted(errors)
    ]
