"""Images on the grid of another one."""

import numpy as np
from scipy import ndimage
from skimage import transform

# Rows are warped in bands of about this many pixels: coordinates take more than pixels.
_BAND_PIXELS = 1_000_000


def warp_matrix(
    image: np.ndarray, matrix: np.ndarray, shape: tuple[int, int], fill: float
) -> np.ndarray:
    """Resamples an image on another grid by cubic interpolation.

    Linear interpolation would blur the image, which the fusion metrics notice. Values
    that the cubic polynomials overshoot to are brought back into the image's range.
    Where the image becomes smaller, it is smoothed before.

    Args:
      image: [H, W] or [H, W, 3], any dtype; integers are rounded.
      matrix: Takes coordinates (x, y, 1) of the grid to those of the image.
      shape: Height and width of the grid.
      fill: The value of pixels that lie outside of the image.

    Returns:
      [h, w] or [h, w, 3] of the same dtype.
    """
    result = np.empty((*shape, *image.shape[2:]), image.dtype)
    if image.ndim == 3:
        for channel in range(image.shape[2]):
            result[..., channel] = warp_matrix(image[..., channel], matrix, shape, fill)
        return result
    values = image.astype(np.float32)
    shrinking = _pixels_per_pixel(matrix, shape)
    if shrinking > 1:
        # As scikit-image's resize does.
        values = ndimage.gaussian_filter(values, (shrinking - 1) / 2, mode="nearest")
    low, high = values.min(), values.max()
    rows = max(1, _BAND_PIXELS // shape[1])
    for top in range(0, shape[0], rows):
        height = min(rows, shape[0] - top)
        down = np.array([[1, 0, 0], [0, 1, top], [0, 0, 1]])
        band = transform.warp(
            values,
            transform.ProjectiveTransform(matrix @ down),
            output_shape=(height, shape[1]),
            order=3,
            # Pixels of the border have no neighbours outside that could count.
            mode="edge",
            clip=False,
            preserve_range=True,
        )
        np.clip(band, low, high, out=band)
        if image.dtype.kind != "f":
            np.rint(band, out=band)
        band[~covered(matrix @ down, band.shape, image.shape)] = fill
        result[top : top + height] = band
    return result


def covered(
    matrix: np.ndarray, shape: tuple[int, int], image_shape: tuple[int, int]
) -> np.ndarray:
    """Says which pixels of a grid lie in an image, for `warp_matrix`.

    Returns:
      [h, w] bool: those that are interpolated between pixels of the image alone.
    """
    height, width = image_shape
    mask = np.empty(shape, bool)
    x = np.arange(shape[1])
    # Coordinates that are whole but for rounding lie on the border, not beyond it.
    slack = 1e-6 * max(image_shape)
    for y in range(shape[0]):
        u, v, w = (
            row[0] * x + row[1] * y + row[2] for row in np.asarray(matrix, np.float64)
        )
        mask[y] = (
            (w > 0)
            & (u >= -slack * w)
            & (u <= (width - 1 + slack) * w)
            & (v >= -slack * w)
            & (v <= (height - 1 + slack) * w)
        )
    return mask


def _pixels_per_pixel(matrix: np.ndarray, shape: tuple[int, int]) -> float:
    """Counts the pixels of the image for one of the grid, in the grid's middle."""
    middle = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2, 1.0])
    u, v, w = matrix @ middle
    derivative = (matrix[:2, :2] - np.outer([u / w, v / w], matrix[2, :2])) / w
    return float(np.sqrt(abs(np.linalg.det(derivative))))
