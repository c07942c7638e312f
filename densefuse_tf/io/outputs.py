"""Says what may be written: nothing that is read, and nothing twice.

A mistake is found before the work, whatever links and relative paths the names hold.
"""

import array
import contextlib
import itertools
import os
import pathlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.io import files

# A file, what a message calls it, and whether it is read, not written.
Use = tuple[str | os.PathLike, str, bool]


class Clash(NamedTuple):
    """Names a file that must not be written, and what its place is taken by."""

    path: str | os.PathLike
    what: str
    taken_by: str
    is_read: bool


def clash(uses: Callable[[], Iterable[Use]]) -> Clash | None:
    """Finds the first file that would overwrite one that is read, or another one.

    Args:
      uses: Returns the files that are read and written, anew each time: very many are
        looked through several times, and never held. Of a file that is read under
        several names the last counts.

    Returns:
      What was found; None where all may be written.
    """
    real_path = RealPaths()
    hashes = {True: array.array("q"), False: array.array("q")}
    for path, _, is_read in uses():
        hashes[is_read].append(hash(real_path(path)))
    taken, new = np.sort(hashes[True]), np.sort(hashes[False])
    is_taken = np.searchsorted(taken, new, "right") > np.searchsorted(taken, new)
    is_taken[1:] |= new[1:] == new[:-1]
    # The few that seem to occur twice are compared.
    doubtful = set(new[is_taken].tolist())
    if not doubtful:
        return None
    in_doubt = [
        (real, use) for use in uses() if hash(real := real_path(use[0])) in doubtful
    ]
    known = {real: (what, True) for real, (_, what, is_read) in in_doubt if is_read}
    for real, (path, what, is_read) in in_doubt:
        if not is_read:
            if real in known:
                return Clash(path, what, *known[real])
            known[real] = what, False
    return None


def check_pairs(
    pairs: Iterable[tuple[str, ...]],
    others: Iterable[str | os.PathLike] = (),
    inputs: Iterable[str | os.PathLike] = (),
    *,
    overwrite: bool = True,
) -> None:
    """Refuses results of pairs that would overwrite a file that is read, or another.

    Args:
      pairs: The paths of each pair, that of the result first; iterated several times.
      others: More files that the run will write; iterated several times.
      inputs: More files that the run will read.
      overwrite: Whether files that exist are replaced.
    """

    def uses() -> Iterator[Use]:
        for path in inputs:
            yield path, "an input", True
        for output, *sources in pairs:
            yield output, sources[-1], False
            for path in sources:
                yield path, "a source image", True
        for path in others:
            yield path, "another output", False

    found = clash(uses)
    if found is not None and found.is_read:
        raise UserError(
            f"{found.path}: would overwrite {found.taken_by}: choose another"
        )
    if found is not None:
        raise UserError(
            f"{found.path}: would be written twice, for {found.taken_by} and "
            f"{found.what}: give them different names"
        )
    if not overwrite:
        for path in itertools.chain((output for output, *_ in pairs), others):
            files.check_free(path)


def check_folder(
    folder: str | os.PathLike, sources: Iterable[str | os.PathLike]
) -> None:
    """Refuses a folder of results that is one of sources, as they were given.

    The next run would take the results for sources.
    """
    real = os.path.realpath(folder)
    for source in sources:
        if os.path.isdir(source) and os.path.realpath(source) == real:
            raise UserError(
                f"{os.fspath(folder)}: is the folder of a source, and results in it "
                "would be taken for sources by the next run: choose another"
            )


def check_sequence(
    path: str | os.PathLike,
    frames: Collection[str],
    sources: Sequence[str | os.PathLike],
    others: Iterable[str | os.PathLike] = (),
    inputs: Iterable[str | os.PathLike] = (),
    *,
    overwrite: bool = True,
) -> None:
    """Refuses a result of a sequence that would overwrite what it must not.

    Args:
      path: The file of a video, or the folder of `frames`.
      frames: The names of the files in the folder; none for a video.
      sources: The files of the sources, those after which frames are named last.
      others: More files that the run will write.
      inputs: More files that the run will read.
      overwrite: Whether an earlier result is replaced: a video, or a folder that holds
        no other files than these frames.
    """
    path = pathlib.Path(path)
    found = clash(
        lambda: [
            *((each, "an input", True) for each in inputs),
            *((each, "a source", True) for each in sources),
            *((each, "", False) for each in (path, *map(path.joinpath, frames))),
            *((each, "another output", False) for each in others),
        ]
    )
    if found is not None and found.what:
        raise UserError(
            f"{found.path}: would overwrite a source, an input or another output: "
            "choose another name"
        )
    if found is not None and found.is_read:
        raise UserError(
            f"{path}: would overwrite {found.taken_by}: choose another name"
        )
    if found is not None:
        raise UserError(
            f"{found.path}: would be written twice: give the frames in "
            f"{pathlib.Path(sources[-1]).parent} different names"
        )
    if not overwrite:
        files.check_free(path)
    if frames:
        files.check_folder(path, frames)
    else:
        files.check_replaceable(path)


def check_named(
    written: Mapping[str, str | os.PathLike],
    read: Callable[[], Iterable[tuple[str | os.PathLike, str]]],
) -> None:
    """Refuses files named one by one that overwrite one another, or are folders.

    Args:
      written: The files that will be written, by what names them: --csv.
      read: Returns the files that will be read, and what they are.
    """
    found = clash(
        lambda: itertools.chain(
            ((path, what, True) for path, what in read()),
            ((path, name, False) for name, path in written.items()),
        )
    )
    if found is not None:
        over = found.taken_by if found.is_read else f"what {found.taken_by} writes"
        raise UserError(f"{found.what}={found.path}: would overwrite {over}")
    for name, path in written.items():
        if os.path.isdir(path):
            raise UserError(f"{name}={path}: is a folder: expected a file")


class RealPaths:
    """Works as os.path.realpath, for very many files of few folders.

    A folder is looked up once. Which of its files are links is asked file by file, or
    where there are many, by one look at the list of the folder: a disk or a network
    takes long to say it of a million files.
    """

    def __init__(self):
        self._folders: dict[str, _Folder] = {}

    def __call__(self, path: str | os.PathLike) -> str:
        """Returns the real path."""
        folder, slash, name = os.fspath(path).rpartition("/")
        if name in ("", ".", ".."):
            return os.path.realpath(path)
        # The slash tells the root from the working directory.
        folder += slash
        known = self._folders.get(folder)
        if known is None:
            known = self._folders[folder] = _Folder(folder)
        return os.path.realpath(path) if known.has_link(name) else known.real + name


class _Folder:
    """Knows the real path of a folder, and which of its files are links."""

    # Single lookups before the whole folder is read.
    _MOST = 100

    def __init__(self, folder: str):
        self.real = os.path.join(os.path.realpath(folder), "")
        self._asked = 0
        self._links: set[str] = set()

    def has_link(self, name: str) -> bool:
        self._asked += 1
        if self._asked < self._MOST:
            return os.path.islink(self.real + name)
        if self._asked == self._MOST:
            # A folder that is not there yet has none.
            with contextlib.suppress(OSError), os.scandir(self.real) as entries:
                self._links = {each.name for each in entries if each.is_symlink()}
        return name in self._links
