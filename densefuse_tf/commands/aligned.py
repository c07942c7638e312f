"""The files that fuse.py reads and writes for a registration."""

import pathlib
from collections.abc import Sequence

from densefuse_tf.errors import UserError
from densefuse_tf.pipelines.settings import RegistrationSettings


def inputs(settings: RegistrationSettings) -> list[pathlib.Path]:
    """Returns the files that are read besides the sources."""
    return _given(settings.transform, settings.points)


def outputs(settings: RegistrationSettings) -> list[pathlib.Path]:
    """Returns the files that are written besides the results.

    Raises:
      UserError: The checkerboard's name is not that of an image.
    """
    from densefuse_tf.io import formats

    for path in _given(settings.checkerboard):
        if path.suffix.lower() not in formats.WRITTEN:
            raise UserError(
                f"--checkerboard={path}: expected {', '.join(formats.WRITTEN)}"
            )
    return _given(settings.save_transform, settings.checkerboard)


def write(settings: RegistrationSettings, sources: Sequence, found) -> None:
    """Writes the outputs.

    Args:
      settings: Names them.
      sources: The aligned sources of the first pair, infrared first.
      found: How they were registered.
    """
    if not outputs(settings):
        return
    from densefuse_tf import registration
    from densefuse_tf.io import images

    if settings.save_transform is not None:
        registration.save(settings.save_transform, found)
        print(f"transform: {settings.save_transform}", flush=True)
    if settings.checkerboard is not None:
        picture = registration.checkerboard(sources[-1], sources[0])
        images.write(settings.checkerboard, picture)
        print(f"checkerboard: {settings.checkerboard}", flush=True)


def _given(*paths) -> list[pathlib.Path]:
    return [pathlib.Path(path) for path in paths if path is not None]
