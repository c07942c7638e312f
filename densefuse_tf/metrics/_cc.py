"""CC: the correlation of the fused image with its sources."""

import numpy as np

from densefuse_tf.metrics._scd import corr2
from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric


@metric(
    "CC",
    "correlation coefficient",
    formula="(corr2(A, F) + corr2(B, F)) / 2",
    range=(-1, 1),
)
def cc(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    convention: Convention = "intended",
) -> float:
    """Computes CC = (corr2(ir, fused) + corr2(vis, fused)) / 2.

    corr2 is Pearson's correlation over all pixels.

    Args:
      ir, vis, fused: The images, [H, W] uint8 each, of one size.
      convention: All have this definition; "vifb" takes colour images as well.

    Returns:
      CC, -1 to 1; higher is better.

    References:
      J. Ma, Y. Ma, C. Li, "Infrared and visible image fusion methods and applications:
      a survey", Information Fusion 45, 2019, doi:10.1016/j.inffus.2018.02.004.

    Notes:
      The MATLAB toolkit publishes the same value. The sums are taken in whole numbers
      here; the two differ by 3e-14 at most. Where an image is constant MATLAB has
      0/0 = NaN; here that correlation counts as 0.
    """
    ir, vis, fused = (image.astype(np.int64) for image in (ir, vis, fused))
    return (corr2(ir, fused) + corr2(vis, fused)) / 2
