"""The network in bfloat16, for previews and live pictures.

A bfloat16 has 8 significant bits. Feature maps grow with brightness, so that rounding
them in every layer costs some grey levels. They differ less from the maps of a uniform
grey image, and these differences are what the layers take and give here. With m
what was subtracted from the maps that a layer takes, z = K * m + b, and m' what is
subtracted from the maps that it gives,

  K * (m + d) + b = K * d + z  and  relu(K * d + z) - m' = max(K * d + z - m', -m').

m' is relu(z) in bfloat16, the maps of the grey image but for rounding. The grey level
is the mean of the sources, so that differences are small where an image has little
contrast, too. Sums within a convolution are float32. C1, which takes the image, and C5,
which gives the result, are float32: weights of 8 bits in C1 would cost more than in any
other layer.

The error of the raw output is about a level of each source. Where the sources have
little contrast and differ in brightness, the common grey level is far from both, and
minmax makes the error larger with the contrast.
"""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from densefuse_tf.errors import UserError
from densefuse_tf.model import convolution
from densefuse_tf.model import network
from densefuse_tf.model import strategies

_FIRST, *_, _LAST = network.CONVOLUTIONS
# The instructions that multiply in bfloat16, as Linux names them.
_INSTRUCTIONS = {"avx512_bf16", "amx_bf16"}

Fuse = Callable[[Sequence[Sequence[tf.Tensor]]], tf.Tensor]


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


def check(strategy: strategies.Strategy) -> None:
    """Refuses a strategy that cannot be computed from differences."""
    if not strategy.takes_differences:
        known = map(strategies.get, strategies.list_strategies())
        names = ", ".join(each.name for each in known if each.takes_differences)
        raise UserError(
            f"precision is 'bfloat16' with the strategy {strategy.name!r}: expected "
            f"float32, or one of {names}"
        )


def level(sources: Sequence[np.ndarray]) -> np.float32:
    """Returns the grey level from which bfloat16 takes differences: the mean.

    It is a whole number, so that it hardly depends on the order of a sum.

    Args:
      sources: k arrays [H, W] in 0..255.
    """
    means = [np.mean(source, dtype=np.float64) for source in sources]
    return np.float32(np.rint(np.mean(means)))


def level_in_graph(sources: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns `level` of tensors of one shape, float32."""
    means = [tf.reduce_mean(tf.cast(source, tf.float64)) for source in sources]
    return tf.cast(tf.round(tf.reduce_mean(means)), tf.float32)


def of_differences(
    convolutions: Mapping[str, convolution.Convolution],
    level: tf.Tensor,
    strategy: strategies.Strategy,
    arguments: Mapping[str, object],
    num_sources: int,
) -> tuple[dict[str, convolution.Convolution], Fuse]:
    """Returns the convolutions that take differences, and what fuses them.

    Args:
      convolutions: Those of the network by name, in float32.
      level: The grey level, a scalar float32 in 0..255.
      strategy: The strategy, one that `check` accepts.
      arguments: Those of its function.
      num_sources: k.

    Returns:
      The convolutions by name: C1 takes the image, C5 gives the decoder's output, and
      all maps between them are bfloat16. The function takes the encoder's maps, in
      parts, of k sources and returns the fused ones.
    """
    found: dict[str, convolution.Convolution] = {}

    # One pixel stands for the uniform image.
    def convolve(parts, name):
        """Takes m' of the layers before, [C_i], and returns that of this one."""
        kernel, bias, _ = convolutions[name]
        # On a uniform image a convolution is a product with the sum of its kernel.
        sums = tf.reduce_sum(kernel, axis=[0, 1])
        response = bias + tf.linalg.matvec(sums, tf.concat(parts, 0), transpose_a=True)
        if name == _LAST:
            found[name] = convolutions[name]._replace(bias=response)
            return response
        # The bound -m' has to be a bfloat16.
        subtracted = tf.cast(tf.nn.relu(response), tf.bfloat16)
        constants = tf.cast(subtracted, tf.float32)
        # C1 takes the image as it is.
        is_first = name == _FIRST
        dtype = tf.float32 if is_first else tf.bfloat16
        found[name] = convolution.Convolution(
            tf.cast(kernel, dtype),
            tf.cast((bias if is_first else response) - constants, dtype),
            functools.partial(_bounded, bound=-subtracted),
        )
        return constants

    parts = network.encode(tf.reshape(level, [1]), convolve)
    fused = tf.concat(parts, 0)
    if strategy.scales_with_sources:
        fused *= num_sources
    network.decode(fused, convolve)
    if strategy.takes_offset:
        arguments = {**arguments, "offset": tf.reduce_sum(tf.concat(parts, 0))}
    return found, lambda maps: strategy.fuse(maps, arguments)


def _bounded(maps: tf.Tensor, bound: tf.Tensor) -> tf.Tensor:
    """Returns max(maps, bound) in bfloat16, with a bound for each channel."""
    shape = tf.shape(maps)
    # TensorFlow takes half the time for long rows.
    rows = tf.reshape(tf.cast(maps, tf.bfloat16), [-1, shape[2] * shape[3]])
    rows = tf.maximum(rows, tf.tile(bound, [shape[2]]))
    return tf.ensure_shape(tf.reshape(rows, shape), maps.shape)
