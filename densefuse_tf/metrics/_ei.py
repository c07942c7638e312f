"""EI: the edge intensity of the fused image."""

import math

import numpy as np
from scipy import ndimage

from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric


@metric(
    "EI",
    "edge intensity",
    formula="mean of sqrt(Fx^2 + Fy^2), Sobel",
    range=(0, 255 * math.sqrt(20)),
)
def ei(fused: np.ndarray, *, convention: Convention = "intended") -> float:
    """Computes EI, the mean strength of Sobel's gradient of the fused image.

    EI = mean over all pixels of sqrt(Fx^2 + Fy^2), F in 0..255, Fx and Fy by Sobel's
    kernels [-1 0 1; -2 0 2; -1 0 1] and its transpose, the border repeated.

    Args:
      fused: The fused image, [H, W] uint8.
      convention: All have this definition; "vifb" takes colour images as well.

    Returns:
      EI in grey levels, 0 to 1140.4; higher is better.

    References:
      X. Zhang, P. Ye, G. Xiao, "VIFB: a visible and infrared image fusion benchmark",
      CVPR Workshops 2020, doi:10.1109/CVPRW50498.2020.00060.

    Notes:
      The kernels are not divided by 8, so that EI is about eight times AG. VIFB
      publishes the same value.
    """
    levels = fused.astype(np.float64)
    y, x = (ndimage.sobel(levels, axis, mode="nearest") for axis in (0, 1))
    return float(np.mean(np.hypot(x, y)))
