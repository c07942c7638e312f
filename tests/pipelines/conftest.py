"""Pairs of tiny images, for tests of plans and of what becomes of them."""

import os
import pathlib

import numpy as np
import pytest

from densefuse_tf.io import images
from densefuse_tf.pipelines.planning import Pair


def contents(folder: str | os.PathLike) -> dict[str, bytes]:
    """The files in a folder by name."""
    return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}


@pytest.fixture
def five(tmp_path):
    """Five pairs of tiny images on disk, and where their results go."""
    found = []
    for index in range(5):
        sources = tmp_path / f"ir/{index}.png", tmp_path / f"vis/{index}.png"
        for path, value in zip(sources, (10 * index, 20 * index), strict=True):
            images.write(path, np.full((3, 4), value, np.uint8))
        found.append(Pair(sources, tmp_path / f"out/{index}.png"))
    return found
