"""Logs what is found in one of many files.

A command shows the first lines of each kind as they come, and counts the others at its
end: a fault that one file has is often that of a thousand.
"""

import re
from typing import Any

from absl import logging

# The first lines of a kind that are shown.
SHOWN = 20
_KIND = "kind_of_line"
_NUMBER = re.compile(r"[0-9][0-9.]*")


@logging.skip_log_prefix
def info(message: str, name: object, *args: object) -> None:
    """Logs what was done with a file.

    Args:
      message: Its text, with the name of the file first.
      name: The file.
      *args: What else stands in the text.
    """
    logging.info(message, name, *args, extra=_marked(message, args))


@logging.skip_log_prefix
def warning(message: str, name: object, *args: object) -> None:
    """Warns of what a file is like; see `info`."""
    logging.warning(message, name, *args, extra=_marked(message, args))


def kind(record: Any) -> str | None:
    """Returns the kind of a record of the log; None where it is of no file."""
    return getattr(record, _KIND, None)


def _marked(message: str, args: tuple[object, ...]) -> dict[str, str]:
    """Lines are of one kind that differ in the file and in numbers alone."""
    return {_KIND: _NUMBER.sub("0", message % ("", *args))}
