"""What every metric accepts: 8-bit grey images of one size, and a convention."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from densefuse_tf.errors import UserError

# "intended" is what the papers define, "toolkit" what the MATLAB toolkit behind most
# published tables computes under the same name, and "authors" what the MATLAB code of
# DenseFuse's authors computes. docs/metrics.md lists where they differ and why.
CONVENTIONS = ("intended", "toolkit", "authors")
_NAMES = ("ir", "vis", "fused")


def two_sources(*, smallest: int = 1, conventions: Sequence[str] = ()) -> Callable:
    """Decorates a metric of (ir, vis, fused): checks the three images first.

    The metric then gets NumPy arrays [H, W] uint8 of one size. A call with more than
    two sources is refused, since no metric here is defined for it.

    Every metric can be called with `convention`, one of CONVENTIONS. It is passed on
    to a metric that has values of its own under one of them; any other metric has one
    definition, which holds under all.

    Args:
      smallest: The least height and width, in pixels, that the metric is defined for.
      conventions: The conventions under which the metric differs from the intended
        definition.

    Returns:
      A decorator. What it returns raises UserError for images that do not fit and for
      an unknown convention, and has the attributes `images`, `smallest` and
      `conventions` that say what it takes.
    """
    return _checking(
        _NAMES,
        "the metrics are defined for two source images, ir and vis, and one fused "
        "image",
        smallest,
        conventions,
    )


def fused_alone(*, smallest: int = 1, conventions: Sequence[str] = ()) -> Callable:
    """Decorates a metric of the fused image alone, as `two_sources` does the others.

    Args:
      smallest: The least height and width, in pixels, that the metric is defined for.
      conventions: The conventions under which the metric differs from the intended
        definition.

    Returns:
      A decorator; see `two_sources`.
    """
    return _checking(
        ("fused",),
        "this metric is defined for the fused image alone",
        smallest,
        conventions,
    )


def _checking(
    names: Sequence[str], takes: str, smallest: int, conventions: Sequence[str]
) -> Callable:
    """Makes the decorator of metrics that take the images `names`."""

    def decorate(metric: Callable) -> Callable:
        signature = inspect.signature(metric)
        shown = signature
        if not conventions:
            convention = inspect.Parameter(
                "convention", inspect.Parameter.KEYWORD_ONLY, default=CONVENTIONS[0]
            )
            shown = signature.replace(
                parameters=[*signature.parameters.values(), convention]
            )

        @functools.wraps(metric)
        def checked(*images: Any, **named: Any):
            if len(images) > len(names):
                raise UserError(f"{metric.__name__} got {len(images)} images: {takes}")
            for name, image in zip(names, images, strict=False):
                _refuse_no_array(name, image)
            # What is missing or given twice raises Python's own TypeError here.
            given = shown.bind(*images, **named).arguments
            if given.get("convention", CONVENTIONS[0]) not in CONVENTIONS:
                known = ", ".join(f'"{name}"' for name in CONVENTIONS)
                raise UserError(
                    f"convention is {given['convention']!r}: expected one of {known}"
                )
            if not conventions:
                given.pop("convention", None)
            for name in names:
                given[name] = grey(name, given[name], smallest=smallest)
            same_size({name: given[name] for name in names})
            return metric(**given)

        vars(checked).update(
            images=tuple(names),
            smallest=smallest,
            conventions=(CONVENTIONS[0], *conventions),
            __signature__=shown,
        )
        return checked

    return decorate


def grey(name: str, image: Any, *, smallest: int = 1) -> np.ndarray:
    """Returns the image as a NumPy array, if it is 8-bit, grey and large enough.

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


def same_size(images: Mapping[str, np.ndarray]) -> None:
    """Checks that the images, by the names that an error calls them, have one size.

    Raises:
      UserError: They do not.
    """
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
