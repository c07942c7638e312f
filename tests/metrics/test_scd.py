import numpy as np
import pytest
from hypothesis import given

from densefuse_tf.metrics import scd

from .conftest import quick
from .conftest import triples


@quick
@given(triples(smallest=2))
def test_definition_symmetry_range(images):
    ir, vis, fused = images
    value = scd(ir, vis, fused)
    assert -2 - 1e-12 <= value <= 2 + 1e-12
    assert scd(vis, ir, fused) == value
    expected = 0.0
    for one, other in ((ir, vis), (vis, ir)):
        difference = fused / 1.0 - other
        if np.ptp(difference) and np.ptp(one):
            expected += np.corrcoef(difference.ravel(), one.ravel())[0, 1]
    assert value == pytest.approx(expected, abs=1e-9)


def test_sum_of_the_sources_is_best(pair):
    ir, vis, _ = (image // 2 for image in pair)
    assert scd(ir, vis, ir + vis) == pytest.approx(2, abs=1e-12)


def test_differences_do_not_wrap_around():
    ir = np.array([[0, 10], [20, 30]], np.uint8)
    vis = np.full((2, 2), 200, np.uint8)
    assert scd(ir, vis, ir) == pytest.approx(1)


def test_constant_images_count_as_uncorrelated():
    flat = np.full((3, 3), 9, np.uint8)
    other = np.arange(9, dtype=np.uint8).reshape(3, 3)
    assert scd(flat, flat, flat) == 0
    assert scd(flat, other, flat) == 0
    assert scd(other, other, other) == 0
    # fused - ir is constant, fused - vis is not.
    assert scd(other, flat, other + 5) == pytest.approx(1)
