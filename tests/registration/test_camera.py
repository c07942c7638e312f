"""Guesses from a camera's own figures."""

import json

import numpy as np
import pytest

from densefuse_tf import registration
from densefuse_tf.io.radiometric import Placing
from densefuse_tf.registration import transforms


def test_without_a_shift_both_centres_lie_together():
    found = registration.placed(Placing(1.6, 0, 0), (500, 640), (60, 80))
    assert found.model == "similarity"
    assert not found.accepted
    assert (found.fixed_shape, found.moving_shape) == ((500, 640), (60, 80))
    middle = transforms.apply(found.matrix, np.array([[319.5, 249.5]]))
    np.testing.assert_allclose(middle, [[39.5, 29.5]])
    # The photograph is 1.6 times as wide as what the thermal image shows.
    ends = transforms.apply(np.linalg.inv(found.matrix), np.array([[0, 0], [80, 0]]))
    np.testing.assert_allclose(np.diff(ends, axis=0), [[400, 0]])


def test_a_shift_lies_halfway_between_pixels_of_either_image():
    """It is as far from the one as from the other."""
    at, unshifted = (
        registration.placed(Placing(1.6, *shift), (480, 640), (60, 80)).matrix
        for shift in ((20, -10), (0, 0))
    )
    origin = np.zeros((1, 2))
    moved = transforms.apply(np.linalg.inv(at), origin) - transforms.apply(
        np.linalg.inv(unshifted), origin
    )
    # A thermal pixel is five of the photograph.
    np.testing.assert_allclose(moved, [[60, -30]])


@pytest.mark.parametrize(
    "name, figures",
    [
        ("FLIR", Placing(1.4039698839187622, 14, -14)),
        ("FLIR_T640", Placing(3.4961841106414795, -144, -27)),
    ],
)
def test_cameras_are_near_what_is_right(shared, name, figures):
    """The centre is off by less than what a search around a guess looks at."""
    known = json.loads((shared / f"flir/{name}.json").read_text())
    thermal, photograph = (
        (known[what]["height"], known[what]["width"])
        for what in ("thermal", "photograph")
    )
    found = registration.placed(figures, photograph, thermal)
    place = np.array([known["points_photograph"][-1]])
    off = transforms.apply(found.matrix, place) - known["points_thermal"][-1]
    assert np.abs(off / np.array(thermal[::-1])).max() < 0.15
