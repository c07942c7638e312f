"""register: what it finds, what it refuses."""

import json

import numpy as np
import pytest

from densefuse_tf import registration
from densefuse_tf.errors import UserError
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.registration import matching
from densefuse_tf.registration import registration as registering
from densefuse_tf.registration import transforms
from tests.registration.conftest import SHAPE
from tests.registration.conftest import moved
from tests.registration.conftest import noisy
from tests.registration.conftest import scene
from tests.registration.conftest import similarity


@pytest.fixture(scope="module")
def found(visible, infrared):
    return registration.register(visible, infrared)


def test_register_finds_a_known_warp_under_reversed_contrast(found, warp):
    assert found.accepted
    assert transforms.distance(found.matrix, warp, SHAPE) < 1.0
    assert found.consistency < 1.0
    assert found.model == "affine"


def test_a_homography_is_taken_where_it_matches_clearly_better(visible):
    perspective = similarity(1, 0, (3, -2))
    perspective[2, :2] = 3e-4, -2e-4
    other = noisy(moved(255 - scene(1), perspective), 3)
    found, affine = (
        registration.register(visible, other, model=model) for model in (None, "affine")
    )
    assert (found.model, affine.model) == ("homography", "affine")
    assert transforms.distance(found.matrix, perspective, SHAPE) < 1.0
    assert transforms.distance(affine.matrix, perspective, SHAPE) > 2.0
    assert found.score > affine.score


def test_register_gives_the_same_result_again(found, visible, infrared):
    again = registration.register(visible, infrared)
    np.testing.assert_array_equal(again.matrix, found.matrix)


def test_register_takes_other_sizes_bit_depths_and_colour(found, visible, infrared):
    deep = infrared[::2, ::2].astype(np.uint16) * 200 + 3000
    other = registration.register(pixels.rgb(visible), deep)
    half = np.diag([0.5, 0.5, 1]) @ found.matrix
    assert other.accepted
    assert other.moving_shape == deep.shape
    assert transforms.distance(other.matrix, half, SHAPE) < 1.5


def test_register_measures_the_total_gradient_before_and_after(found):
    before, after = found.total_gradient
    assert 0 < after < 1
    assert 0 < before < 1


@pytest.mark.parametrize(
    "model",
    [
        *("translation", "affine"),
        *(
            pytest.param(m, marks=pytest.mark.guard)
            for m in ("similarity", "homography")
        ),
    ],
)
def test_register_keeps_the_form_of_the_model(visible, model):
    shift = similarity(1, 0, (9, -7))
    other = noisy(moved(255 - scene(1), shift), 3)
    found = registration.register(visible, other, model=model)
    assert found.accepted
    assert transforms.distance(found.matrix, shift, SHAPE) < 1.5
    matrix = found.matrix
    if model == "translation":
        np.testing.assert_allclose(matrix[:2, :2], np.eye(2), atol=1e-12)
    if model == "similarity":
        np.testing.assert_allclose(
            [matrix[0, 0], matrix[0, 1]], [matrix[1, 1], -matrix[1, 0]], atol=1e-12
        )
    if model != "homography":
        np.testing.assert_allclose(matrix[2], [0, 0, 1], atol=1e-12)


@pytest.mark.parametrize("is_outer_fixed", [True, False])
def test_register_finds_an_image_that_shows_a_part_of_the_other(is_outer_fixed):
    outer = noisy(scene(1, (300, 400)), 2)
    part = (slice(60, 195), slice(150, 330))
    inner = noisy(255 - np.kron(scene(1, (300, 400))[part], np.ones((2, 2))), 3)
    truth = np.array([[2, 0, 0.5 - 300], [0, 2, 0.5 - 120], [0, 0, 1]])
    pair = [outer, inner] if is_outer_fixed else [inner, outer]
    found = registration.register(*pair)
    assert found.accepted
    matrix = np.linalg.inv(found.matrix) if is_outer_fixed else found.matrix
    assert transforms.distance(matrix, np.linalg.inv(truth), inner.shape) < 2.0


@pytest.fixture(scope="module")
def small_thermal():
    """A part of the scene in 60x80 pixels, and the transform from the scene to it."""
    part = 255 - scene(1)[30:150, 40:200]
    small = noisy(part.reshape(60, 2, 80, 2).mean(axis=(1, 3)), 3)
    return small, np.array([[0.5, 0, -20.25], [0, 0.5, -15.25], [0, 0, 1]])


def test_register_searches_around_a_guess(visible, small_thermal):
    small, truth = small_thermal
    guess = similarity(1.7, 0, (0, 0), small.shape) @ truth
    guess[:2, 2] += (15, -12)
    found = registration.register(visible, small, guess=guess, model="similarity")
    assert found.accepted
    assert transforms.distance(found.matrix, truth, SHAPE) < 2.0


def test_register_around_a_guess_refuses_another_scene(visible, small_thermal):
    small, truth = small_thermal
    other = noisy(255 - scene(7), 3)
    found = registration.register(other, small, guess=truth, model="similarity")
    assert "stands out" in found.reason


@pytest.mark.parametrize(
    "guess", [np.zeros((3, 3)), np.eye(2), np.full((3, 3), np.nan)]
)
def test_register_refuses_a_guess_that_is_no_transform(visible, guess):
    with pytest.raises(UserError, match="guess: expected a regular 3x3 matrix"):
        registration.register(visible, visible, guess=guess)


def test_register_refuses_images_of_two_scenes(visible):
    found = registration.register(visible, noisy(255 - scene(7), 3))
    assert not found.accepted
    assert "stands out" in found.reason


@pytest.mark.guard
@pytest.mark.parametrize("seed", [9, 10])
def test_register_refuses_other_scenes_of_straight_edges(visible, seed):
    assert not registration.register(visible, noisy(255 - scene(seed), 3)).accepted


def test_register_refuses_noise(visible):
    noise = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    assert not registration.register(visible, noise).accepted


def test_register_refuses_a_constant_image(visible):
    with pytest.raises(UserError, match=r"IR.png: all its pixels have the value 7"):
        registration.register(
            visible, np.full(SHAPE, 7, np.uint8), names=("VIS.png", "IR.png")
        )


def test_register_refuses_an_image_too_small(visible):
    with pytest.raises(UserError, match="20x30 pixels.*at least 32x32"):
        registration.register(visible, visible[:20, :30])


def test_register_refuses_an_unknown_model(visible):
    with pytest.raises(
        UserError, match="model is 'rigid': expected one of translation"
    ):
        registration.register(visible, visible, model="rigid")


@pytest.mark.parametrize(
    "bounds, line",
    [
        ({"scales": (0, 1)}, "scales 0 to 1: expected 0 < low"),
        ({"rotations": (5, -5)}, "rotations 5 to -5 degrees: expected"),
    ],
)
def test_register_refuses_bounds_in_the_wrong_order(visible, bounds, line):
    with pytest.raises(UserError, match=line):
        registration.register(visible, visible, **bounds)


@pytest.mark.parametrize(
    "name, limit",
    [("VIS_IR_1", 2.0), pytest.param("VisionVI0", 3.0, marks=pytest.mark.guard)],
)
def test_register_meets_landmarks_picked_by_hand(shared, name, limit):
    folder = shared / "registration"
    points = json.loads((folder / f"{name}.json").read_text())
    fixed, moving = (
        images.read(folder / f"{name}_{which}.png") for which in ("fixed", "moving")
    )
    found = registration.register(fixed, moving)
    error = found.transform(np.array(points["fixed"])) - np.array(points["moving"])
    assert found.accepted
    assert np.sqrt((error**2).sum(axis=1).mean()) < limit


def test_register_refuses_a_thermal_image_of_another_place(shared):
    visible = images.read(shared / "tno/VIS4.png")
    infrared = images.read(shared / "tno/IR7.png")
    assert not registration.register(visible, infrared).accepted


def test_total_gradient_is_0_for_equal_images_and_ignores_the_bit_depth(visible):
    deep = visible.astype(np.uint16) * 256
    measure = registration.normalized_total_gradient
    assert measure(visible, deep) == pytest.approx(0, abs=1e-9)
    shifted = np.roll(visible, 5, axis=1)
    assert 0 < measure(visible, shifted) <= 1
    assert measure(visible, shifted) == pytest.approx(measure(shifted, deep))


def test_total_gradient_of_flat_images_is_nan():
    assert np.isnan(
        registration.normalized_total_gradient(np.ones((4, 4)), np.ones((4, 4)))
    )


@pytest.mark.parametrize(
    ("changes", "has_guess", "reason"),
    [
        # The least confidence and the largest inconsistency of docs/registration.md, of
        # a part whose diagonal is 500 pixels.
        ({}, False, None),
        ({"distinctness": 2.74}, False, "a confidence of 2.7: expected 2.75 or more"),
        ({"score": 0.9}, False, "a confidence of 2.7: expected 2.75 or more"),
        ({"score": -0.2}, False, "a confidence of 0.0"),
        ({"consistency": 2.99}, False, None),
        ({"consistency": 3.01}, False, "both ways differ by 3.0 pixels at the corners"),
        ({"consistency": 3.01}, True, "expected 3.0 or less"),
        # Around a guess, the geometric mean with the search's counts.
        ({"distinctness": 1.0, "searched": 4.1}, True, None),
        ({"distinctness": 1.0, "searched": 3.9}, True, "expected 2 or more"),
        ({"searched": 1.4}, True, "a confidence of 2.0: expected 2 or more"),
        ({"searched": -1.0}, True, "a confidence of 0.0"),
    ],
)
def test_what_is_accepted(changes, has_guess, reason):
    found = matching.Found(
        np.eye(3),
        np.array([[10, 10], [310, 10], [310, 410], [10, 410]]),
        **{"score": 1.0, "consistency": 1.0, "distinctness": 2.8, "searched": 2.8}
        | changes,
    )
    objection = registering._objection(found, has_guess)
    assert objection is None if reason is None else reason in objection
