"""SSIM: the sum of the structural similarities to both sources."""

import numpy as np

from densefuse_tf.metrics._ssim_a import similarity_maps
from densefuse_tf.metrics.gaussian import RADIUS
from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import metric


@metric(
    "SSIM",
    "sum of the structural similarities",
    formula="SSIM(A, F) + SSIM(B, F), windows inside the image",
    range=(-2, 2),
    smallest=2 * RADIUS + 1,
)
def ssim(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    convention: Convention = "intended",
) -> float:
    """Computes SSIM = SSIM(ir, fused) + SSIM(vis, fused), as the VIFB benchmark does.

    SSIM(X, Y) is that of `ssim_a`, over the windows that lie inside the image.

    Args:
      ir, vis, fused: The images, [H, W] uint8 each, of one size.
      convention: All have this definition; "vifb" takes colour images as well.

    Returns:
      SSIM, -2 to 2; higher is better.

    References:
      Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image quality assessment:
      from error visibility to structural similarity", IEEE TIP 13(4), 2004,
      doi:10.1109/TIP.2003.819861; X. Zhang, P. Ye, G. Xiao, "VIFB: a visible and
      infrared image fusion benchmark", CVPR Workshops 2020,
      doi:10.1109/CVPRW50498.2020.00060.

    Notes:
      The window inside the image is that of the code which Wang et al. published.
      Equals scikit-image's `structural_similarity` with Gaussian weights. VIFB
      publishes these values.
    """
    inside = slice(RADIUS, -RADIUS)
    return sum(
        float(np.mean(map_[inside, inside])) for map_ in similarity_maps(ir, vis, fused)
    )
