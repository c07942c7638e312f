"""Activity levels of feature maps, and the weights that follow (paper III-B, Eq. 5-7).

The encoder makes the maps of a source in parts along the channels. Where a function
takes `Maps`, it takes the tensor of all channels, or the list of its parts.

References:
  H. Li, X.-J. Wu, "DenseFuse: A Fusion Approach to Infrared and Visible Images", IEEE
  Transactions on Image Processing 28(5), 2019. https://doi.org/10.1109/TIP.2018.2887342
"""

import functools
from collections.abc import Callable, Sequence
from typing import TypeAlias

import tensorflow as tf

Maps: TypeAlias = tf.Tensor | Sequence[tf.Tensor]
# See `activity_level_map`.
Offset: TypeAlias = float | tf.Tensor | None

# Activity levels are cut at this value, which no image reaches, so that their sums over
# windows and sources are finite, and so are the weights.
_LARGEST_ACTIVITY = 2.0**112

# beta of the softmax strategies; see `softmax_weights`.
_SOFTMAX_FACTOR = 2.0


def activity_level_map(
    feature_maps: Maps, window_radius: int = 1, offset: Offset = None
) -> tf.Tensor:
    """Computes the activity level map C^_i of one source, Eq. 5 and 6.

    C_i is the l1-norm over the maps at a pixel; C^_i its mean over the block of
    (2r + 1)^2 pixels. At the image's border the block is cut to the pixels that
    exist. For the weights this equals zero padding, since the number of pixels is the
    same for all sources and cancels in Eq. 7.

    Args:
      feature_maps: [batch, H, W, 64].
      window_radius: r >= 0.
      offset: None for maps of any sign. 0 for maps that are at least 0, of which the
        l1-norm is a plain sum; where a constant was subtracted from each channel of
        such maps, the sum of these constants.

    Returns:
      [batch, H, W, 1], at least 0 and at most 2^112, finite for finite maps; with
      an `offset` float32, also for maps in bfloat16.
    """
    return _block_mean(_l1_norm_of_pixels(feature_maps, offset), window_radius)


def detail_level_map(feature_maps: Maps, window_radius: int = 1) -> tf.Tensor:
    """Computes the detail D^_i of one source: Eq. 5 and 6 on its deviation from a mean.

    D_i is the l1-norm over the maps of phi_i less its mean over 3x3 pixels; D^_i its
    mean over the block of (2r + 1)^2 pixels. A constant image has no detail, and what
    is out of focus, under-exposed or over-exposed has little.

    Args:
      feature_maps: [batch, H, W, 64].
      window_radius: r >= 0.

    Returns:
      [batch, H, W, 1], at least 0 and at most 2^112, finite for finite maps.
    """
    details = [part - _block_mean(part, 1) for part in _parts(feature_maps)]
    return _block_mean(_l1_norm_of_pixels(details), window_radius)


def _l1_norm_of_pixels(feature_maps: Maps, offset: Offset = None) -> tf.Tensor:
    """Computes Eq. 5: [batch, H, W, 64] -> [batch, H, W, 1], cut to finite values."""
    activities = []
    for part in _parts(feature_maps):
        if offset is not None:
            # The product is as fast as memory, and twice as fast as a sum.
            flat = tf.reshape(part, [-1, part.shape[-1]])
            sums = tf.linalg.matvec(flat, tf.ones([part.shape[-1]], part.dtype))
            sums = tf.reshape(sums, [*tf.unstack(tf.shape(part)[:3]), 1])
            activities.append(tf.cast(sums, tf.float32))
        else:
            activities.append(tf.reduce_sum(tf.abs(part), axis=-1, keepdims=True))
    total = functools.reduce(tf.add, activities)
    if isinstance(offset, tf.Tensor) or offset:
        # What is 0 together with the offset may be rounded to less.
        total = tf.maximum(total + offset, 0.0)
    return tf.minimum(total, _LARGEST_ACTIVITY)


def _parts(feature_maps: Maps) -> Sequence[tf.Tensor]:
    is_list = isinstance(feature_maps, (list, tuple))
    return feature_maps if is_list else [feature_maps]


def _block_mean(maps: tf.Tensor, radius: int) -> tf.Tensor:
    """Averages over (2r + 1)^2 pixels, at the border over those that exist (Eq. 6)."""
    if radius == 0:
        return maps
    # Columns, then rows: the time grows with r and not with its square.
    for window in ((2 * radius + 1, 1), (1, 2 * radius + 1)):
        maps = tf.nn.avg_pool2d(maps, window, strides=1, padding="SAME")
    return maps


def l1_norm_weights(
    feature_maps: Sequence[Maps],
    window_radius: int = 1,
    offset: Offset = None,
) -> list[tf.Tensor]:
    """Computes the weights of Eq. 7: w_i = C^_i / sum_n C^_n.

    Where every C^_n is 0 (all sources black there) each weight is 1/k.

    Args:
      feature_maps: k tensors [batch, H, W, 64].
      window_radius: r >= 0 of the block average.
      offset: As `activity_level_map` takes it.

    Returns:
      k tensors [batch, H, W, 1] in 0..1 that sum to 1.
    """
    activities = [
        activity_level_map(phi, window_radius, offset) for phi in feature_maps
    ]
    total = functools.reduce(tf.add, activities)
    silent = tf.equal(total, 0.0)
    divisor = tf.where(silent, 1.0, total)
    share = 1.0 / len(activities)
    return [tf.where(silent, share, activity / divisor) for activity in activities]


def choice_weights(activities: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Computes weights that choose the most active source at each pixel.

    Args:
      activities: k tensors [batch, H, W, 1], at least 0.

    Returns:
      k tensors [batch, H, W, 1]: 1 for the source with the largest activity and 0 for
      the others; 1/m for each of m sources that share the largest.
    """
    stacked = tf.concat(activities, axis=-1)
    largest = tf.reduce_max(stacked, axis=-1, keepdims=True)
    chosen = tf.cast(tf.equal(stacked, largest), stacked.dtype)
    shares = chosen / tf.reduce_sum(chosen, axis=-1, keepdims=True)
    return tf.split(shares, len(activities), axis=-1)


def softmax_weights(activities: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Computes softmax weights: w_i = exp(beta A_i / m) / sum_n exp(beta A_n / m).

    m = sum_n A_n / k is the mean activity of the sources at the pixel, so that a factor
    on all images changes no weight, and beta = 2: where activities differ little, the
    weights differ twice as much as those of Eq. 7, for which beta would be 1. Where
    every A_n is 0 each weight is 1/k.

    Args:
      activities: k tensors [batch, H, W, 1], at least 0 and at most 2^112.

    Returns:
      k tensors [batch, H, W, 1] in 0..1 that sum to 1.
    """
    stacked = tf.concat(activities, axis=-1)
    mean = tf.reduce_mean(stacked, axis=-1, keepdims=True)
    relative = stacked / tf.where(tf.equal(mean, 0.0), 1.0, mean)
    weights = tf.nn.softmax(_SOFTMAX_FACTOR * relative, axis=-1)
    return tf.split(weights, len(activities), axis=-1)


def weighted_sum(
    weights: Sequence[tf.Tensor], feature_maps: Sequence[Maps]
) -> tf.Tensor:
    """Computes f = sum_i w_i phi_i, Eq. 7.

    Args:
      weights: k tensors [batch, H, W, 1].
      feature_maps: k tensors [batch, H, W, 64].

    Returns:
      [batch, H, W, 64].
    """

    def of_part(maps):
        weighted = [
            tf.cast(w, phi.dtype) * phi for w, phi in zip(weights, maps, strict=True)
        ]
        return functools.reduce(tf.add, weighted)

    return by_channel(of_part, feature_maps)


def weighted_mean(
    weights: Sequence[tf.Tensor], feature_maps: Sequence[Maps]
) -> tf.Tensor:
    """Computes f = phi_k + sum_(i<k) w_i (phi_i - phi_k): Eq. 7 with a product less.

    Multiplying maps by one weight a pixel takes longer than adding them. The result
    depends on the order of the sources, by rounding. Maps in bfloat16 are summed as
    Eq. 7 has it, since rounding a difference costs too much there.

    Args:
      weights: k tensors [batch, H, W, 1] that sum to 1.
      feature_maps: k tensors [batch, H, W, 64].

    Returns:
      [batch, H, W, 64].
    """
    first = _parts(feature_maps[0])[0]
    if first.dtype == tf.bfloat16:
        # All parts have as many channels; one weight for each value is multiplied in
        # half the time.
        shape = tf.shape(first)
        weights = [tf.broadcast_to(tf.cast(w, first.dtype), shape) for w in weights]
        return weighted_sum(weights, feature_maps)

    def of_part(maps):
        *others, last = maps
        differences = [
            w * (phi - last) for w, phi in zip(weights[:-1], others, strict=True)
        ]
        return functools.reduce(tf.add, differences, last)

    return by_channel(of_part, feature_maps)


def by_channel(
    function: Callable[[Sequence[tf.Tensor]], tf.Tensor], feature_maps: Sequence[Maps]
) -> tf.Tensor:
    """Applies to the maps of k sources what treats each channel by itself.

    Args:
      function: k tensors [batch, H, W, C] -> one of the same shape, for any C.
      feature_maps: k tensors [batch, H, W, 64].

    Returns:
      [batch, H, W, 64].
    """
    fused = [function(maps) for maps in zip(*map(_parts, feature_maps), strict=True)]
    return fused[0] if len(fused) == 1 else tf.concat(fused, axis=-1)
