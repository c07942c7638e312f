"""Nabf: edges in the fused image that neither source has."""

import numpy as np

from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric

_Edges = tuple[np.ndarray, np.ndarray]


@metric(
    "Nabf",
    "artifacts: edges that neither source has",
    formula="share of F's stronger edges that is lost in A and B",
    range=(0, 1),
    higher_is_better=False,
    smallest=2,
)
def nabf(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    convention: Convention = "intended",
) -> float:
    """Computes Nabf, the fusion artifacts measure modified by Shreyamsha Kumar.

    With Sobel strengths g and angles a = atan(gv / gh) on images in [0, 1], kernels
    divided by 8, borders reflected about the outermost pixel, for each source S

      G = min(gS, gF) / max(gS, gF), 0 if either is 0,
      A = | |aS - aF| - pi/2 | / (pi/2),
      Q = sqrt(0.9999 / (1 + exp(-19 (G - 0.5))) * 0.9995 / (1 + exp(-22 (A - 0.5)))),

    a pixel is an artifact where gF > g_ir and gF > g_vis, and

      Nabf = sum over artifacts of w_ir (1 - Q_ir) + w_vis (1 - Q_vis)
             / sum over all pixels of w_ir + w_vis.

    Args:
      ir, vis, fused: The images, [H, W] uint8 each, of one size.
      convention: All have this definition; "vifb" takes colour images as well.

    Returns:
      Nabf, 0 to 1; lower is better. 0 if the fused image is constant.

    References:
      B. K. Shreyamsha Kumar, "Multifocus and multispectral image fusion based on pixel
      significance using discrete cosine harmonic wavelet transform", Signal, Image and
      Video Processing 7, 2013, doi:10.1007/s11760-012-0361-x; V. Petrovic, C. Xydeas,
      "Objective image fusion performance characterisation", ICCV 2005,
      doi:10.1109/ICCV.2005.175.

    Notes:
      The weights are g^1.5 where g >= 2 and 0.001 elsewhere. They were meant for images
      of 0..255; the paper's authors call the measure on images in [0, 1], where g stays
      below 0.71, so every weight is 0.001 and cancels. That is what is computed here,
      and equals the values they published for 16 images to 4e-15.
    """
    edges = _edges(fused)
    artifact = np.ones(fused.shape, dtype=bool)
    lost = np.zeros(fused.shape)
    for source in (ir, vis):
        edges_source = _edges(source)
        artifact &= edges[0] > edges_source[0]
        lost += 1 - _preserved(edges_source, edges)
    return float(np.sum(lost[artifact]) / (2 * fused.size))


def _edges(image: np.ndarray) -> _Edges:
    """Computes strength and angle of the gradient, each [H, W] float64."""
    image = np.pad(image / 255.0, 1, mode="reflect")
    above, middle, below = image[:-2], image[1:-1], image[2:]
    # Strengths are compared exactly below, so the terms are added as sum(sum(..))
    # does: down each column first. The eighth is exact and may come last.
    columns = above + 2 * middle + below
    gv = (columns[:, 2:] - columns[:, :-2]) / 8
    rows = below - above
    gh = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 8
    # arctan2 of |gh| is atan(gv / gh) up to the sign of gh, and 0 where both are 0.
    angle = np.arctan2(np.where(gh < 0, -gv, gv), np.abs(gh))
    return np.sqrt(gh * gh + gv * gv), angle


def _preserved(source: _Edges, fused: _Edges) -> np.ndarray:
    """Computes Q, how well each of the source's edges is preserved, [H, W], 0 to 1."""
    (strength, angle), (strength_fused, angle_fused) = source, fused
    lesser = np.minimum(strength, strength_fused)
    greater = np.maximum(strength, strength_fused)
    relative = np.divide(lesser, greater, out=np.zeros_like(lesser), where=lesser > 0)
    aligned = np.abs(np.abs(angle - angle_fused) - np.pi / 2) * 2 / np.pi
    quality_strength = 0.9999 / (1 + np.exp(-19 * (relative - 0.5)))
    quality_angle = 0.9995 / (1 + np.exp(-22 * (aligned - 0.5)))
    return np.sqrt(quality_strength * quality_angle)
