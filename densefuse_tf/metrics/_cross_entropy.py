"""CE: the cross entropy between the sources and the fused image."""

import math

import numpy as np

from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric


@metric(
    "CE",
    "cross entropy",
    formula="(Σ a log2(a / f) + Σ b log2(b / f)) / 2 of the histograms",
    range=(-0.54, math.inf),
    higher_is_better=False,
)
def cross_entropy(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    convention: Convention = "intended",
) -> float:
    """Computes CE = (D(ir, fused) + D(vis, fused)) / 2 of the grey levels.

    D(S, F) = sum over levels l of p_l log2(p_l / q_l), p_l and q_l the shares of pixels
    of level l in the source and in the fused image: the relative entropy, which the
    fusion literature calls cross entropy.

    Args:
      ir, vis, fused: The images, [H, W] uint8 each, of one size.
      convention: All have this definition; "vifb" takes colour images as well.

    Returns:
      CE in bits, -0.54 to infinity; lower is better. 0 where all three histograms are
      equal.

    References:
      D. M. Bulanon, T. F. Burks, V. Alchanatis, "Image fusion of visible and thermal
      images for fruit detection", Biosystems Eng. 103(1), 2009,
      doi:10.1016/j.biosystemseng.2009.02.009; X. Zhang, P. Ye, G. Xiao, "VIFB: a
      visible and infrared image fusion benchmark", CVPR Workshops 2020,
      doi:10.1109/CVPRW50498.2020.00060.

    Notes:
      The papers do not say what a level adds that the fused image lacks, for which the
      term is infinite. It is left out, as in the code of the VIFB benchmark, which
      publishes these values; a fused image of few levels may then score below 0.
    """
    return (_relative_entropy(ir, fused) + _relative_entropy(vis, fused)) / 2


def _relative_entropy(source: np.ndarray, fused: np.ndarray) -> float:
    p, q = (np.bincount(i.ravel(), minlength=256) / i.size for i in (source, fused))
    both = (p > 0) & (q > 0)
    p, q = p[both], q[both]
    return float(np.sum(p * np.log2(p / q)))
