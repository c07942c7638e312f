"""The quick look at whether sources lie over each other."""

import numpy as np
import pytest

from densefuse_tf import registration
from densefuse_tf.errors import UserError
from densefuse_tf.io import images
from tests.registration.conftest import moved
from tests.registration.conftest import noisy
from tests.registration.conftest import scene
from tests.registration.conftest import similarity


def other(degrees=0, shift=(0, 0)):
    return noisy(moved(255 - scene(1), similarity(1, degrees, shift)), 3)


@pytest.mark.parametrize(
    "degrees, shift, warned",
    [
        (0, (0, 0), False),
        (0, (2, -2), False),
        (0, (10, 0), True),
        (0, (0, -10), True),
        (3, (0, 0), True),
        (-3, (0, 0), True),
    ],
)
def test_looks_misaligned_tells_large_from_small(visible, degrees, shift, warned):
    assert registration.looks_misaligned(visible, other(degrees, shift)) == warned


def test_looks_misaligned_works_at_another_depth_and_size():
    large = np.kron(scene(1), np.ones((3, 3)))
    deep = (large * 250).astype(np.uint16)
    assert not registration.looks_misaligned(large.astype(np.uint8), deep)
    shifted = np.roll(deep, 12, axis=1)
    assert registration.looks_misaligned(large.astype(np.uint8), shifted)


def test_looks_misaligned_gives_no_warning_of_flat_or_tiny_images(visible):
    flat = np.full(visible.shape, 5, np.uint8)
    assert not registration.looks_misaligned(visible, flat)
    assert not registration.looks_misaligned(visible[:20, :20], flat[:20, :20])


@pytest.mark.parametrize("shape", [(600, 5476), (5600, 5600), (2, 6000), (6000, 2)])
def test_looks_misaligned_says_nothing_where_no_shift_is_left(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    assert not registration.looks_misaligned(image, image[::-1])


def test_looks_misaligned_refuses_unequal_sizes(visible):
    with pytest.raises(UserError, match="180x240 and 100x240: expected one size"):
        registration.looks_misaligned(visible, visible[:100])


def test_looks_misaligned_is_silent_about_an_aligned_pair(shared):
    pair = [images.read(shared / f"tno/{kind}9.png") for kind in ("VIS", "IR")]
    assert not registration.looks_misaligned(*pair)
    assert registration.looks_misaligned(pair[0], np.roll(pair[1], 12, axis=0))
