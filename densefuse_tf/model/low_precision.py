"""The network in bfloat16, for previews and live pictures.

A bfloat16 has 8 significant bits. Feature maps grow with brightness, so that rounding
them in every layer costs some grey levels. They differ less from the maps of a uniform
grey image, and these differences are what the layers take and give here. With m the
maps of the grey image and z = K * m + b what a layer makes of them before its ReLU,

  K * (m + d) + b = K * d + z  and  relu(z + K * d) - m' = max(K * d + z - m', -m')

for any m', which is relu(z) but for rounding. Sums within a convolution are float32.
C1, which takes the image, and C5, which gives the result, are float32: weights of 8
bits in C1 would cost more than in any other layer.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from densefuse_tf.model import network
from densefuse_tf.model import quick_layer
from densefuse_tf.model import strategies

_GREY = 127.5
_IN_FLOAT32 = ("C1", "C5")
# The instructions that multiply in bfloat16, as Linux names them.
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16"}

_Fuse = Callable[[Sequence[Sequence[tf.Tensor]]], tf.Tensor]


def obstacle() -> str | None:
    """Returns why bfloat16 would not be quicker here, or None where it is."""
    if not network.use_quick_layers():
        return "it is for processors, and a GPU is visible"
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            words = set(file.read().split())
    except OSError:
        return "what this processor can do is not known"
    if not words & _INSTRUCTIONS:
        return "this processor has neither AVX512-BF16 nor AMX-BF16"
    return None


def of_differences(
    autoencoder: keras.Model,
    strategy: strategies.Strategy,
    arguments: Mapping[str, object],
    num_sources: int,
) -> tuple[dict[str, quick_layer.ReflectionConv2D], _Fuse]:
    """Builds the layers that compute with differences, and what fuses them.

    Args:
      autoencoder: Of quick layers.
      strategy: The strategy.
      arguments: Those of its function.
      num_sources: k.

    Returns:
      The layers by name: C1 takes the image, C5 gives the decoder's output, and all
      maps between them are bfloat16. The function takes the encoder's maps, in parts,
      of k sources and returns the fused ones.
    """
    weights = {
        name: [
            weight.numpy().astype(np.float64)
            for weight in network.convolution(autoencoder, name).weights
        ]
        for name in network.CONVOLUTIONS
    }
    responses: dict[str, np.ndarray] = {}

    def convolve(parts, name):
        # On a uniform image a convolution is a product with the sum of its kernel.
        kernel, bias = weights[name]
        responses[name] = np.concatenate(parts) @ kernel.sum(axis=(0, 1)) + bias
        return _subtracted(responses[name])

    parts = network.encode(np.array([_GREY]), convolve)
    fused = strategy.fuse(
        [[tf.constant(part[None, None, None], tf.float32) for part in parts]]
        * num_sources,
        arguments,
    )
    network.decode(fused[0, 0, 0].numpy().astype(np.float64), convolve)
    layers = {
        name: _layer(network.convolution(autoencoder, name), kernel, bias, response)
        for (name, (kernel, bias)), response in zip(
            weights.items(), responses.values(), strict=True
        )
    }
    if not strategy.takes_differences:
        constants = [tf.constant(part, tf.float32) for part in parts]
        return layers, functools.partial(
            _fuse_maps, strategy, arguments, constants, fused
        )
    if strategy.takes_offset:
        arguments = {**arguments, "offset": float(np.concatenate(parts).sum())}
    return layers, lambda maps: strategy.fuse(maps, arguments)


def _subtracted(response: np.ndarray) -> np.ndarray:
    """Returns m' for z: relu(z), rounded so that -m' is a bound in bfloat16."""
    rounded = np.maximum(response, 0).astype(tf.bfloat16.as_numpy_dtype)
    return rounded.astype(np.float64)


def _layer(
    original: quick_layer.ReflectionConv2D,
    kernel: np.ndarray,
    bias: np.ndarray,
    response: np.ndarray,
) -> quick_layer.ReflectionConv2D:
    """Returns a layer that computes with differences what `original` does with maps.

    Args:
      original: The layer.
      kernel: [3, 3, C, filters].
      bias: [filters].
      response: [filters], z for the uniform grey image.
    """
    name = original.name
    subtracted = _subtracted(response)
    first, last = network.CONVOLUTIONS[0], network.CONVOLUTIONS[-1]
    layer = quick_layer.ReflectionConv2D(
        original.filters,
        activation="linear" if name == last else _bounded(-subtracted),
        kernel_initializer="zeros",
        dtype="float32" if name in _IN_FLOAT32 else "mixed_bfloat16",
        name=name,
    )
    layer.build([(None, None, None, channels) for channels in original.channels])
    # C1 takes the image as it is, and C5 gives the output as it is.
    shift = bias if name == first else response
    layer.set_weights([kernel, shift if name == last else shift - subtracted])
    return layer


def _bounded(bound: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the activation max(maps, bound), with a bound for each channel."""
    bound = tf.constant(bound, tf.bfloat16)

    def activation(maps):
        shape = tf.shape(maps)
        # TensorFlow takes half the time for long rows.
        rows = tf.reshape(tf.cast(maps, tf.bfloat16), [-1, shape[2] * shape[3]])
        rows = tf.maximum(rows, tf.tile(bound, [shape[2]]))
        return tf.ensure_shape(tf.reshape(rows, shape), maps.shape)

    return activation


def _fuse_maps(
    strategy: strategies.Strategy,
    arguments: Mapping[str, object],
    subtracted: Sequence[tf.Tensor],
    subtracted_fused: tf.Tensor,
    feature_maps: Sequence[Sequence[tf.Tensor]],
) -> tf.Tensor:
    """Fuses differences with a strategy that needs the maps themselves, in float32."""
    maps = [
        [
            tf.cast(part, tf.float32) + each
            for part, each in zip(parts, subtracted, strict=True)
        ]
        for parts in feature_maps
    ]
    fused = strategy.fuse(maps, arguments)
    return tf.cast(fused - subtracted_fused, tf.bfloat16)
