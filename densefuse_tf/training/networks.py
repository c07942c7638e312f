"""The networks that can be trained, by the names that `recipes.RECIPES` has."""

import dataclasses
import functools
import os
from collections.abc import Callable

import keras

from densefuse_tf.baselines import deepfuse
from densefuse_tf.model import checkpoints
from densefuse_tf.model import network


@dataclasses.dataclass(frozen=True)
class Network:
    """An autoencoder from [batch, H, W, 1] float32 in 0..255 to the same.

    Attributes:
      build: Builds it untrained, of a Keras dtype policy, and with layers that are
        quick on a CPU if there are such and the second argument is true.
      save: Writes its weights as a .keras file that Keras alone can load, atomically.
    """

    build: Callable[[str, bool], keras.Model]
    save: Callable[[keras.Model, str | os.PathLike], None]


NETWORKS = {
    "densefuse": Network(
        build=lambda dtype, quick: network.autoencoder(dtype=dtype, quick=quick),
        save=checkpoints.save_autoencoder,
    ),
    "deepfuse": Network(
        build=lambda dtype, quick: deepfuse.autoencoder(dtype=dtype),
        save=functools.partial(
            checkpoints.save_autoencoder, build=deepfuse.autoencoder
        ),
    ),
}


def build(name: str, *, dtype: str = "float32", xla: bool = False) -> keras.Model:
    """Builds an untrained autoencoder with the layers that suit this machine.

    Args:
      name: A key of NETWORKS.
      dtype: The Keras dtype policy of the inner layers.
      xla: Whether the training step is compiled with XLA.
    """
    return NETWORKS[name].build(dtype, network.use_quick_layers() and not xla)
