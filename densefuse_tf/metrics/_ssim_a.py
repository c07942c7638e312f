"""SSIM_a: the mean structural similarity of the fused image to its sources."""

from collections.abc import Iterator

import numpy as np

from densefuse_tf.metrics.gaussian import gaussian_mean
from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric

_C1 = 0.01**2
_C2 = 0.03**2


@metric(
    "SSIM_a",
    "mean structural similarity",
    formula="(SSIM(A, F) + SSIM(B, F)) / 2, border repeated",
    range=(-1, 1),
)
def ssim_a(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    convention: Convention = "intended",
) -> float:
    """Computes SSIM_a = (SSIM(ir, fused) + SSIM(vis, fused)) / 2, Eq. 8 of the paper.

      SSIM(X, Y) = mean of (2 mX mY + C1) (2 sXY + C2)
                         / ((mX^2 + mY^2 + C1) (sX^2 + sY^2 + C2))

    with means m, variances s^2 and covariance sXY weighted by an 11x11 Gaussian of
    sigma 1.5 around each pixel, C1 = 0.01^2 and C2 = 0.03^2 for images in [0, 1].

    Args:
      ir, vis, fused: The images, [H, W] uint8 each, of one size.
      convention: All have this definition; "vifb" takes colour images as well.

    Returns:
      SSIM_a, -1 to 1; higher is better. Constant images are no exception.

    References:
      Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment:
      from error visibility to structural similarity", IEEE TIP 13(4), 2004,
      doi:10.1109/TIP.2003.819861.

    Notes:
      Matches MATLAB's `ssim`, which the authors call: the border is replicated and the
      mean is over the whole map, the weighted variances are the biased ones.
      scikit-image's `structural_similarity` on images padded by 5 pixels gives the same
      value to 1e-15 and takes 1.5 times as long.
    """
    return sum(float(np.mean(map_)) for map_ in similarity_maps(ir, vis, fused)) / 2


def similarity_maps(
    ir: np.ndarray, vis: np.ndarray, fused: np.ndarray
) -> Iterator[np.ndarray]:
    """Yields the similarity around every pixel for either source, [H, W] float64."""
    fused = fused / 255.0
    mean_fused, square_fused = gaussian_mean(fused), gaussian_mean(fused * fused)
    for source in (ir, vis):
        source = source / 255.0
        mean = gaussian_mean(source)
        means = mean * mean_fused
        squares = mean * mean + mean_fused * mean_fused
        variances = gaussian_mean(source * source) + square_fused - squares
        covariance = gaussian_mean(source * fused) - means
        similarity = (2 * means + _C1) * (2 * covariance + _C2)
        similarity /= (squares + _C1) * (variances + _C2)
        yield similarity
