"""The networks that can be trained, by the names that `recipes.RECIPES` has.

Each is an autoencoder from [batch, H, W, 1] float32 in 0..255 to the same.
"""

import os
from collections.abc import Callable

import keras

from densefuse_tf.io import weights
from densefuse_tf.model import deepfuse
from densefuse_tf.model import network

# Builders of an untrained network, of a Keras dtype policy and of whether its layers
# are to be those that are quick on a CPU, if there are such.
_BUILDERS: dict[str, Callable[..., keras.Model]] = {
    "densefuse": network.autoencoder,
    "deepfuse": lambda dtype, quick=False: deepfuse.autoencoder(dtype=dtype),
}


def build(name: str, *, dtype: str = "float32", xla: bool = False) -> keras.Model:
    """Builds an untrained autoencoder with the layers that suit this machine.

    Args:
      name: A key of recipes.RECIPES.
      dtype: The Keras dtype policy of the inner layers.
      xla: Whether the training step is compiled with XLA.
    """
    return _BUILDERS[name](dtype=dtype, quick=network.use_quick_layers() and not xla)


def save(name: str, model: keras.Model, path: str | os.PathLike) -> None:
    """Writes the weights of a network that `build` returned; see `weights.save`."""
    weights.save(model, path, _BUILDERS[name])
