"""What Q_CB and Q_CV begin with: stretched levels, and what the eye is sensitive to."""

import numpy as np
import scipy.fft


def stretched(image: np.ndarray) -> np.ndarray:
    """Stretches an image's own range to 0..255 and rounds, halves up as MATLAB does.

    Args:
      image: [H, W] uint8.

    Returns:
      [H, W] float64, whole numbers; 0 where the image is constant (MATLAB has NaN).
    """
    low, high = float(image.min()), float(image.max())
    return np.floor((image - low) / (high - low or 1) * 255 + 0.5)


def radial_frequencies(
    height: int, width: int, scale: tuple[float, float] = (1, 1)
) -> np.ndarray:
    """Returns the frequencies of `filtered`, in cycles per image along either axis.

    Args:
      height: The height of what is filtered.
      width: Its width.
      scale: How many times it fits into the image, along either axis.

    Returns:
      [H, W // 2 + 1] float64: the half of the plane that a real image needs.
    """
    rows = scipy.fft.fftfreq(height, 1 / height)
    return np.hypot(rows[:, None] * scale[0], np.arange(width // 2 + 1) * scale[1])


def filtered(image: np.ndarray, sensitivity: np.ndarray) -> np.ndarray:
    """Multiplies an image's spectrum by a sensitivity; the image is periodic.

    Args:
      image: [..., H, W] float64.
      sensitivity: A real factor for each of `radial_frequencies`.

    Returns:
      The same shape, float64.
    """
    return scipy.fft.irfft2(scipy.fft.rfft2(image) * sensitivity, s=image.shape[-2:])
