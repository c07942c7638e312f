"""Fusing the pairs of an archive on many machines: a pipeline for Apache Beam.

`plan` in `batch` decides on the launching machine what is fused and where it goes; one
element of the pipeline is one of its jobs, fused as `batch.fuse_files` does it. Images
are read and written by the workers, under the paths of the launching machine: all of
them have to see the same file system. A worker may die and a bundle of jobs may be
tried again, or by two workers at a time: a result takes its name when it is whole, and
each try writes the same bytes.

What goes wrong with one pair, a UserError, comes back as its error. Anything else fails
the bundle, for the runner to try again.
"""

import contextlib
import dataclasses
import io
import json
import logging
import os
import pathlib
import shlex
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.io import images
from densefuse_tf.pipelines import batch
from densefuse_tf.training import recipes

try:
    import apache_beam
except ModuleNotFoundError as missing:
    if missing.name != "apache_beam":
        raise
    raise UserError(
        "a runner needs Apache Beam, which is not installed: pip install '.[beam]'"
    ) from missing

import grpc
from apache_beam.metrics import Metrics
from apache_beam.options import pipeline_options
from apache_beam.runners import runner as beam_runner
from apache_beam.runners.runner import PipelineState
from apache_beam.utils import shared

# The runner on this machine, under any of its names.
_LOCAL = ("directrunner", "direct", "switchingdirectrunner", "fnapirunner")
# As many lines of the list of jobs are one element until they are read.
_CHUNK = 1000
_JOBS, _FAILED, _WORKERS_LOG, _PIDS = "jobs", "failed", "workers.log", "pids"
# Where Beam logs how a cluster's job stands.
_JOB_LOGS = ("dataflow", "portability.portable_runner")
# What tells the launching process that a worker is lost. Where nobody waits for it, the
# system ignores this one: it may come late.
_LOST = getattr(signal, "SIGURG", None)


class PipelineError(RuntimeError):
    """The pipeline did not come to its end; one line says why."""


class _WorkerLost(BaseException):
    """Raised where the main thread waits; Beam may catch an Exception there."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a worker fuses; pickled, and sent to all of them.

    Attributes:
      fuser: The fields of `FusionSettings`, by name.
      value_ranges: As of `batch.fuse_files`.
      save_raw: As of `batch.fuse_files`.
      max_pixels: As of `batch.fuse_files`.
      prepare: A function of a module, called once in each process before TensorFlow
        is imported; None for nothing.
    """

    fuser: Mapping[str, Any]
    value_ranges: Sequence | None = None
    save_raw: bool = False
    max_pixels: int = images.MAX_PIXELS
    prepare: Callable[[], None] | None = None


class Launcher:
    """Runs the pipeline on one runner."""

    def __init__(self, runner: str, options: Sequence[str] = ()):
        """Finds the runner and reads Beam's pipeline options.

        Args:
          runner: A name that Beam knows or the full name of a class. "DirectRunner" is
            Beam's FnApiRunner, which is what Beam's own DirectRunner comes down to for
            this pipeline: that one looks for a program to download first, which does
            not know of several processes.
          options: Beam's pipeline options, as on a command line.

        Raises:
          UserError: Unknown runner, one whose extra packages are not installed, or
            options that it does not take.
        """
        self.is_local = runner.lower() in _LOCAL
        with _log_level("apache_beam", logging.CRITICAL):
            self._options = _parsed(options)
            standard = self._options.view_as(pipeline_options.StandardOptions)
            if standard.runner:
                raise UserError("Beam's options: --runner is given, a flag of its own")
            if self.is_local:
                _refuse_unknown(self._options)
                _check_workers(self._options)
            direct = self._options.view_as(pipeline_options.DirectOptions)
            self._in_processes = (
                self.is_local and direct.direct_running_mode == "multi_processing"
            )
            standard.runner = "FnApiRunner" if self.is_local else runner
            self._runner = _created(standard.runner)
            # Looks at what the runner cannot do without.
            self._pipeline()

    def run(
        self, jobs: Sequence[batch.Job], settings: Settings, folder: str | os.PathLike
    ) -> list[batch.Done]:
        """Fuses the images of many files.

        With several processes on this machine, and called from the main thread, the
        end of one of them is noticed; Beam would wait for it forever.

        Args:
          jobs: What to fuse; see `batch.plan`.
          settings: How.
          folder: An existing folder that all workers see, for a list of the jobs and
            what comes back. They lie in a hidden folder in it, which is gone at the
            end.

        Returns:
          The jobs that failed, in order, each with its error.

        Raises:
          UserError: The runner does not take the options; the folder cannot be used.
          PipelineError: A worker of this machine was lost, or the pipeline did not
            come to its end.
          Exception: Whatever else the runner raises when the pipeline fails. In any
            case results that are there are whole.
        """
        with _working_folder(pathlib.Path(folder).absolute()) as working:
            chunks = _write_jobs(working / _JOBS, jobs)
            if self._in_processes:
                self._runner = self._runner_of_processes(working)
            pipeline = self._pipeline()
            _ = (
                pipeline
                | "chunks" >> apache_beam.Create(chunks)
                | "jobs" >> apache_beam.ParDo(_ReadJobs(str(working / _JOBS)))
                | "spread" >> apache_beam.Reshuffle()
                | "fuse" >> apache_beam.ParDo(_Fuse(_with_absolute_paths(settings)))
                | "gather" >> apache_beam.GroupBy(lambda failed: 0)
                | "keep" >> apache_beam.ParDo(_KeepFailed(str(working / _FAILED)))
            )
            watched = contextlib.nullcontext()
            if self._in_processes:
                watched = _watched_workers(working)
            with _log_of_job(self.is_local), watched:
                result = pipeline.run()
                result.wait_until_finish()
            if result.state != PipelineState.DONE:
                raise PipelineError(f"the pipeline ended as {result.state}")
            return _read_failed(working / _FAILED, jobs)

    def _pipeline(self) -> apache_beam.Pipeline:
        try:
            return apache_beam.Pipeline(runner=self._runner, options=self._options)
        except ValueError as error:
            raise UserError(f"Beam's options: {error}") from error

    def _runner_of_processes(self, working: pathlib.Path) -> beam_runner.PipelineRunner:
        # Internal to Beam, and may be gone in another version. It is the one way to
        # give the processes a command, which has to be ours: Beam's own finds this
        # package by the current folder or not at all, gives each process all cores,
        # prints between the user's lines, and when a process is lost, waits forever.
        try:
            from apache_beam.runners.portability.fn_api_runner import FnApiRunner
            from apache_beam.transforms.environments import SubprocessSDKEnvironment

            from_command = SubprocessSDKEnvironment.from_command_string
        except (ImportError, AttributeError) as error:
            raise UserError(
                f"Beam {apache_beam.__version__} starts its processes in a way that is "
                "not known here: expected 2.77, or --direct_running_mode=in_memory"
            ) from error
        options = self._options.view_as(pipeline_options.DirectOptions)
        workers = options.direct_num_workers or os.cpu_count()
        # The runner would put its own command in the place of this one.
        options.direct_running_mode = "in_memory"
        threads = max(1, os.cpu_count() // workers)
        return FnApiRunner(from_command(_worker_command(working, threads)))


def _worker_command(working: pathlib.Path, threads: int) -> str:
    """What a shell runs to start a worker on this machine.

    The shell stays, and says so if the worker ends with an error. Ctrl-C is for the
    launching process alone, which ends the workers then: a command in the background
    does not get it.
    """
    root = pathlib.Path(__file__).resolve().parents[2]
    log, pids = (shlex.quote(str(working / name)) for name in (_WORKERS_LOG, _PIDS))
    return (
        f"exec 2>>{log}; trap '' INT; cd {shlex.quote(str(root))} && "
        f"export TF_NUM_INTRAOP_THREADS=${{TF_NUM_INTRAOP_THREADS:-{threads}}} && "
        f"{{ {shlex.quote(sys.executable)} "
        "-m apache_beam.runners.worker.sdk_worker_main & } && "
        f'echo "$!" >>{pids} && wait "$!" || '
        '{ echo "status $?" >&2; kill -s URG "$PPID"; }'
    )


class _ReadJobs(apache_beam.DoFn):
    """(first index, offset, count) -> (index, line), ...

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
    """(index, line) -> a line [index, error] for each job that failed."""

    def __init__(self, settings: Settings):
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
        done = batch.fuse_file(
            self._model.fuser,
            batch.Job(tuple(map(pathlib.Path, sources)), pathlib.Path(output)),
            value_ranges=self._settings.value_ranges,
            save_raw=self._settings.save_raw,
            max_pixels=self._settings.max_pixels,
            computing=self._model.computing,
        )
        if done.error is None:
            self._counts["fused"].inc()
            return
        if isinstance(done.error.__cause__, MemoryError):
            # Not the image's fault; there may be more the next time, or elsewhere.
            raise done.error.__cause__
        self._counts["failed"].inc()
        yield f"{json.dumps([index, str(done.error)])}\n"


class _Model:
    """The one model of a process. Its threads read and write at the same time."""

    def __init__(self, settings: Settings):
        if settings.prepare is not None:
            settings.prepare()
        from densefuse_tf.fusion.fuser import Fuser
        from densefuse_tf.fusion.settings import FusionSettings

        self.fuser = Fuser(FusionSettings(**settings.fuser))
        self.computing = threading.Lock()


class _KeepFailed(apache_beam.DoFn):
    """(key, all lines) -> a file."""

    def __init__(self, path: str):
        self._path = path

    def process(self, grouped: tuple[int, Iterable[str]]) -> None:
        _, lines = grouped
        with files.replacing(self._path) as temporary:
            with open(temporary, "w", encoding="ascii") as file:
                file.writelines(lines)


def _parsed(options: Sequence[str]) -> pipeline_options.PipelineOptions:
    """Beam's options; argparse prints what is wrong with them and exits."""
    previous = ""
    for option in options:
        is_value = previous.startswith("-") and "=" not in previous
        if not option.startswith("-") and not is_value:
            raise UserError(f"Beam's option {option!r}: expected --NAME=VALUE")
        previous = option
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(None):
            parsed = pipeline_options.PipelineOptions(list(options))
            parsed.get_all_options()
    except SystemExit as error:
        if not error.code:
            raise UserError("Beam's options: --help is not for here") from None
        last = printed.getvalue().strip().rpartition("error: ")[2]
        raise UserError(f"Beam's options: {last}") from error
    return parsed


def _refuse_unknown(options: pipeline_options.PipelineOptions) -> None:
    """Refuses what Beam would leave out. (Clusters may have options of their own.)"""
    with_unknown = options.get_all_options(retain_unknown_options=True)
    unknown = sorted(with_unknown.keys() - options.get_all_options().keys())
    if unknown:
        raise UserError(
            f"Beam's options: --{unknown[0]} is unknown: expected those of Beam's "
            "PipelineOptions, such as --direct_num_workers"
        )


def _check_workers(options: pipeline_options.PipelineOptions) -> None:
    """Refuses what Beam would run in another way than it was asked for."""
    direct = options.view_as(pipeline_options.DirectOptions)
    workers = direct.direct_num_workers
    if workers < 0:
        raise UserError(
            f"Beam's options: --direct_num_workers={workers}: expected how many, or 0 "
            "for as many as cores"
        )
    if workers != 1 and direct.direct_running_mode == "in_memory":
        raise UserError(
            f"Beam's options: --direct_num_workers={workers} needs "
            "--direct_running_mode=multi_processing or multi_threading"
        )


def _created(runner: str) -> beam_runner.PipelineRunner:
    try:
        created = beam_runner.create_runner(runner)
    except ValueError as error:
        known = ", ".join(pipeline_options.StandardOptions.KNOWN_RUNNER_NAMES)
        raise UserError(
            f"unknown runner {runner!r}: expected one of {known}, or the full name of "
            "a class"
        ) from error
    except (ImportError, AttributeError, TypeError) as error:
        raise UserError(f"runner {runner}: {error}") from error
    if not isinstance(created, beam_runner.PipelineRunner):
        raise UserError(f"runner {runner}: is no runner of Beam")
    return created


@contextlib.contextmanager
def _log_of_job(is_local: bool) -> Iterator[None]:
    """Keeps Beam's log to what matters: of a cluster's job how it stands."""
    with contextlib.ExitStack() as stack:
        # What is wrong with the own machine's workers is told in another way.
        level = logging.CRITICAL + 1 if is_local else logging.WARNING
        stack.enter_context(_log_level("apache_beam", level))
        for name in _JOB_LOGS if not is_local else ():
            stack.enter_context(_log_level(f"apache_beam.runners.{name}", logging.INFO))
        yield


@contextlib.contextmanager
def _log_level(name: str, level: int) -> Iterator[None]:
    logger = logging.getLogger(name)
    previous = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(previous)


def _with_absolute_paths(settings: Settings) -> Settings:
    """Workers have another current folder."""
    checkpoint = os.fspath(settings.fuser["checkpoint"])
    if checkpoint in recipes.SSIM_WEIGHTS:
        return settings
    fuser = {**settings.fuser, "checkpoint": os.path.abspath(checkpoint)}
    return dataclasses.replace(settings, fuser=fuser)


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


def _write_jobs(path: pathlib.Path, jobs: Sequence[batch.Job]) -> list[tuple]:
    """Writes a line for each job; the chunks of them as `_ReadJobs` takes them.

    Not as elements of the pipeline from the start: runners limit the size of what they
    are sent, and an archive's paths are more than that.
    """
    chunks = []
    with (
        files.replacing(path) as temporary,
        open(temporary, "w", encoding="ascii") as file,
    ):
        for index, job in enumerate(jobs):
            if index % _CHUNK == 0:
                count = min(_CHUNK, len(jobs) - index)
                chunks.append((index, file.tell(), count))
            paths = [os.path.abspath(path) for path in (job.output, *job.sources)]
            file.write(f"{json.dumps(paths)}\n")
    return chunks


def _read_failed(path: pathlib.Path, jobs: Sequence[batch.Job]) -> list[batch.Done]:
    if not path.exists():
        return []
    with open(path, encoding="ascii") as file:
        errors = dict(json.loads(line) for line in file)
    return [
        batch.Done(jobs[index], error=UserError(errors[index]))
        for index in sorted(errors)
    ]


@contextlib.contextmanager
def _watched_workers(working: pathlib.Path) -> Iterator[None]:
    """Ends the wait of the main thread when a worker process of this machine is lost.

    Beam would wait for its answer forever, and after that or Ctrl-C for the other
    workers until they are through all they were given: they are killed first.
    """
    interrupt = signal.getsignal(signal.SIGINT)
    hook = threading.excepthook
    if threading.current_thread() is not threading.main_thread() or _LOST is None:
        yield
        return

    def end(number, frame) -> None:
        # That the others are lost as well is no news.
        signal.signal(_LOST, signal.SIG_IGN)
        _kill_workers(working / _PIDS)
        if number == _LOST:
            raise _WorkerLost
        interrupt(number, frame)

    def report(arguments) -> None:
        # Connections that are cut: Beam's threads raise them besides.
        if not isinstance(arguments.exc_value, grpc.RpcError):
            hook(arguments)

    lost = signal.signal(_LOST, end)
    # Whoever ignores it keeps on doing so.
    if callable(interrupt):
        signal.signal(signal.SIGINT, end)
    threading.excepthook = report
    try:
        yield
    except _WorkerLost:
        lines = (working / _WORKERS_LOG).read_text(errors="replace").split("\n")
        last = ", ".join([line.strip() for line in lines if line.strip()][-2:])
        raise PipelineError(
            f"a worker is lost ({last}): what is fused is whole; run the same command "
            "again, with fewer workers if there was not enough memory"
        ) from None
    finally:
        threading.excepthook = hook
        signal.signal(signal.SIGINT, interrupt)
        signal.signal(_LOST, lost)


def _kill_workers(pids: pathlib.Path) -> None:
    # There is no file before the first worker has started.
    with contextlib.suppress(FileNotFoundError):
        for pid in pids.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
