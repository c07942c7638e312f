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
shows where the two differ. A new metric is one file, which is imported when the metric
is asked for, a line of FUNCTIONS in metric.py, and one of __init__.pyi.
"""

from collections.abc import Callable

from densefuse_tf.metrics._ms_ssim import mef_ssim
from densefuse_tf.metrics.evaluate import SELECTIONS
from densefuse_tf.metrics.evaluate import evaluate
from densefuse_tf.metrics.evaluate import select
from densefuse_tf.metrics.metric import CONVENTIONS
from densefuse_tf.metrics.metric import FUNCTIONS
from densefuse_tf.metrics.metric import METRICS
from densefuse_tf.metrics.metric import Convention
from densefuse_tf.metrics.metric import Metric
from densefuse_tf.metrics.metric import list_metrics
from densefuse_tf.metrics.metric import load

__all__ = [
    "CONVENTIONS",
    "METRICS",
    "SELECTIONS",
    "Convention",
    "Metric",
    "evaluate",
    "list_metrics",
    "mef_ssim",
    "select",
    *dict.fromkeys(FUNCTIONS.values()),
]


def __getattr__(name: str) -> Callable[..., float]:
    if name == "mutual_information":
        # The name that `mi` had before.
        name = "mi"
    if name in FUNCTIONS.values():
        return load(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
