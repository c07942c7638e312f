"""Starts and ends every command: flags, --help, the one line for a mistake."""

import collections
import contextlib
import copy
import logging as python_logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence

from absl import flags
from absl import logging

import densefuse_tf
from densefuse_tf.commands import parsing
from densefuse_tf.commands import standard_streams
from densefuse_tf.errors import UserError
from densefuse_tf.errors import one_line
from densefuse_tf.io import telling

USAGE_ERROR = 2
# These two as in sysexits.h.
SOFTWARE = 70
IO_ERROR = 74
INTERRUPTED = 130
# As the shell counts a program that SIGPIPE ended.
BROKEN_PIPE = 141
TERMINATED = 143
# If it is set, an error that nobody foresaw shows its traceback.
_TRACEBACK = "DENSEFUSE_TRACEBACK"
# The flags that make a command take less memory; the first that it has is named.
_LESS_MEMORY = ("memory_budget", "batch_size", "max_megapixels")


def run(
    main: Callable[..., int | None],
    flag_values: flags.FlagValues,
    description: str | Callable[[], str] | None,
    argv: Sequence[str] | None = None,
    *,
    takes_files: bool = False,
) -> int:
    """Parses `argv` into `flag_values`, calls `main` and turns its end into a status.

    Args:
      main: The command; returns its exit status, None for 0.
      flag_values: The flags of this command, and of no other.
      description: The module's docstring, which --help shows above the flags, or what
        makes a longer one; None where python -OO has dropped it.
      argv: The command's name and its arguments; by default those of the process.
      takes_files: Whether `main` takes the arguments that are no flags.

    Returns:
      0, or what `main` returned. After one line on standard error: 2 for a user's
      mistake, and where memory runs out; 70 for an error that nobody foresaw; 74 where
      standard output could not be written. 130 when interrupted from the keyboard, 143
      by SIGTERM, 141 when nobody reads the output any more.
    """
    argv = list(sys.argv if argv is None else argv)
    name = os.path.basename(argv[0])
    with standard_streams.fit() as lost:
        status = _run(main, flag_values, description, name, argv, takes_files)
        if reason := lost():
            line = f"{name}: standard output cannot be written: {reason}"
            print(line, file=sys.stderr)
            return status or IO_ERROR
        return status


def _run(
    main: Callable[..., int | None],
    flag_values: flags.FlagValues,
    description: str | Callable[[], str] | None,
    name: str,
    argv: list[str],
    takes_files: bool,
) -> int:
    # The process is this command's, whatever a keras.json says.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # First of all: whatever logs while there is no handler makes one of its own.
    log = _Log()
    python_logging.getLogger().addHandler(log)
    logging.set_verbosity(logging.INFO)
    flag_values.unparse_flags()
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    try:
        if {"--help", "-h", "-help"} & set(argv[1:]):
            shown = description() if callable(description) else description
            shown = shown or "python -OO has dropped the text"
            text = flag_values.get_help(include_special_flags=False)
            # absl shows the module of a command, or its path where python -m runs it.
            text = re.sub(r"(?m)^\S+:$", "flags:", text)
            print(f"{name}: {shown.strip()}\n{text}", flush=True)
            return 0
        if {"--version", "-version"} & set(argv[1:]):
            print(f"{name} (densefuse_tf {densefuse_tf.__version__})", flush=True)
            return 0
        rest = parsing.parse(argv, flag_values, takes_files=takes_files)
        with _terminating():
            try:
                status = main(*[rest] * takes_files) or 0
            finally:
                # What is said of a mistake comes last.
                log.sum_up()
            sys.stdout.flush()
            return status
    except (flags.Error, UserError) as error:
        line = parsing.told(error, flag_values, name)
        print(f"{name}: {' '.join(line.split())}", file=sys.stderr)
        return USAGE_ERROR
    except BrokenPipeError:
        # The reader has closed the output; Python must not write to it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except _Terminated:
        print(f"{name}: terminated", file=sys.stderr)
        return TERMINATED
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if os.environ.get(_TRACEBACK):
            traceback.print_exc()
        status, line = _unforeseen(error, flag_values)
        print(f"{name}: {' '.join(one_line(line).split())}", file=sys.stderr)
        return status
    finally:
        python_logging.getLogger().removeHandler(log)


def _unforeseen(error: Exception, flag_values: flags.FlagValues) -> tuple[int, str]:
    """Returns the status and the line for an error that no user's mistake explains."""
    said = str(error).strip().partition("\n")[0][:300]
    # TensorFlow may not be there to name its class.
    if (
        isinstance(error, MemoryError)
        or type(error).__name__ == "ResourceExhaustedError"
    ):
        known = [f"--{flag}" for flag in _LESS_MEMORY if flag in flag_values]
        smaller = f", or a smaller {known[0]}" if known else ""
        return USAGE_ERROR, f"memory ran out ({said}): expected more{smaller}"
    return SOFTWARE, (
        f"an error that nobody foresaw, {type(error).__name__}: {said}: please report "
        f"it with the traceback, which {_TRACEBACK}=1 before the same command shows"
    )


class _Terminated(KeyboardInterrupt):
    """Ends a command at SIGTERM as Ctrl-C does, so that its temporary files go."""


@contextlib.contextmanager
def _terminating() -> Iterator[None]:
    """Raises _Terminated at SIGTERM, where nobody else has decided what it does."""

    def end(*_) -> None:
        raise _Terminated

    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Log(python_logging.Handler):
    """Writes log lines to standard error, above a progress bar where there is one.

    Lines of single files are written until there are many of one kind; see `telling`.
    """

    def __init__(self):
        super().__init__()
        self._counts: collections.Counter[str] = collections.Counter()
        # The first record of each kind that was not written.
        self._kept: dict[str, python_logging.LogRecord] = {}

    def emit(self, record: python_logging.LogRecord) -> None:
        kind = telling.kind(record)
        if kind is not None:
            self._counts[kind] += 1
            if self._counts[kind] > telling.SHOWN:
                self._kept.setdefault(kind, record)
                return
        self._write(record)

    def sum_up(self) -> None:
        """Writes how many lines of each kind were not written."""
        self.acquire()
        try:
            for kind, record in self._kept.items():
                line = copy.copy(record)
                count = self._counts[kind] - telling.SHOWN
                if count > 1:
                    line.msg = f"{count} more lines as this one: {record.msg}"
                self._write(line)
            self._kept.clear()
        finally:
            self.release()

    def _write(self, record: python_logging.LogRecord) -> None:
        # There is none where it has not been imported, or not to its end.
        bars = getattr(sys.modules.get("tqdm"), "tqdm", None)
        try:
            line = self.format(record)
            if not record.exc_info:
                line = one_line(line)
            if record.levelno > python_logging.INFO:
                line = f"{record.levelname.lower()}: {line}"
            (bars.write if bars else print)(line, file=sys.stderr)
        except Exception:
            self.handleError(record)
