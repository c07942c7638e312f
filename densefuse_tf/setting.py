"""A setting: a field of a dataclass that says what it means.

Flags, the documents and help() are made of it.
"""

import dataclasses
import functools
import inspect
import numbers
import re
import textwrap
import types
import typing
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from densefuse_tf import naming
from densefuse_tf.errors import UserError

_Class = TypeVar("_Class")
_Function = TypeVar("_Function", bound=Callable[..., Any])
_Text = TypeVar("_Text", bound=str)
# What is taken for a number of each type, NumPy's as well, and what a message calls it.
_NUMBERS = {
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
}


def setting(default: Any, text: str, **known: Any) -> Any:
    """Makes the field of a setting; what is known of it is in its metadata.

    Args:
      default: Its value where none is given.
      text: Says what it means: "help" in the metadata.
      **known: For instance choices, the strings that are allowed; bare, what a flag
        with choices means that is given without one; lower_bound, the least value.
    """
    return dataclasses.field(default=default, metadata={"help": text, **known})


def check_values(settings: Any) -> None:
    """Refuses a value that is none of the choices, no number, or below its bound.

    A choice in another case becomes the one that is meant.
    """
    for field in dataclasses.fields(settings):
        value, known = getattr(settings, field.name), field.metadata
        if "choices" in known and value != field.default:
            chosen = pick_choice(field.name, value, known["choices"])
            object.__setattr__(settings, field.name, chosen)
        _check_number(field, value)
        least = known.get("lower_bound")
        if None not in (value, least) and value < least:
            raise UserError(f"{field.name} is {value}: expected {least} or more")


def _check_number(field: dataclasses.Field, value: Any) -> None:
    """Refuses what is no number where the field has one, or None where it may."""
    kinds = {*(typing.get_args(field.type) or [field.type])}
    for kind, (accepted, what) in _NUMBERS.items():
        is_none = value is None and types.NoneType in kinds
        if kinds - {types.NoneType} == {kind} and not (
            is_none or isinstance(value, accepted)
        ):
            raise UserError(f"{field.name} is {value!r}: expected {what}")


def pick_choice(name: str, value: str, choices: Iterable[_Text]) -> _Text:
    """Returns the choice that is meant, or refuses what is none of a few words."""
    return naming.pick(value, choices, f"{name} is {value!r}")


def explained(cls: type[_Class]) -> type[_Class]:
    """Decorates a dataclass of settings.

    Its docstring gets what each means, and a wrong name is told with the nearest one.
    """
    known = [each.name for each in dataclasses.fields(typing.cast(Any, cls))]
    make = cls.__init__

    @functools.wraps(make)
    def init(self, *values: Any, **named: Any) -> None:
        for name in named:
            if name not in known:
                raise UserError(
                    f"{cls.__name__} has no setting {name!r}: expected one of "
                    f"{', '.join(known)}{naming.did_you_mean(name, known)}"
                )
        make(self, *values, **named)

    cls.__init__ = init  # type: ignore[method-assign]
    # Python may have dropped the docstrings.
    if cls.__doc__:
        doc = inspect.cleandoc(cls.__doc__)
        heading = "" if "\nAttributes:\n" in doc else "\nAttributes:\n"
        cls.__doc__ = f"{doc}\n{heading}{_explanations(cls)}\n"
    return cls


def takes(
    settings: type, *, except_: Collection[str] = ()
) -> Callable[[_Function], _Function]:
    """Decorates a function whose **keywords are fields of a dataclass of settings.

    help() and notebooks then show each in the signature, and its meaning in the place
    of the line on **keywords in the docstring.
    """

    def decorate(function: _Function) -> _Function:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        taken = {*except_, *signature.parameters}
        fields = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=field.type,
            )
            for field in dataclasses.fields(settings)
            if field.name not in taken
        ]
        vars(function)["__signature__"] = signature.replace(parameters=[*own, *fields])
        function.__doc__ = re.sub(
            r"(?m)^  \*\*options:.*(\n    .*)*$",
            lambda line: _explanations(settings, taken),
            inspect.cleandoc(function.__doc__ or ""),
        )
        return function

    return decorate


def _explanations(settings: Any, left_out: Collection[str] = ()) -> str:
    return "\n".join(
        textwrap.fill(
            f"{field.name}: {field.metadata['help']}",
            88,
            initial_indent="  ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )
        for field in dataclasses.fields(settings)
        if "help" in field.metadata and field.name not in left_out
    )
