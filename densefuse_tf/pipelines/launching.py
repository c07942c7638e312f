"""Finds the runner of Apache Beam that a run asks for."""

import shlex

from densefuse_tf import extras
from densefuse_tf import startup
from densefuse_tf.errors import UserError


def launcher(runner: str, options: str | None):
    """Returns the `beam.Launcher` of a runner and of Beam's options, as typed.

    Raises:
      UserError: A package is missing, or the two are not what Beam takes.
    """
    extras.require("dask" if "dask" in runner.lower() else "beam", "--runner")
    try:
        words = shlex.split(options or "")
    except ValueError as error:
        raise UserError(f"--beam_options: {error}") from error
    # Beam logs while it is imported, and looks for parts that are not needed here.
    with startup.hushed():
        from densefuse_tf.pipelines import beam
    return beam.Launcher(runner, words)
