"""The exceptions of the package, and the end of several messages."""

# How messages about images of different sizes end.
REGISTER_FIRST = (
    "register and crop them first: fuse.py --register does (docs/registration.md)"
)


class UserError(ValueError):
    """A mistake in what the user gave: one line saying what, where, what was expected.

    The commands print the line and exit with status 2; no traceback is shown.
    """

    def __init__(self, line: str):
        # A name of a file may have line breaks in it.
        super().__init__(line.replace("\n", "\\n").replace("\r", "\\r"))


class PipelineError(UserError):
    """Says in one line why a pipeline of Apache Beam did not come to its end."""
