import numpy as np
import pytest
from hypothesis import given

from densefuse_tf.metrics import cc

from .conftest import quick
from .conftest import triples


def test_counted_by_hand():
    fused = np.array([[1, 2], [3, 4]], np.uint8)
    # Of (1, 2, 3, 4) and (1, 3, 2, 4) the covariance is 1, either variance 1.25.
    ir = np.array([[1, 3], [2, 4]], np.uint8)
    assert cc(ir, 255 - fused, fused) == pytest.approx((0.8 - 1) / 2)


@quick
@given(triples(smallest=2))
def test_definition_symmetry_range(images):
    ir, vis, fused = images
    value = cc(ir, vis, fused)
    assert -1 - 1e-12 <= value <= 1 + 1e-12
    assert cc(vis, ir, fused) == pytest.approx(value, abs=1e-15)
    expected = sum(
        np.corrcoef(source.ravel(), fused.ravel())[0, 1]
        for source in (ir, vis)
        if np.ptp(source) and np.ptp(fused)
    )
    assert value == pytest.approx(expected / 2, abs=1e-9)


def test_identity_and_opposite(pair):
    image = pair[0]
    assert cc(image, image, image) == pytest.approx(1)
    assert cc(255 - image, 255 - image, image) == pytest.approx(-1)
    assert cc(image, 255 - image, image) == pytest.approx(0)


def test_constant_images_count_as_uncorrelated():
    flat, other = np.full((3, 3), 9, np.uint8), np.arange(9, dtype=np.uint8)
    other = other.reshape(3, 3)
    assert cc(flat, flat, flat) == 0
    assert cc(flat, other, other) == pytest.approx(0.5)
