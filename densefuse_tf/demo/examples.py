"""Finds the example pairs that the page offers."""

import os
import pathlib

from densefuse_tf.io import finding

# Where the project's own pairs are: installed with the package, or in a checkout.
_FOLDERS = (
    pathlib.Path(__file__).parents[1] / "examples",
    pathlib.Path(__file__).parents[2] / "examples" / "pairs",
)


def find(folder: str | os.PathLike | None = None) -> list[tuple[pathlib.Path, ...]]:
    """Finds pairs in the sub-folders ir and vis of a folder.

    Args:
      folder: By default that of the project's own pairs.

    Returns:
      (infrared, visible) of each pair, in natural sort order. Empty if no folder is
      given and the project's own pairs are not there.
    """
    if folder is None:
        found = [each for each in _FOLDERS if (each / "ir").is_dir()]
        if not found:
            return []
        folder = found[0]
    folder = pathlib.Path(folder).absolute()
    return list(finding.pair([folder / "ir", folder / "vis"]))
