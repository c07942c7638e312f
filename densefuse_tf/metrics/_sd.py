"""SD: the standard deviation of the fused image."""

import numpy as np

from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric


@metric(
    "SD",
    "standard deviation",
    formula="sqrt(mean((F - mean F)^2))",
    range=(0, 127.5),
    conventions=["toolkit"],
)
def sd(fused: np.ndarray, *, convention: Convention = "intended") -> float:
    """Computes SD, the standard deviation of the grey levels of the fused image.

    SD = sqrt(mean((F - mean(F))^2)), F in 0..255, the mean over all pixels.

    Args:
      fused: The fused image, [H, W] uint8.
      convention: "toolkit" for the value that the MATLAB toolkit publishes, see Notes.

    Returns:
      SD in grey levels, 0 to 127.5; higher is better. 0 to 15.97 by "toolkit".

    References:
      J. Ma, Y. Ma, C. Li, "Infrared and visible image fusion methods and applications:
      a survey", Information Fusion 45, 2019, doi:10.1016/j.inffus.2018.02.004.

    Notes:
      The toolkit subtracts the mean from an image that is still uint8. MATLAB rounds
      the differences to whole numbers and turns the negative ones to 0, and their
      squares stop at 255. The published value is the root of the mean of what is left,
      which is no standard deviation: on 99 images whose standard deviations are 11 to
      65 it is 5 to 12, and orders them differently.
    """
    if convention != "toolkit":
        return float(np.std(fused, dtype=np.float64))
    above = np.floor(np.maximum(fused - np.mean(fused), 0) + 0.5)
    return float(np.sqrt(np.mean(np.minimum(above * above, 255))))
