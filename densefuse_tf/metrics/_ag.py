"""AG: the average gradient of the fused image."""

import numpy as np

from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric


@metric(
    "AG",
    "average gradient",
    formula="mean of sqrt((Fx^2 + Fy^2) / 2)",
    range=(0, 255),
    smallest=2,
    conventions=["toolkit", "vifb"],
)
def ag(fused: np.ndarray, *, convention: Convention = "intended") -> float:
    """Computes AG, the mean strength of the gradient of the fused image.

    AG = mean over all pixels of sqrt((Fx^2 + Fy^2) / 2), F in 0..255. Fx and Fy are
    half the difference of the two neighbours in the row and in the column, and at the
    border the difference to the one neighbour, as MATLAB's `gradient` takes them.

    Args:
      fused: The fused image, [H, W] uint8.
      convention: "toolkit" or "vifb" for the value that the MATLAB toolkit and the VIFB
        benchmark publish, see Notes.

    Returns:
      AG in grey levels for each pixel, 0 to 255; higher is better.

    References:
      G. Cui, H. Feng, Z. Xu, Q. Li, Y. Chen, "Detail preserved fusion of visible and
      infrared images using regional saliency extraction and multi-scale image
      decomposition", Optics Communications 341, 2015,
      doi:10.1016/j.optcom.2014.12.032.

    Notes:
      The paper's sum runs over (H - 1)(W - 1) differences of neighbours and is divided
      by their number. Toolkit and VIFB sum `gradient` over all H W pixels and keep the
      divisor (H - 1)(W - 1), so that their value is no mean and grows as the image
      shrinks: by 0.3 % at 576x768, by 0.7 % at 280x280.
    """
    y, x = np.gradient(fused.astype(np.float64))
    total = float(np.sum(np.sqrt((x * x + y * y) / 2)))
    height, width = fused.shape
    if convention in ("toolkit", "vifb"):
        return total / ((height - 1) * (width - 1))
    return total / (height * width)
