"""A setting: a field of a dataclass that says what it means.

Flags, the demonstration page and the documents are made of it.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

from densefuse_tf.errors import UserError


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
    """Refuses settings of which a value is none of the choices, or below its bound."""
    for field in dataclasses.fields(settings):
        value, known = getattr(settings, field.name), field.metadata
        if "choices" in known and value != field.default:
            check_choice(field.name, value, known["choices"])
        least = known.get("lower_bound")
        if None not in (value, least) and value < least:
            raise UserError(f"{field.name} is {value}: expected {least} or more")


def check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    """Refuses a setting that is none of a few words."""
    if value not in choices:
        raise UserError(f"{name} is {value!r}: expected one of {', '.join(choices)}")
