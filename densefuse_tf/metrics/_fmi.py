"""FMI: the feature mutual information, by the fast method."""

import functools
from collections.abc import Callable
from typing import Literal

import numpy as np
import pywt
import scipy.fft

from densefuse_tf.metrics.edge import edges
from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric
from densefuse_tf.metrics.windows import window_scores
from densefuse_tf.setting import pick_choice

Feature = Literal["wavelet", "dct", "edge", "none"]


@metric(
    "FMI_pixel",
    "feature mutual information, Sobel edges",
    formula="mean of 2 I / (H + H) over 3x3 windows of MATLAB's edges",
    range=(-0.1, 1.1),
    options={"feature": "edge"},
    cost=4,
)
@metric(
    "FMI_dct",
    "feature mutual information, cosine coefficients",
    formula="mean of 2 I / (H + H) over 3x3 windows of the cosine transform",
    range=(-0.1, 1.1),
    options={"feature": "dct"},
    cost=4,
)
@metric(
    "FMI_w",
    "feature mutual information, wavelet coefficients",
    formula="mean of 2 I / (H + H) over 3x3 windows of the wavelet bands",
    range=(-0.1, 1.1),
    options={"feature": "wavelet"},
    cost=8,
    smallest=3,
)
def fmi(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    feature: Feature = "wavelet",
    convention: Convention = "intended",
) -> float:
    """Computes FMI, the information that features of the images share.

    A feature image is made of each image in [0, 1]. For each 3x3 window and each source
    the two windows, rescaled to [0, 1], are read as probabilities a and f of the
    indices 1..9 (column by column), which a joint distribution is put together for:

      phi B + (1 - phi) a f,  phi = c / (cov(B) / (sd_a sd_f)),

    c the Pearson correlation of the two sets of nine values, sd the standard deviations
    of the index, B the upper Frechet bound min(Fa, Ff) of the distribution functions
    where c >= 0 and the lower one max(Fa + Ff - 1, 0) where c < 0, phi = 0 where c or
    an sd is 0. The score is 2 (H(a) + H(f) - H(a, f)) / (H(a) + H(f)), and FMI its mean
    over both sources and all windows.

    Args:
      ir, vis, fused: The images, [H, W] uint8 each, of one size.
      feature: "wavelet" for FMI_w: one level of the discrete Meyer wavelet, symmetric
        extension, the four bands in one image rescaled to [0, 1]; "dct" for FMI_dct:
        the orthonormal cosine transform of the whole image; "edge" for FMI_pixel: the
        edges that MATLAB's `edge` finds; "none": the image itself. FMI_pixel is the
        authors' name for what holds no pixels: their call names no feature, and "edge"
        is the default of the Fast-FMI code.
      convention: All have this definition; "vifb" takes colour images as well.

    Returns:
      FMI, about 0 to 1; higher is better. The mixture is not always a distribution, so
      that single windows score between about -0.1 and 1.1.

    References:
      M. Haghighat, M. A. Razian, "Fast-FMI: non-reference image fusion metric", AICT
      2014, doi:10.1109/ICAICT.2014.7036000; M. B. A. Haghighat, A. Aghagolzadeh,
      H. Seyedarabi, "A non-reference image fusion metric based on mutual information of
      image features", Computers & Electrical Engineering 37(5), 2011,
      doi:10.1016/j.compeleceng.2011.07.012.

    Notes:
      Matches the Fast-FMI code in MATLAB that the paper's authors call, with three of
      its peculiarities: equal windows score 1; a constant window counts as uniform, so
      two of them score 1 too (its mean of nine ninths, added up in order, leaves a
      rest, which makes c = 1) and one alone scores 0; a mixture may have cells below 0,
      whose entropy is -x log2 |x|. In one place it is not followed: it compares the
      second source's window with one of the fused image that the first source's turn
      has rescaled already, so that where ir differs from fused, and vis and fused hold
      the same single spike, vis scores 0; here equal windows score 1 for either source.
      The entropy of the 81 cells is rearranged so that only the at most 17 cells of the
      bound are visited.

      The cosine and wavelet transforms of a constant image hold nothing but rounding
      beside the mean, and the rescaling of the windows would magnify it. For a constant
      image its exact features are used: the limit, where MATLAB's value depends on its
      rounding. Likewise a window of one spike and rounding has sd 0, for which MATLAB
      may give anything. The same magnification remains where the transform of another
      image has a flat stretch (that of stripes, say): such values depend on rounding
      here as in MATLAB.
    """
    extract = FEATURES[pick_choice("feature", feature, FEATURES)]
    rows = window_scores(*(extract(image / 255.0) for image in (ir, vis, fused)))
    return float(np.mean(rows))


def _wavelet(image: np.ndarray) -> np.ndarray:
    """Computes the wavelet bands [cA cH; cV cD], rescaled to [0, 1]."""
    approximation, details = pywt.dwt2(image, _meyer(), mode="symmetric")
    bands = [approximation, *details]
    if np.ptp(image) == 0:
        bands = [np.full_like(band, band[0, 0]) for band in bands]
    joined = np.block([bands[:2], bands[2:]])
    low, high = joined.min(), joined.max()
    return (joined - low) / (high - low) if high > low else np.ones_like(joined)


@functools.cache
def _meyer() -> pywt.Wavelet:
    """Makes the discrete Meyer wavelet with MATLAB's 102 taps.

    PyWavelets leaves out the taps at either end, which are 0, but the border extension
    goes by the length of the filters.
    """
    filters = [np.pad(taps, 20) for taps in pywt.Wavelet("dmey").filter_bank]
    return pywt.Wavelet("dmey102", filter_bank=filters)


def _cosine(image: np.ndarray) -> np.ndarray:
    """Computes the orthonormal two-dimensional cosine transform, type II."""
    transform = scipy.fft.dctn(image, type=2, norm="ortho")
    if np.ptp(image) == 0:
        transform.flat[1:] = 0
    return transform


FEATURES: dict[Feature, Callable[[np.ndarray], np.ndarray]] = {
    "wavelet": _wavelet,
    "dct": _cosine,
    "edge": edges,
    "none": lambda image: image,
}
