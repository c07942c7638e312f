"""All seven metrics of Table II at once."""

import concurrent.futures

import numpy as np

from densefuse_tf.metrics.entropy import entropy
from densefuse_tf.metrics.fmi import fmi
from densefuse_tf.metrics.inputs import two_sources
from densefuse_tf.metrics.ms_ssim import SMALLEST
from densefuse_tf.metrics.ms_ssim import ms_ssim
from densefuse_tf.metrics.qabf import qabf
from densefuse_tf.metrics.scd import scd
from densefuse_tf.metrics.ssim_a import ssim_a

TABLE_2 = ("En", "Qabf", "SCD", "FMI_w", "FMI_dct", "SSIM_a", "MS_SSIM")


@two_sources(smallest=SMALLEST)
def evaluate(ir: np.ndarray, vis: np.ndarray, fused: np.ndarray) -> dict[str, float]:
    """The seven metrics of the paper's Table II for one pair.

    Keeps two cores busy, and mostly without the interpreter's lock, so that the pairs
    of a set can be evaluated side by side in threads on more of them.

    Args:
      ir: Infrared image, [H, W] uint8, 44x44 or larger (what ms_ssim needs).
      vis: Visible image, same size.
      fused: Fused image, same size.

    Returns:
      En, Qabf, SCD, FMI_w, FMI_dct, SSIM_a and MS_SSIM, in that order, the paper's.

    Raises:
      UserError: An image has another dtype, shape or size, or there are more than two
        sources.
    """
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        # It takes as long as all the others together.
        fmi_w = pool.submit(fmi, ir, vis, fused, feature="wavelet")
        values = {
            "En": entropy(fused),
            "Qabf": qabf(ir, vis, fused),
            "SCD": scd(ir, vis, fused),
            "FMI_dct": fmi(ir, vis, fused, feature="dct"),
            "SSIM_a": ssim_a(ir, vis, fused),
            "MS_SSIM": ms_ssim(ir, vis, fused),
            "FMI_w": fmi_w.result(),
        }
    return {name: values[name] for name in TABLE_2}
