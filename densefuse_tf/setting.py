"""A setting: a field of a dataclass that says what it means.

Flags, the demonstration page and the documents are made of it.
"""

import dataclasses
from typing import Any


def setting(default: Any, text: str, **known: Any) -> Any:
    """Makes the field of a setting; what is known of it is in its metadata.

    Args:
      default: Its value where none is given.
      text: Says what it means: "help" in the metadata.
      **known: For instance choices, the strings that are allowed; bare, what a flag
        with choices means that is given without one; lower_bound, the least value.
    """
    return dataclasses.field(default=default, metadata={"help": text, **known})
