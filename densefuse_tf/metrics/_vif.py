"""VIF: the visual information fidelity of the fused image to its sources."""

import math

import numpy as np

from densefuse_tf.metrics.gaussian import gaussian_mean
from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric

# An image and its weighted mean in every window.
_Smoothed = tuple[np.ndarray, np.ndarray]
_NOISE = 2.0
_EPS = 1e-10
# Sides of the Gaussian windows, from the finest scale to the coarsest.
_SIDES = (17, 9, 5, 3)
# So that the coarsest scale holds one window: 41 -> 17 -> 7 -> 3.
_SMALLEST = 41


@metric(
    "VIF",
    "visual information fidelity",
    formula="VIF(A, F) + VIF(B, F), pixel domain, 4 scales",
    range=(0, math.inf),
    cost=3,
    smallest=_SMALLEST,
    conventions=["toolkit"],
)
def vif(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    convention: Convention = "intended",
) -> float:
    """Computes VIF = VIF(ir, fused) + VIF(vis, fused), in the pixel domain.

    For a source S, over four scales and all windows,

      VIF(S, F) = sum log(1 + g^2 s_S^2 / (s_V^2 + s_N^2)) / sum log(1 + s_S^2 / s_N^2),
      g = s_SF / s_S^2,   s_V^2 = s_F^2 - g s_SF,   s_N^2 = 2,

    s_S^2, s_F^2 and s_SF the variances and the covariance of images in 0..255, weighted
    by a Gaussian window of N pixels and sigma N/5 that lies inside the image, N = 17,
    9, 5 and 3. Each scale after the first is the one before, smoothed with its own
    window and with every other pixel taken. Variances below 0 count as 0; g is 0 where
    it is negative or a variance is below 1e-10; s_V^2 is then s_F^2, and at least
    1e-10.

    Args:
      ir: Infrared image, [H, W] uint8, 41x41 or larger, for the coarsest scale to hold
        one window.
      vis: Visible image, same size.
      fused: Fused image, same size.
      convention: "toolkit" for the value that the MATLAB toolkit publishes, see Notes.

    Returns:
      VIF, from 0 on; higher is better. 2 where both sources equal the fused image, and
      more where that has more contrast.

    References:
      H. R. Sheikh, A. C. Bovik, "Image information and visual quality", IEEE TIP
      15(2), 2006, doi:10.1109/TIP.2005.859378, in the pixel-domain version that its
      authors published as vifp_mscale.

    Notes:
      The toolkit hands uint8 images to that code, so that the products S S, F F and
      S F of the first scale stop at 255 before they are filtered. Only dark pixels
      have correct variances at that scale then. A source without any information, such
      as a constant one, has 0/0 = NaN in MATLAB; here it adds 0.
    """
    limit = 255.0 if convention == "toolkit" else math.inf
    sources = [image.astype(np.float64) for image in (ir, vis)]
    target = fused.astype(np.float64)
    kept, all_there_is = [0.0, 0.0], [0.0, 0.0]
    for side in _SIDES:
        if side != _SIDES[0]:
            sources = [_mean(image, side)[::2, ::2] for image in sources]
            target = _mean(target, side)[::2, ::2]
        # What concerns the fused image alone serves for both sources.
        smoothed_target = target, _mean(target, side)
        variance_target = np.maximum(
            _covariance(smoothed_target, smoothed_target, side, limit), 0
        )
        for index, source in enumerate(sources):
            smoothed = source, _mean(source, side)
            variance = np.maximum(_covariance(smoothed, smoothed, side, limit), 0)
            covariance = _covariance(smoothed, smoothed_target, side, limit)
            gain = covariance / (variance + _EPS)
            gain[(variance < _EPS) | (variance_target < _EPS) | (gain < 0)] = 0
            variance[variance < _EPS] = 0
            rest = np.maximum(variance_target - gain * covariance, _EPS)
            kept[index] += float(
                np.sum(np.log1p(gain * gain * variance / (rest + _NOISE)))
            )
            all_there_is[index] += float(np.sum(np.log1p(variance / _NOISE)))
        limit = math.inf
    return sum(
        part / whole if whole else 0.0
        for part, whole in zip(kept, all_there_is, strict=True)
    )


def _covariance(one: _Smoothed, other: _Smoothed, side: int, limit: float):
    """Computes the weighted covariance in every window; products stop at `limit`."""
    (x, mean_x), (y, mean_y) = one, other
    return _mean(np.minimum(x * y, limit), side) - mean_x * mean_y


def _mean(image: np.ndarray, side: int) -> np.ndarray:
    """Computes the weighted mean in every window inside the image, sigma side / 5."""
    inside = slice(side // 2, -(side // 2))
    return gaussian_mean(image, side // 2, side / 5)[inside, inside]
