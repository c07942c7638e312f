"""Finds image files in folders and by patterns, and pairs those of several sources."""

import contextlib
import glob
import os
import pathlib
import re
from collections.abc import Sequence

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
      UserError: Nothing is there, or no image in it.
    """
    source = os.fspath(source)
    if not source:
        raise UserError(
            "the path of an image is empty: expected a file, a folder or a glob pattern"
        )
    if os.path.isdir(source):
        inside = glob.escape(source) + ("/**/*" if in_subfolders else "/*")
        found, where = glob.glob(inside, recursive=True), "the folder has"
    elif os.path.lexists(source):
        return [pathlib.Path(source)]
    elif glob.has_magic(source):
        found, where = glob.glob(source, recursive=True), "the pattern matches"
    else:
        raise UserError(f"{source}: no such file or folder")
    images = [
        path
        for path in map(pathlib.Path, found)
        if path.suffix.lower() in suffixes and not path.is_dir()
    ]
    if not images:
        what = "no image" if found else "nothing"
        raise UserError(
            f"{source}: {where} {what}: expected files named {', '.join(suffixes)}"
        )
    return sorted(images, key=_natural)


def pair(sources: Sequence[str | os.PathLike]) -> list[tuple[pathlib.Path, ...]]:
    """Matches the images of k sources, the first with the first, in natural order.

    Args:
      sources: k >= 2 files, folders or glob patterns, as for `find`.

    Returns:
      One tuple of k paths for each scene.

    Raises:
      UserError: Fewer than two sources, or they hold different numbers of images.
    """
    if len(sources) < 2:
        raise UserError(f"{len(sources)} source given: expected two or more to fuse")
    found = [find(source) for source in sources]
    with contextlib.suppress(ValueError):
        return list(zip(*found, strict=True))
    counts = ", ".join(
        f"{os.fspath(source)} has {len(paths)}"
        for source, paths in zip(sources, found, strict=True)
    )
    lonely = _without_partner(found)
    names = ", ".join(lonely[:3]) + (", ..." if len(lonely) > 3 else "")
    raise UserError(
        f"the sources have different numbers of images: {counts}; without partner: "
        f"{names}; expected one image of each source for every scene"
    )


def _natural(path: pathlib.Path) -> tuple:
    # The suffix apart, so that x.png comes before x1.png. re.split puts text at even
    # and digits at odd places, so only like meets like.
    parts = re.split(r"([0-9]+)", str(path.with_suffix("")))
    key = [int(part) if i % 2 else part.casefold() for i, part in enumerate(parts)]
    return key, str(path)


def _without_partner(found: list[list[pathlib.Path]]) -> list[str]:
    """Returns the names of images whose numbers, or else names, other sources lack."""

    def scene(path: pathlib.Path) -> object:
        numbers = re.findall("[0-9]+", path.stem)
        return tuple(map(int, numbers)) or path.stem.casefold()

    scenes = [{scene(path): path.name for path in paths} for paths in found]
    common = set.intersection(*map(set, scenes))
    names = [own[key] for own in scenes for key in own if key not in common]
    return list(dict.fromkeys(names))
