import numpy as np
import pytest
from hypothesis import given

from densefuse_tf.metrics import ssim
from densefuse_tf.metrics import ssim_a

from .conftest import quick
from .conftest import scene
from .conftest import triples


def test_ssim_adds_both_sources_without_a_border(pair):
    ir, vis, fused = pair
    value = ssim(ir, vis, fused)
    expected = sum(naive_ssim(source, fused, border=0) for source in (ir, vis))
    assert value == pytest.approx(expected, abs=1e-12)
    assert ssim(vis, ir, fused) == pytest.approx(value, abs=1e-14)
    assert ssim(ir, ir, ir) == pytest.approx(2, abs=1e-12)


def naive_ssim(one, other, *, border=5):
    """Window by window, with centred sums and a replicated border."""
    i = np.arange(-5, 6)
    weights = np.exp(-(i[:, None] ** 2 + i**2) / (2 * 1.5**2))
    weights /= weights.sum()
    one, other = (np.pad(i / 255.0, border, mode="edge") for i in (one, other))
    values = []
    for y in range(one.shape[0] - 10):
        for x in range(one.shape[1] - 10):
            p, q = one[y : y + 11, x : x + 11], other[y : y + 11, x : x + 11]
            m, n = np.sum(weights * p), np.sum(weights * q)
            variances = np.sum(weights * ((p - m) ** 2 + (q - n) ** 2))
            covariance = np.sum(weights * (p - m) * (q - n))
            luminance = (2 * m * n + 1e-4) / (m * m + n * n + 1e-4)
            values.append(luminance * (2 * covariance + 9e-4) / (variances + 9e-4))
    return np.mean(values)


@quick
@given(triples(smallest=1))
def test_straight_loops_symmetry_range(images):
    ir, vis, fused = images
    value = ssim_a(ir, vis, fused)
    expected = (naive_ssim(ir, fused) + naive_ssim(vis, fused)) / 2
    assert value == pytest.approx(expected, abs=1e-10)
    assert ssim_a(vis, ir, fused) == pytest.approx(value, abs=1e-14)
    assert -1 <= value <= 1 + 1e-12


@quick
@given(triples(smallest=1))
def test_identity_and_half(images):
    ir, vis, _ = images
    assert ssim_a(ir, ir, ir) == pytest.approx(1, abs=1e-12)
    # SSIM is symmetric in its two images.
    assert ssim_a(ir, vis, ir) == pytest.approx(ssim_a(ir, vis, vis), abs=1e-12)


def test_constant_images():
    m, n = np.full((9, 9), 51, np.uint8), np.full((9, 9), 102, np.uint8)
    luminance = (2 * 0.2 * 0.4 + 1e-4) / (0.2**2 + 0.4**2 + 1e-4)
    assert ssim_a(m, m, n) == pytest.approx(luminance, abs=1e-10)
    assert ssim_a(m, m, m) == pytest.approx(1)
    other = scene(9, 9)[0]
    assert ssim_a(m, other, m) == pytest.approx((1 + naive_ssim(other, m)) / 2)
