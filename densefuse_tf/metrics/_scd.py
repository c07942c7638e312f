"""SCD: the sum of the correlations of differences."""

import math

import numpy as np

from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric


@metric(
    "SCD",
    "sum of the correlations of differences",
    formula="corr2(F - B, A) + corr2(F - A, B)",
    range=(-2, 2),
)
def scd(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    convention: Convention = "intended",
) -> float:
    """Computes SCD = corr2(fused - vis, ir) + corr2(fused - ir, vis).

    corr2 is Pearson's correlation over all pixels.

    Args:
      ir, vis, fused: The images, [H, W] uint8 each, of one size.
      convention: All have this definition; "vifb" takes colour images as well.

    Returns:
      SCD, -2 to 2; higher is better.

    References:
      V. Aslantas, E. Bendes, "A new image quality metric for image fusion: the sum of
      the correlations of differences", AEU 69(12), 2015,
      doi:10.1016/j.aeue.2015.09.004.

    Notes:
      Matches the authors' MATLAB code on doubles. The sums are taken in whole numbers
      here, so nothing is lost to rounding; the two differ by about 1e-15. Where the
      difference or the source is constant, MATLAB's corr2 is 0/0 = NaN; here that
      correlation counts as 0.
    """
    # int64, because uint8 differences would wrap around.
    ir, vis, fused = (image.astype(np.int64) for image in (ir, vis, fused))
    return corr2(fused - vis, ir) + corr2(fused - ir, vis)


def corr2(x: np.ndarray, y: np.ndarray) -> float:
    """Computes Pearson's correlation over all pixels, exact but for its last step.

    Args:
      x: [H, W] int64, values of at most three digits.
      y: Same shape and dtype.

    Returns:
      -1 to 1; 0 where one of them is constant.
    """
    x, y = x.ravel(), y.ravel()
    count, sum_x, sum_y = x.size, int(x.sum()), int(y.sum())
    # Python's whole numbers do not overflow: the products outgrow 64 bits.
    covariance = count * int(x @ y) - sum_x * sum_y
    variance_x = count * int(x @ x) - sum_x**2
    variance_y = count * int(y @ y) - sum_y**2
    if variance_x == 0 or variance_y == 0:
        return 0.0
    return covariance / (math.sqrt(variance_x) * math.sqrt(variance_y))
