import math

import numpy as np
import pytest

from densefuse_tf.metrics.gaussian import RADIUS
from densefuse_tf.metrics.gaussian import gaussian_mean


def test_weighted_mean_from_the_definition():
    image = np.random.default_rng(0).random((13, 7))
    means = gaussian_mean(image)
    for y, x in ((0, 0), (6, 3), (12, 6), (3, 5)):
        total = weights = 0.0
        for i in range(-RADIUS, RADIUS + 1):
            for j in range(-RADIUS, RADIUS + 1):
                weight = math.exp(-(i * i + j * j) / (2 * 1.5**2))
                p, q = min(max(y + i, 0), 12), min(max(x + j, 0), 6)
                total += weight * image[p, q]
                weights += weight
        assert means[y, x] == pytest.approx(total / weights, abs=1e-14)


def test_keeps_a_constant():
    np.testing.assert_allclose(gaussian_mean(np.full((3, 4), 0.7)), 0.7, rtol=1e-15)
