"""The protocol of a fusion method, and the register of those there are.

A method is a frozen dataclass whose fields are its options and whose `fuse` takes a
pair of 8-bit grey images. One line registers it:

    @method("mean")
    @dataclasses.dataclass(frozen=True)
    class Mean:
        \"\"\"Averages the two images with a weight.

        Attributes:
          weight: Share of the infrared image, 0..1.
        \"\"\"

        weight: float = 0.5

        def fuse(self, ir, vis):
            check_pair(ir, vis, method="mean")
            return matlab_uint8(self.weight * ir + (1 - self.weight) * vis)

The first line of the docstring is what `fuse.py --help` shows. An option that is a
keyword of Python is a field with an underscore at its end: the option `lambda` is the
field `lambda_`.
"""

import dataclasses
import importlib
import math
import types
import typing
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol, TypeVar

import numpy as np

from densefuse_tf import naming
from densefuse_tf import user_modules
from densefuse_tf.errors import UserError


class Method(Protocol):
    """A fusion method for a pair of registered images.

    It may also have `prepare()`, without arguments, which reads the files that options
    name, so that a mistake in them is answered before the first pair; and attributes:
    `needs_tensorflow`, which is true where it imports TensorFlow; `takes_minutes`,
    where a pair does; and `takes_color`, where `fuse` takes and gives [H, W, 3] as
    well. The channels of a colour image are then fused together, else one by one.
    """

    def fuse(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Fuses a pair.

        Args:
          ir: Infrared image, [H, W] uint8.
          vis: Visible image, same shape and dtype.

        Returns:
          The fused image, [H, W] uint8.

        Raises:
          UserError: The images cannot be fused by this method.
        """


_Class = TypeVar("_Class", bound=type[Method])
# By name the class, or the module that registers it when the method is asked for.
_METHODS: dict[str, type | str] = {
    name: f"densefuse_tf.baselines.{name}"
    for name in ("cbf", "cnn", "dchwt", "deepfuse", "gtf", "jsr", "jsrsd", "wls")
}


def method(name: str) -> Callable[[_Class], _Class]:
    """Registers a frozen dataclass as the fusion method `name`.

    A class takes the place of one of the same module and name, so that a notebook's
    cell can be changed and run again.

    Raises:
      TypeError: The name is no text, or the class no dataclass.
      ValueError: The name is taken.
    """
    if not isinstance(name, str):
        raise TypeError(f"method: {name!r} is no name: expected @method(NAME)")

    def register(cls: _Class) -> _Class:
        if not dataclasses.is_dataclass(cls):
            raise TypeError(f"the class {cls.__qualname__} is no dataclass")
        # DenseFuse is a method as well, though none of this room.
        taken = "DenseFuse" if name == "densefuse" else _METHODS.get(name)
        origin = user_modules.origin
        if taken not in (None, cls.__module__) and origin(taken) != origin(cls):
            raise ValueError(f"the fusion method {name!r} is registered already")
        _METHODS[name] = cls
        return cls

    return register


def names() -> tuple[str, ...]:
    """Returns the names of all registered methods, in alphabetical order."""
    return tuple(sorted(_METHODS))


def registered() -> Mapping[str, type | str]:
    """Returns the registered classes by name, or the modules that are to register them.

    A module of this package is imported when its method is asked for.
    """
    return _METHODS


def get(name: str) -> type:
    """Returns the class registered as `name`, importing that method alone."""
    name = naming.pick(name, names(), f"unknown method {name!r}")
    found = _METHODS[name]
    if isinstance(found, str):
        importlib.import_module(found)
        found = typing.cast(type, _METHODS[name])
    return found


def create(name: str, options: Mapping[str, Any] | None = None) -> Method:
    """Builds the method `name`; see `with_options`."""
    return with_options(get(name), name, options or {})


def option_fields(cls: type) -> dict[str, dataclasses.Field]:
    """Returns the fields that are options, by the option's name."""
    return {
        field.name.rstrip("_"): field for field in dataclasses.fields(cls) if field.init
    }


def with_options(
    cls: type, name: str, options: Mapping[str, Any], **others: Any
) -> Any:
    """Builds the dataclass of a method; see `converted`."""
    return cls(**converted(cls, name, options, others), **others)


def converted(
    cls: type, name: str, options: Mapping[str, Any], others: Collection[str] = ()
) -> dict[str, Any]:
    """Makes of options the arguments of a method's dataclass.

    Args:
      cls: The class.
      name: The method, for errors.
      options: Values for some of its fields, by the option's or the field's name. Text,
        as a command line has it, is converted to the type of the field: str, int,
        float, bool, pathlib.Path, a Literal of texts, or one of these or None.
      others: Names of fields that are no options.

    Raises:
      UserError: There is no such option, a text does not fit the type of its field, or
        an option that has no default is missing.
    """
    hints = typing.get_type_hints(cls)
    fields = option_fields(cls)
    values: dict[str, Any] = {}
    for given, value in options.items():
        known = [field for field in fields if field not in others]
        key = naming.find(given.rstrip("_"), known)
        if key is None:
            raise UserError(
                f"method {name} has no option {given!r}: "
                + (f"expected one of {', '.join(known)}" if known else "it has none")
                + naming.did_you_mean(given, known)
            )
        field = fields[key].name
        if field in values:
            raise UserError(f"option {key} of method {name} is given twice")
        values[field] = _converted(
            f"option {key} of method {name}", value, hints[field]
        )
    missing = [
        key
        for key, field in fields.items()
        if field.name not in (*values, *others)
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise UserError(f"method {name} needs the option {missing[0]!r}")
    return values


def _converted(what: str, value: Any, hint: Any) -> Any:
    """Converts the text of an option to the type of its field."""
    if not isinstance(value, str):
        return value
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        # Text is never None.
        kinds = [kind for kind in typing.get_args(hint) if kind is not types.NoneType]
        hint = str if str in kinds else kinds[0]
    if hint is bool:
        if value.lower() in ("true", "1", "false", "0"):
            return value.lower() in ("true", "1")
        raise UserError(f"{what} is {value!r}: expected true or false")
    if typing.get_origin(hint) is typing.Literal:
        return naming.pick(value, typing.get_args(hint), f"{what} is {value!r}")
    try:
        return hint(value)
    except ValueError:
        kind = {int: "a whole number", float: "a number"}.get(hint, hint.__name__)
        raise UserError(f"{what} is {value!r}: expected {kind}") from None


def check_positive(method: str, **options: float) -> None:
    """Refuses options of a method that are not finite and above 0."""
    for key, value in options.items():
        if not 0 < value < math.inf:
            raise UserError(
                f"option {key.rstrip('_')} of method {method} is {value}: expected a "
                "finite number above 0"
            )


def check_pair(
    ir: np.ndarray,
    vis: np.ndarray,
    *,
    method: str,
    min_side: int = 1,
    takes_color: bool = False,
) -> None:
    """Refuses what is no pair of uint8 images, `min_side` or more pixels a side.

    Both are [H, W], or [H, W, 3] where the method takes colour.
    """
    for image, name in ((ir, "ir"), (vis, "vis")):
        shape = list(image.shape) if isinstance(image, np.ndarray) else []
        if len(shape) != 2 and not (takes_color and shape[2:] == [3]):
            form = "[height, width]" + ", or with 3 channels" * takes_color
            raise UserError(
                f"{name} is an array of shape {shape}: {method} expects {form}"
            )
        if image.dtype != np.uint8:
            raise UserError(f"{name} has {image.dtype} values: {method} expects uint8")
    if ir.shape != vis.shape:
        sizes = ["x".join(map(str, image.shape)) for image in (ir, vis)]
        raise UserError(
            f"ir is {sizes[0]} and vis is {sizes[1]}: the source images of a pair must "
            "have the same size"
        )
    if min(ir.shape[:2]) < min_side:
        raise UserError(
            f"the images are {ir.shape[0]}x{ir.shape[1]}: {method} expects at least "
            f"{min_side}x{min_side}"
        )


def check_not_constant(ir: np.ndarray, vis: np.ndarray, *, method: str) -> None:
    """Refuses images, as `check_pair` takes them, that are of one grey."""
    for image, name in ((ir, "ir"), (vis, "vis")):
        if image.min() == image.max():
            raise UserError(
                f"{name} has the value {image.min()} in every pixel: {method} expects "
                "an image that is not constant"
            )
