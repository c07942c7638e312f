"""Registers a moving image to a fixed one: finds the transform and aligns the pair.

  densefuse-register --fixed=VIS.png --moving=IR.png --output=IR_aligned.png \\
      --fixed_output=VIS_cropped.png --checkerboard=check.png

finds an affine transform, lays the moving image over the fixed one and crops both to
the area they share. A registration that cannot be relied on is refused with the reason.

  densefuse-register --fixed=VIS.png --moving=IR.png --save_transform=rig.json
  densefuse-register --fixed=VIS2.png --moving=IR2.png --transform=rig.json \\
      --output=IR2_aligned.png

finds a transform once and applies it to another pair from the same two cameras.

  densefuse-register --fixed=VIS.png --moving=IR.png --points=points.csv \\
      --output=IR_aligned.png

fits the transform to points picked by hand: a row for each with x and y in the fixed
image, then x and y in the moving one; the centre of the first pixel is (0, 0).

Exit status: 0, or 2 for a mistake and for a registration that is refused.
"""

import functools
import sys

from absl import flags

from densefuse_tf.commands import common_flags
from densefuse_tf.commands import runner
from densefuse_tf.pipelines import registering

_FLAGS = flags.FlagValues()
common_flags.define(registering.RegisterSettings, _FLAGS)


def main() -> None:
    settings = common_flags.read(registering.RegisterSettings, _FLAGS)
    registering.register(settings, functools.partial(print, flush=True))


def run(argv: list[str] | None = None) -> int:
    """Runs the command `densefuse-register` and returns its exit status."""
    return runner.run(main, _FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(run())
