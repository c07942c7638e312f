"""Logs what is found in one of many files.

A command shows the first lines of each kind as they come, and counts the others at its
end: a fault that one file has is often that of a thousand.
"""

from typing import Any

from absl import logging

# The first lines of a kind that are shown.
SHOWN = 3
_MARK = "is_of_one_file"


def info(message: str, *args: Any) -> None:
    """Logs what was done with a file; lines of one kind have one message."""
    logging.info(message, *args, extra={_MARK: True})


def warning(message: str, *args: Any) -> None:
    """Warns of what a file is like; lines of one kind have one message."""
    logging.warning(message, *args, extra={_MARK: True})


def kind(record: Any) -> str | None:
    """Returns the kind of a record of the log; None where it is of no file."""
    return record.msg if hasattr(record, _MARK) else None
