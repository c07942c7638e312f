"""The decoder's output as 8-bit pixels, in NumPy and as TensorFlow operations."""

import numpy as np
import tensorflow as tf

from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import pixels
from densefuse_tf.model import strategies

_VALUES_AT_A_TIME = 2**20


def average_divisor(settings: FusionSettings) -> int:
    """Returns what "average" divides by: k where the strategy adds, else 1."""
    adds = strategies.get(settings.strategy).scales_with_sources
    return settings.num_sources if adds else 1


def to_pixels(
    raw: np.ndarray, output_range: str | tuple[float, float], divisor: float = 1
) -> np.ndarray:
    """Turns the decoder's output into pixels.

    "minmax" is what the release does through scipy.misc.imsave and what Table II was
    made with: (x - min) * 255 / (max - min) + 0.5, truncated, with min and max over the
    whole array, all channels of an RGB result together. A constant output becomes 0,
    as there. A pair of numbers takes the place of the array's own min and max, and
    values outside are clipped: the frames of a sequence are treated alike.
    "average" is x / divisor, rounded and clipped to 0..255, which keeps brightness
    comparable between images.
    "clip" is x clipped to 0..255 and truncated, as the authors' PyTorch program does.

    Args:
      raw: Decoder output, any shape, float32.
      output_range: One of `settings.OUTPUT_RANGES`, or (min, max).
      divisor: What "average" divides by; see `average_divisor`.

    Returns:
      uint8, same shape.
    """
    raw = np.asarray(raw, np.float32)
    image = np.empty(raw.shape, np.uint8)
    fixed = not isinstance(output_range, str)
    low = high = scale = np.float32(0)
    if fixed or output_range == "minmax":
        low, high = map(np.float32, output_range if fixed else (raw.min(), raw.max()))
        scale = np.float32(255) / (high - low) if high > low else np.float32(0)
    # A million values are taken at a time, so that a large image is not held once more.
    count = max(1, raw.size // _VALUES_AT_A_TIME)
    for values, result in zip(
        np.array_split(raw, count), np.array_split(image, count), strict=True
    ):
        if output_range == "average":
            result[...] = pixels.to_uint8(values / np.float32(divisor))
            continue
        if output_range == "clip":
            result[...] = np.clip(values, 0, 255).astype(np.uint8)
            continue
        # float32 throughout and one multiplication by the scale: the release's
        # arithmetic.
        stretched = values - low
        stretched *= scale
        stretched += np.float32(0.5)
        if fixed:
            np.clip(stretched, 0, 255, out=stretched)
        result[...] = stretched.astype(np.uint8)
    return image


def to_pixels_in_graph(raw: tf.Tensor, output_range: str, divisor: float) -> tf.Tensor:
    """Turns the decoder's output into pixels, each image of a batch by itself.

    The float32 operations are those of `to_pixels` in the same order, so that the
    pixels are the same.

    Args:
      raw: Decoder output, [batch, H, W, channels] float32.
      output_range: One of `settings.OUTPUT_RANGES`.
      divisor: See `to_pixels`.

    Returns:
      uint8, same shape.
    """
    if output_range == "average":
        rounded = tf.clip_by_value(tf.round(raw / divisor), 0.0, 255.0)
        return tf.cast(rounded, tf.uint8)
    if output_range == "clip":
        return tf.cast(tf.clip_by_value(raw, 0.0, 255.0), tf.uint8)
    low = tf.reduce_min(raw, axis=[1, 2, 3], keepdims=True)
    span = tf.reduce_max(raw, axis=[1, 2, 3], keepdims=True) - low
    # A constant image becomes 0 with any scale.
    scale = 255.0 / tf.where(span > 0.0, span, 1.0)
    return tf.cast((raw - low) * scale + 0.5, tf.uint8)
