"""Makes the example pairs of examples/pairs from photographs that scikit-image ships.

    python examples/make_pairs.py                      # writes examples/pairs
    python examples/make_pairs.py --output=/tmp/pairs

Nothing is downloaded: the photographs lie inside the installed scikit-image package.
camera.png is a man at dusk: a visible image with little light and much noise, and a
synthetic infrared image, an invented map of warm and cold painted over the photograph.
coffee.png is a photograph blurred on the right, and the same blurred on the left, as if
focused twice.
The same photographs give the same pixels, every time.
"""

import importlib.resources
import pathlib
import sys

import numpy as np
from absl import flags
from PIL import Image
from PIL import ImageDraw
from scipy import ndimage

# Run as a script from a checkout, the package may not be installed.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from densefuse_tf.commands import runner
from densefuse_tf.io import images

_FLAGS = flags.FlagValues()
_OUTPUT = flags.DEFINE_string(
    "output",
    str(pathlib.Path(__file__).resolve().parent / "pairs"),
    "Folder that gets ir/NAME.png and vis/NAME.png.",
    flag_values=_FLAGS,
)

# Width and height of the pairs.
CAMERA_SIZE = (336, 336)
COFFEE_SIZE = (384, 256)

# Outlines in the 512x512 photograph, (x, y).
_FACE = [(180, 126), (191, 129), (204, 147), (217, 136), (231, 129), (245, 143)]
_FACE += [(253, 142), (254, 160), (245, 171), (248, 181), (239, 194), (225, 195)]
_FACE += [(206, 180), (191, 168), (180, 154)]
_HAND = [(308, 183), (320, 169), (331, 172), (331, 196), (318, 212), (304, 222)]
_CAMCORDER = [(256, 140), (324, 138), (324, 154), (316, 182), (276, 186), (260, 172)]
_HORIZON = 232

# Invented: 0 is the coldest and 1 the warmest thing in the picture.
_SKY, _GRASS, _BUILDINGS, _TRIPOD = 0.05, 0.26, 0.34, 0.20
_COAT, _HAIR, _SKIN, _GLOVES, _CAMCORDER_BODY = 0.62, 0.74, 0.96, 0.72, 0.5


def photograph(name: str) -> np.ndarray:
    """A photograph from inside the scikit-image package, uint8."""
    with importlib.resources.as_file(
        importlib.resources.files("skimage.data") / name
    ) as path:
        return images.read(path)


def low_light(photo: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A grey photograph as a small camera would take it at dusk.

    An eighth of the light, with the photon and readout noise of a sensor that counts
    3000 electrons in a white pixel by day.

    Args:
      photo: uint8 [height, width].
      generator: Where the noise comes from.

    Returns:
      uint8 [height, width].
    """
    electrons = (photo / 255.0) ** 2.2 * 3000.0 / 8.0
    counted = generator.poisson(electrons) + generator.normal(0.0, 1.5, photo.shape)
    exposed = np.clip(counted / 3000.0, 0.0, 1.0) ** (1 / 2.2)
    return np.rint(255.0 * exposed).astype(np.uint8)


def synthetic_infrared(photo: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """What a thermal camera might show of scikit-image's `camera` photograph.

    The man is found as the largest dark thing in it; face, hand and camcorder are
    outlined by hand; how warm each is, is made up. A little of the photograph's own
    texture is left in, then come the soft optics and the noise of a thermal camera.

    Args:
      photo: uint8 [512, 512], that photograph.
      generator: Where the noise comes from.

    Returns:
      uint8 [512, 512].
    """
    smooth = ndimage.gaussian_filter(photo.astype(np.float64), 1.0)
    rows = np.arange(len(photo))[:, None]
    dark = ndimage.binary_opening(smooth < 75, iterations=5)
    labels, _ = ndimage.label(dark)
    largest = 1 + np.argmax(np.bincount(labels.ravel())[1:])
    man = ndimage.binary_dilation(labels == largest, iterations=3)
    man = ndimage.binary_fill_holes(man)
    sky = (smooth > 165) & (rows < _HORIZON)
    sky = ndimage.binary_opening(sky, iterations=3)
    hair = man & (rows < 165) & (np.arange(photo.shape[1])[None] > 160)
    things = (smooth < 90) | (smooth > 215)

    warmth = np.where(rows < _HORIZON, _BUILDINGS, _GRASS)
    warmth = np.where(sky, _SKY, warmth)
    warmth[things & (rows >= _HORIZON)] = _TRIPOD
    warmth[man] = _COAT
    warmth[hair] = _HAIR
    for outline, value in (
        (_CAMCORDER, _CAMCORDER_BODY),
        (_HAND, _GLOVES),
        (_FACE, _SKIN),
    ):
        warmth[_inside(outline, photo.shape)] = value

    # Folds and walls differ a little in temperature, as they do in brightness.
    texture = smooth - ndimage.gaussian_filter(smooth, 12.0)
    warmth = ndimage.gaussian_filter(warmth, 2.0) + 0.0008 * texture
    pixels = 20.0 + 215.0 * warmth + generator.normal(0.0, 2.0, photo.shape)
    return np.rint(np.clip(pixels, 0.0, 255.0)).astype(np.uint8)


def two_focus(photo: np.ndarray, sigma: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Two images of one photograph, each sharp where the other is blurred.

    Args:
      photo: uint8 [height, width, 3].
      sigma: Of the Gaussian that blurs, in pixels.

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


def make(folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes the pairs below `folder` and returns the files' names."""
    camera = photograph("camera.png")
    left, right = two_focus(_resized(photograph("coffee.png"), COFFEE_SIZE))
    visible = low_light(_resized(camera, CAMERA_SIZE), np.random.default_rng(1))
    infrared = synthetic_infrared(camera, np.random.default_rng(2))
    made = {
        "ir/camera.png": _resized(infrared, CAMERA_SIZE),
        "vis/camera.png": visible,
        "ir/coffee.png": left,
        "vis/coffee.png": right,
    }
    for name, image in made.items():
        images.write(folder / name, image)
    return [folder / name for name in made]


def main() -> None:
    for path in make(pathlib.Path(_OUTPUT.value)):
        print(path)


def _inside(outline: list[tuple[int, int]], shape: tuple[int, int]) -> np.ndarray:
    picture = Image.new("1", shape[::-1])
    ImageDraw.Draw(picture).polygon(outline, fill=1)
    return np.asarray(picture)


def _resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
