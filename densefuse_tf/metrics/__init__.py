"""The metrics the paper's authors compute, exactly as their MATLAB code does.

    from densefuse_tf import metrics

    metrics.evaluate(ir, vis, fused)  # the seven of Table II
    metrics.fmi(ir, vis, fused, feature="dct")

They take 8-bit grey images as arrays [H, W] uint8 and do not need TensorFlow. A new
metric is one module with one function, decorated with inputs.two_sources, and a line
here.
"""

from densefuse_tf.metrics.entropy import entropy
from densefuse_tf.metrics.evaluate import evaluate
from densefuse_tf.metrics.fmi import fmi
from densefuse_tf.metrics.ms_ssim import ms_ssim
from densefuse_tf.metrics.mutual_information import mutual_information
from densefuse_tf.metrics.nabf import nabf
from densefuse_tf.metrics.qabf import qabf
from densefuse_tf.metrics.scd import scd
from densefuse_tf.metrics.ssim_a import ssim_a

__all__ = [
    "entropy",
    "evaluate",
    "fmi",
    "ms_ssim",
    "mutual_information",
    "nabf",
    "qabf",
    "scd",
    "ssim_a",
]
