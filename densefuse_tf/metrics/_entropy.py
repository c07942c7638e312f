"""En: the Shannon entropy of the fused image."""

import numpy as np

from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric


@metric(
    "En",
    "entropy",
    formula="-Σ p log2 p over the 256 grey levels of F",
    range=(0, 8),
)
def entropy(fused: np.ndarray, *, convention: Convention = "intended") -> float:
    """Computes En, the entropy of the grey levels of the fused image.

    En = -sum over l = 0..255 of p_l log2 p_l, with p_l the share of pixels of level l.

    Args:
      fused: The fused image, [H, W] uint8.
      convention: All have this definition; "vifb" takes colour images as well.

    Returns:
      The entropy in bits, 0 to 8; higher is better. 0 for a constant image.

    References:
      J. W. Roberts, J. van Aardt, F. Ahmed, "Assessment of image fusion procedures
      using entropy, image quality, and multispectral classification", J. Applied
      Remote Sensing 2, 2008, doi:10.1117/1.2945910.

    Notes:
      Matches MATLAB's `entropy`, which the paper's authors call. scikit-image's
      `shannon_entropy` sorts the pixels, takes some six times as long and differs in
      the last digit.
    """
    return bits(np.bincount(fused.ravel(), minlength=256))


def bits(counts: np.ndarray) -> float:
    """Computes the Shannon entropy in bits of a histogram.

    Args:
      counts: How often each value occurs, any shape, whole numbers >= 0, sum > 0.

    Returns:
      The entropy; 0 where only one value occurs.
    """
    counts = counts[counts > 0]
    share = counts / counts.sum()
    # abs, because one single level would give -0.0.
    return abs(float(np.sum(share * np.log2(share))))
