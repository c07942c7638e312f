import math

import numpy as np
import pytest
from hypothesis import given

from densefuse_tf.metrics import sf

from .conftest import one_image
from .conftest import quick


def test_counted_by_hand():
    image = np.array([[0, 30], [40, 40]], np.uint8)
    # Differences 30 and 0 in the rows, 40 and 10 in the columns.
    expected = math.sqrt((900 + 0) / 2 + (1600 + 100) / 2)
    assert sf(image) == pytest.approx(expected)
    assert sf(image, convention="toolkit") == pytest.approx(expected / 255)
    # VIFB divides by the number of pixels.
    expected = math.sqrt((900 + 0) / 4 + (1600 + 100) / 4)
    assert sf(image, convention="vifb") == pytest.approx(expected)
    # Three channels side by side are 2x6: seams of 30, 40 and 0 and 40 count.
    colour = np.stack([image] * 3, axis=-1)
    rows, columns = 3 * 900 + 2 * (30**2 + 0), 3 * (1600 + 100)
    expected = math.sqrt((rows + columns) / 12)
    assert sf(colour, convention="vifb") == pytest.approx(expected)


@quick
@given(one_image(smallest=2))
def test_definition_symmetry_range(image):
    height, width = image.shape
    levels = image.astype(int).tolist()
    rows = [
        (levels[y][x] - levels[y][x - 1]) ** 2
        for y in range(height)
        for x in range(1, width)
    ]
    columns = [
        (levels[y][x] - levels[y - 1][x]) ** 2
        for y in range(1, height)
        for x in range(width)
    ]
    expected = math.sqrt(sum(rows) / len(rows) + sum(columns) / len(columns))
    assert sf(image) == pytest.approx(expected, abs=1e-10)
    assert 0 <= sf(image) <= 255 * math.sqrt(2)
    for same in (image.T, image[::-1], 255 - image):
        assert sf(same) == pytest.approx(sf(image), abs=1e-10)


def test_checkerboard_reaches_the_end_of_the_range():
    y, x = np.mgrid[:6, :7]
    image = ((y + x) % 2 * 255).astype(np.uint8)
    assert sf(image) == pytest.approx(255 * math.sqrt(2))
    assert sf(np.full((5, 4), 9, np.uint8)) == 0
