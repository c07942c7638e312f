# The public names, for type checkers and editors; FUNCTIONS in metric.py names those of
# metrics that __init__.py loads when they are first used.
from densefuse_tf.metrics._ag import ag as ag
from densefuse_tf.metrics._cc import cc as cc
from densefuse_tf.metrics._cross_entropy import cross_entropy as cross_entropy
from densefuse_tf.metrics._ei import ei as ei
from densefuse_tf.metrics._entropy import entropy as entropy
from densefuse_tf.metrics._fmi import fmi as fmi
from densefuse_tf.metrics._mi import mi as mi
from densefuse_tf.metrics._ms_ssim import mef_ssim as mef_ssim
from densefuse_tf.metrics._ms_ssim import ms_ssim as ms_ssim
from densefuse_tf.metrics._mse import mse as mse
from densefuse_tf.metrics._nabf import nabf as nabf
from densefuse_tf.metrics._psnr import psnr as psnr
from densefuse_tf.metrics._q_cb import q_cb as q_cb
from densefuse_tf.metrics._q_cv import q_cv as q_cv
from densefuse_tf.metrics._qabf import qabf as qabf
from densefuse_tf.metrics._rmse import rmse as rmse
from densefuse_tf.metrics._scd import scd as scd
from densefuse_tf.metrics._sd import sd as sd
from densefuse_tf.metrics._sf import sf as sf
from densefuse_tf.metrics._ssim import ssim as ssim
from densefuse_tf.metrics._ssim_a import ssim_a as ssim_a
from densefuse_tf.metrics._vif import vif as vif
from densefuse_tf.metrics.evaluate import SELECTIONS as SELECTIONS
from densefuse_tf.metrics.evaluate import evaluate as evaluate
from densefuse_tf.metrics.evaluate import select as select
from densefuse_tf.metrics.metric import CONVENTIONS as CONVENTIONS
from densefuse_tf.metrics.metric import FUNCTIONS as FUNCTIONS
from densefuse_tf.metrics.metric import METRICS as METRICS
from densefuse_tf.metrics.metric import Convention as Convention
from densefuse_tf.metrics.metric import Metric as Metric
from densefuse_tf.metrics.metric import list_metrics as list_metrics
from densefuse_tf.metrics.metric import load as load

mutual_information = mi
