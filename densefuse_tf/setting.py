"""A setting: a field of a dataclass that says what it means.

Flags, the demonstration page and the documents are made of it.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any


def setting(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] = (),
    bare: str | None = None,
    lower_bound: float | None = None,
) -> Any:
    """Makes the field of a setting, with what is known of it in its metadata.

    Args:
      default: Its value where none is given; `dataclasses.MISSING` where one has to be.
      help: Says what it means.
      choices: The strings that are allowed; by default any.
      bare: What a flag with choices means that is given without a value.
      lower_bound: The least value.
    """
    known = {
        "help": help,
        "choices": choices,
        "bare": bare,
        "lower_bound": lower_bound,
    }
    metadata = {key: value for key, value in known.items() if value not in ((), None)}
    return dataclasses.field(default=default, metadata=metadata)
