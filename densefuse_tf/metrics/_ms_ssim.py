"""MS_SSIM: the multi-scale fusion quality of Ma, Zeng and Wang (MEF-SSIM)."""

import numpy as np

from densefuse_tf.metrics.mef_ssim import SMALLEST
from densefuse_tf.metrics.mef_ssim import mef_ssim
from densefuse_tf.metrics.metric import metric


@metric(
    "MS_SSIM",
    "multi-scale similarity to the best patch of the sources",
    formula="Π mean(q)^w over 3 scales, q similarity of F to the desired patch",
    range=(0, 1),
    cost=2,
    smallest=SMALLEST,
)
def ms_ssim(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> float:
    """Computes MS_SSIM, the similarity to the best patch that the sources allow.

    This is `mef_ssim` of two sources; its docstring has the formula.

    Args:
      ir: Infrared image, [H, W] uint8, 44x44 or larger, for the coarsest scale to
        hold one window.
      vis: Visible image, same size.
      fused: Fused image, same size.

    Returns:
      MS_SSIM, 0 to 1; higher is better. Constant images are no exception: where
      sources and fused image are all flat, q is 1.

    References:
      K. Ma, K. Zeng, Z. Wang, "Perceptual quality assessment for multi-exposure image
      fusion", IEEE TIP 24(11), 2015, doi:10.1109/TIP.2015.2442920.

    Notes:
      This is not the MS-SSIM of Wang, Simoncelli and Bovik. Matches the MATLAB code of
      Ma et al. as the paper's authors call it, on images of 0..255, but for the two
      departures that `mef_ssim` names.
    """
    return mef_ssim([ir, vis], fused)
