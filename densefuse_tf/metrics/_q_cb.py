"""Q_CB: the contrast of the sources that is kept, as the eye sees it."""

import math

import numpy as np
from scipy import ndimage

from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric
from densefuse_tf.metrics.sensitivity import filtered
from densefuse_tf.metrics.sensitivity import radial_frequencies
from densefuse_tf.metrics.sensitivity import stretched

# Cycles per image that count as one cycle per degree.
_CYCLES = 15
_RADIUS = 15


@metric(
    "Q_CB",
    "visible contrast of the sources that is kept",
    formula="mean of Σ C'^2 min(C', C'_F) / max(C', C'_F) / Σ C'^2, C' masked contrast",
    range=(0, 1),
    cost=3,
    conventions=["vifb"],
)
def q_cb(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    convention: Convention = "intended",
) -> float:
    """Computes Q_CB, the perceptual quality measure of Chen and Blum.

    Each image is filtered by the sensitivity of the eye to contrast,

      S(r) = exp(-(r / 15.3870)^2) - 0.7622 exp(-(r / 1.3456)^2),

    r in cycles per degree, and gets a local contrast C and a masked one C',

      C = |(G2 * x) / (G4 * x) - 1|,   C' = C^3 / (C^2 + 0.0001),

    Gs the 31x31 samples of a Gaussian of sigma s, zeros beyond the border. Q_S is the
    smaller of C' of source and fused image divided by the larger one, and Q_CB the mean
    over all pixels of (C'_A^2 Q_A + C'_B^2 Q_B) / (C'_A^2 + C'_B^2).

    Args:
      ir, vis, fused: The images, [H, W] uint8 each, of one size.
      convention: "vifb" for the value that the VIFB benchmark publishes, see Notes.

    Returns:
      Q_CB, 0 to 1; higher is better. 1 where both sources equal the fused image.

    References:
      Y. Chen, R. S. Blum, "A new automated quality assessment algorithm for image
      fusion", Image and Vision Computing 27(10), 2009,
      doi:10.1016/j.imavis.2007.12.002.

    Notes:
      The code that VIFB took over stretches each image to 0..255 first, no step of the
      paper: it changes every contrast, which is relative to the mean level. The
      rest is as in that code under either convention: the viewing distance (15 cycles
      per image are one cycle per degree), the border, and the Gaussians, which are
      samples and do not add up to 1 exactly. Where that code has 0/0 = NaN, equal
      contrasts of 0 are kept, and sources without contrast weigh the same.
    """
    images = [
        stretched(image) if convention == "vifb" else image.astype(np.float64)
        for image in (ir, vis, fused)
    ]
    r = radial_frequencies(*fused.shape) / _CYCLES
    seen = np.exp(-((r / 15.3870) ** 2)) - 0.7622 * np.exp(-((r / 1.3456) ** 2))
    *sources, target = (_masked_contrast(filtered(image, seen)) for image in images)
    weights = [source * source for source in sources]
    total = weights[0] + weights[1]
    quality = sum(
        weight * _ratio(source, target)
        for weight, source in zip(weights, sources, strict=True)
    )
    flat = total == 0
    # Without any contrast in the sources, what the fused image has is not theirs.
    return float(np.mean(np.where(flat, target == 0, quality / (total + flat))))


def _masked_contrast(image: np.ndarray) -> np.ndarray:
    """Computes C', [H, W] float64; 0 where the mean level is 0."""
    level = _smoothed(image, 4)
    contrast = np.divide(
        _smoothed(image, 2), level, out=np.ones_like(level), where=level != 0
    )
    contrast = np.abs(contrast - 1)
    return contrast**3 / (contrast**2 + 0.0001)


def _smoothed(image: np.ndarray, sigma: float) -> np.ndarray:
    offsets = np.arange(-_RADIUS, _RADIUS + 1)
    weights = np.exp(-(offsets**2) / (2 * sigma**2)) / (math.sqrt(2 * math.pi) * sigma)
    for axis in (0, 1):
        image = ndimage.correlate1d(image, weights, axis=axis, mode="constant")
    return image


def _ratio(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Divides the smaller by the larger value; equal ones give 1."""
    larger = np.maximum(one, other)
    return np.divide(
        np.minimum(one, other), larger, out=np.ones_like(larger), where=larger != 0
    )
