"""The stretching of grey levels that VIFB's Q_CB and Q_CV begin with."""

import numpy as np


def stretched(image: np.ndarray) -> np.ndarray:
    """Stretches an image's own range to 0..255 and rounds, halves up as MATLAB does.

    Args:
      image: [H, W] uint8.

    Returns:
      [H, W] float64, whole numbers; 0 where the image is constant (MATLAB has NaN).
    """
    low, high = float(image.min()), float(image.max())
    return np.floor((image - low) / (high - low or 1) * 255 + 0.5)
