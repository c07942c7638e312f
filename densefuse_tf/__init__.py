"""densefuse_tf: DenseFuse (Li & Wu, IEEE TIP 2019) in TensorFlow 2 and Keras 3.

Names are loaded when they are first used, so that importing the package, its metrics
or its image reader does not import TensorFlow.
"""

import lazy_loader as _lazy_loader

from densefuse_tf import startup as _startup

__version__ = "1.1.0"

# They stand in __init__.pyi, where type checkers and editors find them.
_load, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)
# What imports TensorFlow; `fuse` does so when it is called, and DenseFuse is meant.
_OF_TENSORFLOW = {
    *("Fuser", "list_strategies", "load_autoencoder", "load_fusion_model", "strategy"),
}


def __getattr__(name: str):
    if name in _OF_TENSORFLOW:
        _startup.load_tensorflow()
    return _load(name)
