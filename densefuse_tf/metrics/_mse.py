"""MSE: the mean squared error of the fused image against its sources."""

import numpy as np

from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric


@metric(
    "MSE",
    "mean squared error",
    formula="(mean((A - F)^2) + mean((B - F)^2)) / 2 in [0, 1]",
    range=(0, 1),
    higher_is_better=False,
)
def mse(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    convention: Convention = "intended",
) -> float:
    """Computes MSE, the mean of the mean squared errors against both sources.

    MSE = (mean((ir - fused)^2) + mean((vis - fused)^2)) / 2 of images in [0, 1].

    Args:
      ir, vis, fused: The images, [H, W] uint8 each, of one size.
      convention: All have this definition; "vifb" takes colour images as well.

    Returns:
      MSE, 0 to 1; lower is better. Times 255^2 it is in grey levels squared.

    References:
      P. Jagalingam, A. V. Hegde, "A review of quality metrics for fused image",
      Aquatic Procedia 4, 2015, doi:10.1016/j.aqpro.2015.02.019.

    Notes:
      The MATLAB toolkit publishes the same value. The sums are taken in whole numbers
      here; the two differ by 2e-16 at most.
    """
    return (squared_error(ir, fused) + squared_error(vis, fused)) / 2


def squared_error(source: np.ndarray, fused: np.ndarray) -> float:
    """Computes the mean squared error of images in [0, 1]."""
    # int64, because uint8 differences would wrap around.
    difference = (source.astype(np.int64) - fused).ravel()
    return int(difference @ difference) / (difference.size * 255**2)
