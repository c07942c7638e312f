"""Makes docs/images/panel.png, the first picture of the README.

    python examples/make_panel.py
    python examples/make_panel.py --output=panel.png

The picture has a row for each pair of examples/pairs: infrared, visible, and what the
addition and l1-norm strategies make of them with the shipped model (lambda = 100).
"""

import pathlib
import sys
from collections.abc import Iterable, Mapping

import numpy as np
from absl import flags
from PIL import Image

# Run as a script from a checkout, the package may not be installed.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import densefuse_tf
from densefuse_tf import startup
from densefuse_tf.commands import runner
from densefuse_tf.evaluation.table2 import paper
from densefuse_tf.io import images
from densefuse_tf.io import panels

ROOT = pathlib.Path(__file__).resolve().parents[1]

_FLAGS = flags.FlagValues()
_OUTPUT = flags.DEFINE_string(
    "output",
    str(ROOT / "docs" / "images" / "panel.png"),
    "The picture that is written.",
    flag_values=_FLAGS,
)

# Pixels. Four of these side by side are about as wide as a web page.
_WIDTH = 270


def fuse(name: str) -> dict[str, np.ndarray]:
    """Fuses an example pair with both strategies.

    Args:
      name: The file's name, for instance "hut.png".

    Returns:
      The source images and the results by caption, uint8 [height, width].
    """
    folder = ROOT / "examples" / "pairs"
    sources = [images.read(folder / kind / name) for kind in ("ir", "vis")]
    results = {
        strategy: densefuse_tf.fuse(sources, strategy=strategy)
        for strategy in paper.STRATEGIES
    }
    return dict(zip(("infrared", "visible"), sources, strict=True)) | results


def picture(pairs: Iterable[Mapping[str, np.ndarray]]) -> np.ndarray:
    """Makes one picture with a row for each pair.

    Args:
      pairs: What `fuse` returns for each pair.

    Returns:
      uint8 [height, width].
    """
    rows = [
        [(caption, _reduced(image)) for caption, image in pair.items()]
        for pair in pairs
    ]
    # Grey images make a grey panel, whose three channels are equal.
    return panels.panel(rows)[:, :, 0]


def _reduced(image: np.ndarray) -> np.ndarray:
    height, width = image.shape
    size = (_WIDTH, round(height * _WIDTH / width))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def main() -> None:
    startup.import_tensorflow()
    pairs = [fuse("street.png"), fuse("hut.png")]
    images.write(_OUTPUT.value, picture(pairs))
    print(_OUTPUT.value)


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
