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
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf

from densefuse_tf import naming
from densefuse_tf import user_modules
from densefuse_tf.errors import UserError
from densefuse_tf.model import activity


@dataclasses.dataclass(frozen=True)
class Strategy:
    """Describes a registered fusion strategy.

    Attributes:
      name: The name on the command line.
      function: Feature maps of k sources -> fused feature maps.
      scales_with_sources: True where the result grows with k, as a sum does: the
        decoder's output then spans about 0..255k and is divided by k for viewing.
      reach: How many pixels around a pixel the function looks at, `window_radius` not
        counted: 0 where it treats each pixel by itself. None where that is not known
        or is the whole image, which then cannot be fused in bands.
      takes_parts: Whether the function also takes the maps of a source as a list of
        parts, as the encoder makes them: they need not be copied into one tensor then.
      takes_differences: Whether f(phi_i - c) = f(phi_i) - c for constants c, one for
        each channel, or f(phi_i) - k c where the result grows with k; the function
        gets their sum as the `offset` where it has that argument. Such a function
        also takes, and then returns, maps in bfloat16.
      takes_window_radius: Whether the function has the argument `window_radius`, as its
        signature says. This and the next fact need not be given.
      takes_offset: Whether the function has the argument `offset`, which says that the
        maps are what a ReLU puts out; `activity.activity_level_map` describes it.
    """

    name: str
    function: Callable[..., tf.Tensor]
    scales_with_sources: bool
    reach: int | None = None
    takes_parts: bool = False
    takes_differences: bool = False
    takes_window_radius: bool | None = None
    takes_offset: bool | None = None

    def __post_init__(self):
        """Reads off the signature what it says.

        Raises:
          ValueError: What is given contradicts it.
        """
        parameters = inspect.signature(self.function).parameters
        # functools.partial gives some arguments itself.
        bound = getattr(self.function, "keywords", ())
        takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        for argument in ("window_radius", "offset"):
            fact = f"takes_{argument}"
            given = getattr(self, fact)
            is_named = argument in parameters and argument not in bound
            takes = is_named or (takes_any and given)
            if given not in (None, takes):
                raise ValueError(
                    f"the fusion strategy {self.name!r} is registered with "
                    f"{fact}={given}: expected {takes}, as its function says"
                )
            object.__setattr__(self, fact, bool(takes))

    def radius(self, window_radius: int) -> int | None:
        """Returns how far the function looks, the block average's window included."""
        if self.reach is None or not self.takes_window_radius:
            return self.reach
        return self.reach + window_radius

    def fuse(
        self,
        feature_maps: Sequence[Sequence[tf.Tensor]],
        arguments: Mapping[str, object],
    ) -> tf.Tensor:
        """Fuses the maps of k sources into [batch, H, W, 64].

        Args:
          feature_maps: k lists of parts [batch, H, W, C_i], as the encoder makes them.
          arguments: What `arguments` returns.
        """
        maps: list[activity.Maps] = list(feature_maps)
        if not self.takes_parts:
            maps = [tf.concat(parts, axis=-1) for parts in feature_maps]
        return self.function(maps, **arguments)


_Function = TypeVar("_Function", bound=Callable[..., Any])
_STRATEGIES: dict[str, Strategy] = {}
# The feature maps with which a user's own strategy is tried.
_TRIAL_SHAPE = (1, 9, 11, 64)
_KIND = user_modules.Kind(
    "strategy_module",
    "fusion strategy",
    "fusion strategies",
    "a function decorated with @densefuse_tf.strategy(NAME, ...)",
    lambda: {name: each.function for name, each in _STRATEGIES.items()},
)


def strategy(
    name: str,
    *,
    scales_with_sources: bool,
    reach: int | None = None,
    takes_parts: bool = False,
    takes_differences: bool = False,
    takes_window_radius: bool | None = None,
    takes_offset: bool | None = None,
) -> Callable[[_Function], _Function]:
    """Registers a function as the fusion strategy `name`.

    A function takes the place of one of the same module and name, so that a notebook's
    cell can be changed and run again.

    Args:
      name: The name on the command line.
      scales_with_sources: This and the other facts are those of `Strategy`.

    Raises:
      ValueError: The name is taken, or a fact contradicts the function's signature.
    """

    def register(function):
        taken = _STRATEGIES.get(name)
        origin = user_modules.origin
        if taken and origin(taken.function) != origin(function):
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
            reach,
            takes_parts,
            takes_differences,
            takes_window_radius,
            takes_offset,
        )
        return registered

    return register


def list_strategies() -> tuple[str, ...]:
    """Returns the names of all strategies, in the order of registration."""
    return tuple(_STRATEGIES)


def get(name: str) -> Strategy:
    """Returns the strategy registered as `name`."""
    return _STRATEGIES[naming.pick(name, _STRATEGIES, f"unknown strategy {name!r}")]


def load(module: str | os.PathLike | None) -> tuple[str, ...]:
    """Imports a module that registers strategies, if any; see `user_modules.load`."""
    return () if module is None else user_modules.load(module, _KIND)


def checked_arguments(
    name: str,
    *,
    num_sources: int = 2,
    window_radius: int,
    dtype: tf.DType = tf.float32,
) -> dict[str, object]:
    """Returns the arguments of a strategy's function besides the feature maps.

    They are those for the maps of an encoder, which ends in a ReLU. A strategy that is
    not one of this package is tried with them on small feature maps.

    Args:
      name: A registered strategy.
      num_sources: k.
      window_radius: r of the block average (Eq. 6), for the strategies that have one.
      dtype: The type of the feature maps.

    Raises:
      UserError: Unknown strategy, fewer than two sources or a radius below 0; the
        function fails, or what it returns is not one tensor of feature maps of the type
        and the size of its arguments.
    """
    if num_sources < 2:
        raise UserError(f"num_sources is {num_sources}: fusion takes 2 or more")
    chosen = get(name)
    if window_radius < 0:
        raise UserError(f"window_radius is {window_radius}: expected 0 or more")
    arguments: dict[str, object] = {}
    if chosen.takes_window_radius:
        arguments["window_radius"] = window_radius
    if chosen.takes_offset:
        arguments["offset"] = 0.0
    if chosen.function.__module__ != __name__:
        _try(chosen, arguments, num_sources, dtype)
    return arguments


def _try(
    chosen: Strategy, arguments: dict[str, object], num_sources: int, dtype: tf.DType
) -> None:
    maps = tf.TensorSpec([None, None, None, _TRIAL_SHAPE[-1]], dtype)
    trial = np.random.default_rng(0).uniform(0, 50, _TRIAL_SHAPE).astype(np.float32)

    @tf.function(input_signature=[maps] * num_sources, autograph=False)
    def run(*feature_maps):
        return chosen.function(list(feature_maps), **arguments)

    try:
        found = run(*[tf.cast(trial, dtype)] * num_sources)
    except Exception as error:
        file = inspect.getsourcefile(inspect.unwrap(chosen.function)) or ""
        raise UserError(
            f"the strategy {chosen.name!r} fails: {user_modules.reason(error, file)}"
        ) from error
    if (
        not isinstance(found, tf.Tensor)
        or found.dtype != dtype
        or tuple(found.shape) != _TRIAL_SHAPE
    ):
        what = f"a {type(found).__name__}"
        if isinstance(found, tf.Tensor):
            what = f"a {found.dtype.name} tensor of shape {list(found.shape)}"
        raise UserError(
            f"the strategy {chosen.name!r} returns {what} for {num_sources} feature "
            f"maps of shape {list(_TRIAL_SHAPE)}: expected one {dtype.name} tensor of "
            "that shape"
        )


def layer(name: str, arguments: dict[str, object]) -> keras.layers.Lambda:
    """Makes the strategy `name` a Keras layer on a list of k feature map tensors."""
    return keras.layers.Lambda(
        get(name).function,
        output_shape=fused_shape,
        arguments=arguments,
        name="fusion",
        dtype="float32",
    )


@keras.saving.register_keras_serializable(package="densefuse_tf")
def fused_shape(input_shapes):
    """Returns the shape of the fused maps, which is that of each source's maps."""
    return tuple(input_shapes[0])


@strategy(
    "addition",
    scales_with_sources=True,
    reach=0,
    takes_parts=True,
    takes_differences=True,
)
def addition(feature_maps: Sequence[tf.Tensor]) -> tf.Tensor:
    """Adds the feature maps, Eq. 4: f = sum_i phi_i."""
    return activity.by_channel(
        functools.partial(functools.reduce, tf.add), feature_maps
    )


@strategy(
    "mean",
    scales_with_sources=False,
    reach=0,
    takes_parts=True,
    takes_differences=True,
)
def mean(feature_maps: Sequence[tf.Tensor]) -> tf.Tensor:
    """Averages the feature maps: f = sum_i phi_i / k.

    The authors' PyTorch program fuses in this way.
    """
    return activity.by_channel(
        lambda maps: functools.reduce(tf.add, maps) / len(maps), feature_maps
    )


@strategy(
    "l1_norm",
    scales_with_sources=False,
    reach=0,
    takes_parts=True,
    takes_differences=True,
)
def l1_norm(
    feature_maps: Sequence[tf.Tensor],
    window_radius: int = 1,
    offset: activity.Offset = None,
) -> tf.Tensor:
    """Weighs the feature maps by their l1-norm, Eq. 5-7: f = sum_i w_i phi_i.

    Args:
      feature_maps: k tensors [batch, H, W, 64].
      window_radius: r of the block average; 1 in the paper, 0 in the release.
      offset: As `activity.l1_norm_weights` takes it.
    """
    weights = activity.l1_norm_weights(feature_maps, window_radius, offset)
    return activity.weighted_mean(weights, feature_maps)


@strategy(
    "maximum",
    scales_with_sources=False,
    reach=0,
    takes_parts=True,
    takes_differences=True,
)
def maximum(feature_maps: Sequence[tf.Tensor]) -> tf.Tensor:
    """Takes the largest value of each feature map: f = max_i phi_i."""
    return activity.by_channel(
        functools.partial(functools.reduce, tf.maximum), feature_maps
    )


@strategy(
    "choose_max",
    scales_with_sources=False,
    reach=0,
    takes_parts=True,
)
def choose_max(feature_maps: Sequence[tf.Tensor], window_radius: int = 1) -> tf.Tensor:
    """Takes the feature maps of the most active source: f = phi_j, j = argmax_i C^_i.

    C^_i is the activity level map of Eq. 5 and 6. The choice is made at each pixel, as
    is usual in multi-focus fusion. Where several sources have the largest activity,
    f is the mean of their feature maps.
    A window radius of 4 to 16 leaves fewer wrong choices.
    """
    levels = [activity.activity_level_map(phi, window_radius) for phi in feature_maps]
    return activity.weighted_sum(activity.choice_weights(levels), feature_maps)


@strategy(
    "l1_norm_softmax",
    scales_with_sources=False,
    reach=0,
    takes_parts=True,
)
def l1_norm_softmax(
    feature_maps: Sequence[tf.Tensor], window_radius: int = 1
) -> tf.Tensor:
    """Weighs the feature maps by a softmax of their activity: f = sum_i w_i phi_i.

    The activity is C^_i of Eq. 6; `activity.softmax_weights` has w_i.
    """
    levels = [activity.activity_level_map(phi, window_radius) for phi in feature_maps]
    return activity.weighted_sum(activity.softmax_weights(levels), feature_maps)


@strategy(
    "detail_choose_max",
    scales_with_sources=False,
    reach=1,
    takes_parts=True,
)
def detail_choose_max(
    feature_maps: Sequence[tf.Tensor], window_radius: int = 1
) -> tf.Tensor:
    """Takes the feature maps of the source with most detail: j = argmax_i D^_i.

    As `choose_max`, with D^_i of `activity.detail_level_map` as the activity: C^_i
    grows with the brightness of a source, D^_i with its sharpness. SESF-Fuse chooses by
    the spatial frequency of feature maps in the same way.

    References:
      B. Ma et al., "SESF-Fuse: an unsupervised deep model for multi-focus image
      fusion", Neural Computing and Applications 33, 2021,
      doi:10.1007/s00521-020-05358-9.
    """
    levels = [activity.detail_level_map(phi, window_radius) for phi in feature_maps]
    return activity.weighted_sum(activity.choice_weights(levels), feature_maps)


@strategy(
    "detail_softmax",
    scales_with_sources=False,
    reach=1,
    takes_parts=True,
)
def detail_softmax(
    feature_maps: Sequence[tf.Tensor], window_radius: int = 1
) -> tf.Tensor:
    """Weighs the feature maps by a softmax of their detail: f = sum_i w_i phi_i.

    A large window, of a radius of about a twelfth of the image's width, suits sources
    of different brightness, the exposures of a scene: the weights then change slowly
    and leave no seams.
    """
    levels = [activity.detail_level_map(phi, window_radius) for phi in feature_maps]
    return activity.weighted_sum(activity.softmax_weights(levels), feature_maps)
