"""Runs a pipeline of Apache Beam for a command: its options, its bar."""

import contextlib
import os
import shlex
from collections.abc import Callable, Iterator

from densefuse_tf import extras
from densefuse_tf import startup
from densefuse_tf.commands import progress
from densefuse_tf.errors import UserError


def launcher(name: str, options: str | None):
    """Returns the `beam.Launcher` that --runner and --beam_options ask for.

    Raises:
      UserError: A package is missing, or the two are not what Beam takes.
    """
    extras.require("dask" if "dask" in name.lower() else "beam", "--runner")
    try:
        words = shlex.split(options or "")
    except ValueError as error:
        raise UserError(f"--beam_options: {error}") from error
    # Beam logs while it is imported, and looks for parts that are not needed here.
    with startup.hushed():
        from densefuse_tf.pipelines import beam
    return beam.Launcher(name, words)


@contextlib.contextmanager
def with_bar(launcher, count: int, unit: str) -> Iterator[Callable[[int], object]]:
    """Shows a bar while a pipeline runs, and nothing of what the runner prints here.

    Args:
      launcher: The `beam.Launcher`.
      count: The number of items of work.
      unit: What they are called, for the bar.

    Yields:
      What moves the bar on by a number of items.
    """
    with contextlib.ExitStack() as stack:
        # The bar goes where standard error went before it is hushed.
        stderr = stack.enter_context(os.fdopen(os.dup(2), "w"))
        shown = stack.enter_context(
            contextlib.closing(progress.bar(None, count, unit, file=stderr))
        )
        if launcher.prints_here:
            stack.enter_context(startup.hushed())
        yield shown.update
