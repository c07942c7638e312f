r"""Times the metrics, one by one and together, and measures their memory.

    python benchmarks/metrics.py
    python benchmarks/metrics.py --ir=IR.png --vis=VIS.png --fused=FUSED.png

The pair is a synthetic one of 576x768 (the largest size in the TNO set) unless files
are given. Single metrics run on one core, several on two; "side by side" is one pair
per core at once, with the seven of Table II.
The reference is measured in the same run: the time NumPy takes for the logarithms alone
of the two feature mutual informations as they are published, 81 for each window and
source. scikit-image's functions for two of the metrics are timed beside them.
"""

import concurrent.futures
import functools
import os
import sys
from collections.abc import Callable

import measuring
import numpy as np
import skimage.measure
import skimage.metrics
from absl import flags

from densefuse_tf import metrics
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError
from densefuse_tf.io import images
from densefuse_tf.io import pixels

_FLAGS = flags.FlagValues()
_FILES = [
    flags.DEFINE_string(name, None, f"{what} image file.", flag_values=_FLAGS)
    for name, what in (("ir", "Infrared"), ("vis", "Visible"), ("fused", "Fused"))
]
_REPEATS = flags.DEFINE_integer(
    "repeats",
    3,
    "The best of this many runs counts.",
    lower_bound=1,
    flag_values=_FLAGS,
)
_LOGARITHMS_AT_ONCE = 1_000_000


def main() -> None:
    paths = [flag.value for flag in _FILES]
    if all(paths):
        pair = [pixels.gray(images.read(path)) for path in paths]
    elif any(paths):
        raise UserError("give all of --ir, --vis and --fused, or none")
    else:
        pair = measuring.synthetic_pair(576, 768)
    metrics.evaluate(*pair)  # compiles
    before = measuring.peak_memory()

    height, width = pair[0].shape
    cores = os.cpu_count() or 1
    reference = published_logarithms(height, width)
    print(f"{height}x{width}, {cores} cores, reference {reference:.3f} s")
    print(f"{'':22}{'seconds':>9}{'ratio':>9}")
    fused = pair[2]
    cases: dict[str, Callable[[], object]] = {
        name: functools.partial(metric, *pair)
        for name, metric in metrics.METRICS.items()
    }
    padded = [np.pad(image / 255.0, 5, mode="edge") for image in pair]
    cases |= {
        "scikit-image's En": lambda: skimage.measure.shannon_entropy(fused),
        "scikit-image's SSIM_a": lambda: [
            skimage.metrics.structural_similarity(
                source,
                padded[2],
                gaussian_weights=True,
                use_sample_covariance=False,
                data_range=1.0,
            )
            for source in padded[:2]
        ],
        "all seven": lambda: metrics.evaluate(*pair),
        "toolkit's eleven": lambda: metrics.evaluate(*pair, metrics="toolkit"),
        "VIFB's thirteen": lambda: metrics.evaluate(*pair, metrics="vifb"),
        f"all {len(metrics.METRICS)}": lambda: metrics.evaluate(*pair, metrics="all"),
    }
    for name, case in cases.items():
        report(name, measuring.best(case, _REPEATS.value), reference)
    rise = measuring.peak_memory() - before

    with concurrent.futures.ThreadPoolExecutor(cores) as pool:

        def side_by_side() -> None:
            list(pool.map(lambda _: metrics.evaluate(*pair), range(cores)))

        report(
            "per pair, side by side",
            measuring.best(side_by_side, _REPEATS.value) / cores,
            reference,
        )
    together = measuring.peak_memory()
    print(f"peak memory {before + rise:.2f} GB, {together:.2f} GB side by side")


def published_logarithms(height: int, width: int) -> float:
    """Seconds NumPy takes for the logarithms of FMI_w and FMI_dct as published."""
    # One level of the 102-tap wavelet makes each side 101 longer, in two halves.
    bands = [2 * ((side + 101) // 2) for side in (height, width)]
    windows = (height - 2) * (width - 2) + (bands[0] - 2) * (bands[1] - 2)
    cells = np.random.default_rng(0).random(_LOGARITHMS_AT_ONCE) + 1e-9
    seconds = measuring.best(lambda: -cells * np.log2(cells), _REPEATS.value)
    return seconds * 2 * 81 * windows / _LOGARITHMS_AT_ONCE


def report(name: str, seconds: float, reference: float) -> None:
    print(f"{name:22}{seconds:9.3f}{seconds / reference:9.3f}")


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
