"""Finds image files in folders and by patterns, and pairs those of several sources."""

import array
import glob
import itertools
import os
import pathlib
import re
import shlex
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

import numpy as np
from absl import logging

from densefuse_tf.errors import UserError
from densefuse_tf.errors import one_line
from densefuse_tf.io import formats
from densefuse_tf.io import outputs
from densefuse_tf.io.streamed import Made
from densefuse_tf.io.streamed import Streamed
from densefuse_tf.io.streamed import in_order

# What comes behind the integer where a name is a decimal number.
_FRACTION = re.compile(r"(?<![^/])[0-9]+(\.[0-9]+)\Z")
# A number, or a part of one, that ends what names begin with, or begins what they end
# with. A minus behind a letter or a digit is a hyphen.
_LAST_NUMBER = re.compile(r"((?<![^\W_])-)?([0-9][0-9.]*)?\Z")
_FIRST_NUMBER = re.compile(r"\A[0-9.]*[0-9]")
# The digits behind a point are compared as if they were so many: no name is longer.
_DECIMALS = 255
# A line shows so many names at most.
_SHOWN = 3
# So many subfolders are searched for what a folder itself has not.
_MAX_FOLDERS = 100
# Names that are made anew each time.
_Names = Callable[[], Iterator[str]]
# What tells by a key of each path which images belong together.
_Key = Callable[[Iterable[str]], Iterator[Hashable]]


def find(
    source: str | os.PathLike,
    *,
    suffixes: Sequence[str] = formats.READ,
    in_subfolders: bool = False,
) -> list[pathlib.Path]:
    """Finds the image files that `source` stands for, in natural sort order.

    Natural order compares runs of digits as numbers, so IR2 comes before IR10, names
    that are decimal numbers as such, so 17.05 comes before 17.1, and letters without
    regard to case and to how accents are encoded. Outside of subfolders, names are
    decimal numbers also where all begin or end with the same text, as 17.05_ir.

    Args:
      source: A file, a folder or a glob pattern (`**` for any depth). Of a folder, and
        of a pattern's matches, the files with one of the suffixes in any case are
        taken; hidden files (.name) are not. A single file is taken whatever its name.
      suffixes: Which files of a folder are images.
      in_subfolders: Take the images of a folder's subfolders as well.

    Returns:
      One path or more.

    Raises:
      UserError: Nothing is there, or no image in it, or the folder cannot be read.
    """
    found = _images(source, suffixes, in_subfolders)
    # The order of training photographs, as of others in subfolders, stays for good.
    ordered = in_order(found, _natural) if in_subfolders else _in_order(found)
    return [pathlib.Path(path) for path in ordered]


def _images(
    source: str | os.PathLike,
    suffixes: Sequence[str] = formats.READ,
    in_subfolders: bool = False,
) -> Iterator[str]:
    """Yields the images of `find` in any order, a folder's as it is read."""
    source = os.fspath(source)
    if not source:
        raise UserError(
            "the path of an image is empty: expected a file, a folder or a glob pattern"
        )
    what = "nothing"
    try:
        if os.path.isdir(source):
            where = "the folder has"
            entries = (
                map(_Entry, _glob(f"{glob.escape(source)}/**"))
                if in_subfolders
                else os.scandir(source)
            )
        elif os.path.lexists(source):
            yield source
            return
        elif glob.has_magic(source):
            where = "the pattern matches"
            entries = map(_Entry, _glob(source))
        else:
            raise UserError(f"{source}: no such file or folder")
        for entry in entries:
            if what != "images":
                what = "no image"
            if (
                os.path.splitext(entry.name)[1].lower() in suffixes
                and not entry.name.startswith(".")
                and not entry.is_dir()
            ):
                what = "images"
                yield entry.path
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{source}: cannot be read: {reason}") from error
    if what != "images":
        raise UserError(
            f"{source}: {where} {what}: expected files named {', '.join(suffixes)}"
            + _in_subfolders(source, suffixes)
        )


def _in_subfolders(source: str, suffixes: Sequence[str]) -> str:
    """Says how the images of a folder's subfolders are given; "" if there are none."""
    # A whole disk would take long: the first folders have to do.
    folders = itertools.islice(os.walk(source), _MAX_FOLDERS)
    for _, _, names in folders:
        for name in names:
            if name.lower().endswith(tuple(suffixes)) and not name.startswith("."):
                # Some shells would take the stars for their own.
                pattern = shlex.quote(f"{glob.escape(source.rstrip('/'))}/**")
                return f"; {pattern} takes those of its subfolders"
    return ""


class _Entry:
    """Stands for a path as os.scandir's entries do."""

    def __init__(self, path: str):
        self.path = path
        self.name = os.path.basename(path)

    def is_dir(self) -> bool:
        """Returns whether the path is a folder, or a link to one."""
        return os.path.isdir(self.path)


def _glob(pattern: str) -> list[str]:
    """Works as glob.glob, but enters a folder once: links may make rings of folders."""
    parts = pattern.split("/")
    if "**" not in parts:
        return glob.glob(pattern)
    deep = parts.index("**")
    head, tail = "/".join(parts[:deep]), "/".join(parts[deep + 1 :])
    bases = glob.glob(head) if head else ["/" if deep else "."]
    seen, found = set(), {}
    for base in sorted(bases):
        for folder, folders, _ in os.walk(base, followlinks=True):
            real = os.path.realpath(folder)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            inner = os.path.join(glob.escape(folder), tail or "*")
            found.update(dict.fromkeys(_glob(inner)))
    return list(found)


def pair(
    sources: Sequence[str | os.PathLike],
) -> Made[tuple[pathlib.Path, ...]]:
    """Matches the images of k sources by their names, in natural order of the first.

    Where names do not say which images belong together, the first is matched with the
    first. What may be a mistake is logged as a warning: images that are matched with
    such of another name; an image that is several of the sources.

    Of very many images the list lies in a temporary file, as long as their names match:
    what the warning or an error says of names that do not is found out in memory.

    Args:
      sources: k >= 2 files, folders or glob patterns, as for `find`.

    Returns:
      One tuple of k paths for each scene, made of their texts.

    Raises:
      UserError: Fewer than two sources, they hold different numbers of images, or all
        sources of a scene are the same file.
    """
    if len(sources) < 2:
        raise UserError(f"{len(sources)} source given: expected two or more to fuse")
    found = [_in_order(_images(source)) for source in sources]
    count = len(found[0])
    if all(len(paths) == count for paths in found):
        matched, other = _by_name(found)
        refuse_one_file(zip(*matched, strict=True))
        if other:
            logging.warning(
                "names do not match in %d of %d pairs, which are matched by their "
                "order: %s; check that they belong together",
                len(other),
                count,
                _some(other),
            )
        return Made(_paths, Streamed(lambda: zip(*matched, strict=True), count))
    counts = ", ".join(
        f"{os.fspath(source)} has {len(paths)}"
        for source, paths in zip(sources, found, strict=True)
    )
    lonely = _without_partner(found)
    if not any(recur(_stems(paths)) for paths in found):
        lonely = list(dict.fromkeys(map(os.path.basename, lonely)))
    raise UserError(
        f"the sources have different numbers of images: {counts}; without partner: "
        f"{_some(lonely)}; expected one image of each source for every scene"
    )


def _paths(texts: Iterable[str]) -> tuple[pathlib.Path, ...]:
    return tuple(map(pathlib.Path, texts))


def refuse_one_file(scenes: Iterable[tuple[str | os.PathLike, ...]]) -> None:
    """Refuses a scene whose sources are all one file; warns of one that is several.

    Args:
      scenes: The files of each scene, one of each source.

    Raises:
      UserError: The files of a scene are all the same.
    """
    several: list[str] = []
    real_path = outputs.RealPaths()
    for paths in scenes:
        count = len(set(map(real_path, paths)))
        if count == 1:
            raise UserError(
                f"{paths[0]}: is given as each of the {len(paths)} sources: expected "
                "different images of one scene"
            )
        if count < len(paths) and len(several) <= _SHOWN:
            several.append(_joined(paths))
    if several:
        logging.warning("the same file is several of the sources: %s", _some(several))


def _by_name(
    found: Sequence[Streamed[str]],
) -> tuple[Sequence[Sequence[str]], list[str]]:
    """Matches images by what their names have in common.

    Returns:
      The images of each source; which pairs, matched by their order, have names that do
      not match.
    """
    if any(_all_agree([keys_of(paths) for paths in found]) for keys_of in _KEYS):
        return found, []
    count = len(found[0])
    keys, common = _keys(found)
    if len(common) == count:
        places = [
            dict(zip(*each, strict=True)) for each in zip(keys, found, strict=True)
        ]
        return [[own[key] for key in keys[0]] for own in places], []
    # There is one way to match single images.
    keys = keys or [list(_stems(paths)) for paths in found]
    pairs = zip(zip(*found, strict=True), zip(*keys, strict=True), strict=True)
    other = [_joined(paths) for paths, own in pairs if len(set(own)) > 1]
    return found, other if count > 1 else []


def _all_agree(keys: Sequence[Iterable[Hashable]]) -> bool:
    """Returns whether the images of each scene have one key, and each scene another.

    Holds 8 bytes a scene.
    """
    hashes = array.array("q")
    for own in zip(*keys, strict=True):
        if len(set(own)) > 1:
            return False
        hashes.append(hash(own[0]))
    return len(np.unique(hashes)) == len(hashes)


def _joined(paths: Sequence[str | os.PathLike]) -> str:
    return " + ".join(map(str, paths))


def _some(names: Sequence[str]) -> str:
    text = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    # A log takes one line of valid text, whatever bytes a file's name has.
    return one_line(text.encode(errors="backslashreplace").decode())


def _natural(path: str | os.PathLike) -> str:
    """Returns a text by which paths are in natural order.

    A run of digits is compared by its length and digits, as a number of any length is,
    and comes before any other character. Names have no null character.
    """
    # The suffix apart, so that x.png comes before x1.png.
    stem = _folded(os.path.splitext(os.fspath(path))[0])
    # Digits behind a point are compared one by one.
    fraction = _FRACTION.search(stem)
    end = fraction.start(1) if fraction else len(stem)
    return re.sub("[0-9]+", _number, stem[:end]) + stem[end:]


def _folded(name: str) -> str:
    # File systems write é as one character or as two.
    return unicodedata.normalize("NFC", name.casefold())


def _number(digits: re.Match) -> str:
    value = digits.group().lstrip("0")
    return f"\0{len(value):05}{value}"


def _in_order(paths: Iterable[str]) -> Streamed[str]:
    """Sorts paths by their decimal numbers, or else in natural order."""
    found = in_order(paths, _natural)
    decimal = _decimal(found)
    if decimal is None:
        return found
    return in_order(found, lambda path: (_natural(_folder(path)), decimal(path)))


def _decimal(paths: Iterable[str]) -> Callable[[str], int] | None:
    """Returns what reads a path's decimal number, where all names have one.

    That is what is left of a name without what all begin and end with. Numbers are
    scaled to integers. Where two are the same (1.1 and 1.10), they are no decimals.
    """
    if not any("." in stem for stem in _stems(paths)):
        return None
    start = _LAST_NUMBER.sub("", _common_start(lambda: _stems(paths)))
    rests = _backwards(lambda: (stem[len(start) :] for stem in _stems(paths)))
    end = _FIRST_NUMBER.sub("", _common_start(rests)[::-1])
    name = re.compile(
        rf"{re.escape(start)}-?[0-9]+(\.[0-9]+)?{re.escape(end)}", re.DOTALL
    )
    has_point = False
    for stem in _stems(paths):
        match = name.fullmatch(stem)
        if match is None:
            return None
        has_point = has_point or match[1] is not None

    def decimal(path: str) -> int:
        rest = next(_stems([path]))[len(start) :].removesuffix(end)
        whole, _, fraction = rest.partition(".")
        return int(whole + fraction.ljust(_DECIMALS, "0"))

    hashes = array.array("q", (hash((_folder(path), decimal(path))) for path in paths))
    return decimal if has_point and len(np.unique(hashes)) == len(hashes) else None


def _folder(path: str) -> str:
    return path[: path.rfind("/") + 1]


def _without_partner(found: Sequence[Sequence[str]]) -> list[str]:
    """Returns the images that other sources lack, by name or else by place."""
    keys, common = _keys(found)
    if common:
        return [
            path
            for own, paths in zip(keys, found, strict=True)
            for key, path in zip(own, paths, strict=True)
            if key not in common
        ]
    shortest = min(map(len, found))
    return [path for paths in found for path in paths[shortest:]]


def _keys(
    found: Sequence[Sequence[str]],
) -> tuple[list[list[Hashable]], set[Hashable]]:
    """Finds what the names of the same scene have in common.

    That is the whole name, or what is left of it without what all names of a source
    begin and end with ("_ir"), or its numbers, or one of these with the folders that
    differ: of these what most images share.

    Returns:
      The key of each image of each source, and the keys that all sources have; none
      where no choice of keys tells the images of each source apart.
    """
    best: tuple[list[list[Hashable]], set[Hashable]] = ([], set())
    for keys_of in _KEYS:
        keys = [list(keys_of(paths)) for paths in found]
        common = set.intersection(*map(set, keys))
        are_unique = all(len(set(own)) == len(own) for own in keys)
        if are_unique and len(common) > len(best[1]):
            best = keys, common
    return best


def recur(names: Iterable[Hashable]) -> bool:
    """Returns whether one of many names is there twice; keeps a number for each."""
    hashes = np.fromiter(map(hash, names), np.int64)
    return len(np.unique(hashes)) < len(hashes)


def _stems(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        name = _folded(path[path.rfind("/") + 1 :])
        dot = name.rfind(".")
        yield name[:dot] if dot > 0 else name


def _numbers(paths: Iterable[str]) -> Iterator[tuple[str | int, ...]]:
    # 7 and 007 are the same, behind a point they are not.
    runs = re.compile(r"(?<=[0-9]\.)([0-9]+)|([0-9]+)")
    for stem in _stems(paths):
        yield tuple(behind or int(whole) for behind, whole in runs.findall(stem))


def _or_decimals(keys_of: _Key) -> _Key:
    """Takes decimal numbers for keys where all names have one: never a part of it."""

    def keys(paths: Iterable[str]) -> Iterator[Hashable]:
        decimal = _decimal(paths)
        return keys_of(paths) if decimal is None else map(decimal, paths)

    return keys


def _and_folders(keys_of: _Key) -> _Key:
    """Takes the folders of a path for a part of its key, those that tell it apart."""

    def keys(paths: Iterable[str]) -> Iterator[Hashable]:
        return zip(map(_folded, own_folders(paths)), keys_of(paths), strict=True)

    return keys


def own_folders(paths: Iterable[str]) -> Iterator[str]:
    """Yields the folders of each path that are not those of all, with slashes between.

    Of set0/lwir/1.png and set1/lwir/1.png these are set0 and set1.

    Args:
      paths: One or more, which are iterated several times.
    """
    shared = dict(enumerate(next(_folders(paths))))
    for folders in _folders(paths):
        shared = dict(shared.items() & dict(enumerate(folders)).items())
    for folders in _folders(paths):
        own = (part for place, part in enumerate(folders) if place not in shared)
        # A result lies in none of the folders above that of the results.
        yield "/".join(part for part in own if part != "..")


def _folders(paths: Iterable[str]) -> Iterator[list[str]]:
    return (_folder(path).split("/")[:-1] for path in paths)


def _common_start(names: _Names) -> str:
    return os.path.commonprefix([min(names()), max(names())])  # noqa: RUF071


def _without_start(names: _Names) -> _Names:
    """Leaves out what all names begin with, except for a part of a number."""
    start = _common_start(names)
    size = len(start)
    if any(name[size : size + 1].isdecimal() for name in names()):
        size = len(start.rstrip("0123456789"))
    return lambda: (name[size:] for name in names())


def _backwards(names: _Names) -> _Names:
    return lambda: (name[::-1] for name in names())


def _without_end(names: _Names) -> _Names:
    return _backwards(_without_start(_backwards(names)))


_BY_NAME: tuple[_Key, ...] = (
    _stems,
    _or_decimals(_numbers),
    # The first and the last part may overlap, as in a_ir and a_b_ir.
    _or_decimals(lambda paths: _without_start(_without_end(lambda: _stems(paths)))()),
    _or_decimals(lambda paths: _without_end(_without_start(lambda: _stems(paths)))()),
)
# Folders count where names do not tell the images apart.
_KEYS: tuple[_Key, ...] = (*_BY_NAME, *map(_and_folders, _BY_NAME))
