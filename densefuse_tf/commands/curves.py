"""Draws the training curves of the paper, Figures 5 and 6, one curve per lambda.

  python -m densefuse_tf.commands.curves --output_dir=docs/figures \\
      --history=1e0=checkpoints/densefuse_1e0.history.csv \\
      --history=1e1=checkpoints/densefuse_1e1.history.csv \\
      --history=1e2=checkpoints/densefuse_1e2.history.csv \\
      --history=1e3=checkpoints/densefuse_1e3.history.csv

Writes figure5.png (pixel, SSIM and total loss in training) and figure6.png (pixel loss
and SSIM on the validation images) into the folder.
"""

import os
import sys

from absl import flags

from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError

_FLAGS = flags.FlagValues()
_HISTORY = flags.DEFINE_multi_string(
    "history",
    None,
    "NAME=FILE: a curve's name, usually lambda, and its history.csv; once per curve",
    flag_values=_FLAGS,
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "Where the two pictures go.", flag_values=_FLAGS
)
_LAST_ITERATION = flags.DEFINE_integer(
    "last_iteration", 5000, "Where the curves end.", flag_values=_FLAGS
)


def main() -> None:
    if not _HISTORY.value or not _OUTPUT_DIR.value:
        raise UserError(
            "--history or --output_dir is missing: expected --history=NAME=FILE, once "
            "per curve, and --output_dir=FOLDER"
        )
    from densefuse_tf.training import curves
    from densefuse_tf.training import history

    histories = {}
    for item in _HISTORY.value:
        name, separator, path = item.partition("=")
        if not separator or not name or not path:
            raise UserError(f"--history={item}: expected NAME=FILE")
        histories[name] = history.read(path)
    for panels, name in (
        (curves.FIGURE_5, "figure5.png"),
        (curves.FIGURE_6, "figure6.png"),
    ):
        path = os.path.join(_OUTPUT_DIR.value, name)
        curves.draw(histories, panels, path, last_iteration=_LAST_ITERATION.value)
        print(path)


def run(argv: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    return runner.run(main, _FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(run())
