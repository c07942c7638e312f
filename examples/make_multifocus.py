"""Makes the two-focus images of examples/multifocus from a photograph of scikit-image.

    python examples/make_multifocus.py                     # writes examples/multifocus
    python examples/make_multifocus.py --output=two_focus

The photograph of a cup of coffee lies inside the installed scikit-image package, and
nothing is downloaded. It is blurred once on the right and once on the left, as if a
camera had been focused twice. The same photograph gives the same pixels every time.
"""

import importlib.resources
import pathlib
import sys

import numpy as np
from absl import flags
from PIL import Image
from scipy import ndimage

# Run as a script from a checkout, the package may not be installed.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from densefuse_tf.commands import runner
from densefuse_tf.io import images

_FLAGS = flags.FlagValues()
_OUTPUT = flags.DEFINE_string(
    "output",
    str(pathlib.Path(__file__).resolve().parent / "multifocus"),
    "Folder that gets left/coffee.png and right/coffee.png.",
    flag_values=_FLAGS,
)

# Width and height of the images.
_SIZE = (384, 256)


def photograph() -> np.ndarray:
    """Reads the photograph inside the scikit-image package and reduces it.

    Returns:
      uint8 [256, 384, 3].
    """
    resource = importlib.resources.files("skimage.data") / "coffee.png"
    with importlib.resources.as_file(resource) as path:
        whole = Image.fromarray(images.read(path))
    return np.asarray(whole.resize(_SIZE, Image.Resampling.LANCZOS))


def two_focus(photo: np.ndarray, sigma: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Makes two images of one photograph, each sharp where the other is blurred.

    Args:
      photo: uint8 [height, width, 3].
      sigma: Standard deviation of the Gaussian that blurs, in pixels.

    Returns:
      The image that is sharp on the left and the one that is sharp on the right, uint8
      [height, width, 3]. Between, over a fifth of the width, one turns into the other.
    """
    sharp = photo.astype(np.float64)
    blurred = ndimage.gaussian_filter(sharp, (sigma, sigma, 0))
    place = np.linspace(0.0, 1.0, photo.shape[1])
    step = np.clip((place - 0.4) / 0.2, 0.0, 1.0)
    right = (step * step * (3.0 - 2.0 * step))[None, :, None]
    left_sharp = (1.0 - right) * sharp + right * blurred
    right_sharp = right * sharp + (1.0 - right) * blurred
    return (
        np.rint(left_sharp).astype(np.uint8),
        np.rint(right_sharp).astype(np.uint8),
    )


def main() -> None:
    for side, image in zip(("left", "right"), two_focus(photograph()), strict=True):
        path = pathlib.Path(_OUTPUT.value) / side / "coffee.png"
        images.write(path, image)
        print(path)


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
