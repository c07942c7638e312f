"""Registrations as JSON files."""

import json
import math
import os
from typing import Any

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.io import texts
from densefuse_tf.registration import choices
from densefuse_tf.registration import transforms
from densefuse_tf.registration.registration import Registration

_FORMAT, _VERSION = "densefuse-registration", 1
_EXPECTED = (
    "a transform that densefuse-register or fuse.py --save_transform saved, version "
    f"{_VERSION}"
)
_MEASURES = ("score", "consistency", "distinctness")


def save(
    path: str | os.PathLike, registration: Registration, *, overwrite: bool = True
) -> None:
    """Writes a registration, whole or not at all.

    The matrix takes pixel coordinates (x, y, 1) of the fixed image to those of the
    moving one.
    """
    gradient = registration.total_gradient
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "model": registration.model,
        "matrix": registration.matrix.tolist(),
        "fixed": _size(registration.fixed_shape),
        "moving": _size(registration.moving_shape),
        **{name: getattr(registration, name) for name in _MEASURES},
        # JSON has no NaN.
        "normalized_total_gradient": gradient
        and [value if math.isfinite(value) else None for value in gradient],
        "reason": registration.reason,
    }
    texts.write_json(path, content, overwrite=overwrite)


def load(path: str | os.PathLike) -> Registration:
    """Reads what `save` wrote."""
    name = os.fspath(path)
    if not os.path.lexists(path):
        raise _unexpected(name, "no such file")
    with files.open_to_read(path, _EXPECTED) as file:
        data = file.read()
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _unexpected(name, "is no JSON") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise _unexpected(name, "is JSON of another kind")
    if content.get("version") != _VERSION:
        raise _unexpected(name, f"has version {content.get('version')!r}")
    model = content.get("model")
    if model not in choices.MODELS:
        raise _unexpected(name, f"has the model {model!r}")
    try:
        matrix = np.array(content["matrix"], np.float64)
        if not transforms.is_regular(matrix):
            raise ValueError("not a regular 3x3 matrix")
        transform = transforms.of_matrix(matrix, model)
        shapes = _shape(content["fixed"]), _shape(content["moving"])
        measures: dict[str, Any] = {key: _number(content.get(key)) for key in _MEASURES}
        gradient = content.get("normalized_total_gradient")
        if gradient is not None:
            before, after = map(_number, gradient)
            gradient = tuple(math.nan if v is None else v for v in (before, after))
        reason = content.get("reason")
        if not (reason is None or isinstance(reason, str)):
            raise ValueError("reason is no text")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise _unexpected(
            name, f"lacks what belongs into it ({' '.join(str(error).split())[:80]})"
        ) from error
    return Registration(
        transform,
        model,
        *shapes,
        total_gradient=gradient,
        reason=reason,
        **measures,
    )


def _size(shape: tuple[int, int]) -> dict[str, int]:
    return {"height": shape[0], "width": shape[1]}


def _shape(size: Any) -> tuple[int, int]:
    height, width = size["height"], size["width"]
    if not all(type(side) is int and side > 1 for side in (height, width)):
        raise ValueError("height and width of an image")
    return height, width


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is no number")
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is not finite")
    return float(value)


def _unexpected(name: str, what: str) -> UserError:
    return UserError(f"{name}: {what}: expected {_EXPECTED}")
