"""The networks that can be trained, by the names that `recipes.RECIPES` has."""

from collections.abc import Callable

import keras

from densefuse_tf.model import network

# Each takes a dtype policy and whether the step is compiled with XLA, and returns an
# autoencoder from [batch, H, W, 1] float32 in 0..255 to the same shape, float32.
_BUILDERS: dict[str, Callable[[str, bool], keras.Model]] = {
    "densefuse": lambda dtype, xla: network.autoencoder(
        dtype=dtype, quick=network.use_quick_layers() and not xla
    ),
}


def build(name: str, *, dtype: str = "float32", xla: bool = False) -> keras.Model:
    """Builds an untrained autoencoder.

    Args:
      name: A key of `recipes.RECIPES`.
      dtype: The Keras dtype policy of the inner layers.
      xla: Whether the training step is compiled with XLA.
    """
    return _BUILDERS[name](dtype, xla)
