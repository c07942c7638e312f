"""Loops that Numba compiles."""

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable) -> Callable:
    """Compiles without the interpreter's lock, so that threads work side by side.

    One image pair stays on one core: a set of pairs keeps all cores busy with less
    overhead than loops split over cores would.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        # No folder can be written to, so the code is compiled again in each process.
        return numba.njit(**options)(function)
