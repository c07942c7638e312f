"""Imports TensorFlow, quickly and quietly."""

import contextlib
import ctypes
import functools
import gc
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import IO

from densefuse_tf.errors import UserError

# Parameters of glibc's mallopt, from malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
# Held while standard error is hushed.
_HUSHING = threading.Lock()

# What TensorFlow prints while it loads and nobody need see: remarks, warnings, and that
# there is no GPU.
_REMARK = re.compile(
    rb"[IW]\d{4} |\d{4}-\d\d-\d\d [\d:.]+: [IW] |E\d{4} .*(cuInit|Unable to register)"
    rb"|WARNING: All log messages before absl|To enable the following instructions"
)


@functools.cache
def load_tensorflow() -> None:
    """Imports TensorFlow without its remarks, and changes nothing else of the process.

    A program that uses the library gets it so. What it has printed where the program
    has imported it before is the program's.
    """
    with hushed(only=_REMARK.match):
        import tensorflow

        # The first search for GPUs prints as well.
        tensorflow.config.list_physical_devices("GPU")


def import_tensorflow() -> None:
    """Imports TensorFlow without what its libraries print while they load.

    A command calls this once its flags are checked, so that --help and a mistake in the
    flags are answered at once.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _keep_freed_memory()
    with hushed(), _importing_much(), _hidden("matplotlib", "pandas", "scipy"):
        load_tensorflow()


def require_backend() -> None:
    """Refuses another backend of Keras than TensorFlow, which all layers are for."""
    try:
        import keras

        found = keras.config.backend()
    except ImportError as error:
        found = f"one that cannot be imported ({error})"
    if found != "tensorflow":
        raise UserError(
            f"the backend of Keras is {found}: expected tensorflow, by "
            "KERAS_BACKEND=tensorflow or in ~/.keras/keras.json"
        )


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
def hushed(only: Callable[[bytes], object] | None = None) -> Iterator[None]:
    """Hides what libraries in any language print to standard error.

    It is shown after all if the body raises anything but a UserError. Lines for which
    `only` is given and returns false are shown when the body has ended. Inside of
    another one, of this thread or of another, nothing more is hidden: two that put
    standard error back in the wrong order would lose it.
    """
    if not _HUSHING.acquire(blocking=False):
        yield
        return
    try:
        with _redirected(only):
            yield
    finally:
        _HUSHING.release()


@contextlib.contextmanager
def _redirected(only: Callable[[bytes], object] | None) -> Iterator[None]:
    """Hides standard error, as `hushed` does, for one at a time."""
    try:
        stderr = os.dup(2)
    except OSError:
        # It is closed.
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    with _scratch() as printed:
        os.dup2(printed.fileno(), 2)
        try:
            yield
            if only is not None:
                printed.seek(0)
                shown = [line for line in printed if not only(line)]
                os.write(stderr, b"".join(shown))
        except UserError:
            raise
        except BaseException:
            printed.seek(0)
            os.write(stderr, printed.read())
            raise
        finally:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)


def _scratch() -> IO[bytes]:
    """Opens a file for what is printed, which is lost if there is no place for it."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return open(os.devnull, "w+b")


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
