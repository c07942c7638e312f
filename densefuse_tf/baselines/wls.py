"""WLS: fusion by visual saliency and weighted least squares."""

import dataclasses

import numpy as np
from scipy import ndimage

from densefuse_tf.baselines.method import check_pair
from densefuse_tf.baselines.method import check_positive
from densefuse_tf.baselines.method import method
from densefuse_tf.io import pixels

# Sigma in pixels of the Gaussian that makes the base layer and smooths the choices.
_SIGMA = 2
# Half width in pixels of the window that averages the visible details.
_MEAN_RADIUS = 3
_SMALL = 1e-6


@method("wls")
@dataclasses.dataclass(frozen=True)
class WLS:
    """Fuses by visual saliency and weighted least squares (Ma et al., 2017).

    Each image I, in [0, 1], is split into details L and a base B by rolling guidance
    filters (RGF), with n = levels:

      G_1 = I, G_(i+1) = RGF(G_i, 2^i) for i < n, G_(n+1) = gauss(G_n, 2),
      L_i = G_i - G_(i+1), B = G_(n+1).

    RGF(X, s) starts at R = gauss(X, s) and repeats R = guided filter of X with the
    guide R, radius s and epsilon range_sigma^2. The saliency of a pixel is
    sum_x |I(x) - its value| over the whole image, scaled to [0, 1] as V. With 1 for
    infrared and 2 for visible, the fused base is

      (0.5 + 0.5 (V_1 - V_2)) B_1 + (0.5 + 0.5 (V_2 - V_1)) B_2.

    Of the finest details, i = 1, the one of larger magnitude is kept. Of the others, M
    is C L_2 + (1 - C) L_1, C being 1 where |L_1| < |L_2| and 0 elsewhere, smoothed by a
    Gaussian of sigma 2; and the fused detail minimizes

      sum_x (D - M)^2 + lambda alpha (D - L_1)^2, alpha = 1 / (|mean L_2| + 1e-6),

    the mean being that of 7x7 pixels, which gives at every pixel
    D = (M + lambda alpha L_1) / (1 + lambda alpha). The fused image is the sum of base
    and details.

    Attributes:
      levels: Number of details, n.
      range_sigma: What is an edge to the rolling guidance filter: a contrast above
        this, in grey levels of 0..1.
      iterations: Number of guided filters in a rolling guidance filter.
      lambda_: Weight of the infrared detail, lambda; option `lambda`.

    Notes:
      The method treats its two images differently. The script of the authors' code
      says that the first one is the visible image; the published images were made with
      the infrared image first, as here. The code's notes warn that its parameters may
      not be those of the printed paper; they are the ones that made the published
      images, and those here. The saliency of an image of one grey level is 0, where
      scaling it would be 0/0.

    References:
      J. Ma, Z. Zhou, B. Wang, H. Zong, "Infrared and visible image fusion based on
      visual saliency map and weighted least square optimization", Infrared Physics &
      Technology 82, 2017. https://doi.org/10.1016/j.infrared.2017.02.005

      Q. Zhang, X. Shen, L. Xu, J. Jia, "Rolling guidance filter", ECCV 2014.
      https://doi.org/10.1007/978-3-319-10578-9_53
    """

    levels: int = 4
    range_sigma: float = 0.05
    iterations: int = 4
    lambda_: float = 0.01

    def __post_init__(self) -> None:
        check_positive("wls", **dataclasses.asdict(self))

    def raw(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Fuses a pair without rounding.

        The result is float64 on the scale of 0..1 with some values outside.
        """
        check_pair(ir, vis, method="wls")
        details_ir, base_ir = self._decompose(ir / 255)
        details_vis, base_vis = self._decompose(vis / 255)
        advantage = _saliency(ir) - _saliency(vis)
        fused = (0.5 + 0.5 * advantage) * base_ir + (0.5 - 0.5 * advantage) * base_vis
        finest_ir, finest_vis = details_ir[0], details_vis[0]
        fused += np.where(_choose(finest_ir, finest_vis), finest_vis, finest_ir)
        for detail_ir, detail_vis in zip(details_ir[1:], details_vis[1:], strict=True):
            fused += self._fuse_details(detail_ir, detail_vis)
        return fused

    def fuse(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Fuses a pair; see `Method.fuse`."""
        return pixels.matlab_uint8(255 * self.raw(ir, vis))

    def _decompose(self, image: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Returns the details of an image in [0, 1], the finest first, and the base."""
        details = []
        for level in range(1, self.levels):
            smoothed = self._rolling_guidance(image, 2**level)
            details.append(image - smoothed)
            image = smoothed
        base = _gauss(image, _SIGMA)
        details.append(image - base)
        return details, base

    def _rolling_guidance(self, image: np.ndarray, scale: int) -> np.ndarray:
        """Returns an image without its details smaller than `scale` pixels."""
        mean = _BoxMean(image.shape, scale)
        mean_image = mean(image)
        guide = _gauss(image, scale)
        for _ in range(self.iterations):
            mean_guide = mean(guide)
            variance = mean(guide * guide) - mean_guide * mean_guide
            covariance = mean(guide * image) - mean_guide * mean_image
            slope = covariance / (variance + self.range_sigma**2)
            offset = mean_image - slope * mean_guide
            guide = mean(slope) * guide + mean(offset)
        return guide

    def _fuse_details(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Returns the fused details of a level other than the finest."""
        choice = _gauss(_choose(ir, vis).astype(np.float64), _SIGMA, border="reflect")
        target = choice * vis + (1 - choice) * ir
        size = 2 * _MEAN_RADIUS + 1
        mean = ndimage.uniform_filter(vis, size, mode="nearest")
        weight = self.lambda_ / (np.abs(mean) + _SMALL)
        return (target + weight * ir) / (1 + weight)


class _BoxMean:
    """The mean over the part of a square window that is inside of the image."""

    def __init__(self, shape: tuple[int, ...], radius: int):
        self._size = 2 * radius + 1
        self._share = self._filter(np.ones(shape))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        return self._filter(image) / self._share

    def _filter(self, image: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(image, self._size, mode="constant")


def _gauss(image: np.ndarray, sigma: int, border: str = "nearest") -> np.ndarray:
    """Returns the weighted mean with a Gaussian that is cut at 3 sigma."""
    return ndimage.gaussian_filter(image, sigma, mode=border, radius=3 * sigma)


def _choose(ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
    """Returns where the visible detail has the larger magnitude, bool."""
    return np.abs(ir) < np.abs(vis)


def _saliency(image: np.ndarray) -> np.ndarray:
    """Returns how much each pixel of a uint8 image differs from all others, 0..1."""
    counts = np.bincount(image.ravel(), minlength=256)
    levels = np.arange(256)
    saliency = (np.abs(levels[:, None] - levels) @ counts)[image]
    low, high = saliency.min(), saliency.max()
    if low == high:
        return np.zeros(image.shape)
    return (saliency - low) / (high - low)
