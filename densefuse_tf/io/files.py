"""Opens files that are read; writes others so that no kill leaves half of one.

A killed run may leave a hidden file or folder, .densefuse_*, beside the final name. The
first time a later process writes into that folder, it removes those that nobody has
changed for a day.
"""

import contextlib
import errno
import os
import pathlib
import shutil
import stat
import tempfile
import time
from collections.abc import Collection, Iterator
from typing import IO, BinaryIO

from densefuse_tf.errors import UserError

# The final name is no part of it, since that may be as long as a name can be.
PREFIX = ".densefuse_"
# Far longer than another process or machine takes to write any file.
_ABANDONED_SECONDS = 24 * 60 * 60
# A disk with less room, in bytes, is full.
_LEAST_ROOM = 2**20
# In these folders this process has removed what was abandoned.
_cleaned: set[str] = set()
# File systems that know no hard links say one of these.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


def open_to_read(path: str | os.PathLike, expected: str) -> BinaryIO:
    """Opens a regular file; a pipe or a device could keep the reader waiting for ever.

    Args:
      path: The file.
      expected: What it should be, for the message: "an image file".

    Raises:
      UserError: It is a folder, a pipe, a device, or a link to nothing, or cannot be
        opened.
    """
    name = os.fspath(path)
    try:
        status = os.stat(path) if os.path.exists(path) else os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            what = f"a link to {os.readlink(name)}, which is missing"
        elif stat.S_ISDIR(status.st_mode):
            what = "a folder"
        elif stat.S_ISREG(status.st_mode):
            return open(path, "rb")
        else:
            what = "not a regular file"
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{name}: cannot be read: {reason}") from error
    raise UserError(f"{name}: is {what}: expected {expected}")


def temporary_file() -> IO[bytes]:
    """Opens a file without a name, in the temporary folder.

    Raises:
      UserError: There is no such folder that can be written.
    """
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise UserError(
            f"no temporary folder can be written ({error.strerror or error}): expected "
            "one, which TMPDIR may name"
        ) from error


@contextlib.contextmanager
def replacing(
    path: str | os.PathLike, *, overwrite: bool = True
) -> Iterator[pathlib.Path]:
    """Yields a temporary path beside `path` that is renamed to it on success.

    The temporary name keeps the suffix of `path`, since writers choose the format by
    it. If the body raises, the temporary file is removed and `path` stays as it was.

    Args:
      path: The final name. Its folder is made when it is missing. A file that is
        there is replaced, unless it is read-only: its owner wants to keep it, and a
        rename would not notice.
      overwrite: Whether a file that is there is replaced, also one that has come while
        this one was written.

    Yields:
      A path in the same folder, so that the rename is atomic.
    """
    path = pathlib.Path(path)
    try:
        if overwrite:
            check_replaceable(path)
        else:
            check_free(path)
        _prepare(path.parent)
        temporary = _temporary(path)
        # Made here, it has the rights that files have in this folder.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield temporary
        if overwrite:
            os.replace(temporary, path)
        else:
            _take_free_name(temporary, path)
    except UserError:
        raise
    except Exception as error:
        raise _of_writing(error, path, temporary) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def creating_folder(
    path: str | os.PathLike, *, replacing: Collection[str] = ()
) -> Iterator[pathlib.Path]:
    """Yields a temporary folder beside `path` that is renamed to it on success.

    If the body raises, the temporary folder is removed.

    Args:
      path: The final name. Its parent is made when it is missing.
      replacing: Names of files. A folder at `path` that holds no others is replaced;
        by default `path` must be free.

    Yields:
      A folder with the same parent; its name starts with a dot.
    """
    path = pathlib.Path(path)
    check_folder(path, replacing)
    try:
        _prepare(path.parent)
        temporary = _temporary(path)
        temporary.mkdir()
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield temporary
        check_folder(path, replacing)
        if replacing:
            _rename_folder(temporary, path)
        else:
            # A folder with anything in it is never replaced so.
            os.rename(temporary, path)
    except UserError:
        raise
    except Exception as error:
        raise _of_writing(error, path, temporary) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def is_there(path: str | os.PathLike) -> bool:
    """Returns whether a file is at `path`, or a folder with something in it."""
    if os.path.isdir(path):
        return bool(os.listdir(path))
    return os.path.exists(path)


def check_free(path: str | os.PathLike) -> None:
    """Refuses a path that exists."""
    if os.path.lexists(path):
        raise UserError(f"{path}: exists, and is not overwritten: choose a new name")


def check_folder(path: str | os.PathLike, replacing: Collection[str]) -> None:
    """Refuses a path that `creating_folder` would not give to its folder.

    It exists, and is no folder, or one that holds something else than files of these
    names; or one of them is read-only.
    """
    path = pathlib.Path(path)
    if not replacing or not path.is_dir() or path.is_symlink():
        check_free(path)
        return
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise cannot_write(path, error) from error
    for entry in entries:
        if entry.name not in replacing:
            raise UserError(
                f"{path}: exists, and is not replaced, since {entry.name} in it is no "
                "earlier result: choose a new name"
            )
        check_replaceable(entry)


def _rename_folder(folder: pathlib.Path, path: pathlib.Path) -> None:
    """Gives a folder its final name, which another folder may have."""
    if not path.is_dir():
        os.rename(folder, path)
        return
    aside = _temporary(path)
    os.rename(path, aside)
    try:
        os.rename(folder, path)
    except OSError:
        os.rename(aside, path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _temporary(path: pathlib.Path) -> pathlib.Path:
    """Returns a new name beside `path`, with its suffix."""
    return path.with_name(f"{PREFIX}{os.urandom(8).hex()}{path.suffix}")


def _take_free_name(temporary: pathlib.Path, path: pathlib.Path) -> None:
    """Gives a file its final name if nobody has it, in one step."""
    try:
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # Whoever makes the name has it.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            os.replace(temporary, path)
    except FileExistsError:
        check_free(path)
        raise


def _prepare(folder: pathlib.Path) -> None:
    """Makes a missing folder, and removes what killed processes left in it."""
    folder.mkdir(parents=True, exist_ok=True)
    real = os.path.realpath(folder)
    if real in _cleaned:
        return
    _cleaned.add(real)
    remove_abandoned(folder, f"{PREFIX}*")


def remove_abandoned(folder: str | os.PathLike, pattern: str) -> None:
    """Removes files and folders of this user that nobody has changed for a day."""
    latest = time.time() - _ABANDONED_SECONDS
    for left in pathlib.Path(folder).glob(pattern):
        # Another process may do the same; and what cannot be removed does no harm.
        with contextlib.suppress(OSError):
            status = left.lstat()
            if status.st_mtime > latest or status.st_uid != os.geteuid():
                continue
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()


def check_replaceable(path: str | os.PathLike) -> None:
    """Refuses what `replacing` would not replace: a folder or a read-only file."""
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


def make_folder(folder: pathlib.Path) -> None:
    """Makes the folder if it is missing, and refuses one that cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise cannot_write(folder, error) from error


def cannot_write(path: str | os.PathLike, error: OSError) -> UserError:
    """Makes the error of a `path` that could not be written."""
    reason = error.strerror or error
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        reason = "a part of this path is a file, where a folder was expected"
    return UserError(f"{path}: cannot be written: {reason}")


def is_full(folder: str | os.PathLike) -> bool:
    """Whether a disk has no room any more, whatever a library says of it."""
    # The folder may have vanished.
    return os.path.isdir(folder) and shutil.disk_usage(folder).free < _LEAST_ROOM


def _of_writing(
    error: Exception, path: pathlib.Path, temporary: pathlib.Path
) -> Exception:
    """Returns the error of a body that writes `temporary`, as users should see it."""
    if isinstance(error, OSError) and not _is_of_another(error, path, temporary):
        if error.errno is not None or not is_full(path.parent):
            return cannot_write(path, error)
    if not isinstance(error, MemoryError) and is_full(path.parent):
        return cannot_write(path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    return error


def _is_of_another(error: OSError, path: pathlib.Path, temporary: pathlib.Path) -> bool:
    """Returns whether an error in the body names another file than these two."""
    if error.filename is None:
        return False
    named = pathlib.Path(error.filename)
    return named != path and not named.is_relative_to(temporary)
