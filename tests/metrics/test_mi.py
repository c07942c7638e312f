import math

import numpy as np
import pytest
from hypothesis import given

from densefuse_tf.metrics import entropy
from densefuse_tf.metrics import mi
from densefuse_tf.metrics.sensitivity import stretched

from .conftest import quick
from .conftest import triples


@quick
@given(triples(smallest=1))
def test_identity_symmetry_range(images):
    ir, vis, fused = images
    value = mi(ir, vis, fused)
    assert 0 <= value <= 2 * entropy(fused) + 1e-12
    assert mi(vis, ir, fused) == value
    assert mi(fused, fused, fused) == pytest.approx(2 * entropy(fused), abs=1e-12)


def test_counted_by_hand():
    # One bit tells the fused level; ir tells it all, vis nothing of it.
    fused = np.array([[0, 0, 9, 9]], np.uint8)
    ir = np.array([[3, 3, 200, 200]], np.uint8)
    vis = np.array([[0, 1, 0, 1]], np.uint8)
    assert mi(ir, vis, fused) == pytest.approx(1)


def test_constant_images():
    flat = np.full((4, 4), 9, np.uint8)
    other = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert mi(flat, flat, flat) == 0
    assert mi(flat, other, flat) == 0
    assert mi(flat, other, other) == pytest.approx(4)


def test_toolkit_confuses_the_two_brightest_levels():
    fused = np.array([[0, 0, 254, 255]], np.uint8)
    # I(fused; fused) is its entropy, 1.5 bits; the joint one is 1 bit by the toolkit.
    assert mi(fused, fused, fused) == pytest.approx(3)
    assert mi(fused, fused, fused, convention="toolkit") == pytest.approx(4)
    darker = fused // 2
    assert mi(darker, darker, darker, convention="toolkit") == mi(*[darker] * 3)


def test_vifb_is_in_nats_of_stretched_images():
    fused = np.array([[0, 0, 9, 9]], np.uint8)
    ir = np.array([[3, 3, 200, 200]], np.uint8)
    vis = np.array([[0, 1, 0, 1]], np.uint8)
    assert mi(ir, vis, fused, convention="vifb") == pytest.approx(math.log(2))
    # Stretching merges no levels, whatever the range of the image.
    for count in range(2, 257):
        levels = np.arange(count, dtype=np.uint8)[None]
        assert len(np.unique(stretched(levels))) == count


def test_authors_value_is_twice_the_entropy_whatever_the_sources(pair):
    ir, vis, fused = pair
    for sources in ((ir, vis), (fused, fused), (255 - ir, ir)):
        assert mi(*sources, fused, convention="authors") == 2 * entropy(fused)


@pytest.mark.parametrize("size", [(2, 7), (2, 19), (3, 9)])
def test_independent_images_share_nothing_and_not_less(size):
    # By rounding the two entropies add up to less than the joint one.
    rows, columns = np.indices(size).astype(np.uint8)
    assert mi(rows, rows, columns) == 0
