"""What bfloat16 gains in time and costs in accuracy, against float32 in the same run.

    python benchmarks/bfloat16.py
    python benchmarks/bfloat16.py --data_dir=tno --checkpoints=1e0,1e1,1e2,1e3 --metrics

- Speed is float32's time for a pair divided by bfloat16's, timed in turn.
- Accuracy is the difference of the results, of 8 bits with --output_range=minmax, over
  the pairs IR<n>.png and VIS<n>.png of --data_dir.
- With --metrics, Table II's metrics are averaged over these pairs for both, and each
  difference is printed in per cent.
"""

import sys

import measuring
import numpy as np
from absl import flags

from densefuse_tf import startup
from densefuse_tf.commands import runner

_FLAGS = flags.FlagValues()
_SIZES = flags.DEFINE_list(
    "sizes", ["576x768"], "HEIGHTxWIDTH of the pairs to time.", flag_values=_FLAGS
)
_REPEATS = flags.DEFINE_integer(
    "repeats", 15, "Number of runs, of which the median counts.", 1, flag_values=_FLAGS
)
_STRATEGIES = flags.DEFINE_list(
    "strategies", ["addition", "l1_norm"], "The strategies.", flag_values=_FLAGS
)
_CHECKPOINTS = flags.DEFINE_list(
    "checkpoints", ["1e2"], "Checkpoints, as fuse.py takes them.", flag_values=_FLAGS
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "A folder of IR<n>.png and VIS<n>.png.", flag_values=_FLAGS
)
_METRICS = flags.DEFINE_bool(
    "metrics", False, "Compare Table II's metrics as well.", flag_values=_FLAGS
)


def main() -> None:
    startup.import_tensorflow()
    from densefuse_tf.model import low_precision

    if obstacle := low_precision.obstacle():
        sys.exit(f"bfloat16: {obstacle}")
    for strategy in _STRATEGIES.value:
        fusers = build(_CHECKPOINTS.value[0], strategy)
        for size in _SIZES.value:
            speed(fusers, strategy, size)
    if _DATA_DIR.value is not None:
        pairs = read_pairs(_DATA_DIR.value)
        for checkpoint in _CHECKPOINTS.value:
            for strategy in _STRATEGIES.value:
                accuracy(checkpoint, strategy, pairs)


def build(checkpoint: str, strategy: str) -> list:
    """Returns the fusers of both precisions."""
    from densefuse_tf.fusion.fuser import Fuser
    from densefuse_tf.fusion.settings import FusionSettings

    return [
        Fuser(FusionSettings(checkpoint, strategy=strategy, precision=precision))
        for precision in ("float32", "bfloat16")
    ]


def speed(fusers: list, strategy: str, size: str) -> None:
    pair = measuring.synthetic_pair(*map(int, size.split("x")))[:2]
    times: list[list[float]] = [[], []]
    for fuser in fusers:
        fuser.fuse(pair)
    for _ in range(_REPEATS.value):
        for fuser, seconds in zip(fusers, times, strict=True):
            seconds.append(measuring.seconds(lambda fuser=fuser: fuser.fuse(pair)))
    medians = np.median(times, axis=1)
    print(
        f"speed: {strategy} {size}: float32 {medians[0]:.3f} s, bfloat16 "
        f"{medians[1]:.3f} s, ratio {medians[0] / medians[1]:.2f}",
        flush=True,
    )


def read_pairs(folder: str) -> list[list[np.ndarray]]:
    from densefuse_tf.io import images

    return [list(map(images.read, pair)) for pair in measuring.pairs_of(folder)]


def accuracy(checkpoint: str, strategy: str, pairs: list[list[np.ndarray]]) -> None:
    from densefuse_tf import metrics

    fusers = build(checkpoint, strategy)
    levels = np.zeros(256, np.int64)
    most = 0.0
    values = []
    for pair in pairs:
        fused = [fuser.fuse(pair).image for fuser in fusers]
        difference = np.abs(np.subtract(*fused, dtype=int))
        most = max(most, (difference > 2).mean())
        levels += np.bincount(difference.ravel(), minlength=256)
        if _METRICS.value:
            values.append([metrics.evaluate(*pair, image) for image in fused])
    shares = levels / levels.sum()
    print(
        f"accuracy: {strategy} {checkpoint}, {len(pairs)} pairs: largest difference "
        f"{np.flatnonzero(levels)[-1]}, mean {shares @ np.arange(256):.3f}; more "
        f"than 1 in {shares[2:].sum():.4%}, more than 2 in {shares[3:].sum():.4%}, "
        f"{most:.4%} of the worst pair",
        flush=True,
    )
    if values:
        names = list(values[0][0])
        averages = np.mean(
            [[list(of_one.values()) for of_one in both] for both in values], axis=0
        )
        changes = 100 * (averages[1] / averages[0] - 1)
        cells = [f"{n} {c:+.3f} %" for n, c in zip(names, changes, strict=True)]
        print(f"metrics: {strategy} {checkpoint}: {', '.join(cells)}", flush=True)


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
