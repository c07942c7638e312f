"""The metrics of image fusion, exactly as MATLAB computes them.

    from densefuse_tf import metrics

    metrics.evaluate(ir, vis, fused)  # the seven of Table II
    metrics.evaluate(ir, vis, fused, metrics="all")
    metrics.evaluate(ir, vis, fused, metrics="En,SD,VIF", convention="toolkit")
    metrics.fmi(ir, vis, fused, feature="dct")

They take 8-bit grey images as arrays [H, W] uint8 and do not need TensorFlow. METRICS
holds name, formula, range, direction and paper of each. `convention` decides between
what a metric's paper defines and what is published under its name; docs/metrics.md
shows where the two differ. A new metric is one file and its import here.
"""

# Each import registers a metric; METRICS and tables of all metrics have this order.
# isort: off
from densefuse_tf.metrics.entropy import entropy
from densefuse_tf.metrics.qabf import qabf
from densefuse_tf.metrics.scd import scd
from densefuse_tf.metrics.fmi import fmi
from densefuse_tf.metrics.ssim_a import ssim_a
from densefuse_tf.metrics.ms_ssim import ms_ssim
from densefuse_tf.metrics.mi import mi
from densefuse_tf.metrics.sd import sd
from densefuse_tf.metrics.sf import sf
from densefuse_tf.metrics.ag import ag
from densefuse_tf.metrics.cc import cc
from densefuse_tf.metrics.vif import vif
from densefuse_tf.metrics.mse import mse
from densefuse_tf.metrics.psnr import psnr
from densefuse_tf.metrics.nabf import nabf
import densefuse_tf.metrics.fmi_pixel  # noqa: F401
from densefuse_tf.metrics.cross_entropy import cross_entropy
from densefuse_tf.metrics.rmse import rmse
from densefuse_tf.metrics.ssim import ssim

# isort: on
from densefuse_tf.metrics.evaluate import SELECTIONS
from densefuse_tf.metrics.evaluate import evaluate
from densefuse_tf.metrics.evaluate import select
from densefuse_tf.metrics.mef_ssim import mef_ssim
from densefuse_tf.metrics.metric import CONVENTIONS
from densefuse_tf.metrics.metric import METRICS
from densefuse_tf.metrics.metric import Metric

# The name that `mi` had before.
mutual_information = mi

__all__ = [
    "CONVENTIONS",
    "METRICS",
    "SELECTIONS",
    "Metric",
    "ag",
    "cc",
    "cross_entropy",
    "entropy",
    "evaluate",
    "fmi",
    "mef_ssim",
    "mi",
    "ms_ssim",
    "mse",
    "mutual_information",
    "nabf",
    "psnr",
    "qabf",
    "rmse",
    "scd",
    "sd",
    "select",
    "sf",
    "ssim",
    "ssim_a",
    "vif",
]
