import math

import numpy as np
import pytest
from hypothesis import given

from densefuse_tf.metrics import sd

from .conftest import one_image
from .conftest import quick


def naive_toolkit(fused):
    """Pixel by pixel, with MATLAB's uint8: round half up, then 0 to 255."""
    values = [int(value) for value in fused.ravel()]
    mean = sum(values) / len(values)
    total = 0
    for value in values:
        difference = min(max(math.floor(value - mean + 0.5), 0), 255)
        total += min(difference * difference, 255)
    return math.sqrt(total / len(values))


@quick
@given(one_image())
def test_definitions_and_range(image):
    values = [int(value) for value in image.ravel()]
    mean = sum(values) / len(values)
    expected = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    assert sd(image) == pytest.approx(expected, abs=1e-10)
    assert 0 <= sd(image) <= 127.5
    toolkit = sd(image, convention="toolkit")
    assert toolkit == pytest.approx(naive_toolkit(image), abs=1e-12)
    assert 0 <= toolkit <= math.sqrt(255)


def test_counted_by_hand():
    # The mean is 100; differences -90, -10, 10, 90.
    image = np.array([[10, 90], [110, 190]], np.uint8)
    assert sd(image) == pytest.approx(math.sqrt((2 * 8100 + 2 * 100) / 4))
    # The negative ones become 0; 90^2 stops at 255.
    assert sd(image, convention="toolkit") == pytest.approx(math.sqrt((100 + 255) / 4))


def test_the_toolkit_rounds_halves_up():
    # The mean is 1.5 in both; above it are 0.5 and 1.5, or 2.5.
    image = np.array([[0, 1], [2, 3]], np.uint8)
    assert sd(image, convention="toolkit") == math.sqrt((1 + 4) / 4)
    image = np.array([[0, 1], [1, 4]], np.uint8)
    assert sd(image, convention="toolkit") == math.sqrt(9 / 4)
