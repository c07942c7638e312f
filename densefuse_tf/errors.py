"""The one exception a user's mistake raises."""


class UserError(ValueError):
    """A mistake in what the user gave: one line saying what, where, what was expected.

    The commands print the line and exit with status 2; no traceback is shown.
    """
