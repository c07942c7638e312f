"""densefuse_tf: DenseFuse (Li & Wu, IEEE TIP 2019) in TensorFlow 2 and Keras 3.

Names are loaded when they are first used, so that importing the package, its metrics
or its image reader does not import TensorFlow.
"""

import importlib

__version__ = "1.0.0"

_HOMES = {
    "UserError": "densefuse_tf.errors",
    "Fuser": "densefuse_tf.fusion.fuser",
    "FusionSettings": "densefuse_tf.fusion.settings",
    "fuse": "densefuse_tf.fusion.methods",
    "load_fusion_model": "densefuse_tf.fusion.graph",
    "load_autoencoder": "densefuse_tf.model.checkpoints",
    "method": "densefuse_tf.baselines.method",
    "strategy": "densefuse_tf.model.strategies",
}

__all__ = ["__version__", "metrics", *_HOMES]


def __getattr__(name: str):
    if name == "metrics":
        return importlib.import_module("densefuse_tf.metrics")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
