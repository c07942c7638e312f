"""Writing files so that a killed run leaves nothing half-written under a final name.

What it does leave is a hidden file or folder, .densefuse_*, beside the final name. The
first time a later process writes into that folder, it removes those that nobody has
changed for a day.
"""

import contextlib
import csv
import os
import pathlib
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence

from densefuse_tf.errors import UserError

# Not made of the final name, which may be as long as a name can be.
_PREFIX = ".densefuse_"
# Far longer than any file is written for, by another process or on another machine.
_ABANDONED_SECONDS = 24 * 60 * 60
# The folders in which this process has removed what was abandoned.
_cleaned: set[str] = set()


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary path beside `path` that is renamed to it on success.

    The temporary name keeps the suffix of `path`, since writers choose the format by
    it. If the body raises, the temporary file is removed and `path` stays as it was.

    Args:
      path: The final name. Its folder is made when it is missing. A file that is
        there is replaced, unless it is read-only: who made it so wants to keep it,
        and a rename, or root, would not notice.

    Yields:
      A path in the same folder, so that the rename is atomic.

    Raises:
      UserError: `path` is a folder or a read-only file, its folder cannot be made or
        written, or the disk is full.
    """
    path = pathlib.Path(path)
    try:
        check_replaceable(path)
        _prepare(path.parent)
        handle, name = tempfile.mkstemp(
            prefix=_PREFIX, suffix=path.suffix, dir=path.parent
        )
    except OSError as error:
        raise cannot_write(path, error) from error
    os.close(handle)
    temporary = pathlib.Path(name)
    try:
        yield temporary
        # mkstemp makes the file private; results get the usual rights.
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        if _is_of_another(error, path, temporary):
            raise
        raise cannot_write(path, error) from error
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
    try:
        _prepare(path.parent)
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=_PREFIX, dir=path.parent))
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield temporary
        check_free(path)
        # mkdtemp makes the folder private; results get the usual rights.
        temporary.chmod(0o777 & ~_umask())
        os.rename(temporary, path)
    except OSError as error:
        if _is_of_another(error, path, temporary):
            raise
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_free(path: str | os.PathLike) -> None:
    """Refuses a path at which there is something.

    Raises:
      UserError: There is.
    """
    if os.path.lexists(path):
        raise UserError(f"{path}: exists, and is not overwritten: choose a new name")


def _prepare(folder: pathlib.Path) -> None:
    """Makes the folder if need be, and removes what killed processes left in it."""
    folder.mkdir(parents=True, exist_ok=True)
    real = os.path.realpath(folder)
    if real in _cleaned:
        return
    _cleaned.add(real)
    latest = time.time() - _ABANDONED_SECONDS
    for left in folder.glob(f"{_PREFIX}*"):
        # Another process may do the same; and what cannot be removed does no harm.
        with contextlib.suppress(OSError):
            if left.lstat().st_mtime > latest:
                continue
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()


def write_rows(
    path: str | os.PathLike, header: Sequence[str], rows: Iterable[Sequence[str]]
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


def check_replaceable(path: str | os.PathLike) -> None:
    """Refuses a path that `replacing` would refuse for what is there.

    Raises:
      UserError: A folder or a read-only file.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(mode):
        raise UserError(f"{path}: cannot be written: it is a folder, not a file")
    if not mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        raise UserError(
            f"{path}: cannot be written: it is read-only; choose a new name, or make "
            "it writable"
        )


def check_writable(folder: pathlib.Path) -> None:
    """Creates the folder if it is missing and checks that files can be made in it.

    Raises:
      UserError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(path: str | os.PathLike, error: OSError) -> UserError:
    """The line a user reads when `path` could not be written."""
    reason = error.strerror or error
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        reason = "a part of this path is a file, where a folder was expected"
    return UserError(f"{path}: cannot be written: {reason}")


def _is_of_another(error: OSError, path: pathlib.Path, temporary: pathlib.Path) -> bool:
    """Whether an error in the body names a file that is neither of these two."""
    if error.filename is None:
        return False
    named = pathlib.Path(error.filename)
    return named != path and not named.is_relative_to(temporary)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
