"""MATLAB's `edge` with its defaults: Sobel's operator, a threshold found, thinned."""

import numpy as np

# MATLAB's tolerance for a gradient as strong along one axis as along the other.
_TOLERANCE = 100 * np.finfo(np.float64).eps


def edges(image: np.ndarray) -> np.ndarray:
    """Finds the edges of an image, as MATLAB's `edge` finds them in doubles.

    x and y are Sobel's derivatives, divided by 8, along the row and the column, with
    the border repeated. A pixel is an edge where s = x^2 + y^2 is above four times its
    mean over the image and where s is a maximum along the stronger derivative: not
    below the pixel before and above the pixel after it. Pixels beyond the border do
    not stop one from being a maximum.

    Args:
      image: [H, W] float64 in [0, 1].

    Returns:
      [H, W] float64, 1 for an edge and 0 elsewhere.

    References:
      I. Sobel, G. Feldman, "A 3x3 isotropic gradient operator for image processing",
      Stanford Artificial Intelligence Project, 1968.

    Notes:
      Neighbouring strengths are often equal but for rounding, and then the order in
      which a derivative adds its six terms decides which of two pixels is the edge.
      The three positive terms come first here, then the three negative ones. With that
      order the published FMI_pixel of 16 images comes out to 6e-15; with every other
      order that was tried, single pixels differ and FMI_pixel by up to 9e-5.
    """
    above, middle, below = (
        np.pad(image, 1, mode="edge")[start : start + image.shape[0]]
        for start in range(3)
    )
    left, center, right = slice(None, -2), slice(1, -1), slice(2, None)
    x = _derivative(
        (above[:, left], middle[:, left], below[:, left]),
        (above[:, right], middle[:, right], below[:, right]),
    )
    y = _derivative(
        (above[:, left], above[:, center], above[:, right]),
        (below[:, left], below[:, center], below[:, right]),
    )
    strength = x * x + y * y
    around = np.pad(strength, 1, constant_values=-1)
    across = (around[1:-1, :-2] <= strength) & (strength > around[1:-1, 2:])
    along = (around[:-2, 1:-1] <= strength) & (strength > around[2:, 1:-1])
    maximum = (across & (x >= y - _TOLERANCE)) | (along & (y >= x - _TOLERANCE))
    return (maximum & (strength > 4 * np.mean(strength))).astype(np.float64)


def _derivative(
    before: tuple[np.ndarray, ...], after: tuple[np.ndarray, ...]
) -> np.ndarray:
    """Computes the absolute value of Sobel's derivative, divided by 8."""
    total = before[0] + 2 * before[1] + before[2]
    return np.abs(total - after[0] - 2 * after[1] - after[2]) / 8
