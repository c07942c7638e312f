"""Refining: the score, its slope, what images have to share, where climbs start."""

import concurrent.futures

import numpy as np
import pytest

from densefuse_tf.registration import fields
from densefuse_tf.registration import matching
from densefuse_tf.registration import refine
from densefuse_tf.registration import search
from densefuse_tf.registration import transforms
from tests.registration.conftest import scene

SHAPE = (60, 80)


def level(image):
    return fields.level(image.astype(np.float32), image.shape)


@pytest.fixture(scope="module")
def refiner():
    """An image and its negative are compared: their place is the unit matrix."""
    image = scene(1)[20 : 20 + SHAPE[0], 30 : 30 + SHAPE[1]]
    return refine.Refiner(level(image), level(255 - image), smoothing=1.5, overlap=0.5)


def shift(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def test_the_score_is_1_at_the_place_and_less_beside_it(refiner):
    assert refiner.score(np.eye(3)) == pytest.approx(1, abs=1e-6)
    scores = [refiner.score(shift(x, 0)) for x in (0, 1, 2)]
    assert scores == sorted(scores, reverse=True) and scores[2] < 0.9


@pytest.mark.parametrize("model", ["translation", "affine"])
def test_the_slope_is_the_derivative_of_the_score(refiner, model):
    directions = transforms.directions(model)
    place = shift(1.3, -0.8)
    _, slope = refiner._equations(*refiner._look(place), directions)

    def score(step):
        change = np.eye(3) + np.tensordot(step, directions, 1)
        return refiner.score(place @ refiner._from_unit @ change @ refiner._to_unit)

    # Half a pixel to either side.
    steps = np.eye(len(directions)) * 0.5 / refiner._half
    measured = [(score(s) - score(-s)) * refiner._half for s in steps]
    error = np.linalg.norm(slope - measured) / np.linalg.norm(measured)
    assert error < 0.15


def test_a_climb_ends_at_the_place(refiner):
    matrix, score = refiner.run(shift(1.3, -0.8), "translation")
    np.testing.assert_allclose(matrix, np.eye(3), atol=0.05)
    assert score > 0.999


def test_images_that_share_too_little_have_no_score(refiner):
    # Seven rows and columns at the borders of either image are no part of its field.
    height, width = SHAPE
    most = (width - 7) - 0.5 * height * width / (height - 7)
    assert refiner.score(shift(np.floor(most), 0)) > -1
    assert refiner.score(shift(np.ceil(most), 0)) == -1
    # At half the size, a quarter of the pixels stands for all of the smaller image.
    assert refiner.score(np.diag([2.0, 2.0, 1])) > -1
    assert refiner.score(np.diag([2.0, 2.0, 1]) @ shift(25, 0)) == -1


@pytest.mark.parametrize(
    ("shared", "is_found", "is_refined"),
    [(0.4, False, False), (0.6, False, True), (0.75, True, True)],
)
def test_images_have_to_share_a_part_to_be_laid_over_each_other(
    shared, is_found, is_refined
):
    """60 % of the smaller one in the search, and half of it from then on."""
    width = 140
    place = round(width * (1 - shared))
    picture = scene(1).astype(np.float32)
    grays = [picture[:, :width], 255 - picture[:, place : place + width]]
    pair = matching._Pair(grays, grays, (grays[0].shape, grays[1].shape))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = pair.search(pool, np.ones(1), np.zeros(1), None)
    assert found
    near = [one for one in found if np.abs(one.matrix - shift(-place, 0)).max() < 2]
    assert bool(near) == is_found
    start = search.Candidate(shift(-place, 0), 0.0, 0.0)
    refined = pair.climb(matching._COARSE, 1.5, "translation", start)
    assert (refined is not None) == is_refined


def test_the_last_climbs_start_from_four_places_some_pixels_apart():
    points = transforms.corners((300, 400))
    starts = matching._around(shift(7, -3), points, "affine")
    assert len(starts) == 4
    np.testing.assert_array_equal(starts[0], shift(7, -3))
    places = transforms.apply(starts[0], points)
    off = [transforms.apply(one, points) - places for one in starts[1:]]
    # 0.4 % of the diagonal of 500 pixels.
    assert 1 < np.std(off) < 3
    assert matching._around(shift(7, -3), points, "affine")[2].tolist() == (
        starts[2].tolist()
    )
