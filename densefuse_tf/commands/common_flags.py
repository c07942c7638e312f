"""Flags made from the fields of settings, and flags that several commands have."""

import dataclasses
import os
import types
import typing
from collections.abc import Collection, Iterable, Sequence
from typing import Any, TypeVar

from absl import flags

from densefuse_tf import naming
from densefuse_tf.errors import UserError

# A flag counts as the command's own, under whose name --help lists it.
flags.disclaim_key_flags()

_Settings = TypeVar("_Settings")


def define(
    settings: type,
    flag_values: flags.FlagValues,
    *,
    except_: Collection[str] = (),
) -> None:
    """Defines a flag for each field of a dataclass.

    The flag has the field's name and default. The field's type decides what is parsed:
    bool, int, float, a tuple of strings (separated by commas), a path where os.PathLike
    is allowed, anything else as a string; "or None" is allowed with each. The field's
    metadata hold "help", and where they apply "choices", the strings that are allowed,
    "bare", the value of a flag with choices that is given without one, and
    "lower_bound".

    Args:
      settings: The dataclass.
      flag_values: The flags of the command.
      except_: Names of fields that get none.
    """
    for field in dataclasses.fields(settings):
        if field.name not in except_:
            _define(field, typing.get_type_hints(settings)[field.name], flag_values)


def read(
    settings: type[_Settings], flag_values: flags.FlagValues, **others: Any
) -> _Settings:
    """Makes the settings out of the values of the flags that `define` defined.

    Args:
      settings: The dataclass.
      flag_values: The flags of the command, parsed.
      **others: Fields whose value is not that of a flag.

    Returns:
      The settings. Fields without a flag that `others` does not name have their
      default.

    Raises:
      UserError: The flag of a field without a default is not given.
    """
    values = dict(others)
    for field in dataclasses.fields(typing.cast(Any, settings)):
        if field.name in values or field.name not in flag_values:
            continue
        flag = flag_values[field.name]
        if _default(field) is dataclasses.MISSING:
            text = field.metadata["help"].rstrip(".")
            required(flag, f"{text[0].lower()}{text[1:]}")
        value = flag.value
        values[field.name] = tuple(value) if isinstance(value, list) else value
    return settings(**values)


def required(flag: flags.FlagHolder | flags.Flag, expected: str) -> Any:
    """Returns the value of a flag, or refuses a command line without one."""
    if not flag.value:
        raise UserError(f"--{flag.name} is missing: expected {expected}")
    return flag.value


def refuse(values: flags.FlagValues, names: Iterable[str], why: str) -> None:
    """Refuses a command line that has one of some flags: "--fps goes with a video"."""
    for name in names:
        if values[name].present:
            raise UserError(f"--{name} {why}")


class _PathParser(flags.ArgumentParser):
    """Takes a path; ~ is the home folder, which shells leave alone behind a =."""

    def parse(self, argument: str) -> str:
        return os.path.expanduser(argument)


def define_path(
    name: str, text: str, values: flags.FlagValues, default: str | None = None
) -> flags.FlagHolder:
    """Defines a flag that takes the path of a file or a folder, or a pattern."""
    return flags.DEFINE(_PathParser(), name, default, text, flag_values=values)


def define_paths(name: str, text: str, values: flags.FlagValues) -> flags.FlagHolder:
    """Defines a flag that may be given several times, each time with a path."""
    serializer: flags.ArgumentSerializer = flags.ArgumentSerializer()
    return flags.DEFINE_multi(
        _PathParser(), serializer, name, None, text, flag_values=values
    )


def define_ir_and_vis(
    values: flags.FlagValues,
) -> tuple[flags.FlagHolder, flags.FlagHolder]:
    """Defines --ir and --vis: where the two images of each pair are."""
    text = "{} images: a file, a folder or a glob pattern."
    return (
        define_path("ir", text.format("Infrared"), values),
        define_path("vis", text.format("Visible"), values),
    )


def define_choice(
    name: str,
    default: str | None,
    choices: Sequence[str],
    text: str,
    values: flags.FlagValues,
    *,
    bare: str | None = None,
) -> flags.FlagHolder:
    """Defines a flag that is one of some strings, in any case and with - or _.

    With `bare` it may be given without a value, which is then that one.
    """
    flag = flags.Flag(
        _ChoiceParser(choices, bare),
        flags.ArgumentSerializer(),
        name,
        default,
        f"<{'|'.join(choices)}>: {text}",
        boolean=bare is not None,
    )
    return flags.DEFINE_flag(flag, values)


def define_ranges(text: str, values: flags.FlagValues) -> tuple[flags.FlagHolder, ...]:
    """Defines --ir_range and --vis_range; `text` is the rest of their description."""
    return tuple(
        flags.DEFINE_string(
            f"{name}_range",
            None,
            f"The {kind} values that become 0 and 255{text}",
            flag_values=values,
        )
        for name, kind in (("ir", "infrared"), ("vis", "visible"))
    )


def value_range(flag: flags.FlagHolder):
    """Returns a flag's value range as `pixels.to_pixel_range` takes it."""
    # Brings NumPy along, which --help does without.
    from densefuse_tf.io import pixels

    if flag.value is None:
        return None
    try:
        return pixels.parse_range(flag.value)
    except UserError as error:
        raise UserError(f"--{flag.name}: {error}") from error


def options(texts: Sequence[str], form: str = "OPTION=VALUE") -> dict[str, str]:
    """Reads --method_options, OPTION=VALUE each, into the values by option.

    `form` is what an error says was expected.
    """
    result: dict[str, str] = {}
    for text in texts:
        option, equals, value = text.partition("=")
        option = option.strip()
        if not (option and equals):
            raise UserError(f"--method_options has {text!r}: expected {form}")
        if option in result:
            raise UserError(f"--method_options has {option} twice")
        # Some options are paths, and no other value begins with ~.
        result[option] = os.path.expanduser(value)
    return result


def options_by_method(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """Sorts --method_options, METHOD.OPTION=VALUE each, by their fusion methods."""
    result: dict[str, dict[str, str]] = {}
    form = "METHOD.OPTION=VALUE"
    for key, value in options(texts, form).items():
        method, dot, option = key.partition(".")
        if not (method and dot and option):
            raise UserError(
                f"--method_options has {f'{key}={value}'!r}: expected {form}"
            )
        result.setdefault(method, {})[option] = value
    return result


class _ChoiceParser(flags.EnumParser):
    """Parses one of some strings, in any case and with - or _.

    A flag without a value is taken as `bare`, where that is given.
    """

    def __init__(self, choices: Sequence[str], bare: str | None):
        super().__init__(list(choices))
        self._bare = bare

    def parse(self, argument: str) -> Any:
        if self._bare is not None:
            # What absl makes of --flag and --noflag.
            if argument == "false":
                return None
            if argument == "true":
                return self._bare
        return super().parse(naming.find(argument, self.enum_values) or argument)


def _default(field: dataclasses.Field) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _define(field: dataclasses.Field, hint: Any, values: flags.FlagValues) -> None:
    default = _default(field)
    default = None if default is dataclasses.MISSING else default
    text = field.metadata["help"]
    limits = {k: v for k, v in field.metadata.items() if k == "lower_bound"}
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    kinds = set(typing.get_args(hint)) if is_union else {hint}
    kinds.discard(type(None))
    if "choices" in field.metadata:
        choices, bare = field.metadata["choices"], field.metadata.get("bare")
        define_choice(field.name, default, choices, text, values, bare=bare)
    elif kinds == {bool}:
        flags.DEFINE_bool(field.name, default, text, flag_values=values)
    elif kinds == {int}:
        flags.DEFINE_integer(field.name, default, text, flag_values=values, **limits)
    elif kinds == {float}:
        flags.DEFINE_float(field.name, default, text, flag_values=values, **limits)
    elif all(typing.get_origin(kind) is tuple for kind in kinds):
        default = None if default is None else list(default)
        flags.DEFINE_list(field.name, default, text, flag_values=values)
    elif os.PathLike in kinds:
        define_path(field.name, text, values, default)
    else:
        flags.DEFINE_string(field.name, default, text, flag_values=values)
