import math

import numpy as np
import pytest
from hypothesis import given

from densefuse_tf.metrics import nabf

from .conftest import quick
from .conftest import scene
from .conftest import triples


def naive_edges(image):
    height, width = image.shape
    gv, gh = np.zeros(image.shape), np.zeros(image.shape)
    for i, j in np.ndindex(height, width):
        # Column sums first, then their sum, as sum(sum(..)) adds.
        for n, sides in enumerate((-1, 0, 1)):
            column_v = column_h = 0.0
            for m, ends in enumerate((-1, 0, 1)):
                p, q = abs(i + m - 1), abs(j + n - 1)
                p = p if p < height else 2 * (height - 1) - p
                q = q if q < width else 2 * (width - 1) - q
                value = int(image[p, q]) / 255
                column_v += value * (sides * (2 - abs(ends)) / 8)
                column_h += value * (ends * (2 - abs(sides)) / 8)
            gv[i, j] += column_v
            gh[i, j] += column_h
    return gv, gh


def naive_angle(gv, gh):
    if gh == 0:
        return math.copysign(math.pi / 2, gv) if gv else 0.0
    return math.atan(gv / gh)


def naive_nabf(ir, vis, fused):
    images = [naive_edges(image) for image in (ir, vis, fused)]
    numerator = denominator = 0.0
    for place in np.ndindex(*fused.shape):
        edges = [(gv[place], gh[place]) for gv, gh in images]
        g = [math.sqrt(gh**2 + gv**2) for gv, gh in edges]
        a = [naive_angle(gv, gh) for gv, gh in edges]
        for k in (0, 1):
            weight = g[k] ** 1.5 if g[k] >= 2 else 0.001
            denominator += weight
            if g[2] > g[0] and g[2] > g[1]:
                ratio = min(g[k], g[2]) / max(g[k], g[2])
                aligned = abs(abs(a[k] - a[2]) - math.pi / 2) * 2 / math.pi
                quality = 0.9999 / (1 + math.exp(-19 * (ratio - 0.5)))
                quality *= 0.9995 / (1 + math.exp(-22 * (aligned - 0.5)))
                numerator += weight * (1 - math.sqrt(quality))
    return numerator / denominator


@quick
@given(triples(smallest=2))
def test_straight_loops_symmetry_range(images):
    ir, vis, fused = images
    value = nabf(ir, vis, fused)
    assert value == pytest.approx(naive_nabf(ir, vis, fused), abs=1e-12)
    assert 0 <= value <= 1
    assert nabf(vis, ir, fused) == pytest.approx(value, abs=1e-14)
    assert nabf(vis, fused, fused) == 0


def test_straight_loops_on_a_scene():
    ir, vis, _ = scene(17, 22)
    fused = scene(17, 22, seed=1)[0]
    assert nabf(ir, vis, fused) > 0.01
    assert nabf(ir, vis, fused) == pytest.approx(naive_nabf(ir, vis, fused), abs=1e-12)


def test_constant_images():
    flat = np.full((5, 5), 70, np.uint8)
    other = scene(5, 5)[0]
    assert nabf(flat, flat, flat) == 0
    assert nabf(other, other, flat) == 0
    assert nabf(flat, flat, other) == pytest.approx(naive_nabf(flat, flat, other))
