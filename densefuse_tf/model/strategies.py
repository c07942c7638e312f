"""The fusion layer (paper III-B): how the feature maps of k sources become one.

A strategy is one function from a list of k feature map tensors [batch, H, W, 64] to a
tensor of the same shape, registered with `@strategy`. The registration gives it a name
for the command line and makes it a function that Keras's safe mode loads again. A new
strategy is one such function, here or in a user's own module:

    @strategy("minimum", scales_with_sources=False, reach=0)
    def minimum(feature_maps):
        return functools.reduce(tf.minimum, feature_maps)

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
      takes_nonnegative: Whether the function has the argument `nonnegative`, which says
        that the maps are what a ReLU puts out.
    """

    name: str
    function: Callable[..., tf.Tensor]
    scales_with_sources: bool
    takes_window_radius: bool
    reach: int | None
    takes_nonnegative: bool = False

    def radius(self, window_radius: int) -> int | None:
        """Returns how far the function looks, the block average's window included."""
        if self.reach is None or not self.takes_window_radius:
            return self.reach
        return self.reach + window_radius


# Activity levels are cut at this value, which no image reaches, so that their sums over
# windows and sources are finite, and so are the weights.
_LARGEST_ACTIVITY = 2.0**112

# beta of the softmax strategies; see `softmax_weights`.
_SOFTMAX_FACTOR = 2.0

_STRATEGIES: dict[str, Strategy] = {}


def strategy(
    name: str,
    *,
    scales_with_sources: bool,
    takes_window_radius: bool = False,
    reach: int | None = None,
    takes_nonnegative: bool = False,
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
            raise ValueError(
                f"the fusion strategy {name!r} is registered already: expected "
                "another name"
            )
        registered = keras.saving.register_keras_serializable(
            package="densefuse_tf", name=name
        )(function)
        _STRATEGIES[name] = Strategy(
            name,
            registered,
            scales_with_sources,
            takes_window_radius,
            reach,
            takes_nonnegative,
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


def layer(
    name: str, *, window_radius: int = 1, nonnegative: bool = False
) -> keras.layers.Lambda:
    """Makes the strategy `name` a Keras layer on a list of k feature map tensors.

    Args:
      name: A registered strategy.
      window_radius: r of the block average (Eq. 6), for the strategies that have one.
      nonnegative: Whether no value of the maps is below 0, as an encoder's are, for the
        strategies that are quicker then.

    Raises:
      UserError: Unknown strategy, or a radius below 0.
    """
    chosen = get(name)
    if window_radius < 0:
        raise UserError(f"window_radius is {window_radius}: expected 0 or more")
    arguments = {"window_radius": window_radius} if chosen.takes_window_radius else {}
    if nonnegative and chosen.takes_nonnegative:
        arguments["nonnegative"] = True
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


@strategy(
    "l1_norm",
    scales_with_sources=False,
    takes_window_radius=True,
    takes_nonnegative=True,
    reach=0,
)
def l1_norm(
    feature_maps: Sequence[tf.Tensor],
    window_radius: int = 1,
    nonnegative: bool = False,
) -> tf.Tensor:
    """Weighs the feature maps by their l1-norm, Eq. 5-7: f = sum_i w_i phi_i.

    Args:
      feature_maps: k tensors [batch, H, W, 64].
      window_radius: r of the block average; 1 in the paper, 0 in the release.
      nonnegative: As `l1_norm_weights` takes it.

    Returns:
      Fused feature maps [batch, H, W, 64].
    """
    weights = l1_norm_weights(feature_maps, window_radius, nonnegative)
    return _weighted_sum(weights, feature_maps)


@strategy("maximum", scales_with_sources=False, reach=0)
def maximum(feature_maps: Sequence[tf.Tensor]) -> tf.Tensor:
    """Takes the largest value of each feature map: f = max_i phi_i.

    Args:
      feature_maps: k tensors [batch, H, W, 64].

    Returns:
      Fused feature maps [batch, H, W, 64].
    """
    return functools.reduce(tf.maximum, feature_maps)


@strategy("choose_max", scales_with_sources=False, takes_window_radius=True, reach=0)
def choose_max(feature_maps: Sequence[tf.Tensor], window_radius: int = 1) -> tf.Tensor:
    """Takes the feature maps of the most active source: f = phi_j, j = argmax_i C^_i.

    C^_i is the activity level map of Eq. 5 and 6. The choice is made at each pixel, as
    is usual in multi-focus fusion. Where several sources have the largest activity,
    f is the mean of their feature maps.

    Args:
      feature_maps: k tensors [batch, H, W, 64].
      window_radius: r of the block average; 4 to 16 leaves fewer wrong choices.

    Returns:
      Fused feature maps [batch, H, W, 64].
    """
    activities = [activity_level_map(phi, window_radius) for phi in feature_maps]
    return _weighted_sum(choice_weights(activities), feature_maps)


@strategy(
    "l1_norm_softmax", scales_with_sources=False, takes_window_radius=True, reach=0
)
def l1_norm_softmax(
    feature_maps: Sequence[tf.Tensor], window_radius: int = 1
) -> tf.Tensor:
    """Weighs the feature maps by a softmax of C^_i of Eq. 6: f = sum_i w_i phi_i.

    Args:
      feature_maps: k tensors [batch, H, W, 64].
      window_radius: r of the block average.

    Returns:
      Fused feature maps [batch, H, W, 64]; `softmax_weights` has w_i.
    """
    activities = [activity_level_map(phi, window_radius) for phi in feature_maps]
    return _weighted_sum(softmax_weights(activities), feature_maps)


@strategy(
    "detail_choose_max", scales_with_sources=False, takes_window_radius=True, reach=1
)
def detail_choose_max(
    feature_maps: Sequence[tf.Tensor], window_radius: int = 1
) -> tf.Tensor:
    """Takes the feature maps of the source with most detail: j = argmax_i D^_i.

    As `choose_max`, with D^_i of `detail_level_map` as the activity: C^_i grows with
    the brightness of a source, D^_i with its sharpness. SESF-Fuse chooses by the
    spatial frequency of feature maps in the same way.

    Args:
      feature_maps: k tensors [batch, H, W, 64].
      window_radius: r of the block average.

    Returns:
      Fused feature maps [batch, H, W, 64].

    References:
      B. Ma et al., "SESF-Fuse: an unsupervised deep model for multi-focus image
      fusion", Neural Computing and Applications 33, 2021,
      doi:10.1007/s00521-020-05358-9.
    """
    activities = [detail_level_map(phi, window_radius) for phi in feature_maps]
    return _weighted_sum(choice_weights(activities), feature_maps)


@strategy(
    "detail_softmax", scales_with_sources=False, takes_window_radius=True, reach=1
)
def detail_softmax(
    feature_maps: Sequence[tf.Tensor], window_radius: int = 1
) -> tf.Tensor:
    """Weighs the feature maps by a softmax of their detail D^_i: f = sum_i w_i phi_i.

    A large window, of a radius of about a twelfth of the image's width, suits sources
    of different brightness, the exposures of a scene: the weights then change slowly
    and leave no seams.

    Args:
      feature_maps: k tensors [batch, H, W, 64].
      window_radius: r of the block average.

    Returns:
      Fused feature maps [batch, H, W, 64]; `softmax_weights` has w_i.
    """
    activities = [detail_level_map(phi, window_radius) for phi in feature_maps]
    return _weighted_sum(softmax_weights(activities), feature_maps)


def activity_level_map(
    feature_maps: tf.Tensor, window_radius: int = 1, nonnegative: bool = False
) -> tf.Tensor:
    """Computes the activity level map C^_i of one source, Eq. 5 and 6.

    C_i is the l1-norm over the maps at a pixel; C^_i its mean over the block of
    (2r + 1)^2 pixels. At the image's border the block is cut to the pixels that
    exist. For the weights this equals zero padding, since the number of pixels is the
    same for all sources and cancels in Eq. 7.

    Args:
      feature_maps: [batch, H, W, 64].
      window_radius: r >= 0.
      nonnegative: Whether no value is below 0: the l1-norm is then a plain sum.

    Returns:
      [batch, H, W, 1], at least 0 and at most 2^112, finite for finite maps.
    """
    return _block_mean(_l1_norm_of_pixels(feature_maps, nonnegative), window_radius)


def detail_level_map(feature_maps: tf.Tensor, window_radius: int = 1) -> tf.Tensor:
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
    return _block_mean(
        _l1_norm_of_pixels(feature_maps - _block_mean(feature_maps, 1)), window_radius
    )


def _l1_norm_of_pixels(feature_maps: tf.Tensor, nonnegative: bool = False) -> tf.Tensor:
    """Computes Eq. 5: [batch, H, W, 64] -> [batch, H, W, 1], cut to finite values."""
    if nonnegative:
        # The product is as fast as memory, and twice as fast as a sum.
        ones = tf.ones([feature_maps.shape[-1], 1], feature_maps.dtype)
        activity = tf.tensordot(feature_maps, ones, axes=1)
    else:
        activity = tf.reduce_sum(tf.abs(feature_maps), axis=-1, keepdims=True)
    return tf.minimum(activity, _LARGEST_ACTIVITY)


def _block_mean(maps: tf.Tensor, radius: int) -> tf.Tensor:
    """Averages over (2r + 1)^2 pixels, at the border over those that exist (Eq. 6)."""
    if radius == 0:
        return maps
    # Columns, then rows: the time grows with r and not with its square.
    for window in ((2 * radius + 1, 1), (1, 2 * radius + 1)):
        maps = tf.nn.avg_pool2d(maps, window, strides=1, padding="SAME")
    return maps


def l1_norm_weights(
    feature_maps: Sequence[tf.Tensor],
    window_radius: int = 1,
    nonnegative: bool = False,
) -> list[tf.Tensor]:
    """Computes the weights of Eq. 7: w_i = C^_i / sum_n C^_n.

    Where every C^_n is 0 (all sources black there) each weight is 1/k.

    Args:
      feature_maps: k tensors [batch, H, W, 64].
      window_radius: r >= 0 of the block average.
      nonnegative: As `activity_level_map` takes it.

    Returns:
      k tensors [batch, H, W, 1] in 0..1 that sum to 1.
    """
    activities = [
        activity_level_map(phi, window_radius, nonnegative) for phi in feature_maps
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


def _weighted_sum(
    weights: Sequence[tf.Tensor], feature_maps: Sequence[tf.Tensor]
) -> tf.Tensor:
    """Computes f = sum_i w_i phi_i, Eq. 7."""
    return functools.reduce(
        tf.add, [w * phi for w, phi in zip(weights, feature_maps, strict=True)]
    )
