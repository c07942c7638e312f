"""The Gaussian window that structural similarities and VIF weight pixels with."""

import numpy as np
from scipy import ndimage

# Both structural similarities have a window of 11x11 pixels.
RADIUS = 5


def gaussian_mean(
    image: np.ndarray, radius: int = RADIUS, sigma: float = 1.5
) -> np.ndarray:
    """Computes the weighted mean around every pixel.

    Args:
      image: [H, W] float64. Beyond the border its outermost pixels are repeated.
      radius: How far the window reaches, in pixels.
      sigma: Standard deviation of the weights, in pixels.

    Returns:
      [H, W] float64.
    """
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    for axis in (0, 1):
        image = ndimage.correlate1d(image, weights, axis=axis, mode="nearest")
    return image
