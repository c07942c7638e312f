"""Writes files so that a killed run leaves nothing half-written under a final name.

A killed run may leave a hidden file or folder, .densefuse_*, beside the final name.
"""

import contextlib
import csv
import os
import pathlib
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence

from densefuse_tf.errors import UserError

# The final name is no part of it, since that may be as long as a name can be.
_PREFIX = ".densefuse_"


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary path beside `path` that is renamed to it on success.

    The temporary name keeps the suffix of `path`, since writers choose the format by
    it. If the body raises, the temporary file is removed and `path` stays as it was.

    Args:
      path: The final name. Its folder is made when it is missing. A file that is
        there is replaced, unless it is read-only: its owner wants to keep it, and a
        rename would not notice.

    Yields:
      A path in the same folder, so that the rename is atomic.

    Raises:
      UserError: `path` is a folder or a read-only file, its folder cannot be made or
        written, or the disk is full.
    """
    path = pathlib.Path(path)
    with reporting(path):
        check_replaceable(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            prefix=_PREFIX, suffix=path.suffix, dir=path.parent
        )
        os.close(handle)
        temporary = pathlib.Path(name)
        try:
            yield temporary
            # mkstemp makes the file private; results get the usual rights.
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def creating_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary folder beside `path` that is renamed to it on success.

    If the body raises, the temporary folder is removed.

    Args:
      path: The final name, which must be free. Its parent is made when it is missing.

    Yields:
      A folder with the same parent; its name starts with a dot.

    Raises:
      UserError: `path` exists; the parent cannot be made or written, or the disk is
        full.
    """
    path = pathlib.Path(path)
    check_free(path)
    with reporting(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=_PREFIX, dir=path.parent))
        try:
            yield temporary
            # mkdtemp makes the folder private; results get the usual rights.
            temporary.chmod(0o777 & ~_umask())
            os.rename(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_rows(
    path: str | os.PathLike, header: Sequence[str], rows: Iterable[Sequence]
) -> None:
    """Writes a CSV file in UTF-8, whole or not at all.

    File names that are not UTF-8 keep their bytes.

    Raises:
      UserError: It cannot be written.
    """
    with replacing(path) as temporary:
        with open(
            temporary, "w", newline="", encoding="utf-8", errors="surrogateescape"
        ) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(header)
            writer.writerows(rows)


def check_free(path: str | os.PathLike) -> None:
    """Raises a UserError if the path exists."""
    if os.path.lexists(path):
        raise UserError(f"{path}: exists, and is not overwritten: choose a new name")


def check_replaceable(path: str | os.PathLike) -> None:
    """Raises a UserError if the path is a folder or a read-only file."""
    if os.path.isdir(path):
        raise UserError(f"{path}: cannot be written: it is a folder, not a file")
    if os.path.exists(path) and not os.stat(path).st_mode & stat.S_IWUSR:
        raise UserError(
            f"{path}: cannot be written: it is read-only; choose a new name, or make "
            "it writable"
        )


def check_writable(folder: pathlib.Path) -> None:
    """Creates the folder if it is missing and checks that files can be made in it.

    Raises:
      UserError: They cannot.
    """
    with reporting(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass


@contextlib.contextmanager
def reporting(path: str | os.PathLike) -> Iterator[None]:
    """Turns an OSError in the body into a UserError: `path` cannot be written."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: str | os.PathLike, error: OSError) -> UserError:
    """Makes the error of a `path` that could not be written."""
    reason = error.strerror or error
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        reason = "a part of this path is a file, where a folder was expected"
    return UserError(f"{path}: cannot be written: {reason}")


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
