"""What the benchmarks measure with."""

import resource
import sys
import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    """The wall-clock time that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_memory() -> float:
    """The most memory that this process has held so far, in GB (10^9 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Darwin counts bytes, Linux KiB.
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9
