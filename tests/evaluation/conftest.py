"""Tiny images named as the pairs of the protocol, and results made of nothing."""

import numpy as np
import pytest

from densefuse_tf.io import images

SIZE = (44, 46)


@pytest.fixture(scope="session")
def photograph():
    """Makes an image of noise: `photograph(seed, channels)`."""

    def make(seed, channels=()):
        generator = np.random.default_rng(seed)
        return generator.integers(0, 256, (*SIZE, *channels), np.uint8)

    return make


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, photograph):
    """A folder of the 21 pairs; IR<n> is photograph(n), VIS<n> photograph(n + 100)."""
    folder = tmp_path_factory.mktemp("pairs")
    for n in range(1, 22):
        images.write(folder / f"IR{n}.png", photograph(n))
        images.write(folder / f"VIS{n}.png", photograph(n + 100))
    return folder
