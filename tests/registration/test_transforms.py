"""What transforms do to an image: scale, rotation, and how far two lie apart."""

import numpy as np
import pytest

from densefuse_tf.registration import transforms

SHAPE = (31, 51)


def test_scale_and_rotation_of_a_similarity():
    cos, sin = np.cos(np.radians(12)), np.sin(np.radians(12))
    matrix = np.array([[1.7 * cos, -1.7 * sin, 5], [1.7 * sin, 1.7 * cos, -3]])
    matrix = np.vstack([matrix, [0, 0, 1]])
    assert transforms.scale(matrix, SHAPE) == pytest.approx(1.7)
    assert transforms.rotation(matrix, SHAPE) == pytest.approx(12)


def test_scale_is_the_root_of_the_area():
    assert transforms.scale(np.diag([2.0, 8.0, 1.0]), SHAPE) == pytest.approx(4)


def test_distance_is_the_root_of_the_mean_square_at_the_corners():
    shift = np.array([[1, 0, 3], [0, 1, 4], [0, 0, 1.0]])
    assert transforms.distance(shift, np.eye(3), SHAPE) == pytest.approx(5)
    # The lower two corners are moved by 3 pixels, the upper ones by none.
    shear = np.array([[1, 0.1, 0], [0, 1, 0], [0, 0, 1.0]])
    expected = np.sqrt(2 * 3**2 / 4)
    assert transforms.distance(shear, np.eye(3), SHAPE) == pytest.approx(expected)
    # In pixels of the image that both start from.
    twice = np.diag([2.0, 2.0, 1.0])
    assert transforms.distance(twice @ shift, twice, SHAPE) == pytest.approx(5)
