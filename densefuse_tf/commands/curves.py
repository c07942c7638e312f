"""Draws the training curves of the paper, Figures 5 and 6, one curve per lambda.

  python -m densefuse_tf.commands.curves --output_dir=docs/figures \\
      --history=1=checkpoints/densefuse_1e0.history.csv \\
      --history=10=checkpoints/densefuse_1e1.history.csv \\
      --history=100=checkpoints/densefuse_1e2.history.csv \\
      --history=1000=checkpoints/densefuse_1e3.history.csv

The legend shows the lambda of each run: that of the config.json beside the history, or
else NAME. In a run's folder NAME may be left out: --history=runs/a/history.csv.

Writes figure5.png (pixel, SSIM and total loss in training) and figure6.png (pixel loss
and SSIM on the validation images) into the folder.
"""

import os
import sys

from absl import flags

from densefuse_tf import extras
from densefuse_tf.commands import common_flags
from densefuse_tf.commands import progress
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError
from densefuse_tf.training import curves
from densefuse_tf.training import folder

_FLAGS = flags.FlagValues()
_HISTORY = flags.DEFINE_multi_string(
    "history",
    None,
    "FILE, or NAME=FILE: a history.csv and a name for its curve; once per curve",
    flag_values=_FLAGS,
)
_OUTPUT_DIR = common_flags.define_path(
    "output_dir", "Where the two pictures go.", _FLAGS
)
_LAST_ITERATION = flags.DEFINE_integer(
    "last_iteration", curves.LAST_ITERATION, "Where the curves end.", flag_values=_FLAGS
)


def main() -> None:
    if not _HISTORY.value or not _OUTPUT_DIR.value:
        raise UserError(
            "--history or --output_dir is missing: expected --history=NAME=FILE, once "
            "per curve, and --output_dir=FOLDER"
        )
    extras.require("train", "drawing the curves")
    histories = {}
    for item in _HISTORY.value:
        name, _, path = item.rpartition("=")
        path = os.path.expanduser(path)
        if not path or item.startswith("="):
            raise UserError(f"--history={item}: expected FILE or NAME=FILE")
        if os.path.exists(item):
            name, path = "", item
        rows = folder.read_history(path)
        label = curves.label(path, name or None)
        if label in histories:
            raise UserError(
                f"--history={item}: another curve is called {label!r} as well: "
                "expected NAME=FILE with a name of its own"
            )
        histories[label] = rows
    last = _LAST_ITERATION.value
    for name, validation in (("figure5.png", False), ("figure6.png", True)):
        path = os.path.join(_OUTPUT_DIR.value, name)
        curves.draw(histories, path, validation=validation, last_iteration=last)
        progress.say(path)


def run(argv: list[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    return runner.run(main, _FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(run())
