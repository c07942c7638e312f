"""The 11x11 Gaussian window that both structural similarities weight pixels with."""

import numpy as np
from scipy import ndimage

RADIUS = 5
_SIGMA = 1.5

_WEIGHTS = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * _SIGMA**2))
_WEIGHTS /= _WEIGHTS.sum()


def gaussian_mean(image: np.ndarray) -> np.ndarray:
    """Computes the weighted mean around every pixel, sigma 1.5, 11x11.

    Args:
      image: [H, W] float64. Beyond the border its outermost pixels are repeated.

    Returns:
      [H, W] float64.
    """
    for axis in (0, 1):
        image = ndimage.correlate1d(image, _WEIGHTS, axis=axis, mode="nearest")
    return image
