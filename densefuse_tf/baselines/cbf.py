"""CBF: fusion by the details that a cross bilateral filter leaves."""

import dataclasses
import functools
import operator
from collections.abc import Iterable

import numpy as np

from densefuse_tf.baselines.method import check_pair
from densefuse_tf.baselines.method import check_positive
from densefuse_tf.baselines.method import method
from densefuse_tf.io import pixels

# The filter works on bands of this many rows, whose arrays stay in the cache.
_BAND_ROWS = 16
_EPS = 2.0**-52


@method("cbf")
@dataclasses.dataclass(frozen=True)
class CBF:
    """Fuses by the details of a cross bilateral filter (Shreyamsha Kumar, 2013).

    With the sources A and B, the pixel x and the offsets u of a window,

      F_A(x) = sum_u A(x+u) g(u) k(x,u) / sum_u g(u) k(x,u),
      g(u) = exp(-|u|^2 / (2 spatial_sigma^2)),
      k(x,u) = exp(-(B(x+u) - B(x))^2 / (2 range_sigma^2)),

    and F_B with the parts of A and B exchanged. The details are D_A = A - F_A and
    D_B = B - F_B. The weight w of a source at a pixel is the sum of the eigenvalues of
    two sample covariance matrices of its details in a smaller window: one takes the
    rows of the window as observations and its columns as variables, and the other one
    the reverse. The fused image is (w_A A + w_B B) / (w_A + w_B). Images are reflected
    about their outermost pixels at the border.

    Attributes:
      spatial_sigma: Standard deviation of g, in pixels.
      range_sigma: Standard deviation of k, in grey levels of 0..255.
      radius: Half width of the filter's window, in pixels.
      covariance_radius: Half width of the window of the weights, in pixels.

    Notes:
      The values of the options are those of the authors' code, which made the row of
      CBF in Table II; it equals this one in every pixel. A weight of exactly 0 becomes
      2^-52 there and here. The code finds eigenvalues; their sum is the trace, which
      is the sum of the variances and is computed here. D_A is computed from the
      differences A(x) - A(x+u), so that details are exactly 0 where A is constant,
      where the code's are rounding errors; the 8-bit images are the same.

    References:
      B. K. Shreyamsha Kumar, "Image fusion based on pixel significance using cross
      bilateral filter", Signal, Image and Video Processing 9, 2015 (online 2013).
      https://doi.org/10.1007/s11760-013-0556-9
    """

    spatial_sigma: float = 1.8
    range_sigma: float = 25.0
    radius: int = 5
    covariance_radius: int = 2

    def __post_init__(self) -> None:
        check_positive("cbf", **dataclasses.asdict(self))

    def raw(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Fuses a pair without rounding: float64, 0..255.

        Its sides are larger than the half width of both windows: 6x6 by default.
        """
        min_side = max(self.radius, self.covariance_radius) + 1
        check_pair(ir, vis, method="cbf", min_side=min_side)
        weight_ir = self._weight(self._detail(ir, guide=vis))
        weight_vis = self._weight(self._detail(vis, guide=ir))
        return (ir * weight_ir + vis * weight_vis) / (weight_ir + weight_vis)

    def fuse(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Fuses a pair; see `Method.fuse`, and `raw` for the smallest images."""
        return pixels.matlab_uint8(self.raw(ir, vis))

    def _detail(self, image: np.ndarray, guide: np.ndarray) -> np.ndarray:
        """Returns what the cross bilateral filter takes away from an image, float64."""
        radius = self.radius
        height, width = image.shape
        image = np.pad(image.astype(np.float64), radius, mode="reflect")
        guide = np.pad(guide.astype(np.intp), radius, mode="reflect")
        offsets = np.arange(-radius, radius + 1)
        spatial = np.exp(-(offsets**2) / (2 * self.spatial_sigma**2))
        by_difference = np.exp(-(np.arange(256) ** 2) / (2 * self.range_sigma**2))
        detail = np.empty((height, width))
        for top in range(0, height, _BAND_ROWS):
            bottom = min(top + _BAND_ROWS, height)
            band = np.s_[top + radius : bottom + radius, radius : radius + width]
            total = np.zeros((bottom - top, width))
            weights = np.zeros_like(total)
            for row, column in np.ndindex(len(offsets), len(offsets)):
                shifted = np.s_[top + row : bottom + row, column : column + width]
                difference = np.abs(guide[shifted] - guide[band])
                weight = by_difference.take(difference)
                weight *= spatial[row] * spatial[column]
                weights += weight
                weight *= image[band] - image[shifted]
                total += weight
            detail[top:bottom] = total / weights
        return detail

    def _weight(self, detail: np.ndarray) -> np.ndarray:
        """Returns a source's weight at every pixel, float64 above 0."""
        size = 2 * self.covariance_radius + 1
        detail = np.pad(detail, self.covariance_radius, mode="reflect")
        down = _variance(_shifted(detail, size, axis=0))
        across = _variance(_shifted(detail, size, axis=1))
        weight = _sum(_shifted(down, size, axis=1) + _shifted(across, size, axis=0))
        weight[weight == 0] = _EPS
        return weight


def _shifted(array: np.ndarray, size: int, axis: int) -> list[np.ndarray]:
    """Returns views of the first to the last place of every window along an axis."""
    length = array.shape[axis] - size + 1
    return [
        array[start : start + length] if axis == 0 else array[:, start : start + length]
        for start in range(size)
    ]


def _variance(samples: list[np.ndarray]) -> np.ndarray:
    """Returns the sample variance, with the mean taken away before squaring.

    Where details nearly vanish, the difference of two sums of squares has no digits.
    """
    mean = _sum(samples) / len(samples)
    squares = _sum((sample - mean) ** 2 for sample in samples)
    return squares / (len(samples) - 1)


def _sum(arrays: Iterable[np.ndarray]) -> np.ndarray:
    return functools.reduce(operator.add, arrays)
