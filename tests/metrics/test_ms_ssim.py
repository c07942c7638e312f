import numpy as np
import pytest

from densefuse_tf.metrics import ms_ssim

from .conftest import scene


def naive_ms_ssim(*images):
    """Patch by patch: the desired patch is built and compared with the last image."""
    i = np.arange(-5, 6)
    window = np.exp(-(i[:, None] ** 2 + i**2) / (2 * 1.5**2))
    window /= window.sum()
    weights = np.array([0.0448, 0.2856, 0.3001])
    images = [image.astype(float) for image in images]
    result = 1.0
    for weight in weights / weights.sum():
        height, width = images[0].shape
        qualities = []
        for y in range(height - 10):
            for x in range(width - 10):
                *sources, f = (image[y : y + 11, x : x + 11] for image in images)
                qualities.append(naive_quality(sources, f, window))
        result *= np.mean(qualities) ** weight
        images = [naive_half(image) for image in images]
    return result


def naive_quality(sources, f, window):
    sources = [patch - patch.mean() for patch in sources]
    norms = [np.linalg.norm(patch) for patch in sources]
    eps = np.finfo(float).eps
    consistency = (np.linalg.norm(sum(sources)) + eps) / (sum(norms) + eps)
    consistency = min(consistency, 1 - eps)
    power = min(np.tan(np.pi / 2 * consistency), 10)
    energies = [norm + 0.001 for norm in norms]
    shares = [(energy / 11) ** power + eps for energy in energies]
    desired = sum(
        share / sum(shares) * patch / energy
        for share, patch, energy in zip(shares, sources, energies, strict=True)
    )
    if np.linalg.norm(desired) > 0:
        desired = desired / np.linalg.norm(desired) * max(energies)
    desired = desired - np.sum(window * desired)
    f = f - np.sum(window * f)
    c = (0.03 * 255) ** 2
    spread = np.sum(window * (desired**2 + f**2))
    return (2 * np.sum(window * desired * f) + c) / (spread + c)


def naive_half(image):
    height, width = image.shape
    half = np.zeros(((height + 1) // 2, (width + 1) // 2))
    for y, x in np.ndindex(*half.shape):
        rows = [2 * y, min(2 * y + 1, height - 1)]
        columns = [2 * x, min(2 * x + 1, width - 1)]
        half[y, x] = image[np.ix_(rows, columns)].mean()
    return half


@pytest.mark.parametrize("shape", [(44, 44), (45, 51)])
def test_straight_loops(shape):
    ir, vis, fused = scene(*shape)
    other = ir // 2 + scene(*shape, seed=3)[1] // 3
    for images in ((ir, vis, fused), (ir, vis, other), (ir, vis // 4, other)):
        value = naive_ms_ssim(*images)
        assert 0.05 < value < 0.999
        assert ms_ssim(*images) == pytest.approx(value, abs=1e-9)


def test_straight_loops_with_flat_regions():
    ir, vis, fused = (image.copy() for image in scene(46, 44))
    ir[:14] = 0
    vis[:20, :16] = 255
    fused[:12, :24] = 77
    value = naive_ms_ssim(ir, vis, fused)
    assert 0.05 < value < 0.999
    assert ms_ssim(ir, vis, fused) == pytest.approx(value, abs=1e-9)


def test_identity_symmetry_range(pair):
    ir, vis, fused = pair
    value = ms_ssim(ir, vis, fused)
    assert 0 < value < 1
    assert ms_ssim(vis, ir, fused) == pytest.approx(value, abs=1e-12)
    # Not quite 1: the strengths hold the added 0.001.
    assert ms_ssim(ir, ir, ir) == pytest.approx(1, abs=1e-6)


def test_constant_images():
    low, high = np.full((50, 47), 3, np.uint8), np.full((50, 47), 250, np.uint8)
    assert ms_ssim(low, high, low) == pytest.approx(1, abs=1e-9)
    other = scene(50, 47)[0]
    for images in ((low, low, other), (low, other, other), (other, other, low)):
        assert ms_ssim(*images) == pytest.approx(naive_ms_ssim(*images), abs=1e-9)


def test_opposed_images_count_as_zero(pair):
    # The mean of a scale is negative: MATLAB's power of it is a complex number.
    ir = pair[0]
    assert ms_ssim(ir, ir, 255 - ir) == 0
