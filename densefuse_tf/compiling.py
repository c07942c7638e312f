"""Compiles loops by Numba, and imports Numba only when the first of them is called."""

import contextlib
import functools
import threading
from collections.abc import Callable
from typing import Any

_LOCK = threading.Lock()


class compiled:
    """Has a function compiled when it is first called.

    It runs without the interpreter's lock, so that threads work side by side. One image
    pair stays on one core: a set of pairs keeps all cores busy with less overhead than
    loops split over cores would. The machine code is kept beside the source file for
    the next process.
    """

    def __init__(self, function: Callable) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._machine_code: Any = None

    def __call__(self, *arguments):
        return self._dispatcher(*arguments)

    @property
    def _numba_type_(self):
        """Tells Numba what this is where another compiled function calls it."""
        return self._dispatcher._numba_type_

    @property
    def _dispatcher(self):
        if self._machine_code is None:
            with _LOCK:
                self._machine_code = self._machine_code or self._made()
        return self._machine_code

    def _made(self):
        import numba

        class Cache(numba.core.caching.FunctionCache):
            """Is left alone where it is damaged or the disk is full."""

            def load_overload(self, *arguments):
                with contextlib.suppress(Exception):
                    return super().load_overload(*arguments)

            def save_overload(self, *arguments):
                with contextlib.suppress(Exception):
                    super().save_overload(*arguments)

        compiled = numba.njit(nogil=True, error_model="numpy")(self._function)
        # Where no folder can be written to, each process compiles the code again.
        with contextlib.suppress(RuntimeError):
            # What njit(cache=True) does, with the cache above.
            compiled._cache = Cache(self._function)
        return compiled
