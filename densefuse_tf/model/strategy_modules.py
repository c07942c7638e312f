"""Loads fusion strategies from a user's own module, and tries them before the work."""

import inspect
import os

import numpy as np
import tensorflow as tf

from densefuse_tf import user_modules
from densefuse_tf.errors import UserError
from densefuse_tf.model import strategies

_CHANNELS = 64
# The size of the feature maps with which a strategy is tried.
_TRIAL_SIZE = (9, 11)
_KIND = user_modules.Kind(
    "strategy_module",
    "fusion strategy",
    "fusion strategies",
    "a function decorated with @densefuse_tf.strategy(NAME, ...)",
    lambda: {name: strategies.get(name).function for name in strategies.names()},
)


def load(module: str | os.PathLike | None) -> tuple[str, ...]:
    """Imports a module that registers fusion strategies; see `user_modules.load`."""
    return user_modules.load(module, _KIND)


def check(
    name: str,
    *,
    num_sources: int,
    window_radius: int,
    dtype: tf.DType = tf.float32,
) -> None:
    """Tries a strategy that is not one of this package on small feature maps.

    Raises:
      UserError: The function fails, or what it returns is not one tensor of feature
        maps of the type and the size of its arguments.
    """
    chosen = strategies.get(name)
    function = chosen.function
    if function.__module__ == strategies.__name__:
        return
    arguments = {"window_radius": window_radius} if chosen.takes_window_radius else {}
    maps = tf.TensorSpec([None, None, None, _CHANNELS], dtype)
    shape = (1, *_TRIAL_SIZE, _CHANNELS)
    trial = np.random.default_rng(0).uniform(0, 50, shape).astype(np.float32)

    @tf.function(input_signature=[maps] * num_sources, autograph=False)
    def run(*feature_maps):
        return function(list(feature_maps), **arguments)

    try:
        found = run(*[tf.cast(trial, dtype)] * num_sources)
    except Exception as error:
        file = inspect.getsourcefile(inspect.unwrap(function)) or ""
        raise UserError(
            f"the strategy {name!r} fails: {user_modules.reason(error, file)}"
        ) from error
    if (
        not isinstance(found, tf.Tensor)
        or found.dtype != dtype
        or tuple(found.shape) != shape
    ):
        what = f"a {type(found).__name__}"
        if isinstance(found, tf.Tensor):
            what = f"a {found.dtype.name} tensor of shape {list(found.shape)}"
        raise UserError(
            f"the strategy {name!r} returns {what} for {num_sources} feature maps of "
            f"shape {list(shape)}: expected one {dtype.name} tensor of that shape"
        )
