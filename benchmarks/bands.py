"""Fusing large images in bands of rows: speed against the whole image, and memory.

    python benchmarks/bands.py
    python benchmarks/bands.py --large=0x0 --memory_budget=0.5

- Memory is the peak of a process that fuses a pair in memory, TensorFlow included: one
  of --size as uint8, in bands and whole, and one of --large as float32, in bands.
- Speed is the time for each pixel of a pair in bands against that of a pair of --size
  computed whole, timed in turn: of the same pair, and of the upper quarter of a pair of
  --large, which is too large to be computed whole.
- Equality is the largest difference between the two, on a scale of 255.
"""

import subprocess
import sys

import measuring
import numpy as np
from absl import flags

from densefuse_tf import startup
from densefuse_tf.commands import runner

_FLAGS = flags.FlagValues()
_SIZE = flags.DEFINE_string(
    "size",
    "1080x1920",
    "HEIGHTxWIDTH of the images that are also computed whole.",
    flag_values=_FLAGS,
)
_LARGE = flags.DEFINE_string(
    "large",
    "8192x8192",
    "HEIGHTxWIDTH of images that are only computed in bands; 0x0 leaves them out.",
    flag_values=_FLAGS,
)
_MEMORY_BUDGET = flags.DEFINE_float(
    "memory_budget", 1.0, "As fuse.py takes it.", flag_values=_FLAGS
)
_REPEATS = flags.DEFINE_integer(
    "repeats", 3, "Number of runs, of which the median counts.", 1, flag_values=_FLAGS
)
_STRATEGIES = flags.DEFINE_list(
    "strategies", ["addition", "l1_norm"], "The strategies to time.", flag_values=_FLAGS
)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "1e2", "A checkpoint, as fuse.py takes it.", flag_values=_FLAGS
)
_CHILD = flags.DEFINE_string(
    "child",
    None,
    "Only do one part, with the first strategy: memory, speed or large.",
    flag_values=_FLAGS,
)


def main() -> None:
    if _CHILD.value is not None:
        startup.import_tensorflow()
        {"memory": memory, "speed": speed, "large": large}[_CHILD.value]()
        return
    # Each part has a process of its own: peaks do not fall.
    for strategy in _STRATEGIES.value:
        in_child("memory", strategy, _MEMORY_BUDGET.value)
        in_child("memory", strategy, 0)
        in_child("speed", strategy, _MEMORY_BUDGET.value)
        if 0 not in shape(_LARGE.value):
            in_child("large", strategy, _MEMORY_BUDGET.value)


def in_child(part: str, strategy: str, memory_budget: float) -> None:
    command = [sys.executable, __file__, f"--child={part}", f"--strategies={strategy}"]
    command += [
        f"--{name}={_FLAGS[name].value}"
        for name in ("size", "large", "repeats", "checkpoint")
    ]
    subprocess.run([*command, f"--memory_budget={memory_budget}"], check=True)


def build(memory_budget: float):
    from densefuse_tf.fusion.fuser import Fuser
    from densefuse_tf.fusion.settings import FusionSettings

    strategy = _STRATEGIES.value[0]
    return Fuser(
        FusionSettings(
            _CHECKPOINT.value, strategy=strategy, memory_budget=memory_budget
        )
    )


def memory() -> None:
    pair = random_pair(*shape(_SIZE.value), np.uint8)
    show_memory(build(_MEMORY_BUDGET.value), _SIZE.value, pair)


def show_memory(fuser, size: str, pair: list[np.ndarray]) -> None:
    """Fuses a pair and prints the peak."""
    started = measuring.peak_memory()
    # The result is kept, so that it counts.
    kept = fuser.fuse(pair)
    how = f"budget {_MEMORY_BUDGET.value:g} GB" if _MEMORY_BUDGET.value else "whole"
    print(
        f"memory: {_STRATEGIES.value[0]} {size}, {how}: peak "
        f"{measuring.peak_memory():.2f} GB, of it {started:.2f} before",
        flush=True,
    )
    del kept


def speed() -> None:
    whole, banded = build(0), build(_MEMORY_BUDGET.value)
    pair = random_pair(*shape(_SIZE.value), np.uint8)
    expected = whole.raw(pair)
    difference = np.abs(banded.raw(pair) - expected).max() * 255 / np.ptp(expected)
    print(f"equality: largest difference {difference:.1e}", flush=True)
    show_speed(banded, pair, whole, pair)


def large() -> None:
    banded, whole = build(_MEMORY_BUDGET.value), build(0)
    pair = random_pair(*shape(_LARGE.value), np.float32)
    # The peak comes first, since computing a pair whole takes more.
    show_memory(banded, _LARGE.value, pair)
    strip = [source[: source.shape[0] // 4] for source in pair]
    show_speed(banded, strip, whole, random_pair(*shape(_SIZE.value), np.float32))


def show_speed(banded, pair, whole, small) -> None:
    """Prints the speed of a pair in bands against another, for each pixel."""
    banded.fuse(pair), whole.fuse(small)
    times = [
        [measuring.seconds(lambda f=f, p=p: f.fuse(p)) for f, p in runs]
        for runs in [((whole, small), (banded, pair))] * _REPEATS.value
    ]
    reference, measured = np.median(times, axis=0) / [small[0].size, pair[0].size]
    sizes = ["x".join(map(str, images[0].shape)) for images in (pair, small)]
    print(
        f"speed: {_STRATEGIES.value[0]} {sizes[0]} in bands: {measured * 1e6:.3f} s a "
        f"megapixel; {sizes[1]} whole: {reference * 1e6:.3f} s; ratio "
        f"{reference / measured:.3f}",
        flush=True,
    )


def shape(size: str) -> tuple[int, int]:
    height, width = map(int, size.split("x"))
    return height, width


def random_pair(height: int, width: int, dtype: type) -> list[np.ndarray]:
    """Two images [height, width] in 0..255 with structure and noise."""
    rng = np.random.default_rng(0)
    pair = []
    for period in (31, 190):
        waves = 90 * (1 + np.sin(np.arange(width, dtype=np.float32) / period))
        image = np.empty((height, width), dtype)
        for row in image:
            row[:] = waves + 60 * rng.random(width, np.float32)
        pair.append(image)
    return pair


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
