import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from densefuse_tf.metrics._qabf import _edges
from densefuse_tf.metrics._qabf import qabf

from .conftest import quick
from .conftest import scene
from .conftest import triples


def naive_edges(image, unit=255):
    """Strength and angle, pixel by pixel, from the definition of conv2."""
    h1 = [[1, 2, 1], [0, 0, 0], [-1, -2, -1]]
    h3 = [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]
    height, width = image.shape
    strength, angle = np.zeros(image.shape), np.zeros(image.shape)
    for i in range(height):
        for j in range(width):
            x = y = 0.0
            for n in range(3):
                for m in range(3):
                    p, q = i + 1 - m, j + 1 - n
                    if 0 <= p < height and 0 <= q < width:
                        x += h3[m][n] * (int(image[p, q]) / unit)
                        y += h1[m][n] * (int(image[p, q]) / unit)
            strength[i, j] = math.sqrt(x * x + y * y)
            angle[i, j] = math.pi / 2 if x == 0 else math.atan(y / x)
    return strength, angle


def naive_qabf(ir, vis, fused, unit=255):
    strength_fused, angle_fused = naive_edges(fused, unit)
    kept = total = 0.0
    for source in (ir, vis):
        strength, angle = naive_edges(source, unit)
        for place in np.ndindex(*fused.shape):
            g, g_fused = strength[place], strength_fused[place]
            if g > g_fused:
                ratio = g_fused / g
            elif g == g_fused:
                ratio = g_fused
            else:
                ratio = g / g_fused
            aligned = 1 - abs(angle[place] - angle_fused[place]) / (math.pi / 2)
            quality = 0.9994 / (1 + math.exp(-15 * (ratio - 0.5)))
            quality *= 0.9879 / (1 + math.exp(-22 * (aligned - 0.8)))
            kept += quality * g
            total += g
    return kept / total if total else 0.0


# With few levels, strengths are often equal.
@pytest.mark.parametrize("levels", [None, [0, 1, 254, 255]])
@quick
@given(data=st.data())
def test_straight_loops_symmetry_range(levels, data):
    ir, vis, fused = data.draw(triples(smallest=1, levels=levels))
    value = qabf(ir, vis, fused)
    assert value == pytest.approx(naive_qabf(ir, vis, fused), abs=1e-12)
    assert 0 <= value <= 0.9994 * 0.9879
    of_vifb = qabf(ir, vis, fused, convention="vifb")
    assert of_vifb == pytest.approx(naive_qabf(ir, vis, fused, 1), abs=1e-12)
    assert qabf(vis, ir, fused) == pytest.approx(value, abs=1e-14)


def test_identity_is_the_published_codes_own(pair):
    # Equal strengths give G = gF, so a perfect copy does not score highest.
    image = pair[0]
    strength, _ = naive_edges(image)
    quality = 0.9994 / (1 + np.exp(-15 * (strength - 0.5)))
    quality *= 0.9879 / (1 + np.exp(-22 * 0.2))
    expected = np.sum(quality * strength) / np.sum(strength)
    assert qabf(image, image, image) == pytest.approx(expected, abs=1e-12)


def test_gradients_add_up_in_the_order_of_conv2():
    image = scene(64, 64)[0]
    strength, angle = naive_edges(image)
    found, found_angle = _edges(image / 255.0)
    assert np.array_equal(found, strength)
    np.testing.assert_allclose(found_angle, angle, atol=1e-15)
    # The order matters: swapping rows and columns changes last bits.
    assert not np.array_equal(naive_edges(image.T)[0].T, strength)


def test_constant_images():
    black = np.zeros((6, 7), np.uint8)
    grey = np.full((6, 7), 90, np.uint8)
    other = scene(6, 7)[0]
    assert qabf(black, black, black) == 0
    assert qabf(black, black, other) == 0
    # Zeros beyond the border make the border of a flat image an edge.
    for images in ((grey, grey, grey), (grey, black, other), (other, other, grey)):
        assert qabf(*images) == pytest.approx(naive_qabf(*images), abs=1e-12)
