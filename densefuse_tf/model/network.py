"""The DenseFuse network, Table I of the paper, as Keras functional models.

Every convolution is 3x3 with stride 1 on a map padded by one reflected pixel, so that
an image of any height and width of at least 2 keeps its size. Pixels enter and leave
as floats in 0..255; nothing rescales them on the way.

| part    | layer | in | out | activation |
|---------|-------|----|-----|------------|
| encoder | C1    |  1 |  16 | ReLU       |
|         | DC1   | 16 |  16 | ReLU       |
|         | DC2   | 32 |  16 | ReLU       |
|         | DC3   | 48 |  16 | ReLU       |
| decoder | C2    | 64 |  64 | ReLU       |
|         | C3    | 64 |  32 | ReLU       |
|         | C4    | 32 |  16 | ReLU       |
|         | C5    | 16 |   1 | none       |

All layers and operations are Keras's own, so that a saved model loads without this
package.

References:
  H. Li, X.-J. Wu, "DenseFuse: A Fusion Approach to Infrared and Visible Images", IEEE
  Transactions on Image Processing 28(5), 2019. https://doi.org/10.1109/TIP.2018.2887342
"""

import functools
from collections.abc import Callable
from typing import TypeVar

import keras
import tensorflow as tf

from densefuse_tf.model import convolution

NUM_FEATURE_MAPS = 64
_FILTERS = {
    "C1": 16,
    "DC1": 16,
    "DC2": 16,
    "DC3": 16,
    "C2": 64,
    "C3": 32,
    "C4": 16,
    "C5": 1,
}
# The layers in the order in which data passes them.
CONVOLUTIONS = tuple(_FILTERS)
# How far a pixel reaches through each part: a pixel for each 3x3 layer.
ENCODER_RADIUS = CONVOLUTIONS.index("C2")
DECODER_RADIUS = len(CONVOLUTIONS) - ENCODER_RADIUS
# The channels of what each layer of the decoder takes.
DECODER_CHANNELS = (NUM_FEATURE_MAPS, *list(_FILTERS.values())[ENCODER_RADIUS:-1])
MIN_SIZE = 2

_Maps = TypeVar("_Maps", tf.Tensor, keras.KerasTensor)


def encode(image: _Maps, convolve: Callable[[list[_Maps], str], _Maps]) -> list[_Maps]:
    """Passes an image through C1 and the dense block.

    Args:
      image: [batch, H, W, 1].
      convolve: Computes the layer of a name from maps that count as concatenated.

    Returns:
      The feature maps, in four parts [batch, H, W, 16], the newest first.
    """
    c1 = convolve([image], "C1")
    dc1 = convolve([c1], "DC1")
    dc2 = convolve([dc1, c1], "DC2")
    dc3 = convolve([dc2, dc1, c1], "DC3")
    return [dc3, dc2, dc1, c1]


def decode(maps: _Maps, convolve: Callable[[list[_Maps], str], _Maps]) -> _Maps:
    """Passes feature maps [batch, H, W, 64] through C2 to C5, as `encode` does."""
    for name in ("C2", "C3", "C4", "C5"):
        maps = convolve([maps], name)
    return maps


def encoder(*, dtype: str | None = None, quick: bool = False) -> keras.Model:
    """Builds the encoder: C1 and the dense block.

    In the dense block each layer sees all maps made before it, the newest first, as
    the release concatenates them: its checkpoints can only be read in this order.

    Args:
      dtype: A Keras dtype policy, for instance "mixed_float16" to train with; by
        default the global one.
      quick: Whether to use `convolution.ReflectionConv2D`: the same network and the
        same weights, quicker on a CPU. Such a model cannot be saved as .keras.

    Returns:
      A model from [batch, H, W, 1] in 0..255 to 64 feature maps [batch, H, W, 64].
    """
    image = keras.Input((None, None, 1), name="image", dtype="float32")
    parts = encode(image, functools.partial(_convolve, dtype=dtype, quick=quick))
    maps = keras.layers.Concatenate(name="dense_block", dtype=dtype)(parts)
    return keras.Model(image, maps, name="encoder")


def decoder(*, dtype: str | None = None, quick: bool = False) -> keras.Model:
    """Builds the decoder: C2 to C5.

    Args:
      dtype: A Keras dtype policy; C5 is float32 in any case, for SSIM needs it.
      quick: See `encoder`.

    Returns:
      A model from feature maps [batch, H, W, 64] to an image [batch, H, W, 1].
    """
    maps = keras.Input((None, None, NUM_FEATURE_MAPS), name="feature_maps")
    image = decode(maps, functools.partial(_convolve, dtype=dtype, quick=quick))
    return keras.Model(maps, image, name="decoder")


def autoencoder(*, dtype: str | None = None, quick: bool = False) -> keras.Model:
    """Builds encoder and decoder in a row: what is trained (Fig. 4) and saved.

    Args:
      dtype: A Keras dtype policy; see `encoder`.
      quick: See `encoder`.

    Returns:
      A model from [batch, H, W, 1] in 0..255 to its reconstruction, float32; its
      layers "encoder" and "decoder" are the two parts.
    """
    image = keras.Input((None, None, 1), name="image", dtype="float32")
    maps = encoder(dtype=dtype, quick=quick)(image)
    reconstruction = decoder(dtype=dtype, quick=quick)(maps)
    return keras.Model(image, reconstruction, name="densefuse")


def use_quick_layers() -> bool:
    """Returns whether fusing and training use `convolution`: no GPU is visible.

    The quick layer is written for CPUs, and its gradient has not been run on a GPU.
    """
    return not tf.config.get_visible_devices("GPU")


def convolution_layer(model: keras.Model, name: str) -> keras.layers.Conv2D:
    """Returns the layer `name` ("C1" ... "C5") of an autoencoder.

    Raises:
      KeyError: The autoencoder has no such layer.
    """
    parts = (model.get_layer("encoder"), model.get_layer("decoder"))
    return {layer.name: layer for part in parts for layer in part.layers}[name]


def _convolve(
    parts: list[keras.KerasTensor],
    name: str,
    *,
    dtype: str | None,
    quick: bool,
) -> keras.KerasTensor:
    """Adds the convolution `name` of the concatenated `parts`, padded by reflection."""
    is_last = name == CONVOLUTIONS[-1]
    if is_last:
        dtype = "float32"
    filters = _FILTERS[name]
    settings = {
        "activation": "linear" if is_last else "relu",
        "kernel_initializer": keras.initializers.TruncatedNormal(stddev=0.1),
        "dtype": dtype,
        "name": name,
    }
    if quick:
        return convolution.ReflectionConv2D(filters, **settings)(parts)
    maps = parts[0]
    if len(parts) > 1:
        maps = keras.layers.Concatenate(name=f"{name}_inputs", dtype=dtype)(parts)
    padded = keras.ops.pad(maps, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")
    # Whatever the program's keras.json says.
    settings["data_format"] = "channels_last"
    return keras.layers.Conv2D(filters, kernel_size=3, **settings)(padded)
