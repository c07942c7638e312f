"""The metrics of image fusion, exactly as MATLAB computes them.

    from densefuse_tf import metrics

    metrics.evaluate(ir, vis, fused)  # the seven of Table II
    metrics.evaluate(ir, vis, fused, metrics="all")
    metrics.evaluate(ir, vis, fused, metrics="En,SD,VIF", convention="toolkit")
    metrics.fmi(ir, vis, fused, feature="dct")

They take 8-bit grey images as arrays [H, W] uint8, colour ones [H, W, 3] under the
convention "vifb", and do not need TensorFlow. METRICS
holds name, formula, range, direction and paper of each. `convention` decides between
what a metric's paper defines and what is published under its name; docs/metrics.md
shows where the two differ. A new metric is one file and its import here.
"""

# Each import registers a metric; METRICS and tables of all metrics have this order.
# "as" says that the name is public.
# isort: off
from densefuse_tf.metrics.entropy import entropy as entropy
from densefuse_tf.metrics.qabf import qabf as qabf
from densefuse_tf.metrics.scd import scd as scd
from densefuse_tf.metrics.fmi import fmi as fmi
from densefuse_tf.metrics.ssim_a import ssim_a as ssim_a
from densefuse_tf.metrics.ms_ssim import ms_ssim as ms_ssim
from densefuse_tf.metrics.mi import mi as mi
from densefuse_tf.metrics.sd import sd as sd
from densefuse_tf.metrics.sf import sf as sf
from densefuse_tf.metrics.ag import ag as ag
from densefuse_tf.metrics.cc import cc as cc
from densefuse_tf.metrics.vif import vif as vif
from densefuse_tf.metrics.mse import mse as mse
from densefuse_tf.metrics.psnr import psnr as psnr
from densefuse_tf.metrics.nabf import nabf as nabf
from densefuse_tf.metrics import fmi_pixel as fmi_pixel
from densefuse_tf.metrics.cross_entropy import cross_entropy as cross_entropy
from densefuse_tf.metrics.rmse import rmse as rmse
from densefuse_tf.metrics.ssim import ssim as ssim
from densefuse_tf.metrics.ei import ei as ei
from densefuse_tf.metrics.q_cb import q_cb as q_cb
from densefuse_tf.metrics.q_cv import q_cv as q_cv

# isort: on
from densefuse_tf.metrics.evaluate import SELECTIONS as SELECTIONS
from densefuse_tf.metrics.evaluate import evaluate as evaluate
from densefuse_tf.metrics.evaluate import select as select
from densefuse_tf.metrics.mef_ssim import mef_ssim as mef_ssim
from densefuse_tf.metrics.metric import CONVENTIONS as CONVENTIONS
from densefuse_tf.metrics.metric import METRICS as METRICS
from densefuse_tf.metrics.metric import Metric as Metric

# The name that `mi` had before.
mutual_information = mi
