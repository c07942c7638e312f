"""Makes docs/images/panel.png, the first picture of the README.

    python examples/make_panel.py
    python examples/make_panel.py --output=panel.png

The picture has the infrared, the visible and the fused image (l1-norm, lambda = 100) of
a pair of examples/pairs, with a detail of each below, three times as large.
"""

import pathlib
import sys
from collections.abc import Mapping

import numpy as np
from absl import flags
from PIL import Image
from PIL import ImageDraw

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

# Pixels. Three images side by side are as wide as a web page can show sharply.
_WIDTH = 400
# The awning and the people before it: left, top, right, bottom in street.png.
_DETAIL = (135, 25, 345, 245)


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


def picture(shown: Mapping[str, np.ndarray]) -> np.ndarray:
    """Makes one picture: the images in a row, and a detail of each below it.

    Args:
      shown: Grey images of one size by caption.

    Returns:
      uint8 [height, width].
    """
    details = [("", _resized(Image.fromarray(i).crop(_DETAIL))) for i in shown.values()]
    whole = [(caption, _resized(_framed(image))) for caption, image in shown.items()]
    # Grey images make a grey panel, whose three channels are equal.
    return panels.panel([whole, details])[:, :, 0]


def _framed(image: np.ndarray) -> Image.Image:
    """Draws a white frame around the detail."""
    framed = Image.fromarray(image)
    ImageDraw.Draw(framed).rectangle(_DETAIL, outline=255, width=2)
    return framed


def _resized(image: Image.Image) -> np.ndarray:
    size = (_WIDTH, round(image.height * _WIDTH / image.width))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def main() -> None:
    startup.import_tensorflow()
    found = fuse("street.png")
    shown = {name: found[name] for name in ("infrared", "visible")}
    images.write(_OUTPUT.value, picture(shown | {"fused": found["l1_norm"]}))
    print(_OUTPUT.value)


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
