"""Measures time and memory for the benchmarks, which import it first.

That makes the package of this checkout importable where none is installed.
"""

import pathlib
import resource
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))


def seconds(work: Callable[[], object]) -> float:
    """The wall-clock time that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def best(work: Callable[[], object], repeats: int) -> float:
    """The shortest wall-clock time of several calls."""
    return min(seconds(work) for _ in range(repeats))


def peak_memory() -> float:
    """The most memory that this process has held so far, in GB (10^9 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Darwin counts bytes, Linux KiB.
    return peak / 1e9 if sys.platform == "darwin" else peak * 1024 / 1e9


def pairs_of(folder: str | None) -> Sequence[tuple[pathlib.Path, ...]]:
    """The files IR*.png and VIS*.png of a folder; none without one."""
    from densefuse_tf.io import finding

    if folder is None:
        return []
    return finding.pair([f"{folder}/{kind}*.png" for kind in ("IR", "VIS")])


def synthetic_pair(height: int, width: int) -> list[np.ndarray]:
    """An infrared, a visible and a fused image, [H, W] uint8, always the same."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    ir = 80 + 50 * np.sin(x / 40) + 90 * (np.hypot(y - height / 2, x - width / 3) < 60)
    vis = 120 + 40 * np.cos(y / 25 + x / 60) + 30 * ((x // 32 + y // 32) % 2)
    fused = (ir + vis) / 2
    noisy = (image + random.normal(0, 4, image.shape) for image in (ir, vis, fused))
    return [np.clip(image, 0, 255).astype(np.uint8) for image in noisy]
