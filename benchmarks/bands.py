"""Fusing large images in tiles: speed against the whole image, and peak memory.

    python benchmarks/tiles.py
    python benchmarks/tiles.py --side=1024 --large_side=4096

- Memory is the peak of a process that fuses a float32 pair of --large_side in tiles of
  automatic size, and of one that fuses a pair of --side whole.
- Speed is that of a pair of --side in tiles and whole, timed in turn.
- Equality is the largest difference between the two, on a scale of 255.
"""

import subprocess
import sys

import measuring
import numpy as np
from absl import flags

from densefuse_tf.commands import runner

_FLAGS = flags.FlagValues()
_SIDE = flags.DEFINE_integer(
    "side",
    2048,
    "Side of the images that are also computed whole.",
    2,
    flag_values=_FLAGS,
)
_LARGE_SIDE = flags.DEFINE_integer(
    "large_side",
    8192,
    "Side of the images that show the peak memory; 0 leaves that out.",
    0,
    flag_values=_FLAGS,
)
_TILE_SIZE = flags.DEFINE_integer(
    "tile_size",
    None,
    "Side of the tiles; by default the automatic one.",
    flag_values=_FLAGS,
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
_PEAK_OF = flags.DEFINE_integer(
    "peak_of",
    None,
    "Only fuse a pair of this side with the first strategy, and print the peak memory.",
    flag_values=_FLAGS,
)


def main() -> None:
    if _PEAK_OF.value is not None:
        runner.import_tensorflow()
        fuse_one()
        return
    # First, while this process is small: a child's peak counts from its parent's size.
    if _LARGE_SIDE.value:
        for strategy in _STRATEGIES.value:
            in_child(strategy, _LARGE_SIDE.value, _TILE_SIZE.value)
            in_child(strategy, _SIDE.value, 0)
    runner.import_tensorflow()
    for strategy in _STRATEGIES.value:
        speed(strategy)


def in_child(strategy: str, side: int, tile_size: int | None) -> None:
    command = [sys.executable, __file__, f"--peak_of={side}"]
    command += [f"--strategies={strategy}", f"--checkpoint={_CHECKPOINT.value}"]
    if tile_size is not None:
        command.append(f"--tile_size={tile_size}")
    subprocess.run(command, check=True)


def fuse_one() -> None:
    from densefuse_tf.fusion.fuser import Fuser
    from densefuse_tf.fusion.settings import FusionSettings

    strategy, side = _STRATEGIES.value[0], _PEAK_OF.value
    fuser = Fuser(
        FusionSettings(_CHECKPOINT.value, strategy=strategy, tile_size=_TILE_SIZE.value)
    )
    started = measuring.peak_memory()
    pair = random_pair(side)
    # The result is kept, so that it counts.
    results = []
    seconds = measuring.seconds(lambda: results.append(fuser.fuse(pair)))
    result = results[0].raw.nbytes + results[0].image.nbytes
    peak = measuring.peak_memory()
    how = "whole" if _TILE_SIZE.value == 0 else "in tiles"
    print(
        f"memory: {strategy} {side}x{side} {how}: peak {peak:.2f} GB, of it "
        f"{started:.2f} before, {2 * pair[0].nbytes / 1e9:.2f} the sources, "
        f"{result / 1e9:.2f} the result; {seconds:.1f} s",
        flush=True,
    )


def speed(strategy: str) -> None:
    from densefuse_tf.fusion.fuser import Fuser
    from densefuse_tf.fusion.fuser import automatic_tile_size
    from densefuse_tf.fusion.settings import FusionSettings

    whole = Fuser(FusionSettings(_CHECKPOINT.value, strategy=strategy, tile_size=0))
    size = _TILE_SIZE.value or automatic_tile_size(2, whole.margin)
    tiled = Fuser(FusionSettings(_CHECKPOINT.value, strategy=strategy, tile_size=size))
    pair = random_pair(_SIDE.value)
    expected = whole.raw(pair)
    difference = np.abs(tiled.raw(pair) - expected).max() * 255 / np.ptp(expected)
    times = [
        (
            measuring.seconds(lambda: whole.raw(pair)),
            measuring.seconds(lambda: tiled.raw(pair)),
        )
        for _ in range(_REPEATS.value)
    ]
    reference, measured = np.median(times, axis=0)
    print(
        f"speed: {strategy:9}{_SIDE.value}x{_SIDE.value} in tiles of {size}: "
        f"{measured:.2f} s; whole {reference:.2f} s; ratio {reference / measured:.2f}; "
        f"largest difference {difference:.1e}",
        flush=True,
    )


def random_pair(side: int) -> list[np.ndarray]:
    """Two float32 images [side, side] in 0..255 with structure and noise."""
    rng = np.random.default_rng(0)
    pair = []
    for period in (31, 190):
        image = rng.random((side, side), np.float32)
        image *= 60
        image += 90 * (1 + np.sin(np.arange(side, dtype=np.float32) / period))
        pair.append(image)
    return pair


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
