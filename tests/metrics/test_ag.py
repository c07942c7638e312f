import math

import numpy as np
import pytest
from hypothesis import given

from densefuse_tf.metrics import ag

from .conftest import one_image
from .conftest import quick


def test_counted_by_hand():
    # One gradient of 8 along the rows and none along the columns, 3x4 pixels.
    image = np.tile(np.array([0, 8, 16, 24], np.uint8), (3, 1))
    assert ag(image) == pytest.approx(math.sqrt(8**2 / 2))
    # Twelve pixels are added up and divided by 2 * 3.
    for convention in ("toolkit", "vifb"):
        value = ag(image, convention=convention)
        assert value == pytest.approx(2 * math.sqrt(8**2 / 2))


def naive_slope(values, index):
    before, after = max(index - 1, 0), min(index + 1, len(values) - 1)
    return (int(values[after]) - int(values[before])) / (after - before)


@quick
@given(one_image(smallest=2))
def test_definition_symmetry_range(image):
    total = 0.0
    for y, x in np.ndindex(*image.shape):
        slopes = naive_slope(image[y], x), naive_slope(image[:, x], y)
        total += math.sqrt((slopes[0] ** 2 + slopes[1] ** 2) / 2)
    height, width = image.shape
    assert ag(image) == pytest.approx(total / (height * width), abs=1e-10)
    assert ag(image, convention="toolkit") == pytest.approx(
        total / ((height - 1) * (width - 1)), abs=1e-9
    )
    assert 0 <= ag(image) <= 255
    for same in (image.T, image[::-1], 255 - image):
        assert ag(same) == pytest.approx(ag(image), abs=1e-10)
