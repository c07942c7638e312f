"""Times the fusion methods that the paper compares with and measures their memory.

    python benchmarks/baselines.py
    python benchmarks/baselines.py --methods=cbf,gtf --method_options=gtf.lambda=2
    python benchmarks/baselines.py --methods=cnn --method_options=cnn.checkpoint=FILE

Each method fuses the same synthetic pair, in a process of its own.

- Time: the best of some runs after one that compiles, and its ratio to what NumPy
  takes, in the same process, for a product of two float64 matrices of 2048x2048.
- Memory: the most that the process holds, of it what it held before it fused, and the
  ratio of the difference to the size of the pair in float64.
"""

import json
import os
import subprocess
import sys

import measuring
import numpy as np
from absl import flags

from densefuse_tf import baselines
from densefuse_tf.commands import common_flags
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError

_FLAGS = flags.FlagValues()
_METHODS = flags.DEFINE_list(
    "methods", list(baselines.names()), "Which methods.", flag_values=_FLAGS
)
_METHOD_OPTIONS = flags.DEFINE_list(
    "method_options",
    [],
    "METHOD.OPTION=VALUE, with commas between them: options of methods, such as their "
    "weights.",
    flag_values=_FLAGS,
)
_HEIGHT = flags.DEFINE_integer(
    "height", 576, "Height of the pair in pixels.", 1, flag_values=_FLAGS
)
_WIDTH = flags.DEFINE_integer(
    "width", 768, "Width of the pair in pixels.", 1, flag_values=_FLAGS
)
_REPEATS = flags.DEFINE_integer(
    "repeats", 3, "The best of this many runs counts.", 1, flag_values=_FLAGS
)
_FIGURES_OF = flags.DEFINE_string(
    "figures_of",
    None,
    "Measure this method in this process, and print the figures as JSON.",
    flag_values=_FLAGS,
)
_MATRIX_SIDE = 2048


def main() -> int:
    options = common_flags.options_by_method(_METHOD_OPTIONS.value)
    if _FIGURES_OF.value is not None:
        print(json.dumps(figures(_FIGURES_OF.value, options)))
        return 0
    for name in [*_METHODS.value, *options]:
        baselines.get(name)
    print(f"{_HEIGHT.value}x{_WIDTH.value}, {os.cpu_count()} cores")
    print(
        f"{'':12}{'seconds':>9}{'product':>9}{'ratio':>9}{'GB':>9}{'before':>9}"
        f"{'ratio':>9}"
    )
    failed = [name for name in _METHODS.value if not report(name)]
    return runner.USAGE_ERROR if failed else 0


def report(name: str) -> bool:
    """Measures a method in a child process; whether it could be measured."""
    child = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], f"--figures_of={name}"],
        # TensorFlow names its optimizations otherwise.
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        text=True,
    )
    if child.returncode:
        # It has said why on standard error.
        return False
    measured = json.loads(child.stdout.splitlines()[-1])
    seconds, product = measured["seconds"], measured["product"]
    before, peak = measured["before"], measured["peak"]
    pair = 2 * 8 * _HEIGHT.value * _WIDTH.value / 1e9
    print(
        f"{name:12}{seconds:9.3f}{product:9.3f}{seconds / product:9.3f}{peak:9.3f}"
        f"{before:9.3f}{(peak - before) / pair:9.1f}",
        flush=True,
    )
    return True


def figures(name: str, options: dict[str, dict[str, str]]) -> dict[str, float]:
    """Seconds of the method and of the product, GB before fusing and at most."""
    method = baselines.create(name, options.get(name))
    ir, vis, _ = measuring.synthetic_pair(_HEIGHT.value, _WIDTH.value)
    before = measuring.peak_memory()
    # Compiles, reads the weights and imports what is imported late.
    fused = method.fuse(ir, vis)
    if fused.shape != ir.shape or fused.dtype != np.uint8:
        raise UserError(f"{name} gave {fused.dtype} values of shape {fused.shape}")
    seconds = measuring.best(lambda: method.fuse(ir, vis), _REPEATS.value)
    peak = measuring.peak_memory()
    matrix = np.random.default_rng(0).random((_MATRIX_SIDE, _MATRIX_SIDE))
    product = measuring.best(lambda: matrix @ matrix, _REPEATS.value)
    return {"seconds": seconds, "product": product, "before": before, "peak": peak}


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
