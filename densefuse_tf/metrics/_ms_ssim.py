"""MS_SSIM, the similarity to the best patch of two sources, and MEF-SSIM, of any."""

import functools
import operator
from collections.abc import Sequence

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.metrics.gaussian import RADIUS
from densefuse_tf.metrics.gaussian import gaussian_mean
from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import check_images
from densefuse_tf.metrics.metric import metric

_SIDE = 2 * RADIUS + 1
_SMALLEST = 4 * _SIDE  # so that the coarsest scale holds one window
_C = (0.03 * 255) ** 2
_EPS = np.finfo(np.float64).eps
_SCALE_WEIGHTS = np.array([0.0448, 0.2856, 0.3001])
_SCALE_WEIGHTS /= _SCALE_WEIGHTS.sum()


@metric(
    "MS_SSIM",
    "multi-scale similarity to the best patch of the sources",
    formula="Π mean(q)^w over 3 scales, q similarity of F to the desired patch",
    range=(0, 1),
    cost=2,
    smallest=_SMALLEST,
)
def ms_ssim(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    convention: Convention = "intended",
) -> float:
    """Computes MS_SSIM, the similarity to the best patch that the sources allow.

    This is `mef_ssim` of two sources; its docstring has the formula.

    Args:
      ir: Infrared image, [H, W] uint8, 44x44 or larger, for the coarsest scale to
        hold one window.
      vis: Visible image, same size.
      fused: Fused image, same size.
      convention: All have this definition; "vifb" takes colour images as well.

    Returns:
      MS_SSIM, 0 to 1; higher is better. Constant images are no exception: where
      sources and fused image are all flat, q is 1.

    References:
      K. Ma, K. Zeng, Z. Wang, "Perceptual quality assessment for multi-exposure image
      fusion", IEEE TIP 24(11), 2015, doi:10.1109/TIP.2015.2442920.

    Notes:
      This is not the MS-SSIM of Wang, Simoncelli and Bovik. Matches the MATLAB code of
      Ma et al. as the paper's authors call it, on images of 0..255, but for the two
      departures that `mef_ssim` names.
    """
    return mef_ssim([ir, vis], fused)


def mef_ssim(sources: Sequence[np.ndarray], fused: np.ndarray) -> float:
    """Computes MEF-SSIM for k source images, the exposures of one scene.

    For every 11x11 window, x_k the source patches less their means, the desired patch
    r is built from their strengths e_k = ||x_k|| + 0.001 and their consistency
    R = ||sum_k x_k|| / sum_k ||x_k||:

      p = min(tan(pi/2 R), 10),  w_k = (e_k / 11)^p / sum_n (e_n / 11)^p,
      r = sum_k w_k x_k / e_k,   rescaled to ||r|| = max_k e_k,
      q = (2 s_rf + C) / (s_r^2 + s_f^2 + C),  C = (0.03 * 255)^2,

    s_r^2, s_f^2 and s_rf the variances and the covariance of r and the fused patch,
    weighted by an 11x11 Gaussian of sigma 1.5. Three scales, each half the size of the
    one before (means of 2x2 pixels); the result is the product of mean(q)^weight,
    weights 0.0448, 0.2856 and 0.3001 divided by their sum.

    Args:
      sources: k >= 2 grey images, [H, W] uint8, 44x44 or larger, for the coarsest
        scale to hold one window.
      fused: The fused image, same size.

    Returns:
      MEF-SSIM, 0 to 1; higher is better. The order of the sources does not matter, nor
      does the brightness of a patch, for which each window's mean is taken away.

    Raises:
      UserError: There are fewer than two sources, or an image has another dtype, shape
        or size.

    References:
      K. Ma, K. Zeng, Z. Wang, "Perceptual quality assessment for multi-exposure image
      fusion", IEEE TIP 24(11), 2015, doi:10.1109/TIP.2015.2442920.

    Notes:
      With two sources this is `ms_ssim`, the paper's MS_SSIM, which matches the MATLAB
      code of Ma et al. Their code walks over the patches; here everything comes from
      sums over windows, flat ones of exact whole numbers. Two departures where that
      code gives no usable number: a scale whose mean is negative counts as 0 (MATLAB
      returns a complex number), and the desired patch is 0 where the sources cancel
      each other to rounding. Images smaller than 44x44, for which it returns -Inf, are
      refused.
    """
    if isinstance(sources, np.ndarray) or len(sources) < 2:
        raise UserError(
            "mef_ssim: sources is one array or holds fewer than two: expected a list "
            "of two or more images [H, W] uint8"
        )
    named = {f"source {i + 1}": image for i, image in enumerate(sources)}
    named["fused"] = fused
    arrays = check_images(named, _SMALLEST).values()
    # Sums of 2x2 pixels in place of means keep every scale in whole numbers.
    images = [array.astype(np.int64) for array in arrays]
    result, unit = 1.0, 1
    for weight in _SCALE_WEIGHTS:
        if unit > 1:
            images = [_sums_of_2x2(image) for image in images]
        *scaled, last = images
        result *= max(_mean_quality(scaled, last, unit=unit), 0.0) ** weight
        unit *= 4
    return float(result)


def _sums_of_2x2(image: np.ndarray) -> np.ndarray:
    """Adds pixels i and i+1 of both axes at every other i; the border is repeated."""
    height, width = image.shape
    image = np.pad(image, ((0, height % 2), (0, width % 2)), mode="edge")
    image = image[0::2] + image[1::2]
    return image[:, 0::2] + image[:, 1::2]


def _mean_quality(
    sources: Sequence[np.ndarray], fused: np.ndarray, *, unit: int
) -> float:
    """Averages q over one scale, for whole-number images of 0..255 times `unit`."""
    factors = _desired_patch(sources, unit)
    *sources, fused = (image / unit for image in (*sources, fused))
    means = [gaussian_mean(image) for image in sources]
    mean_fused = gaussian_mean(fused)

    def covariance(x: np.ndarray, y: np.ndarray, mean_x, mean_y) -> np.ndarray:
        return _inner(gaussian_mean(x * y) - mean_x * mean_y)

    variance_desired = _quadratic_form(
        factors,
        lambda i, j: covariance(sources[i], sources[j], means[i], means[j]),
    )
    variance_fused = covariance(fused, fused, mean_fused, mean_fused)
    covariance_both = _sum(
        factor * covariance(source, fused, mean, mean_fused)
        for factor, source, mean in zip(factors, sources, means, strict=True)
    )
    quality = (2 * covariance_both + _C) / (variance_desired + variance_fused + _C)
    return float(np.mean(quality))


def _desired_patch(sources: Sequence[np.ndarray], unit: int) -> list[np.ndarray]:
    """Returns the factor of each source's x_k in the desired patch of each window."""
    count = len(sources)
    spreads = {
        (i, j): _flat_covariance(sources[i], sources[j], unit)
        for i in range(count)
        for j in range(i, count)
    }
    norms = [np.sqrt(spreads[i, i]) for i in range(count)]
    ones = [1.0] * count
    # Sources that cancel each other leave a rounding error that may be below 0.
    norm_sum = np.sqrt(np.maximum(_quadratic_form(ones, lambda *ij: spreads[ij]), 0))
    consistency = (norm_sum + _EPS) / (_sum(norms) + _EPS)
    consistency[consistency > 1] = 1 - _EPS
    power = np.minimum(np.tan(np.pi / 2 * consistency), 10)

    energies = [norm + 0.001 for norm in norms]
    shares = [(energy / _SIDE) ** power + _EPS for energy in energies]
    total = _sum(shares)
    factors = [
        share / total / energy for share, energy in zip(shares, energies, strict=True)
    ]
    apart = _sum(factor**2 * spreads[i, i] for i, factor in enumerate(factors))
    norm_squared = _quadratic_form(factors, lambda *ij: spreads[ij])
    exists = norm_squared > 4 * _EPS * apart
    rescale = np.zeros_like(apart)
    np.divide(
        functools.reduce(np.maximum, energies),
        np.sqrt(norm_squared, where=exists, out=np.ones_like(apart)),
        out=rescale,
        where=exists,
    )
    return [factor * rescale for factor in factors]


def _quadratic_form(factors, matrix) -> np.ndarray:
    """Adds factors[i] factors[j] matrix(i, j) over all i and j; matrix is symmetric."""
    count = len(factors)
    apart = _sum(factors[i] ** 2 * matrix(i, i) for i in range(count))
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    return apart + _sum(2 * factors[i] * factors[j] * matrix(i, j) for i, j in pairs)


def _sum(terms) -> np.ndarray:
    return functools.reduce(operator.add, terms)


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
