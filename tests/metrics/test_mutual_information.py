import numpy as np
import pytest
from hypothesis import given

from densefuse_tf.metrics import entropy
from densefuse_tf.metrics import mutual_information

from .conftest import quick
from .conftest import triples


@quick
@given(triples(smallest=1))
def test_identity_symmetry_range(images):
    ir, vis, fused = images
    value = mutual_information(ir, vis, fused)
    assert 0 <= value <= 2 * entropy(fused) + 1e-12
    assert mutual_information(vis, ir, fused) == value
    assert mutual_information(fused, fused, fused) == pytest.approx(
        2 * entropy(fused), abs=1e-12
    )


@quick
@given(triples(smallest=1))
def test_names_of_levels_do_not_matter(images):
    ir, vis, fused = images
    assert mutual_information(255 - ir, vis, fused ^ 85) == pytest.approx(
        mutual_information(ir, vis, fused), abs=1e-12
    )


def test_counted_by_hand():
    # One bit tells the fused level; ir tells it all, vis nothing of it.
    fused = np.array([[0, 0, 9, 9]], np.uint8)
    ir = np.array([[3, 3, 200, 200]], np.uint8)
    vis = np.array([[0, 1, 0, 1]], np.uint8)
    assert mutual_information(ir, vis, fused) == pytest.approx(1)


def test_constant_images():
    flat = np.full((4, 4), 9, np.uint8)
    other = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert mutual_information(flat, flat, flat) == 0
    assert mutual_information(flat, other, flat) == 0
    assert mutual_information(flat, other, other) == pytest.approx(4)


def test_as_released(pair):
    ir, vis, fused = pair
    assert mutual_information(ir, vis, fused, as_released=True) == 2 * entropy(fused)
