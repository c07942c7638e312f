"""Compiles the loops of the methods by Numba, and imports Numba only then."""

import functools
from collections.abc import Callable


def compiled(function: Callable) -> Callable:
    """Has a function compiled when it is first called.

    It runs without the interpreter's lock, so that threads work side by side. The
    machine code is kept beside the source file for the next process.

    Args:
      function: What Numba compiles; it calls no function compiled like this itself.
    """

    @functools.cache
    def machine_code():
        import numba

        options = {"nogil": True, "error_model": "numpy"}
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:
            # No folder can be written to: each process compiles the code again.
            return numba.njit(**options)(function)

    @functools.wraps(function)
    def call(*arguments):
        return machine_code()(*arguments)

    return call
