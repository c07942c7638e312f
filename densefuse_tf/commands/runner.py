"""Starts and ends every command: flags, --help, the one line for a mistake."""

import contextlib
import io
import itertools
import logging as python_logging
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, cast

from absl import flags
from absl import logging

import densefuse_tf
from densefuse_tf import naming
from densefuse_tf.errors import UserError
from densefuse_tf.errors import one_line
from densefuse_tf.io import files

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


# A report has all errors, the terminal the first ones.
_ERRORS_SHOWN = 20


def print_errors(
    what: str, reasons: Sequence[str], count: int, *, has_report: bool
) -> None:
    """Says why some of `count` pairs were not fused or evaluated."""
    print(f"{len(reasons)} of {count} pairs were not {what}:", file=sys.stderr)
    for reason in reasons[:_ERRORS_SHOWN] if has_report else reasons:
        print(f"  {reason}", file=sys.stderr)


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
    with _standard_streams() as lost:
        status = _run(main, flag_values, description, name, argv, takes_files)
        if lost() is not None:
            reason = f"standard output cannot be written: {lost()}"
            print(f"{name}: {reason}", file=sys.stderr)
        return status or (IO_ERROR if lost() else 0)


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
        for argument, after in itertools.zip_longest(argv[1:], argv[2:], fillvalue=""):
            # A script with the line ends of Windows has them in its values.
            if argument.endswith("\r"):
                raise UserError(
                    f"{argument!r} ends in a carriage return: expected none; save the "
                    "script with the line ends of Unix"
                )
            flag, is_whole, path = argument.partition("=")
            path = os.path.expanduser(path if is_whole else after)
            if path and re.fullmatch("--?flagfile", flag, re.IGNORECASE):
                # absl would wait for the other end of a pipe.
                files.open_to_read(path, "a file of flags").close()
        rest = flag_values(_spelled(argv, flag_values))[1:]
        if rest and not takes_files:
            raise UserError(f"unexpected argument {rest[0]!r}: see {name} --help")
        _refuse_repeated(flag_values)
        with _terminating():
            status = main(*[rest] * takes_files) or 0
            sys.stdout.flush()
            return status
    except (flags.Error, UserError) as error:
        line = _wrong_flag(error, flag_values, name)
        line = _with_flags(str(error), flag_values) if line is None else line
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


class _Output(io.FileIO):
    """A standard stream that a run outlives: a full disk is noted, and no error."""

    lost: str | None = None

    def write(self, data) -> int:
        """Writes, or pretends to; a closed pipe is an error all the same."""
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            raise
        except OSError as error:
            self.lost = error.strerror or str(error)
            return len(data)


@contextlib.contextmanager
def _standard_streams() -> Iterator[Callable[[], str | None]]:
    """Makes standard output and error fit for any text, wherever they lead.

    A stream that is closed leads nowhere: otherwise the next file that is opened would
    take its number, and get what is printed. Those that are not the process's own, as
    in a notebook, stay as they are.

    Yields:
      What returns why standard output was lost, or None.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free.
            os.open(os.devnull, os.O_RDWR)
    before = {"stdout": sys.stdout, "stderr": sys.stderr}
    raws = {}
    for number, (name, stream) in enumerate(before.items(), start=1):
        if stream is not getattr(sys, f"__{name}__"):
            if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
                stream.reconfigure(errors="backslashreplace")
            continue
        raws[name] = raw = _Output(number, "w", closefd=False)
        encoding = stream.encoding if stream else "utf-8"
        # File names that are not UTF-8 pass through where they were read so.
        keeps = stream and stream.errors == "surrogateescape"
        is_utf8 = encoding.lower().replace("-", "") == "utf8"
        if stream:
            stream.flush()
        # With python -u nothing waits in a buffer.
        at_once = bool(stream and stream.write_through)
        wrapper = io.TextIOWrapper(
            cast(BinaryIO, raw) if at_once else io.BufferedWriter(raw),
            write_through=at_once,
            encoding=encoding,
            errors="surrogateescape" if keeps and is_utf8 else "backslashreplace",
            line_buffering=name == "stderr" or raw.isatty(),
        )
        setattr(sys, name, wrapper)
    try:
        yield lambda: raws["stdout"].lost if "stdout" in raws else None
    finally:
        for name, stream in before.items():
            if name in raws:
                with contextlib.suppress(OSError):
                    getattr(sys, name).flush()
                setattr(sys, name, stream)


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


def _refuse_repeated(flag_values: flags.FlagValues) -> None:
    """Refuses a flag that is given twice; absl takes its last value without a word."""
    for name in flag_values:
        flag = flag_values[name]
        if flag.present > 1 and not isinstance(flag, flags.MultiFlag):
            raise UserError(f"--{name} is given {flag.present} times: expected once")


def _names(flag_values: flags.FlagValues) -> list[str]:
    """Returns the names of all flags, and of switches that with no before it."""
    switches = (name for name in flag_values if flag_values[name].boolean)
    return [*flag_values, *(f"no{name}" for name in switches)]


def _spelled(argv: Sequence[str], flag_values: flags.FlagValues) -> list[str]:
    """Spells flags as they are defined, those in another case or with - for _."""
    known = _names(flag_values)
    spelled = list(argv)
    for index, argument in enumerate(argv[1:], 1):
        if argument == "--":
            break
        found = re.fullmatch(r"(?is)--?(no[-_])?([A-Za-z][\w-]*)(=.*)?", argument)
        # What names no flag may be the value of the one before it.
        if found and (name := naming.find((found[1] or "")[:2] + found[2], known)):
            value = found[3] or ""
            spelled[index] = f"--{name}{value}"
            if value and name not in flag_values:
                raise UserError(f"--{name}{value}: expected --{name} alone")
    return spelled


def _wrong_flag(
    error: Exception, flag_values: flags.FlagValues, command: str
) -> str | None:
    """Returns the line for an unknown flag, or for one of another type.

    absl's quotes Python's own error.
    """
    if isinstance(error, flags.UnrecognizedFlagError):
        known = [*_names(flag_values), "help", "version"]
        near = naming.nearest(error.flagname, known)
        meant = "" if near is None else f"; did you mean --{near}?"
        return f"--{error.flagname}: unknown flag: see {command} --help{meant}"
    missing = r"Missing value for flag --?(\w+)|--(flagfile) with no argument"
    if found := re.fullmatch(missing, str(error)):
        name = found[1] or found[2]
        return f"--{name}: has no value: expected --{name}=VALUE"
    said = re.fullmatch(r"(?s)flag --(\w+)=(.*?): .*", str(error))
    if said is None or not isinstance(error, flags.IllegalFlagValueError):
        return None
    name, value = said.groups()
    parser = flag_values[name].parser
    if isinstance(parser, flags.BooleanParser):
        expected = "true or false"
    elif isinstance(parser, flags.EnumParser):
        expected = f"one of {', '.join(parser.enum_values)}"
        expected += naming.did_you_mean(value, parser.enum_values)
    else:
        expected = parser.syntactic_help
    return f"--{name}={value}: expected {expected}" if expected else None


def _with_flags(line: str, flag_values: flags.FlagValues) -> str:
    """Names the flags of settings: a library says num_images for --num_images.

    Names of one word may as well be words, but where a line starts with a wrong value.
    """
    # Without any flag the empty alternative would match everywhere.
    every = "|".join(flag_values) or "(?!)"
    line = re.sub(rf"^(?=({every}) is ['\"])", "--", line)
    names = "|".join(name for name in flag_values if "_" in name) or "(?!)"
    return re.sub(rf"(?<![\w./=-])({names})(?![\w/=-]|\.\w)", r"--\1", line)


class _Log(python_logging.Handler):
    """Writes log lines to standard error, above a progress bar where there is one."""

    def emit(self, record: python_logging.LogRecord) -> None:
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
