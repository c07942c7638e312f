"""Starts and ends every command: flags, --help, the one line for a mistake."""

import contextlib
import io
import logging as python_logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence

from absl import flags
from absl import logging

import densefuse_tf
from densefuse_tf import naming
from densefuse_tf.errors import UserError
from densefuse_tf.errors import one_line

USAGE_ERROR = 2
INTERRUPTED = 130
# As the shell counts a program that SIGPIPE ended.
BROKEN_PIPE = 141
TERMINATED = 143


# A report has all errors, the terminal the first ones.
_ERRORS_SHOWN = 20


def print_errors(
    what: str, reasons: Sequence[str], count: int, *, has_report: bool = True
) -> None:
    """Says why some of `count` pairs were not fused or evaluated."""
    print(f"{len(reasons)} of {count} pairs were not {what}:", file=sys.stderr)
    for reason in reasons[:_ERRORS_SHOWN] if has_report else reasons:
        print(f"  {reason}", file=sys.stderr)


def run(
    main: Callable[..., int | None],
    flag_values: flags.FlagValues,
    description: str | Callable[[], str],
    argv: Sequence[str] | None = None,
    *,
    takes_files: bool = False,
) -> int:
    """Parses `argv` into `flag_values`, calls `main` and turns its end into a status.

    Args:
      main: The command; returns its exit status, None for 0.
      flag_values: The flags of this command, and of no other.
      description: The module's docstring, which --help shows above the flags, or what
        makes a longer one.
      argv: The command's name and its arguments; by default those of the process.
      takes_files: Whether `main` takes the arguments that are no flags.

    Returns:
      0, or what `main` returned; 2 after one line on standard error for a user's
      mistake; 130 when interrupted from the keyboard, 143 by SIGTERM, 141 when nobody
      reads the output any more.
    """
    argv = list(sys.argv if argv is None else argv)
    name = os.path.basename(argv[0])
    _print_any_file_name()
    # First of all: whatever logs while there is no handler makes one of its own.
    log = _Log()
    python_logging.getLogger().addHandler(log)
    logging.set_verbosity(logging.INFO)
    flag_values.unparse_flags()
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    try:
        if any(argument in ("--help", "-h", "-help") for argument in argv[1:]):
            shown = description if isinstance(description, str) else description()
            print(shown.strip())
            # absl shows where the file of a command is that python -m runs.
            text = flag_values.get_help().replace(f"{sys.argv[0]}:\n", "flags:\n")
            print(text, flush=True)
            return 0
        if "--version" in argv[1:]:
            print(f"{name} (densefuse_tf {densefuse_tf.__version__})", flush=True)
            return 0
        for argument in argv[1:]:
            # A script with the line ends of Windows has them in its values.
            if argument.endswith("\r"):
                raise UserError(
                    f"{argument!r} ends in a carriage return: expected none; save the "
                    "script with the line ends of Unix"
                )
        rest = flag_values(argv)[1:]
        if rest and not takes_files:
            raise UserError(f"unexpected argument {rest[0]!r}: see {name} --help")
        _refuse_repeated(flag_values)
        with _terminating():
            return main(*[rest] * takes_files) or 0
    except (flags.Error, UserError) as error:
        line = _wrong_value(error, flag_values)
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
    finally:
        python_logging.getLogger().removeHandler(log)


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


def _wrong_value(error: Exception, flag_values: flags.FlagValues) -> str | None:
    """Returns the line for a flag of another type; absl's quotes Python's own error."""
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
    line = re.sub(rf"^(?=({'|'.join(flag_values)}) is ['\"])", "--", line)
    names = "|".join(name for name in flag_values if "_" in name)
    return re.sub(rf"(?<![\w./=-])({names})(?![\w/=-]|\.\w)", r"--\1", line)


class _Log(python_logging.Handler):
    """Writes log lines to standard error, above a progress bar where there is one."""

    def emit(self, record: python_logging.LogRecord) -> None:
        import tqdm

        try:
            line = self.format(record)
            if not record.exc_info:
                line = one_line(line)
            if record.levelno > python_logging.INFO:
                line = f"{record.levelname.lower()}: {line}"
            tqdm.tqdm.write(line, file=sys.stderr)
        except Exception:
            self.handleError(record)


def _print_any_file_name() -> None:
    """Makes standard output write what it cannot encode as escapes, as in errors.

    A file name may hold any bytes, and a terminal may have any encoding.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")
