"""Makes the two-focus images of examples/multifocus from a photograph of scikit-image.

    python examples/make_multifocus.py                     # writes examples/multifocus
    python examples/make_multifocus.py --output=two_focus

The photograph of a cup of coffee lies inside the installed scikit-image package, and
nothing is downloaded. It is blurred once on the right and once on the left, as if a
camera had been focused twice. The same photograph gives the same pixels every time.
"""

import pathlib
import sys

import numpy as np
from absl import flags

# Run as a script from a checkout, the package may not be installed.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from densefuse_tf.commands import runner
from densefuse_tf.demo import scenes
from densefuse_tf.io import images

_FLAGS = flags.FlagValues()
_OUTPUT = flags.DEFINE_string(
    "output",
    str(pathlib.Path(__file__).resolve().parent / "multifocus"),
    "Folder that gets left/coffee.png and right/coffee.png.",
    flag_values=_FLAGS,
)

_WIDTH = 384


def two_focus(photo: np.ndarray) -> list[np.ndarray]:
    """Makes two images of one photograph, each sharp where the other is blurred.

    Args:
      photo: uint8 [height, width, 3].

    Returns:
      The image that is sharp on the left and the one that is sharp on the right, uint8
      [height, width, 3]. Between, over a fifth of the width, one turns into the other.
    """
    return scenes.focal_planes(photo, scenes.strips(photo.shape[:2], 2))


def main() -> None:
    made = two_focus(scenes.photograph("coffee.png", _WIDTH))
    for side, image in zip(("left", "right"), made, strict=True):
        path = pathlib.Path(_OUTPUT.value) / side / "coffee.png"
        images.write(path, image)
        print(path)


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
