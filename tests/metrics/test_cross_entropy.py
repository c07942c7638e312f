import math

import numpy as np
import pytest
from hypothesis import given

from densefuse_tf.metrics import cross_entropy

from .conftest import quick
from .conftest import triples


def test_counted_by_hand():
    fused = np.array([[0, 0, 0, 9]], np.uint8)
    ir = np.array([[0, 0, 9, 9]], np.uint8)
    # 1/2 log2(1/2 / (3/4)) + 1/2 log2(1/2 / (1/4)), and 0 for the equal histogram.
    expected = (0.5 * math.log2(2 / 3) + 0.5 * math.log2(2)) / 2
    assert cross_entropy(ir, fused[:, ::-1], fused) == pytest.approx(expected)


def test_levels_that_the_fused_image_lacks_are_left_out():
    fused = np.array([[0, 0]], np.uint8)
    ir = np.array([[0, 200]], np.uint8)
    assert cross_entropy(ir, ir, fused) == pytest.approx(0.5 * math.log2(0.5))
    assert cross_entropy(200 - fused, 200 - fused, fused) == 0


@quick
@given(triples(smallest=1))
def test_identity_symmetry_range(images):
    ir, vis, fused = images
    value = cross_entropy(ir, vis, fused)
    assert -math.log2(math.e) / math.e - 1e-12 <= value <= math.log2(fused.size)
    assert cross_entropy(vis, ir, fused) == pytest.approx(value, abs=1e-15)
    assert cross_entropy(fused, fused, fused) == 0


@quick
@given(triples(smallest=1, levels=[0, 1, 2]))
def test_never_negative_where_the_fused_image_has_all_levels(images):
    ir, vis, fused = (np.append(image.ravel(), [0, 1, 2])[None] for image in images)
    assert cross_entropy(*(i.astype(np.uint8) for i in (ir, vis, fused))) >= -1e-15
