"""SSIM_a: the mean structural similarity of the fused image to its sources."""

import numpy as np

from densefuse_tf.metrics.gaussian import gaussian_mean
from densefuse_tf.metrics.inputs import two_sources

_C1 = 0.01**2
_C2 = 0.03**2


@two_sources()
def ssim_a(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> float:
    """SSIM_a = (SSIM(fused, ir) + SSIM(fused, vis)) / 2, Eq. 8 of the paper.

      SSIM(X, Y) = mean of (2 mX mY + C1) (2 sXY + C2)
                         / ((mX^2 + mY^2 + C1) (sX^2 + sY^2 + C2))

    with means m, variances s^2 and covariance sXY weighted by an 11x11 Gaussian of
    sigma 1.5 around each pixel, C1 = 0.01^2 and C2 = 0.03^2 for images in [0, 1]. From
    Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment:
    from error visibility to structural similarity", IEEE TIP 13(4), 2004.

    Matches MATLAB's `ssim`, which the authors call: the border is replicated and the
    mean is over the whole map (scikit-image crops it), the weighted variances are the
    biased ones.

    Args:
      ir: Infrared image, [H, W] uint8, 1x1 or larger.
      vis: Visible image, same size.
      fused: Fused image, same size.

    Returns:
      SSIM_a, -1 to 1; higher is better. Constant images are no exception.

    Raises:
      UserError: An image has another dtype, shape or size, or there are more than two
        sources.
    """
    fused = fused / 255.0
    mean_fused, square_fused = gaussian_mean(fused), gaussian_mean(fused * fused)
    total = 0.0
    for source in (ir, vis):
        source = source / 255.0
        mean = gaussian_mean(source)
        means = mean * mean_fused
        squares = mean * mean + mean_fused * mean_fused
        variances = gaussian_mean(source * source) + square_fused - squares
        covariance = gaussian_mean(source * fused) - means
        similarity = (2 * means + _C1) * (2 * covariance + _C2)
        similarity /= (squares + _C1) * (variances + _C2)
        total += float(np.mean(similarity))
    return total / 2
