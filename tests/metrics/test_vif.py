import math

import numpy as np
import pytest

from densefuse_tf.metrics import vif

from .conftest import scene


def naive_vif(source, fused, *, saturated=False):
    """Window by window, from the definition."""
    x, y = source.astype(float), fused.astype(float)
    kept = whole = 0.0
    for side in (17, 9, 5, 3):
        i = np.arange(side) - side // 2
        window = np.exp(-(i[:, None] ** 2 + i**2) / (2 * (side / 5) ** 2))
        window /= window.sum()

        def mean(image, window=window, side=side):
            height, width = image.shape
            result = np.empty((height - side + 1, width - side + 1))
            for place in np.ndindex(*result.shape):
                patch = image[tuple(slice(p, p + side) for p in place)]
                result[place] = np.sum(window * patch)
            return result

        if side < 17:
            x, y = mean(x)[::2, ::2], mean(y)[::2, ::2]
        products = [x * x, y * y, x * y]
        if saturated and side == 17:
            products = [np.minimum(product, 255) for product in products]
        moments = [mean(image) for image in (x, y, *products)]
        for m_x, m_y, m_xx, m_yy, m_xy in np.stack(moments, axis=-1).reshape(-1, 5):
            variance_x, variance_y = max(m_xx - m_x**2, 0), max(m_yy - m_y**2, 0)
            covariance = m_xy - m_x * m_y
            gain = covariance / (variance_x + 1e-10)
            if variance_x < 1e-10 or variance_y < 1e-10 or gain < 0:
                gain = 0.0
            variance_x = 0.0 if variance_x < 1e-10 else variance_x
            rest = max(variance_y - gain * covariance, 1e-10)
            kept += math.log(1 + gain**2 * variance_x / (rest + 2))
            whole += math.log(1 + variance_x / 2)
    return kept / whole if whole else 0.0


@pytest.mark.parametrize("saturated", [False, True])
@pytest.mark.parametrize("shape", [(41, 41), (44, 51)])
def test_straight_loops(shape, saturated):
    ir, vis, fused = scene(*shape)
    dark = ir // 9
    dark[:20] = 7
    convention = "toolkit" if saturated else "intended"
    for images in ((ir, vis, fused), (dark, 255 - ir, fused), (dark, vis, dark)):
        expected = sum(naive_vif(s, images[2], saturated=saturated) for s in images[:2])
        assert vif(*images, convention=convention) == pytest.approx(expected, abs=1e-9)


def test_identity_symmetry_range(pair):
    ir, vis, fused = pair
    value = vif(ir, vis, fused)
    assert 0 < value < 2
    assert vif(vis, ir, fused) == pytest.approx(value, abs=1e-12)
    assert vif(ir, ir, ir) == pytest.approx(2, abs=1e-6)
    assert vif(vis, vis, vis) == pytest.approx(2, abs=1e-6)


@pytest.mark.parametrize("convention", ["intended", "toolkit"])
def test_constant_images_tell_nothing(pair, convention):
    flat, image = np.full((48, 61), 90, np.uint8), pair[0]
    assert vif(flat, flat, flat, convention=convention) == 0
    assert vif(image, image, flat, convention=convention) == pytest.approx(0, abs=1e-9)
    one = vif(image, flat, image, convention=convention)
    assert 0.5 < one < 1.5
