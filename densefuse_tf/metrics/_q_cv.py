"""Q_CV: the visible difference of the fused image to its sources, by regions."""

import math

import numpy as np
from scipy import ndimage

from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric
from densefuse_tf.metrics.sensitivity import filtered
from densefuse_tf.metrics.sensitivity import radial_frequencies
from densefuse_tf.metrics.sensitivity import stretched

# Cycles per image that count as one cycle per degree.
_CYCLES = 4
_SIDE = 16
_POWER = 5


@metric(
    "Q_CV",
    "visible difference to the sources, by regions",
    formula="Σ λ D / Σ λ over blocks and sources, λ saliency, D visible squared error",
    range=(0, math.inf),
    higher_is_better=False,
    cost=2,
    conventions=["vifb"],
)
def q_cv(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    convention: Convention = "intended",
) -> float:
    """Computes Q_CV, the measure of Chen and Varshney.

    For each block of 16x16 pixels and each source S, the saliency is the sum over the
    block of |gradient of S|^5, by Sobel's kernels, and D_S the mean over the block of
    the square of S - F, filtered there by the sensitivity of the eye to contrast,

      2.6 (0.0192 + 0.144 r) exp(-(0.144 r)^1.1),   r in cycles per degree.

    Q_CV is the mean of D over blocks and sources, weighted by their saliencies.

    Args:
      ir, vis, fused: The images, [H, W] uint8 each, of one size.
      convention: "vifb" for the value that the VIFB benchmark publishes, see Notes.

    Returns:
      Q_CV in grey levels squared, from 0 on; lower is better. 0 where both sources
      equal the fused image.

    References:
      H. Chen, P. K. Varshney, "A human perception inspired quality metric for image
      fusion based on regional information", Information Fusion 8(2), 2007,
      doi:10.1016/j.inffus.2005.10.001.

    Notes:
      The code that VIFB took over stretches each image to 0..255 first, no step of the
      paper: a difference of level and of contrast between source and fused image is
      lost that way. It also filters the whole image before it cuts it into blocks;
      in the paper the blocks come first. The rest is as in that code under either
      convention: the power 5, the viewing distance (4 cycles per image are one cycle
      per degree), zeros beyond the border for Sobel's kernels and for blocks that the
      border cuts. Where no source has a gradient, that code has 0/0 = NaN; here D has
      equal weights then.
    """
    of_vifb = convention == "vifb"
    *sources, target = (
        stretched(image) if of_vifb else image.astype(np.float64)
        for image in (ir, vis, fused)
    )
    differences = [
        np.mean(_visible(source - target, whole=of_vifb) ** 2, axis=(2, 3))
        for source in sources
    ]
    saliencies = list(map(_saliency, sources))
    weights = saliencies if np.any(saliencies) else np.ones_like(saliencies)
    return float(np.average(differences, weights=weights))


def _visible(image: np.ndarray, *, whole: bool) -> np.ndarray:
    """Filters an image as a `whole` or block by block; returns the blocks."""
    height, width = image.shape
    if whole:
        return _blocks(filtered(image, _sensitivity(radial_frequencies(height, width))))
    scale = height / _SIDE, width / _SIDE
    seen = _sensitivity(radial_frequencies(_SIDE, _SIDE, scale))
    return filtered(_blocks(image), seen)


def _sensitivity(frequencies: np.ndarray) -> np.ndarray:
    r = 0.144 * frequencies / _CYCLES
    return 2.6 * (0.0192 + r) * np.exp(-(r**1.1))


def _saliency(image: np.ndarray) -> np.ndarray:
    y, x = (ndimage.sobel(image, axis, mode="constant") for axis in (0, 1))
    return np.sum(_blocks(np.hypot(x, y)) ** _POWER, axis=(2, 3))


def _blocks(image: np.ndarray) -> np.ndarray:
    """Cuts an image into blocks, [rows, columns, 16, 16], zeros beyond the border."""
    height, width = image.shape
    padded = np.pad(image, ((0, -height % _SIDE), (0, -width % _SIDE)))
    return padded.reshape(-1, _SIDE, padded.shape[1] // _SIDE, _SIDE).swapaxes(1, 2)
