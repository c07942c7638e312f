"""MS_SSIM: the multi-scale fusion quality of Ma, Zeng and Wang (MEF-SSIM)."""

import numpy as np

from densefuse_tf.metrics.gaussian import RADIUS
from densefuse_tf.metrics.gaussian import gaussian_mean
from densefuse_tf.metrics.inputs import two_sources

_SIDE = 2 * RADIUS + 1
SMALLEST = 4 * _SIDE  # so that the coarsest scale holds one window
_C = (0.03 * 255) ** 2
_EPS = np.finfo(np.float64).eps
_SCALE_WEIGHTS = np.array([0.0448, 0.2856, 0.3001])
_SCALE_WEIGHTS /= _SCALE_WEIGHTS.sum()


@two_sources(smallest=SMALLEST)
def ms_ssim(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> float:
    """Computes MS_SSIM, the similarity to the best patch that the sources allow.

    For every 11x11 window, x_k the source patches less their means, the desired patch
    r is built from their strengths e_k = ||x_k|| + 0.001 and their consistency
    R = ||x_1 + x_2|| / (||x_1|| + ||x_2||):

      p = min(tan(pi/2 R), 10),  w_k = (e_k / 11)^p / sum_n (e_n / 11)^p,
      r = sum_k w_k x_k / e_k,   rescaled to ||r|| = max_k e_k,
      q = (2 s_rf + C) / (s_r^2 + s_f^2 + C),  C = (0.03 * 255)^2,

    s_r^2, s_f^2 and s_rf the variances and the covariance of r and the fused patch,
    weighted by an 11x11 Gaussian of sigma 1.5. Three scales, each half the size of the
    one before (means of 2x2 pixels); the result is the product of mean(q)^weight,
    weights 0.0448, 0.2856 and 0.3001 divided by their sum.

    Args:
      ir: Infrared image, [H, W] uint8, 44x44 or larger, for the coarsest scale to
        hold one window.
      vis: Visible image, same size.
      fused: Fused image, same size.

    Returns:
      MS_SSIM, 0 to 1; higher is better. Constant images are no exception: where
      sources and fused image are all flat, q is 1.

    Raises:
      UserError: An image has another dtype, shape or size, there are more than two
        sources, or the convention is unknown.

    References:
      K. Ma, K. Zeng, Z. Wang, "Perceptual quality assessment for multi-exposure image
      fusion", IEEE TIP 24(11), 2015, doi:10.1109/TIP.2015.2442920.

    Notes:
      This is not the MS-SSIM of Wang, Simoncelli and Bovik. Matches the MATLAB code of
      Ma et al. as the paper's authors call it, on images of 0..255. Their code walks
      over the patches; here everything comes from sums over windows, flat ones of exact
      whole numbers. Two departures where that code gives no usable number: a scale
      whose mean is negative counts as 0 (MATLAB returns a complex number), and the
      desired patch is 0 where the sources cancel each other to rounding. Images smaller
      than 44x44, for which it returns -Inf, are refused.
    """
    # Sums of 2x2 pixels in place of means keep every scale in whole numbers.
    images = [image.astype(np.int64) for image in (ir, vis, fused)]
    result, unit = 1.0, 1
    for weight in _SCALE_WEIGHTS:
        if unit > 1:
            images = [_sums_of_2x2(image) for image in images]
        result *= max(_mean_quality(*images, unit=unit), 0.0) ** weight
        unit *= 4
    return float(result)


def _sums_of_2x2(image: np.ndarray) -> np.ndarray:
    """Adds pixels i and i+1 of both axes at every other i; the border is repeated."""
    height, width = image.shape
    image = np.pad(image, ((0, height % 2), (0, width % 2)), mode="edge")
    image = image[0::2] + image[1::2]
    return image[:, 0::2] + image[:, 1::2]


def _mean_quality(
    first: np.ndarray, second: np.ndarray, fused: np.ndarray, *, unit: int
) -> float:
    """Averages q over one scale, for whole-number images of 0..255 times `unit`."""
    spread_first = _flat_covariance(first, first, unit)
    spread_second = _flat_covariance(second, second, unit)
    spread_both = _flat_covariance(first, second, unit)

    norm_first, norm_second = np.sqrt(spread_first), np.sqrt(spread_second)
    norm_sum = np.sqrt(spread_first + spread_second + 2 * spread_both)
    consistency = (norm_sum + _EPS) / (norm_first + norm_second + _EPS)
    consistency[consistency > 1] = 1 - _EPS
    power = np.minimum(np.tan(np.pi / 2 * consistency), 10)

    energy_first, energy_second = norm_first + 0.001, norm_second + 0.001
    share_first = (energy_first / _SIDE) ** power + _EPS
    share_second = (energy_second / _SIDE) ** power + _EPS
    shares = share_first + share_second
    # The desired patch is alpha x_1 + beta x_2.
    alpha = share_first / shares / energy_first
    beta = share_second / shares / energy_second
    apart = alpha**2 * spread_first + beta**2 * spread_second
    norm_squared = apart + 2 * alpha * beta * spread_both
    exists = norm_squared > 4 * _EPS * apart
    rescale = np.zeros_like(apart)
    np.divide(
        np.maximum(energy_first, energy_second),
        np.sqrt(norm_squared, where=exists, out=np.ones_like(apart)),
        out=rescale,
        where=exists,
    )
    alpha *= rescale
    beta *= rescale

    first, second, fused = first / unit, second / unit, fused / unit
    means = [gaussian_mean(image) for image in (first, second, fused)]

    def covariance(x: np.ndarray, y: np.ndarray, mean_x, mean_y) -> np.ndarray:
        return _inner(gaussian_mean(x * y) - mean_x * mean_y)

    variance_desired = (
        alpha**2 * covariance(first, first, means[0], means[0])
        + beta**2 * covariance(second, second, means[1], means[1])
        + 2 * alpha * beta * covariance(first, second, means[0], means[1])
    )
    variance_fused = covariance(fused, fused, means[2], means[2])
    covariance_both = alpha * covariance(
        first, fused, means[0], means[2]
    ) + beta * covariance(second, fused, means[1], means[2])
    quality = (2 * covariance_both + _C) / (variance_desired + variance_fused + _C)
    return float(np.mean(quality))


def _flat_covariance(x: np.ndarray, y: np.ndarray, unit: int) -> np.ndarray:
    """Adds (x - mean)(y - mean) over each 11x11 window, exactly, then / unit^2."""
    count = _SIDE**2
    sum_x = _window_sums(x)
    sum_y = sum_x if y is x else _window_sums(y)
    return (count * _window_sums(x * y) - sum_x * sum_y) / (count * unit**2)


def _window_sums(image: np.ndarray) -> np.ndarray:
    """Adds up each 11x11 window inside the image, whole numbers, exactly."""
    for axis in (0, 1):
        image = np.moveaxis(image, axis, 0)
        total = np.cumsum(np.pad(image, ((1, 0), (0, 0))), axis=0)
        image = np.moveaxis(total[_SIDE:] - total[:-_SIDE], 0, axis)
    return image


def _inner(image: np.ndarray) -> np.ndarray:
    """Cuts out the part of a map where the window lies inside the image."""
    return image[RADIUS:-RADIUS, RADIUS:-RADIUS]
