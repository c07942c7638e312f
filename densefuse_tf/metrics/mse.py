"""MSE, RMSE and PSNR: the error of the fused image against its sources."""

import math

import numpy as np

from densefuse_tf.metrics.metric import two_sources


@two_sources()
def mse(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> float:
    """Computes MSE, the mean of the mean squared errors against both sources.

    MSE = (mean((ir - fused)^2) + mean((vis - fused)^2)) / 2 of images in [0, 1].

    Args:
      ir: Infrared image, [H, W] uint8, 1x1 or larger.
      vis: Visible image, same size.
      fused: Fused image, same size.

    Returns:
      MSE, 0 to 1; lower is better. Times 255^2 it is in grey levels squared.

    Raises:
      UserError: An image has another dtype, shape or size, there are more than two
        sources, or the convention is unknown.

    References:
      P. Jagalingam, A. V. Hegde, "A review of quality metrics for fused image",
      Aquatic Procedia 4, 2015, doi:10.1016/j.aqpro.2015.02.019.

    Notes:
      The MATLAB toolkit publishes the same value. The sums are taken in whole numbers
      here; the two differ by 2e-16 at most.
    """
    return (_squared_error(ir, fused) + _squared_error(vis, fused)) / 2


@two_sources()
def rmse(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> float:
    """Computes RMSE, the mean of the root mean squared errors against both sources.

    RMSE = (sqrt(mean((ir - fused)^2)) + sqrt(mean((vis - fused)^2))) / 2 of images in
    [0, 1].

    Args:
      ir: Infrared image, [H, W] uint8, 1x1 or larger.
      vis: Visible image, same size.
      fused: Fused image, same size.

    Returns:
      RMSE, 0 to 1; lower is better. Times 255 it is in grey levels.

    Raises:
      UserError: An image has another dtype, shape or size, there are more than two
        sources, or the convention is unknown.

    References:
      P. Jagalingam, A. V. Hegde, "A review of quality metrics for fused image",
      Aquatic Procedia 4, 2015, doi:10.1016/j.aqpro.2015.02.019; X. Zhang, P. Ye,
      G. Xiao, "VIFB: a visible and infrared image fusion benchmark", CVPR Workshops
      2020, doi:10.1109/CVPRW50498.2020.00060.

    Notes:
      The MATLAB code of the VIFB benchmark divides the root of the sum, and not the
      sum, by the number of pixels: what it gives is 255 / sqrt(H W) times this value,
      depends on the size of the image, and is not computed here.
    """
    return (
        math.sqrt(_squared_error(ir, fused)) + math.sqrt(_squared_error(vis, fused))
    ) / 2


@two_sources(conventions=["toolkit"])
def psnr(
    ir: np.ndarray, vis: np.ndarray, fused: np.ndarray, *, convention: str = "intended"
) -> float:
    """Computes PSNR, the peak signal-to-noise ratio for the mean of both errors.

    PSNR = 10 log10(1 / MSE), MSE as `mse` gives it: images in [0, 1] have the peak 1.

    Args:
      ir: Infrared image, [H, W] uint8, 1x1 or larger.
      vis: Visible image, same size.
      fused: Fused image, same size.
      convention: "toolkit" for the value that the MATLAB toolkit publishes, see Notes.

    Returns:
      PSNR in dB, 0 to infinity; higher is better. Infinite where both sources equal
      the fused image. At least 48.13 by "toolkit".

    Raises:
      UserError: An image has another dtype, shape or size, there are more than two
        sources, or the convention is unknown.

    References:
      P. Jagalingam, A. V. Hegde, "A review of quality metrics for fused image",
      Aquatic Procedia 4, 2015, doi:10.1016/j.aqpro.2015.02.019.

    Notes:
      The toolkit takes the peak of images in 0..255 with the error of images in
      [0, 1], which adds 20 log10(255) = 48.13 dB.
    """
    error = mse(ir, vis, fused)
    peak = 255 if convention == "toolkit" else 1
    return 20 * math.log10(peak / math.sqrt(error)) if error else math.inf


def _squared_error(source: np.ndarray, fused: np.ndarray) -> float:
    """Computes the mean squared error of images in [0, 1]."""
    # int64, because uint8 differences would wrap around.
    difference = (source.astype(np.int64) - fused).ravel()
    return int(difference @ difference) / (difference.size * 255**2)
