"""MI: the mutual information between the sources and the fused image."""

import math

import numpy as np

from densefuse_tf.metrics._entropy import bits
from densefuse_tf.metrics._entropy import entropy
from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric


@metric(
    "MI",
    "mutual information",
    formula="I(A; F) + I(B; F) of the grey levels, in bits",
    range=(0, 16),
    conventions=["toolkit", "authors", "vifb"],
)
def mi(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    convention: Convention = "intended",
) -> float:
    """Computes MI = I(ir; fused) + I(vis; fused) of the grey levels.

    I(S; F) = H(S) + H(F) - H(S, F), entropies of the histograms of 256 levels and of
    the joint histogram of 256x256.

    Args:
      ir, vis, fused: The images, [H, W] uint8 each, of one size.
      convention: "toolkit" for the value that the MATLAB toolkit publishes, "authors"
        for the one of the MATLAB code of the paper's authors, "vifb" for the one of the
        VIFB benchmark; see Notes.

    Returns:
      MI in bits, 0 to 16; higher is better. 0 if the fused image is constant.

    References:
      G. Qu, D. Zhang, P. Yan, "Information measure for performance of image fusion",
      Electronics Letters 38(7), 2002, doi:10.1049/el:20020212.

    Notes:
      The toolkit counts min(level + 1, 255) in the joint histograms, because it adds
      the 1 to an image that is still uint8: the levels 254 and 255 fall together there
      and stay apart in H(S) and H(F). The value is too high by their entropy, up to
      some per cent, where images are saturated.

      The authors' code takes whole rows of the image for symbols and numbers them, and
      MATLAB's `entropy` saturates those numbers to one grey level. Both joint entropies
      become 0 that way, and the value 2 H(fused), whatever the sources are. Table II
      has no column for MI.

      VIFB takes natural logarithms: its MI is in nats. It stretches each image to
      0..255 first, which moves levels apart and merges none, so that MI stays the same.
    """
    if convention == "authors":
        return 2 * entropy(fused)
    unit = math.log(2) if convention == "vifb" else 1
    return unit * sum(
        _shared(source, fused, merged=convention == "toolkit") for source in (ir, vis)
    )


def _shared(source: np.ndarray, fused: np.ndarray, *, merged: bool) -> float:
    """Computes I(source; fused), levels 254 and 255 `merged` in the joint part."""
    joint = np.bincount(
        source.ravel().astype(np.intp) * 256 + fused.ravel(), minlength=256 * 256
    ).reshape(256, 256)
    separate = bits(joint.sum(axis=1)) + bits(joint.sum(axis=0))
    if merged:
        joint[254] += joint[255]
        joint[:, 254] += joint[:, 255]
        joint = joint[:255, :255]
    # Rounding may leave -1e-16 for independent images.
    return max(separate - bits(joint), 0.0)


# The name that `mi` had before.
mutual_information = mi
