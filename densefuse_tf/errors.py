"""The exceptions of the package, and how a message stays one line."""

import re

# How messages about images of different sizes end.
REGISTER_FIRST = (
    "register and crop them first: fuse.py --register does (docs/registration.md)"
)
# Python counts the last two as ends of lines as well.
_CONTROLS = {
    ord(each): repr(each)[1:-1]
    for each in map(chr, (*range(1, 32), *range(127, 160), 0x2028, 0x2029))
}


def one_line(text: str) -> str:
    """Writes line breaks and what else steers a terminal as escapes.

    A name of a file may have any of them in it.
    """
    return text.translate(_CONTROLS)


def without_passwords(text: str) -> str:
    """Leaves out who logs in, and how, from each address in a text."""
    return re.sub(r"(?<=://)\S*@", "", text)


class UserError(ValueError):
    """A mistake in what the user gave: one line saying what, where, what was expected.

    The commands print the line and exit with status 2; no traceback is shown.
    """

    def __init__(self, line: str):
        super().__init__(one_line(without_passwords(line)))


class PipelineError(UserError):
    """Says in one line why a pipeline of Apache Beam did not come to its end."""
