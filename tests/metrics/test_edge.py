import numpy as np
import pytest
from hypothesis import given

from densefuse_tf.metrics.edge import edges

from .conftest import one_image
from .conftest import quick
from .conftest import scene


def naive_edges(image):
    """Pixel by pixel, with the border repeated and the terms in the same order."""
    height, width = image.shape

    def at(y, x):
        return image[min(max(y, 0), height - 1), min(max(x, 0), width - 1)]

    slopes = np.zeros((height, width, 2))
    for y, x in np.ndindex(height, width):
        corners = [at(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        a, b, c, d, _, e, f, g, h = corners
        slopes[y, x] = (
            abs(a + 2 * d + f - c - 2 * e - h) / 8,
            abs(a + 2 * b + c - f - 2 * g - h) / 8,
        )
    strength = slopes[..., 0] ** 2 + slopes[..., 1] ** 2
    cutoff = 4 * strength.mean()

    def peak(y, x, step):
        before, after = (y - step[0], x - step[1]), (y + step[0], x + step[1])
        inside = [0 <= p < height and 0 <= q < width for p, q in (before, after)]
        return (not inside[0] or strength[before] <= strength[y, x]) and (
            not inside[1] or strength[y, x] > strength[after]
        )

    found = np.zeros(image.shape)
    for y, x in np.ndindex(height, width):
        along_x, along_y = slopes[y, x]
        found[y, x] = strength[y, x] > cutoff and (
            (along_x >= along_y - 100 * 2.0**-52 and peak(y, x, (0, 1)))
            or (along_y >= along_x - 100 * 2.0**-52 and peak(y, x, (1, 0)))
        )
    return found


@quick
@given(one_image())
def test_straight_loops(image):
    assert np.array_equal(edges(image / 255.0), naive_edges(image / 255.0))


def test_straight_loops_on_a_scene():
    image = scene(31, 40)[0] / 255.0
    found = edges(image)
    assert np.array_equal(found, naive_edges(image))
    assert 0.01 < found.mean() < 0.3


def test_the_order_of_the_terms_decides_between_equal_strengths():
    # A ramp whose two steepest columns are equally strong but for rounding.
    image = np.full((5, 40), 1)
    image[:, 20:] = [47, 99, *[145] * 18]
    assert np.array_equal(edges(image / 255.0), naive_edges(image / 255.0))


@pytest.mark.parametrize("seed", [5, 50, 124, 246])
def test_axes_that_are_equal_but_for_rounding_count_both(seed):
    # Two sets of slanted stripes, whose derivatives along both axes are equal.
    steps = np.random.default_rng(seed).integers(-20, 21, 48)
    levels = np.clip(np.cumsum(steps) + 120, 0, 255) / 255.0
    y, x = np.mgrid[:24, :24]
    image = np.where(x + 3 * y < 40, levels[x + y], levels[x - y + 23])
    assert np.array_equal(edges(image), naive_edges(image))


def test_a_step_gives_one_line():
    image = np.zeros((9, 12))
    image[:, 6:] = 1
    # Columns 5 and 6 are equally strong: the one behind is the edge.
    expected = np.zeros_like(image)
    expected[:, 6] = 1
    assert np.array_equal(edges(image), expected)
    assert np.array_equal(edges(image.T), expected.T)


@pytest.mark.parametrize("level", [0, 0.3, 1])
def test_constant_image_has_none(level):
    assert not edges(np.full((5, 6), level)).any()
