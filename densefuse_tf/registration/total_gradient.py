"""The normalised total gradient, the measure of the paper's reference [31].

References:
  S.-J. Chen, H.-L. Shen, C. Li, J. H. Xin, "Normalized total gradient: a new measure
  for multispectral image registration," IEEE TIP 27(3), 2018,
  doi:10.1109/TIP.2017.2776753.
"""

import numpy as np


def normalized_total_gradient(one: np.ndarray, other: np.ndarray) -> float:
    """Computes the total gradient of the difference over that of both images.

    NTG = sum |grad(f - g)|_1 / (sum |grad f|_1 + sum |grad g|_1). It is low where edges
    lie on edges. It proves nothing about a thermal and a visible image, of which a
    wrong place often has the lower value.

    Args:
      one, other: Grey images of the same shape, [H, W]; NaN where there is nothing.

    Returns:
      A number in 0..1; NaN where both images are flat or share no pixel.

    Notes:
      Each image is brought to mean 0 and standard deviation 1 over the common pixels,
      so that bit depths may differ.
    """
    one, other = (np.asarray(image, np.float64) for image in (one, other))
    common = np.isfinite(one) & np.isfinite(other)
    if not common.any():
        return float("nan")
    deviations = [image[common].std() for image in (one, other)]
    one, other = (
        (image - image[common].mean()) / (deviation or 1)
        for image, deviation in zip((one, other), deviations, strict=True)
    )

    def total(image: np.ndarray) -> float:
        # Differences with a pixel outside are NaN and count nothing.
        masked = np.where(common, image, np.nan)
        return sum(float(np.nansum(np.abs(np.diff(masked, axis=k)))) for k in (0, 1))

    both = total(one) + total(other)
    return total(one - other) / both if both > 0 else float("nan")
