"""The metrics of image fusion, exactly as MATLAB computes them.

Of images of one size::

    from densefuse_tf import metrics

    metrics.evaluate(ir, vis, fused)  # the seven of Table II
    metrics.evaluate(ir, vis, fused, metrics="all")
    metrics.evaluate(ir, vis, fused, metrics="En,SD,VIF", convention="toolkit")
    metrics.fmi(ir, vis, fused, feature="dct")

They take 8-bit grey images as arrays [H, W] uint8, colour ones [H, W, 3] under the
convention "vifb", and do not need TensorFlow. METRICS holds name, formula, range,
direction and paper of each. `convention` decides between what a metric's paper defines
and what is published under its name; docs/metrics.md shows where the two differ. A new
metric is one file, which is imported when the metric is asked for, a line of FUNCTIONS
in metric.py, and one of __init__.pyi.
"""

import lazy_loader as _lazy_loader

# The names stand in __init__.pyi, each of which is loaded when it is first used.
__getattr__, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)
