"""Starts and ends every command: flags, --help, the one line for a mistake."""

import contextlib
import ctypes
import gc
import io
import logging as python_logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence

from absl import flags
from absl import logging

import densefuse_tf
from densefuse_tf.errors import UserError

USAGE_ERROR = 2
INTERRUPTED = 130
# As the shell counts a program that SIGPIPE ended.
BROKEN_PIPE = 141
# Parameters of glibc's mallopt, from malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8


def run(
    main: Callable[[], int | None],
    flag_values: flags.FlagValues,
    description: str | Callable[[], str],
    argv: Sequence[str] | None = None,
) -> int:
    """Parses `argv` into `flag_values`, calls `main` and turns its end into a status.

    Args:
      main: The command; returns its exit status, None for 0.
      flag_values: The flags of this command, and of no other.
      description: The module's docstring, which --help shows above the flags, or what
        makes a longer one.
      argv: The command's name and its arguments; by default those of the process.

    Returns:
      0, or what `main` returned; 2 after one line on standard error for a user's
      mistake; 130 when interrupted from the keyboard, 141 when nobody reads the
      output any more.
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
        rest = flag_values(argv)[1:]
        if rest:
            raise UserError(f"unexpected argument {rest[0]!r}: see {name} --help")
        _refuse_repeated(flag_values)
        return main() or 0
    except (flags.Error, UserError) as error:
        line = _wrong_value(error, flag_values)
        line = _with_flags(str(error), flag_values) if line is None else line
        print(f"{name}: {' '.join(line.split())}", file=sys.stderr)
        return USAGE_ERROR
    except BrokenPipeError:
        # The reader has closed the output; Python must not write to it at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    finally:
        python_logging.getLogger().removeHandler(log)


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


def import_tensorflow() -> None:
    """Imports TensorFlow without what its libraries print while they load.

    A command calls this once its flags are checked, so that --help and a mistake in the
    flags are answered at once.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _keep_freed_memory()
    with hushed(), _importing_much(), _hidden("matplotlib", "pandas", "scipy"):
        import tensorflow

        # The first search for GPUs prints as well.
        tensorflow.config.list_physical_devices("GPU")


@contextlib.contextmanager
def _importing_much() -> Iterator[None]:
    """Keeps the garbage collector from what is imported.

    Modules stay until the end. Searching the hundreds of thousands of objects of
    TensorFlow for garbage again and again takes a fifth of its import, and of what
    comes after it.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """Makes packages look as if they were not installed, for those that can do without.

    Keras imports matplotlib for its pictures of data sets and pandas for its tables,
    TensorFlow SciPy for its sparse matrices: more than a fifth of the import, and none
    is used here.
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Hides what libraries in any language print to standard error.

    It is shown after all if the body raises anything but a UserError.
    """
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)
        try:
            yield
        except UserError:
            raise
        except BaseException:
            printed.seek(0)
            os.write(stderr, printed.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)


def _keep_freed_memory() -> None:
    """Makes glibc reuse large blocks instead of returning each to the system.

    The maps of a 576x768 image take 113 MB. By default such a block is mapped anew each
    time, and the system hands it out page by page: adding two such maps then takes
    60 ms instead of 24. With another C library nothing is changed.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_MAX, 0)
    # A thread's own arena cannot hold large blocks.
    mallopt(_M_ARENA_MAX, 1)
    mallopt(_M_TRIM_THRESHOLD, -1)
    mallopt(_M_TOP_PAD, 2**26)
