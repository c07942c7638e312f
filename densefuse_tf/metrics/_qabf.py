"""Qabf: how much of the sources' edges the fused image keeps."""

import numpy as np

from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric

_Edges = tuple[np.ndarray, np.ndarray]
# The kernels as written in the published code; conv2 flips them.
_HORIZONTAL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
_VERTICAL = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]])


@metric(
    "Qabf",
    "edges of the sources that are kept",
    formula="Σ Q g / Σ g over both sources, g Sobel strength, Q edge kept",
    range=(0, 0.9994 * 0.9879),
    conventions=["vifb"],
)
def qabf(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    convention: Convention = "intended",
) -> float:
    """Computes Qabf, the gradient-based measure of Xydeas and Petrovic.

    Each image gets a Sobel strength g = sqrt(x^2 + y^2) and an angle a = atan(y / x),
    pi/2 where x = 0. For a source S and the fused image F

      G = min(gS, gF) / max(gS, gF),   A = 1 - |aS - aF| / (pi/2),
      Q = Tg / (1 + exp(kg (G - Dg))) * Ta / (1 + exp(ka (A - Da))),

    Tg = 0.9994, kg = -15, Dg = 0.5, Ta = 0.9879, ka = -22, Da = 0.8, and
    Qabf = sum(Q_ir g_ir + Q_vis g_vis) / sum(g_ir + g_vis).

    Args:
      ir, vis, fused: The images, [H, W] uint8 each, of one size.
      convention: "vifb" for the value that the VIFB benchmark publishes, see Notes.

    Returns:
      Qabf, 0 to 0.9873; higher is better. 0 if both sources have no edge at all (all
      black, or a single pixel), where MATLAB has 0/0 = NaN.

    References:
      C. S. Xydeas, V. Petrovic, "Objective image fusion performance measure",
      Electronics Letters 36(4), 2000, doi:10.1049/el:20000267.

    Notes:
      Matches the authors' MATLAB code to the last digit, with what is peculiar to it:
      images of doubles in [0, 1]; zeros beyond the border, so the border counts as an
      edge; and G = gF, not 1, where gS and gF are equal. That comparison is exact, so
      the order in which the convolution adds its terms shows in the fourth digit; it
      is conv2's here. VIFB takes images in 0..255, so that G = gF is far above 1 where
      strengths are equal.
    """
    unit = 1.0 if convention == "vifb" else 255.0
    edges_fused = _edges(fused / unit)
    kept = total = 0.0
    for source in (ir, vis):
        edges = strength, _ = _edges(source / unit)
        kept += np.sum(_preserved(edges, edges_fused) * strength)
        total += np.sum(strength)
    return float(kept / total) if total else 0.0


def _edges(image: np.ndarray) -> _Edges:
    """Computes strength and angle of the gradient, each [H, W] float64."""
    padded = np.pad(image, 1)
    x = _convolve(padded, _HORIZONTAL)
    y = _convolve(padded, _VERTICAL)
    slope = np.divide(y, x, out=np.zeros_like(x), where=x != 0)
    angle = np.where(x == 0, np.pi / 2, np.arctan(slope))
    return np.sqrt(x * x + y * y), angle


def _convolve(padded: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Computes conv2(image, kernel, 'same') for a 3x3 kernel, to MATLAB's last bit."""
    height, width = padded.shape[0] - 2, padded.shape[1] - 2
    result = np.zeros((height, width))
    for column in range(3):
        for row in range(3):
            if kernel[row, column]:
                top, left = 2 - row, 2 - column
                shifted = padded[top : top + height, left : left + width]
                result += kernel[row, column] * shifted
    return result


def _preserved(source: _Edges, fused: _Edges) -> np.ndarray:
    """Computes Q, how well each of the source's edges is preserved, [H, W], 0 to 1."""
    (strength, angle), (strength_fused, angle_fused) = source, fused
    lesser = np.minimum(strength, strength_fused)
    greater = np.maximum(strength, strength_fused)
    # The published code's own value for equal strengths, not 1.
    relative = strength_fused.copy()
    np.divide(lesser, greater, out=relative, where=lesser != greater)
    aligned = 1 - np.abs(angle - angle_fused) / (np.pi / 2)
    quality_strength = 0.9994 / (1 + np.exp(-15 * (relative - 0.5)))
    quality_angle = 0.9879 / (1 + np.exp(-22 * (aligned - 0.8)))
    return quality_strength * quality_angle
