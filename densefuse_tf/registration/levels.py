"""Smaller copies of an image, and the gradients that are compared on them."""

import dataclasses

import numpy as np
from scipy import ndimage
from skimage import transform

# Sigma, in pixels of the level, of the Gaussian whose derivatives are the gradient.
_SIGMA = 1.0


@dataclasses.dataclass(frozen=True)
class Level:
    """A copy of an image at a size at which it is compared, and its gradients.

    Attributes:
      image_shape: Height and width of the image.
      matrix: Takes pixel coordinates (x, y, 1) of the image to those of the copy.
      gx, gy: Derivatives to the right and downwards, [h, w] float32.
      strength: Mean magnitude of the gradient: what is much weaker counts as flat.
    """

    image_shape: tuple[int, int]
    matrix: np.ndarray
    gx: np.ndarray
    gy: np.ndarray
    strength: float

    @property
    def shape(self) -> tuple[int, int]:
        return self.gx.shape


def shrink(image: np.ndarray, pixels: int) -> np.ndarray:
    """Resizes an image to about a number of pixels.

    Args:
      image: [H, W] float32.
      pixels: Height times width that is wanted; an image with fewer stays as it is.

    Returns:
      [h, w] float32.
    """
    factor = min(1.0, (pixels / image.size) ** 0.5)
    height, width = (max(1, round(side * factor)) for side in image.shape)
    return resize(image, (height, width))


def resize(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resizes an image, smoothed before where it becomes smaller."""
    if image.shape == shape:
        return image
    resized = transform.resize(
        image, shape, order=1, mode="reflect", anti_aliasing=True, preserve_range=True
    )
    return resized.astype(np.float32)


def level(image: np.ndarray, shape: tuple[int, int]) -> Level:
    """Computes the gradients of a resized image.

    Args:
      image: The copy, [h, w] float32.
      shape: Height and width of the image it was made of.
    """
    gx = ndimage.gaussian_filter(image, _SIGMA, order=(0, 1))
    gy = ndimage.gaussian_filter(image, _SIGMA, order=(1, 0))
    strength = float(np.hypot(gx, gy).mean())
    return Level(shape, resizing(shape, image.shape), gx, gy, strength)


def resizing(shape: tuple[int, int], new_shape: tuple[int, int]) -> np.ndarray:
    """Returns the matrix that takes coordinates of an image to those of its copy.

    The centre of the pixel at the top left is (0, 0) in both, so their corners differ.
    """
    sy, sx = new_shape[0] / shape[0], new_shape[1] / shape[1]
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])
