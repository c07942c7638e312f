import math

import numpy as np
import pytest
from hypothesis import given
from skimage import metrics as skimage_metrics

from densefuse_tf.metrics import mse
from densefuse_tf.metrics import psnr
from densefuse_tf.metrics import rmse

from .conftest import quick
from .conftest import triples


def test_counted_by_hand():
    ir = np.array([[0, 51]], np.uint8)
    vis = np.array([[0, 255]], np.uint8)
    fused = np.array([[0, 0]], np.uint8)
    assert mse(ir, vis, fused) == pytest.approx((0.2**2 / 2 + 1 / 2) / 2)
    assert rmse(ir, vis, fused) == pytest.approx((0.2 + 1) / math.sqrt(2) / 2)
    assert psnr(ir, vis, fused) == pytest.approx(-10 * math.log10(0.26))
    # VIFB: the roots of the sums 51^2 and 255^2, divided by the number of pixels.
    error = (51 / 2 + 255 / 2) / 2
    assert rmse(ir, vis, fused, convention="vifb") == pytest.approx(error)
    expected = 20 * math.log10(255 / math.sqrt(error))
    assert psnr(ir, vis, fused, convention="vifb") == pytest.approx(expected)


@quick
@given(triples(smallest=1))
def test_scikit_image_symmetry_range(images):
    ir, vis, fused = images
    errors = [
        skimage_metrics.mean_squared_error(source / 255, fused / 255)
        for source in (ir, vis)
    ]
    assert mse(ir, vis, fused) == pytest.approx(sum(errors) / 2, abs=1e-14)
    assert mse(vis, ir, fused) == mse(ir, vis, fused)
    assert 0 <= mse(ir, vis, fused) <= 1
    expected = sum(map(math.sqrt, errors)) / 2
    assert rmse(ir, vis, fused) == pytest.approx(expected, abs=1e-12)
    assert 0 <= rmse(ir, vis, fused) <= 1
    if sum(errors):
        assert 0 <= psnr(ir, vis, fused)
        # The peak of 255 for images in [0, 1] is all that the toolkit changes.
        difference = psnr(ir, vis, fused, convention="toolkit") - psnr(ir, vis, fused)
        assert difference == pytest.approx(20 * math.log10(255), abs=1e-10)


def test_identity(pair):
    image = pair[0]
    assert mse(image, image, image) == rmse(image, image, image) == 0
    for convention in ("intended", "toolkit", "vifb"):
        assert psnr(image, image, image, convention=convention) == math.inf


def test_differences_do_not_wrap_around():
    low, high = np.zeros((2, 2), np.uint8), np.full((2, 2), 255, np.uint8)
    assert mse(low, low, high) == mse(high, high, low) == 1
    assert psnr(low, low, high) == 0
