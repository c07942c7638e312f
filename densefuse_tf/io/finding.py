"""Finds image files in folders and by patterns, and pairs those of several sources."""

import glob
import itertools
import os
import pathlib
import re
from collections.abc import Hashable, Sequence

from absl import logging

from densefuse_tf.errors import UserError

# Suffixes of the images that are picked out of a folder. What a file is when it is
# read, its first bytes say.
SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".webp")


def find(
    source: str | os.PathLike,
    *,
    suffixes: Sequence[str] = SUFFIXES,
    in_subfolders: bool = False,
) -> list[pathlib.Path]:
    """Finds the image files that `source` stands for, in natural sort order.

    Natural order compares runs of digits as numbers, so IR2 comes before IR10, and
    letters without regard to case.

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
    source = os.fspath(source)
    path = pathlib.Path(source)
    if not source:
        raise UserError(
            "the path of an image is empty: expected a file, a folder or a glob pattern"
        )
    try:
        if path.is_dir():
            names = _glob(f"{glob.escape(source)}/**") if in_subfolders else None
            found = list(path.iterdir() if names is None else map(pathlib.Path, names))
            where = "the folder has"
        elif os.path.lexists(path):
            return [path]
        elif glob.has_magic(source):
            found = [pathlib.Path(name) for name in _glob(source)]
            where = "the pattern matches"
        else:
            raise UserError(f"{source}: no such file or folder")
        images = [
            entry
            for entry in found
            if entry.suffix.lower() in suffixes
            and not entry.name.startswith(".")
            and not entry.is_dir()
        ]
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{source}: cannot be read: {reason}") from error
    if not images:
        what = "no image" if found else "nothing"
        raise UserError(
            f"{source}: {where} {what}: expected files named {', '.join(suffixes)}"
        )
    return sorted(images, key=_natural)


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


def pair(sources: Sequence[str | os.PathLike]) -> list[tuple[pathlib.Path, ...]]:
    """Matches the images of k sources, the first with the first, in natural order.

    What may be a mistake is logged as a warning: most images have a partner of their
    name in every other source, but some are matched with an image of another one; an
    image that is several of the sources.

    Args:
      sources: k >= 2 files, folders or glob patterns, as for `find`.

    Returns:
      One tuple of k paths for each scene.

    Raises:
      UserError: Fewer than two sources, they hold different numbers of images, or all
        sources of a scene are the same file.
    """
    if len(sources) < 2:
        raise UserError(f"{len(sources)} source given: expected two or more to fuse")
    found = [find(source) for source in sources]
    if len(set(map(len, found))) == 1:
        pairs = list(zip(*found, strict=True))
        refuse_one_file(pairs)
        _warn_of_other_names(found, pairs)
        return pairs
    counts = ", ".join(
        f"{os.fspath(source)} has {len(paths)}"
        for source, paths in zip(sources, found, strict=True)
    )
    lonely = list(dict.fromkeys(path.name for path in _without_partner(found)))
    raise UserError(
        f"the sources have different numbers of images: {counts}; without partner: "
        f"{_some(lonely)}; expected one image of each source for every scene"
    )


def refuse_one_file(pairs: Sequence[tuple[pathlib.Path, ...]]) -> None:
    """Refuses a scene whose sources are all one file; warns of one that is several.

    Args:
      pairs: The files of each scene, one of each source.

    Raises:
      UserError: The files of a scene are all the same.
    """
    several = []
    for paths in pairs:
        count = len({os.path.realpath(path) for path in paths})
        if count == 1:
            raise UserError(
                f"{paths[0]}: is given as each of the {len(paths)} sources: expected "
                "different images of one scene"
            )
        if count < len(paths):
            several.append(_joined(paths))
    if several:
        logging.warning("the same file is several of the sources: %s", _some(several))


def _warn_of_other_names(
    found: list[list[pathlib.Path]], pairs: list[tuple[pathlib.Path, ...]]
) -> None:
    """Warns of pairs whose names differ where most images have a partner by name."""
    keys, common = _keys(found)
    if 2 * len(common) <= len(pairs):
        return
    other = [
        _joined(paths)
        for paths, own in zip(pairs, zip(*keys, strict=True), strict=True)
        if len(set(own)) > 1
    ]
    if other:
        logging.warning(
            "names do not match in %d of %d pairs, which are matched by their order: "
            "%s; check that they belong together",
            len(other),
            len(pairs),
            _some(other),
        )


def _joined(paths: Sequence[pathlib.Path]) -> str:
    return " + ".join(map(str, paths))


def _some(names: Sequence[str]) -> str:
    text = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    # A log takes one line of valid text, whatever bytes a file's name has.
    return text.encode(errors="backslashreplace").decode().replace("\n", "\\n")


def _natural(path: pathlib.Path) -> tuple:
    # The suffix apart, so that x.png comes before x1.png.
    # re.split puts text at even and digits at odd places, so only like meets like. A
    # number is compared by its length and digits: int() refuses very long ones.
    parts = re.split(r"([0-9]+)", str(path.with_suffix("")))
    key = []
    for place, part in enumerate(parts):
        digits = part.lstrip("0") if place % 2 else ""
        key.append((len(digits), digits) if place % 2 else part.casefold())
    return key, str(path)


def _without_partner(found: list[list[pathlib.Path]]) -> list[pathlib.Path]:
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
    found: list[list[pathlib.Path]],
) -> tuple[list[list[Hashable]], set[Hashable]]:
    """Finds what the names of the same scene have in common.

    That is the whole name, or what is left of it without what all names of a source
    begin and end with ("_ir"), or its numbers: of these what most images share.

    Returns:
      The key of each image of each source, and the keys that all sources have; none
      where no choice of keys tells the images of each source apart.
    """
    best: tuple[list[list[Hashable]], set[Hashable]] = ([], set())
    for keys_of in (_stems, _middles, _numbers):
        keys = [keys_of(paths) for paths in found]
        common = set.intersection(*map(set, keys))
        are_unique = all(len(set(own)) == len(own) for own in keys)
        if are_unique and len(common) > len(best[1]):
            best = keys, common
    return best


def _stems(paths: list[pathlib.Path]) -> list[Hashable]:
    return [path.stem.casefold() for path in paths]


def _middles(paths: list[pathlib.Path]) -> list[Hashable]:
    stems = [path.stem.casefold() for path in paths]
    start = _common_length(stems)
    end = _common_length([stem[start:][::-1] for stem in stems])
    return [stem[start : len(stem) - end] for stem in stems]


def _common_length(texts: list[str]) -> int:
    """Counts the characters with which all texts begin."""
    places = zip(*texts, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda own: len(set(own)) == 1, places))


def _numbers(paths: list[pathlib.Path]) -> list[Hashable]:
    return [
        tuple(digits.lstrip("0") for digits in re.findall("[0-9]+", path.stem))
        for path in paths
    ]
