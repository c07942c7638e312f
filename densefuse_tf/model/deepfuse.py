"""The network of DeepFuse: a small encoder and decoder, as Keras functional models.

What Table II of the DenseFuse paper calls DeepFuse is the one-channel network that the
DenseFuse authors wrote after it in TensorFlow 1:

| part    | layer   | in | out | activation |
|---------|---------|----|-----|------------|
| encoder | conv1_1 |  1 |  16 | ReLU       |
|         | conv1_2 | 16 |  32 | none       |
| decoder | conv2_1 | 32 |  32 | ReLU       |
|         | conv2_2 | 32 |  16 | ReLU       |
|         | conv2_3 | 16 |   1 | none       |

Each convolution is 3x3 on a map padded by one reflected pixel. Pixels enter as float32
in 0..255.

The network is trained as an autoencoder, O = decoder(encoder(I)), on photographs of
MS-COCO: Adam with learning rate 1e-4, batches of 2, 4 epochs. The loss of the authors'
code is 1 minus the mean of the contrast-structure term of SSIM alone,
(2 s12 + C2) / (s1^2 + s2^2 + C2) with C2 = 0.03^2 although pixels are 0..255. It is
blind to a constant offset of O, which the stretch removes.

References:
  K. R. Prabhakar, V. S. Srikar, R. V. Babu: DeepFuse: A deep unsupervised approach for
  exposure fusion with extreme exposure image pairs. ICCV 2017.
  https://doi.org/10.1109/ICCV.2017.505

Notes:
  The network of the ICCV paper has kernels of 5x5 and 7x7. The table was made with the
  network above.
"""

import os
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from densefuse_tf.io import weights
from densefuse_tf.model import computing

# Layer names in the order in which data passes them, with output maps and activation.
_ENCODER = (("conv1_1", 16, "relu"), ("conv1_2", 32, None))
_DECODER = (("conv2_1", 32, "relu"), ("conv2_2", 16, "relu"), ("conv2_3", 1, None))
_SHIPPED = "deepfuse.keras"
_EXPECTED = (
    "expected a .keras file or the prefix of a TensorFlow 1 checkpoint of DeepFuse"
)
# The authors' checkpoint with Adam's slots has 0.2 MB.
_MAX_BYTES = 20_000_000


def encoder(*, dtype: str | None = None) -> keras.Model:
    """Builds the encoder, from [batch, H, W, 1] in 0..255 to [batch, H, W, 32]."""
    image = keras.Input((None, None, 1), name="image", dtype="float32")
    maps = image
    for name, filters, activation in _ENCODER:
        maps = _convolved(maps, name, filters, activation, dtype)
    return keras.Model(image, maps, name="encoder")


def decoder(*, dtype: str | None = None) -> keras.Model:
    """Builds the decoder, from [batch, H, W, 32] to [batch, H, W, 1].

    Its last layer is float32 with any dtype, as losses need it.
    """
    maps = keras.Input((None, None, _ENCODER[-1][1]), name="feature_maps")
    outputs = maps
    for name, filters, activation in _DECODER[:-1]:
        outputs = _convolved(outputs, name, filters, activation, dtype)
    outputs = _convolved(outputs, *_DECODER[-1], "float32")
    return keras.Model(maps, outputs, name="decoder")


def _convolved(maps, name: str, filters: int, activation, dtype: str | None):
    """Returns the maps after reflection padding and the convolution `name`."""
    padded = keras.ops.pad(maps, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")
    return keras.layers.Conv2D(
        filters,
        kernel_size=3,
        activation=activation,
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.1),
        data_format="channels_last",
        dtype=dtype,
        name=name,
    )(padded)


def autoencoder(*, dtype: str | None = None) -> keras.Model:
    """Builds what is trained and saved: encoder and decoder in a row.

    It consists of Keras's own layers and operations, so that a file of it loads with
    Keras alone.

    Args:
      dtype: A Keras dtype policy; by default the global one.

    Returns:
      A model from [batch, H, W, 1] in 0..255, H and W at least 2, to its
      reconstruction of the same shape, float32; its layers "encoder" and "decoder" are
      the two parts.
    """
    image = keras.Input((None, None, 1), name="image", dtype="float32")
    reconstruction = decoder(dtype=dtype)(encoder(dtype=dtype)(image))
    return keras.Model(image, reconstruction, name="deepfuse")


def variables(model: keras.Model) -> dict[str, keras.Variable]:
    """Returns the variables of `autoencoder()` by the authors' names of them."""
    found = {}
    for part, layers in (("encoder", _ENCODER), ("decoder", _DECODER)):
        for name, _, _ in layers:
            layer = model.get_layer(part).get_layer(name)
            found[f"{part}/{name}/kernel"] = layer.kernel
            found[f"{part}/{name}/bias"] = layer.bias
    return found


def load_autoencoder(checkpoint: str | os.PathLike | None = None) -> keras.Model:
    """Builds the autoencoder with trained weights.

    Args:
      checkpoint: The prefix of a TensorFlow 1 checkpoint of the authors, or a .keras
        file of `autoencoder()`; by default the weights that ship.

    Returns:
      `autoencoder()`, float32.

    Raises:
      UserError: There is no such checkpoint, it is damaged or holds the weights of
        another network, or a weight is not finite.
    """
    path = (
        weights.shipped(_SHIPPED)
        if checkpoint is None
        else weights.find(checkpoint, _EXPECTED)
    )
    computing.check()
    model = autoencoder(dtype="float32")
    weights.load(path, model, variables(model), what="DeepFuse", max_bytes=_MAX_BYTES)
    return model


def fusion(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """Returns what fuses a pair with an autoencoder: the sum of the feature maps.

    It takes [2, H, W, 1] float32 in 0..255 and returns O, [H, W] float32.
    """
    encode, decode = model.get_layer("encoder"), model.get_layer("decoder")

    @tf.function(
        input_signature=[tf.TensorSpec([2, None, None, 1], tf.float32)],
        autograph=False,
    )
    def fused(pair):
        maps = encode(pair, training=False)
        return decode(tf.reduce_sum(maps, axis=0, keepdims=True), training=False)

    def raw(pair: np.ndarray) -> np.ndarray:
        with computing.precisely():
            return np.asarray(fused(pair))[0, ..., 0]

    return raw
