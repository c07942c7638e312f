import itertools
import math

import numpy as np
import pytest
from hypothesis import given

from densefuse_tf.metrics import METRICS
from densefuse_tf.metrics import ei

from .conftest import one_image
from .conftest import quick

KERNEL = ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1))


def naive_strength(window):
    """Strength of the gradient of 3x3 values."""
    x = sum(KERNEL[i][j] * window[i][j] for i in range(3) for j in range(3))
    y = sum(KERNEL[j][i] * window[i][j] for i in range(3) for j in range(3))
    return math.hypot(x, y)


@quick
@given(one_image())
def test_definition_symmetry_range(image):
    height, width = image.shape
    padded = np.pad(image, 1, mode="edge").astype(int).tolist()
    strengths = [
        naive_strength([row[x : x + 3] for row in padded[y : y + 3]])
        for y in range(height)
        for x in range(width)
    ]
    assert ei(image) == pytest.approx(sum(strengths) / len(strengths), abs=1e-9)
    for same in (image.T, image[::-1], 255 - image):
        assert ei(same) == pytest.approx(ei(image), abs=1e-9)


def test_the_range_ends_at_the_strongest_window():
    windows = itertools.product((0, 255), repeat=9)
    strongest = max(naive_strength(np.reshape(w, (3, 3)).tolist()) for w in windows)
    assert METRICS["EI"].range == (0, pytest.approx(strongest))
    assert ei(np.full((3, 4), 9, np.uint8)) == 0
