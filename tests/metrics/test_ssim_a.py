import numpy as np
import pytest
from hypothesis import given
from skimage.metrics import structural_similarity

from densefuse_tf.metrics import ssim
from densefuse_tf.metrics import ssim_a

from .conftest import AUTHORS
from .conftest import CROPS
from .conftest import PUBLISHED
from .conftest import quick
from .conftest import scene
from .conftest import triples


@pytest.mark.parametrize("name", CROPS + PUBLISHED)
def test_independent_implementation(golden, name):
    images, expected = golden(name)
    value = expected["independent_implementation"]["SSIM_a"]
    assert ssim_a(*images) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize(("method", "number"), AUTHORS)
def test_published_value(authors, method, number):
    images, expected = authors(method, number)
    assert ssim_a(*images) == pytest.approx(expected["SSIMa"], abs=1e-12)


def scikit_image(ir, vis, fused):
    return sum(
        structural_similarity(
            source / 255.0,
            fused / 255.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
        )
        for source in (ir, vis)
    )


def test_scikit_image(pair):
    padded = [np.pad(image, 5, mode="edge") for image in pair]
    assert ssim_a(*pair) == pytest.approx(scikit_image(*padded) / 2, abs=1e-14)
    assert ssim(*pair) == pytest.approx(scikit_image(*pair), abs=1e-14)


def test_ssim_identity_symmetry_range(pair):
    ir, vis, fused = pair
    value = ssim(ir, vis, fused)
    assert -2 <= value <= 2
    assert ssim(vis, ir, fused) == pytest.approx(value, abs=1e-14)
    assert ssim(ir, ir, ir) == pytest.approx(2, abs=1e-12)


def naive_ssim(one, other):
    """Window by window, with centred sums and a replicated border."""
    i = np.arange(-5, 6)
    weights = np.exp(-(i[:, None] ** 2 + i**2) / (2 * 1.5**2))
    weights /= weights.sum()
    one, other = (np.pad(image / 255.0, 5, mode="edge") for image in (one, other))
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


def test_turning_does_not_matter(pair):
    value = ssim_a(*pair)
    assert ssim_a(*(i.T for i in pair)) == pytest.approx(value, abs=1e-12)
    assert ssim_a(*(i[::-1, ::-1] for i in pair)) == pytest.approx(value, abs=1e-12)


def test_constant_images():
    m, n = np.full((9, 9), 51, np.uint8), np.full((9, 9), 102, np.uint8)
    luminance = (2 * 0.2 * 0.4 + 1e-4) / (0.2**2 + 0.4**2 + 1e-4)
    assert ssim_a(m, m, n) == pytest.approx(luminance, abs=1e-10)
    assert ssim_a(m, m, m) == pytest.approx(1)
    other = scene(9, 9)[0]
    assert ssim_a(m, other, m) == pytest.approx((1 + naive_ssim(other, m)) / 2)
