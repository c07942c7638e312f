"""Writing files so that a killed run leaves nothing half-written under a final name."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator

from densefuse_tf.errors import UserError


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary path beside `path` that is renamed to it on success.

    The temporary name keeps the suffix of `path`, since writers choose the format by
    it. If the body raises, the temporary file is removed and `path` stays as it was.

    Args:
      path: The final name. Its folder is made when it is missing.

    Yields:
      A path in the same folder, so that the rename is atomic.

    Raises:
      UserError: The folder cannot be made or written, or the disk is full.
    """
    path = pathlib.Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent
        )
    except OSError as error:
        raise cannot_write(path, error) from error
    os.close(handle)
    temporary = pathlib.Path(name)
    try:
        yield temporary
        # mkstemp makes the file private; results get the usual rights.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is not None and pathlib.Path(error.filename) not in (
            temporary,
            path,
        ):
            raise
        raise cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def cannot_write(path: str | os.PathLike, error: OSError) -> UserError:
    """The line a user reads when `path` could not be written."""
    return UserError(f"{path}: cannot be written: {error.strerror or error}")
