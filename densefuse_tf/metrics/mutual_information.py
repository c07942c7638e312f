"""MI: the mutual information between the sources and the fused image."""

import numpy as np

from densefuse_tf.metrics.entropy import bits
from densefuse_tf.metrics.entropy import entropy
from densefuse_tf.metrics.inputs import two_sources


@two_sources()
def mutual_information(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    as_released: bool = False,
) -> float:
    """MI = I(ir; fused) + I(vis; fused), of the grey levels.

    I(X; F) = H(X) + H(F) - H(X, F), entropies of the histograms of 256 levels and of
    the joint histogram of 256x256 (G. Qu, D. Zhang, P. Yan, "Information measure for
    performance of image fusion", Electronics Letters 38(7), 2002).

    The authors' MATLAB code computes something else under this name: its joint entropy
    takes whole rows of the image as symbols and numbers them, and MATLAB's `entropy`
    saturates those numbers to one grey level, so that both joint entropies are 0 and
    the result is 2 H(fused), whatever the sources are. `as_released` gives that value,
    for comparing with tables made by that code. Table II has no column for MI.

    Args:
      ir: Infrared image, [H, W] uint8, 1x1 or larger.
      vis: Visible image, same size.
      fused: Fused image, same size.
      as_released: Return 2 H(fused), as the authors' code does.

    Returns:
      MI in bits, 0 to 16; higher is better. 0 if the fused image is constant.

    Raises:
      UserError: An image has another dtype, shape or size, or there are more than two
        sources.
    """
    if as_released:
        return 2 * entropy(fused)
    return _pair(ir, fused) + _pair(vis, fused)


def _pair(source: np.ndarray, fused: np.ndarray) -> float:
    joint = np.bincount(
        source.ravel().astype(np.intp) * 256 + fused.ravel(), minlength=256 * 256
    ).reshape(256, 256)
    # Rounding may leave -1e-16 for independent images.
    return max(bits(joint.sum(axis=1)) + bits(joint.sum(axis=0)) - bits(joint), 0.0)
