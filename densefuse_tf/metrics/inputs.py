"""What every metric accepts: two source images and a fused one, 8-bit and grey."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from densefuse_tf.errors import UserError

_NAMES = ("ir", "vis", "fused")


def two_sources(*, smallest: int = 1) -> Callable:
    """Decorates a metric of (ir, vis, fused): checks the three images first.

    The metric then gets NumPy arrays [H, W] uint8 of one size. A call with more than
    two sources is refused, since no metric here is defined for it.

    Args:
      smallest: The least height and width, in pixels, that the metric is defined for.

    Returns:
      A decorator. What it returns raises UserError for images that do not fit.
    """

    def decorate(metric: Callable) -> Callable:
        signature = inspect.signature(metric)

        @functools.wraps(metric)
        def checked(*images: Any, **named: Any):
            if len(images) > len(_NAMES):
                raise UserError(
                    f"{metric.__name__} got {len(images)} images: the metrics are "
                    "defined for two source images, ir and vis, and one fused image"
                )
            for name, image in zip(_NAMES, images, strict=False):
                _refuse_no_array(name, image)
            # What is missing or given twice raises Python's own TypeError here.
            given = signature.bind(*images, **named).arguments
            for name in _NAMES:
                given[name] = grey(name, given[name], smallest=smallest)
            _same_size({name: given[name] for name in _NAMES})
            return metric(**given)

        return checked

    return decorate


def grey(name: str, image: Any, *, smallest: int = 1) -> np.ndarray:
    """The image as a NumPy array, if it is 8-bit, grey and large enough.

    Args:
      name: What to call the image in an error.
      image: An array [H, W] uint8.
      smallest: The least height and width in pixels.

    Returns:
      The array [H, W] uint8, not copied where that can be avoided.

    Raises:
      UserError: The image has another dtype or shape, or is too small.
    """
    _refuse_no_array(name, image)
    array = np.asarray(image)
    if array.ndim != 2:
        raise UserError(
            f"{name} has shape {_shape(array)}: expected one grey image [H, W]; the "
            "metrics are defined for two source images, and colour has to be turned to "
            "grey first"
        )
    if array.dtype != np.uint8:
        raise UserError(
            f"{name} is {array.dtype}: expected uint8, an 8-bit image of values 0 to "
            "255, rounded as it would be saved"
        )
    if min(array.shape) < smallest:
        height, width = array.shape
        raise UserError(
            f"{name} is {height}x{width}: expected at least {smallest}x{smallest} "
            "pixels (height x width)"
        )
    return array


def _refuse_no_array(name: str, image: Any) -> None:
    # A list may hold a third source, or be an image: it is not for us to say which.
    if not hasattr(image, "__array__"):
        length = f" of {len(image)}" if isinstance(image, list | tuple) else ""
        raise UserError(
            f"{name} is a {type(image).__name__}{length}: expected one array "
            "[H, W] uint8; the metrics are defined for two source images, ir and vis"
        )


def _same_size(images: dict[str, np.ndarray]) -> None:
    if len({image.shape for image in images.values()}) > 1:
        sizes = ", ".join(
            f"{name} is {image.shape[0]}x{image.shape[1]}"
            for name, image in images.items()
        )
        raise UserError(
            f"{sizes}: the source images and the fused image must have the same size "
            "(height x width)"
        )


def _shape(array: np.ndarray) -> str:
    return "[" + ", ".join(str(length) for length in array.shape) + "]"
