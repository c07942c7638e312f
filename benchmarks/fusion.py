"""Times the fusion of a pair, and of a folder of pairs, against two references.

    python benchmarks/fusion.py
    python benchmarks/fusion.py --height=480 --width=640

- The rate of multiply-adds in fusing one pair in memory is compared with the rate that
  TensorFlow reaches in a product of two 2048x2048 float32 matrices, measured in turn.
- The time for a folder of pairs, from files to files, is compared with that of
  computing the same pairs in memory.

Start-up (loading, building the graph, the first call) is printed separately.
"""

import pathlib
import sys
import tempfile
import time
from collections.abc import Callable

import measuring
import numpy as np
from absl import flags

from densefuse_tf import startup
from densefuse_tf.commands import runner

_FLAGS = flags.FlagValues()
_HEIGHT = flags.DEFINE_integer(
    "height", 576, "Height of the images.", flag_values=_FLAGS
)
_WIDTH = flags.DEFINE_integer("width", 768, "Width of the images.", flag_values=_FLAGS)
_REPEATS = flags.DEFINE_integer(
    "repeats", 9, "Number of runs, of which the median counts.", 1, flag_values=_FLAGS
)
_PAIRS = flags.DEFINE_integer(
    "pairs", 20, "Number of pairs in the folder.", 1, flag_values=_FLAGS
)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "1e2", "A checkpoint, as fuse.py takes it.", flag_values=_FLAGS
)

# Each pixel of a pair passes the encoder's kernels twice and the decoder's once.
_MULTIPLY_ADDS = 87_984
_MATRIX_SIDE = 2048
# The folder is fused this many times.
_ROUNDS = 3


def main() -> None:
    startup.import_tensorflow()
    import tensorflow as tf

    matrix = tf.random.normal([_MATRIX_SIDE, _MATRIX_SIDE])
    product = tf.function(tf.matmul)

    with tempfile.TemporaryDirectory() as folder:
        pairs = [synthetic_pair(seed) for seed in range(_PAIRS.value)]
        for strategy in ("addition", "l1_norm"):
            one_pair(strategy, pairs[0], lambda: product(matrix, matrix).numpy())
        whole_folder(pairs, pathlib.Path(folder))


def one_pair(strategy, pair, product: Callable[[], object]) -> None:
    from densefuse_tf.fusion.fuser import Fuser
    from densefuse_tf.fusion.settings import FusionSettings

    start = time.perf_counter()
    fuser = Fuser(FusionSettings(_CHECKPOINT.value, strategy=strategy))
    fuser.raw(pair)
    startup = time.perf_counter() - start
    for _ in range(2):
        product()
        fuser.raw(pair)
    products, fusions = [], []
    for _ in range(_REPEATS.value):
        products.append(measuring.seconds(product))
        fusions.append(measuring.seconds(lambda: fuser.raw(pair)))
    reference = _MATRIX_SIDE**3 / np.median(products)
    rate = _MULTIPLY_ADDS * pair[0].size / np.median(fusions)
    print(
        f"{strategy:9}{_HEIGHT.value}x{_WIDTH.value}: {np.median(fusions):.3f} s, "
        f"{rate / 1e9:.1f} G multiply-adds/s; matrix product {reference / 1e9:.1f} G; "
        f"ratio {rate / reference:.2f} (start-up {startup:.1f} s)"
    )


def whole_folder(pairs, folder: pathlib.Path) -> None:
    from densefuse_tf.fusion.fuser import Fuser
    from densefuse_tf.fusion.settings import FusionSettings
    from densefuse_tf.io import finding
    from densefuse_tf.io import images
    from densefuse_tf.pipelines import pairs as files_of_pairs
    from densefuse_tf.pipelines import planning
    from densefuse_tf.pipelines.settings import FileOptions

    for number, pair in enumerate(pairs):
        for name, image in zip(("ir", "vis"), pair, strict=True):
            images.write(folder / name / f"{number}.png", image)
    fuser = Fuser(FusionSettings(_CHECKPOINT.value))
    sources = finding.pair([folder / "ir", folder / "vis"])
    planned = planning.plan(sources, folder / "out")
    options = FileOptions()
    fuser.fuse(pairs[0])

    def compute() -> None:
        for pair in pairs:
            fuser.fuse(pair)

    # They are timed in turn, since the machine has other work too.
    times = [
        (
            measuring.seconds(compute),
            measuring.seconds(
                lambda: list(files_of_pairs.fuse_pairs(fuser, planned, options))
            ),
        )
        for _ in range(_ROUNDS)
    ]
    computing, overall = np.median(times, axis=0)
    print(
        f"folder of {len(pairs)} pairs: {overall:.2f} s, "
        f"{len(pairs) / overall:.2f} pairs/s; computing alone {computing:.2f} s; "
        f"ratio {computing / overall:.2f}"
    )


def synthetic_pair(seed: int) -> list[np.ndarray]:
    """Two grey images with structure and noise, packed by PNG like photographs."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: _HEIGHT.value, : _WIDTH.value]
    waves = (np.sin(x / (9 + seed)) + np.cos(y / 7), np.sin((x + y) / 31) * 2)
    noisy = [128 + 50 * wave + rng.normal(0, 3, wave.shape) for wave in waves]
    return [np.clip(image, 0, 255).astype(np.uint8) for image in noisy]


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
