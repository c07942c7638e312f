"""SF: the spatial frequency of the fused image."""

import math

import numpy as np

from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric


@metric(
    "SF",
    "spatial frequency",
    formula="sqrt(mean(row differences^2) + mean(column differences^2))",
    range=(0, 255 * math.sqrt(2)),
    smallest=2,
    conventions=["toolkit", "vifb"],
    side_by_side=True,
)
def sf(fused: np.ndarray, *, convention: Convention = "intended") -> float:
    """Computes SF, the root mean square of the differences between neighbours.

    SF = sqrt(RF^2 + CF^2), RF^2 the mean of (F(i, j) - F(i, j-1))^2 over all pairs of
    neighbours in a row, CF^2 that of (F(i, j) - F(i-1, j))^2 in a column, F in 0..255.

    Args:
      fused: The fused image, [H, W] uint8.
      convention: "toolkit" or "vifb" for the value that the MATLAB toolkit or the VIFB
        benchmark publishes, see Notes.

    Returns:
      SF in grey levels, 0 to 360.6; higher is better. 0 to 1.415 by "toolkit".

    References:
      A. M. Eskicioglu, P. S. Fisher, "Image quality measures and their performance",
      IEEE Trans. Communications 43(12), 1995, doi:10.1109/26.477498.

    Notes:
      The paper divides both sums by the number of pixels, not of pairs; the difference
      is one part in the width or the height. The mean over the pairs is what packages
      compute. The toolkit takes F in [0, 1], so that its value is 255 times smaller.
      VIFB divides as the paper does, and takes the channels of a colour image for one
      wide image: neighbours across a seam count.
    """
    levels = fused.astype(np.float64)
    squares = [np.diff(levels, axis=axis) ** 2 for axis in (0, 1)]
    if convention == "vifb":
        return math.sqrt(sum(map(np.sum, squares)) / levels.size)
    return math.sqrt(sum(map(np.mean, squares))) / (
        255 if convention == "toolkit" else 1
    )
