"""The fusion layer (paper III-B): how the feature maps of k sources become one.

A strategy is one function from a list of k feature map tensors [batch, H, W, 64] to a
tensor of the same shape, registered with `@strategy`. The registration gives it a name
for the command line and makes it a function that Keras's safe mode loads again. A new
strategy is one such function, here or in a user's own module:

    @strategy("maximum", scales_with_sources=False, reach=0)
    def maximum(feature_maps):
        return functools.reduce(tf.maximum, feature_maps)

References:
  H. Li, X.-J. Wu, "DenseFuse: A Fusion Approach to Infrared and Visible Images", IEEE
  Transactions on Image Processing 28(5), 2019. https://doi.org/10.1109/TIP.2018.2887342
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from densefuse_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Strategy:
    """Describes a registered fusion strategy.

    Attributes:
      name: The name on the command line.
      function: Feature maps of k sources -> fused feature maps.
      scales_with_sources: True where the result grows with k, as a sum does: the
        decoder's output then spans about 0..255k and is divided by k for viewing.
      takes_window_radius: Whether the function has the argument `window_radius`.
      reach: How many pixels around a pixel the function looks at, `window_radius` not
        counted: 0 where it treats each pixel by itself. None where that is not known
        or is the whole image, which then cannot be fused in bands.
    """

    name: str
    function: Callable[..., tf.Tensor]
    scales_with_sources: bool
    takes_window_radius: bool
    reach: int | None

    def radius(self, window_radius: int) -> int | None:
        """Returns how far the function looks, the block average's window included."""
        if self.reach is None or not self.takes_window_radius:
            return self.reach
        return self.reach + window_radius


# Activity levels are cut at this value, which no image reaches, so that their sums over
# windows and sources are finite, and so are the weights.
_LARGEST_ACTIVITY = 2.0**112

_STRATEGIES: dict[str, Strategy] = {}


def strategy(
    name: str,
    *,
    scales_with_sources: bool,
    takes_window_radius: bool = False,
    reach: int | None = None,
) -> Callable[[Callable[..., tf.Tensor]], Callable[..., tf.Tensor]]:
    """Registers a function as the fusion strategy `name`; see `Strategy`.

    A function takes the place of one of the same module and name, so that a notebook's
    cell can be changed and run again.

    Raises:
      ValueError: The name is taken.
    """

    def register(function):
        taken = _STRATEGIES.get(name)
        if taken and _origin(taken.function) != _origin(function):
            raise ValueError(f"the fusion strategy {name!r} is registered already")
        registered = keras.saving.register_keras_serializable(
            package="densefuse_tf", name=name
        )(function)
        _STRATEGIES[name] = Strategy(
            name, registered, scales_with_sources, takes_window_radius, reach
        )
        return registered

    return register


def _origin(function: Callable):
    """Returns where a function is defined, or the function itself if it has no name."""
    return function.__module__, getattr(function, "__qualname__", function)


def names() -> tuple[str, ...]:
    """Returns the names of all strategies, in the order of registration."""
    return tuple(_STRATEGIES)


def get(name: str) -> Strategy:
    """Returns the strategy registered as `name`.

    Raises:
      UserError: There is none.
    """
    try:
        return _STRATEGIES[name]
    except KeyError:
        raise UserError(
            f"unknown strategy {name!r}: expected one of {', '.join(names())}"
        ) from None


def layer(name: str, *, window_radius: int = 1) -> keras.layers.Lambda:
    """Makes the strategy `name` a Keras layer on a list of k feature map tensors.

    Args:
      name: A registered strategy.
      window_radius: r of the block average (Eq. 6), for the strategies that have one.

    Raises:
      UserError: Unknown strategy, or a radius below 0.
    """
    chosen = get(name)
    if window_radius < 0:
        raise UserError(f"window_radius is {window_radius}: expected 0 or more")
    arguments = {"window_radius": window_radius} if chosen.takes_window_radius else {}
    return keras.layers.Lambda(
        chosen.function,
        output_shape=fused_shape,
        arguments=arguments,
        name="fusion",
    )


@keras.saving.register_keras_serializable(package="densefuse_tf")
def fused_shape(input_shapes):
    """Returns the shape of the fused maps, which is that of each source's maps."""
    return tuple(input_shapes[0])


@strategy("addition", scales_with_sources=True, reach=0)
def addition(feature_maps: Sequence[tf.Tensor]) -> tf.Tensor:
    """Adds the feature maps, Eq. 4: f = sum_i phi_i.

    Args:
      feature_maps: k tensors [batch, H, W, 64].

    Returns:
      Fused feature maps [batch, H, W, 64].
    """
    return functools.reduce(tf.add, feature_maps)


@strategy("l1_norm", scales_with_sources=False, takes_window_radius=True, reach=0)
def l1_norm(feature_maps: Sequence[tf.Tensor], window_radius: int = 1) -> tf.Tensor:
    """Weighs the feature maps by their l1-norm, Eq. 5-7: f = sum_i w_i phi_i.

    Args:
      feature_maps: k tensors [batch, H, W, 64].
      window_radius: r of the block average; 1 in the paper, 0 in the release.

    Returns:
      Fused feature maps [batch, H, W, 64].
    """
    weights = l1_norm_weights(feature_maps, window_radius)
    return functools.reduce(
        tf.add, [w * phi for w, phi in zip(weights, feature_maps, strict=True)]
    )


def activity_level_map(feature_maps: tf.Tensor, window_radius: int = 1) -> tf.Tensor:
    """Computes the activity level map C^_i of one source, Eq. 5 and 6.

    C_i is the l1-norm over the maps at a pixel; C^_i its mean over the block of
    (2r + 1)^2 pixels. At the image's border the block is cut to the pixels that
    exist. For the weights this equals zero padding, since the number of pixels is the
    same for all sources and cancels in Eq. 7.

    Args:
      feature_maps: [batch, H, W, 64].
      window_radius: r >= 0.

    Returns:
      [batch, H, W, 1], at least 0 and at most 2^112, finite for finite maps.
    """
    activity = tf.reduce_sum(tf.abs(feature_maps), axis=-1, keepdims=True)
    activity = tf.minimum(activity, _LARGEST_ACTIVITY)
    if window_radius == 0:
        return activity
    return tf.nn.avg_pool2d(activity, 2 * window_radius + 1, strides=1, padding="SAME")


def l1_norm_weights(
    feature_maps: Sequence[tf.Tensor], window_radius: int = 1
) -> list[tf.Tensor]:
    """Computes the weights of Eq. 7: w_i = C^_i / sum_n C^_n.

    Where every C^_n is 0 (all sources black there) each weight is 1/k.

    Args:
      feature_maps: k tensors [batch, H, W, 64].
      window_radius: r >= 0 of the block average.

    Returns:
      k tensors [batch, H, W, 1] in 0..1 that sum to 1.
    """
    activities = [activity_level_map(phi, window_radius) for phi in feature_maps]
    total = functools.reduce(tf.add, activities)
    silent = tf.equal(total, 0.0)
    divisor = tf.where(silent, 1.0, total)
    share = 1.0 / len(activities)
    return [tf.where(silent, share, activity / divisor) for activity in activities]
