"""Warping, the common area, and aligned pairs."""

import numpy as np
import pytest

from densefuse_tf import registration
from densefuse_tf.errors import UserError
from densefuse_tf.registration import transforms
from densefuse_tf.registration import warping
from tests.registration.conftest import similarity


def of(matrix, fixed_shape, moving_shape, model="affine"):
    return registration.Registration(
        transforms.of_matrix(np.asarray(matrix, float), model),
        model,
        fixed_shape,
        moving_shape,
    )


def shifted_by(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_warp_by_whole_pixels_copies_them(dtype, channels):
    image = np.random.default_rng(0).integers(0, 255, (20, 30, *channels)).astype(dtype)
    found = of(shifted_by(4, 2), (20, 30), (20, 30))
    warped = registration.warp(image, found, fill=9)
    assert warped.dtype == dtype
    np.testing.assert_array_equal(warped[:18, :26], image[2:, 4:])
    assert (warped[18:] == 9).all()
    assert (warped[:, 26:] == 9).all()


@pytest.mark.parametrize(("shift", "to"), [(0.4, 0), (0.6, 1)])
def test_warp_rounds_whole_numbers_to_the_nearest(shift, to):
    image = np.tile(np.arange(30, dtype=np.uint8), (20, 1))
    warped = registration.warp(image, of(shifted_by(shift, 0), (20, 30), (20, 30)))
    np.testing.assert_array_equal(warped[:, 3:-4], image[:, 3:-4] + to)


@pytest.mark.parametrize("factor", [2, 4])
def test_warp_smooths_before_it_shrinks(factor):
    """By a Gaussian of (factor - 1) / 2 pixels, as scikit-image's resize does."""
    x = np.arange(64)
    waves = np.tile(100 * np.cos(x * np.pi / 4), (64, 1)).astype(np.float32)
    size = 64 // factor
    found = of(np.diag([factor, factor, 1]), (size, size), (64, 64))
    warped = registration.warp(waves, found)
    # What a Gaussian leaves of a wave of 8 pixels.
    left = np.exp(-(((factor - 1) / 2 * np.pi / 4) ** 2) / 2)
    expected = left * waves[::factor, ::factor]
    inner = np.s_[3:-3, 3:-3]
    np.testing.assert_allclose(warped[inner], expected[inner], atol=2)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_warp_stays_in_the_range_of_values_beside_steps(dtype):
    image = np.zeros((20, 30), dtype)
    image[:, 15:] = 255
    found = of(shifted_by(0.5, 0), (20, 30), (20, 30))
    warped = registration.warp(image, found)
    assert warped[:, :14].max() == 0
    assert warped[:, 15:29].min() == 255


def test_warp_keeps_more_of_a_texture_than_linear_interpolation():
    x = np.arange(64)
    waves = np.tile(np.sin(x * np.pi / 3), (16, 1)).astype(np.float32)
    # The range of values then cuts no crest.
    waves[:, 0], waves[:, -1] = -2, 2
    warped = registration.warp(waves, of(shifted_by(0.5, 0), (16, 64), (16, 64)))
    expected = np.tile(np.sin((x + 0.5) * np.pi / 3), (16, 1))
    linear = (waves + np.roll(waves, -1, axis=1)) / 2
    inner = (slice(None), slice(3, -4))
    error = np.abs(warped - expected)[inner].max()
    assert error < np.abs(linear - expected)[inner].max() / 3


def test_warp_needs_no_neighbour_outside_of_the_image():
    image = np.full((20, 30), 80, np.uint8)
    # Values are cut to the range of the image, which is all there is.
    image[9, 9], image[9, 19] = 0, 255
    warped = registration.warp(image, of(shifted_by(0.5, 0.5), (20, 30), (20, 30)))
    for part in (np.s_[:5, :29], np.s_[14:19, :29], np.s_[:19, :5], np.s_[:19, 24:29]):
        assert (warped[part] == 80).all()
    assert (warped[19] == 0).all()
    assert (warped[:, 29] == 0).all()


@pytest.mark.parametrize(("beyond", "is_covered"), [(1e-9, True), (1e-3, False)])
def test_pixels_on_the_border_but_for_rounding_are_covered(beyond, is_covered):
    for x, y in ((beyond, 0), (-beyond, 0), (0, beyond), (0, -beyond)):
        mask = warping.covered(shifted_by(x, y), (20, 30), (20, 30))
        assert mask.all() == is_covered


def test_warp_in_bands_equals_warp_at_once(monkeypatch, visible, warp):
    at_once = warping.warp_matrix(visible, warp, visible.shape, fill=0)
    monkeypatch.setattr(warping, "_BAND_PIXELS", 1000)
    in_bands = warping.warp_matrix(visible, warp, visible.shape, fill=0)
    difference = np.abs(at_once.astype(int) - in_bands)
    assert difference.max() <= 1


def test_common_area_of_a_shift_is_what_both_cover():
    area = registration.common_area(of(shifted_by(4, -3), (20, 30), (20, 30)))
    assert (area.top, area.bottom, area.left, area.right) == (3, 20, 0, 26)
    assert area.shape == (17, 26)


def test_common_area_is_the_largest_rectangle():
    found = of(similarity(1.1, 20, (1, 2), (14, 17)), (14, 17), (14, 17))
    mask = warping.covered(found.matrix, (14, 17), (14, 17))
    largest = max(
        (bottom - top) * (right - left)
        for top in range(14)
        for bottom in range(top + 2, 15)
        for left in range(17)
        for right in range(left + 2, 18)
        if mask[top:bottom, left:right].all()
    )
    area = registration.common_area(found)
    assert mask[area.slices].all()
    assert area.shape[0] * area.shape[1] == largest


def test_common_area_refuses_images_that_do_not_overlap():
    with pytest.raises(UserError, match="do not overlap"):
        registration.common_area(of(shifted_by(100, 0), (20, 30), (20, 30)))


def test_alignment_crops_both_to_the_common_area(visible, infrared, warp):
    found = of(warp, visible.shape, infrared.shape)
    alignment = registration.Alignment(found)
    fixed, moving = alignment.align(visible, infrared)
    assert fixed.shape == moving.shape == alignment.area.shape
    np.testing.assert_array_equal(fixed, visible[alignment.area.slices])
    whole = registration.warp(infrared, found)[alignment.area.slices]
    assert np.abs(whole.astype(int) - moving).max() <= 1


def test_alignment_left_black_keeps_the_size():
    image = np.full((20, 30), 50, np.uint8)
    alignment = registration.Alignment(
        of(shifted_by(4, 0), (20, 30), (20, 30)), uncovered="black"
    )
    fixed, moving = alignment.align(image, image)
    assert fixed is image
    assert (moving[:, :26] == 50).all()
    assert (moving[:, 26:] == 0).all()


def test_alignment_shows_the_fixed_image_in_the_range_of_the_moving_one():
    fixed = np.tile(np.arange(30, dtype=np.uint8), (20, 1))
    moving = np.full((20, 30), 3000, np.uint16)
    moving[:, 0] = 1000
    alignment = registration.Alignment(
        of(shifted_by(4, 0), (20, 30), (20, 30)), uncovered="fixed"
    )
    aligned = alignment.align(fixed, moving)[1]
    expected = 1000 + fixed[:, 26:] / 29 * 2000
    np.testing.assert_allclose(aligned[:, 26:], expected, atol=1)


def test_alignment_refuses_another_size_than_was_registered(visible):
    alignment = registration.Alignment(of(np.eye(3), visible.shape, visible.shape))
    with pytest.raises(UserError, match=r"the moving image is 10x10.*expected 180x240"):
        alignment.align(visible, visible[:10, :10])


def test_alignment_refuses_an_unknown_choice():
    found = of(np.eye(3), (20, 30), (20, 30))
    with pytest.raises(UserError, match="uncovered is 'white': expected one of crop"):
        registration.Alignment(found, uncovered="white")


def test_checkerboard_shows_both_images_in_turn():
    one, other = np.zeros((16, 32), np.uint8), np.zeros((16, 32, 3), np.uint8)
    one[0, 0], other[0, 4] = 10, 20
    board = registration.checkerboard(one, other, squares=8)
    assert board.shape == (16, 32, 3)
    assert board[0, 0].tolist() == [255, 255, 255]
    assert board[0, 4].tolist() == [255, 255, 255]
    assert board.sum() == 2 * 3 * 255


@pytest.mark.parametrize("given", ("rig.json", np.eye(3), None))
def test_alignment_takes_a_registration_alone(given):
    with pytest.raises(UserError, match=r"is given: expected what registration\.reg"):
        registration.Alignment(given)
