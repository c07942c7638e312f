"""PSNR: the peak signal-to-noise ratio of the fused image against its sources."""

import math

import numpy as np

from densefuse_tf.metrics._mse import mse
from densefuse_tf.metrics._rmse import rmse
from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric


@metric(
    "PSNR",
    "peak signal-to-noise ratio",
    formula="10 log10(1 / MSE) in dB",
    range=(0, math.inf),
    conventions=["toolkit", "vifb"],
)
def psnr(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    convention: Convention = "intended",
) -> float:
    """Computes PSNR, the peak signal-to-noise ratio for the mean of both errors.

    PSNR = 10 log10(1 / MSE), MSE as `mse` gives it: images in [0, 1] have the peak 1.

    Args:
      ir, vis, fused: The images, [H, W] uint8 each, of one size.
      convention: "toolkit" or "vifb" for the value that the MATLAB toolkit or the VIFB
        benchmark publishes, see Notes.

    Returns:
      PSNR in dB, 0 to infinity; higher is better. Infinite where both sources equal
      the fused image. At least 48.13 by "toolkit".

    References:
      P. Jagalingam, A. V. Hegde, "A review of quality metrics for fused image",
      Aquatic Procedia 4, 2015, doi:10.1016/j.aqpro.2015.02.019.

    Notes:
      The toolkit takes the peak of images in 0..255 with the error of images in
      [0, 1], which adds 20 log10(255) = 48.13 dB. VIFB takes that peak and, for the
      mean squared error, what it publishes as RMSE; see `rmse`.
    """
    if convention == "vifb":
        error = rmse(ir, vis, fused, convention="vifb")
    else:
        error = mse(ir, vis, fused)
    peak = 1 if convention in ("intended", "authors") else 255
    return 20 * math.log10(peak / math.sqrt(error)) if error else math.inf
