"""RMSE: the root mean squared error of the fused image against its sources."""

import math

import numpy as np

from densefuse_tf.metrics._mse import squared_error
from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric


@metric(
    "RMSE",
    "root mean squared error",
    formula="(sqrt(mean((A - F)^2)) + sqrt(mean((B - F)^2))) / 2 in [0, 1]",
    range=(0, 1),
    higher_is_better=False,
    conventions=["vifb"],
)
def rmse(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    convention: Convention = "intended",
) -> float:
    """Computes RMSE, the mean of the root mean squared errors against both sources.

    RMSE = (sqrt(mean((ir - fused)^2)) + sqrt(mean((vis - fused)^2))) / 2 of images in
    [0, 1].

    Args:
      ir, vis, fused: The images, [H, W] uint8 each, of one size.
      convention: "vifb" for the value that the VIFB benchmark publishes, see Notes.

    Returns:
      RMSE, 0 to 1; lower is better. Times 255 it is in grey levels.

    References:
      P. Jagalingam, A. V. Hegde, "A review of quality metrics for fused image",
      Aquatic Procedia 4, 2015, doi:10.1016/j.aqpro.2015.02.019; X. Zhang, P. Ye,
      G. Xiao, "VIFB: a visible and infrared image fusion benchmark", CVPR Workshops
      2020, doi:10.1109/CVPRW50498.2020.00060.

    Notes:
      The MATLAB code of the VIFB benchmark divides the root of the sum, and not the
      sum, by the number of pixels: its value is 255 / sqrt(H W) times this one, no root
      mean square, and depends on the size of the image.
    """
    roots = [math.sqrt(squared_error(source, fused)) for source in (ir, vis)]
    unit = 255 / math.sqrt(fused.size) if convention == "vifb" else 1
    return unit * sum(roots) / 2
