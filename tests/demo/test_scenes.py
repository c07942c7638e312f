"""The source images that are made of photographs."""

import numpy as np
import pytest

from densefuse_tf.demo import scenes


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return scenes.photograph("coffee.png", 96)


def shares(kind, shape, count):
    if kind == "strips":
        return scenes.strips(shape, count)
    return scenes.depths(shape, count, np.random.default_rng(3))


@pytest.mark.parametrize("kind", ("strips", "depths"))
@pytest.mark.parametrize("count", (2, 3, 5))
def test_each_pixel_is_divided_among_the_sources(kind, count):
    found = shares(kind, (40, 60), count)
    assert found.shape == (count, 40, 60)
    assert found.min() >= 0 and found.max() <= 1
    np.testing.assert_allclose(found.sum(0), 1)
    # Each has about as much of the image as the others.
    np.testing.assert_allclose(found.mean((1, 2)), 1 / count, atol=0.02)


def test_depths_are_the_same_for_the_same_seed():
    one, other = (shares("depths", (40, 60), 3) for _ in range(2))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("grey", (True, False))
def test_a_source_equals_the_photograph_where_it_is_in_focus(photo, grey):
    photo = photo[:, :, 0] if grey else photo
    parts = shares("depths", photo.shape[:2], 3)
    for source, share in zip(scenes.focal_planes(photo, parts), parts, strict=True):
        assert source.shape == photo.shape and source.dtype == np.uint8
        sharp, blurred = share == 1, share == 0
        assert sharp.any() and blurred.any()
        np.testing.assert_array_equal(source[sharp], photo[sharp])
        assert np.abs(source[blurred].astype(int) - photo[blurred]).mean() > 2


def test_focal_planes_keep_a_constant_image():
    image = np.full((20, 30, 3), 77, np.uint8)
    for made in scenes.focal_planes(image, scenes.strips((20, 30), 2)):
        np.testing.assert_array_equal(made, image)


def test_an_exposure_of_0_stops_in_even_light_is_the_photograph(photo):
    (made,) = scenes.exposures(photo, [0], spread=0)
    np.testing.assert_array_equal(made, photo)


def test_a_stop_doubles_the_light():
    """By sRGB's curve: linear 0.1, 0.2 and 0.4 are 89, 124 and 170."""
    photo = np.full((4, 5), 124, np.uint8)
    dark, same, bright = scenes.exposures(photo, [-1, 0, 1], spread=0)
    assert (dark[0, 0], same[0, 0], bright[0, 0]) == (89, 124, 170)


def test_the_light_grows_from_left_to_right_and_saturates(photo):
    white = np.full((4, 65), 255, np.uint8)
    (made,) = scenes.exposures(white, [0], spread=3)
    assert (made[:, 32:] == 255).all()
    assert (np.diff(made[0, :33].astype(int)) > 0).all()
    # Three stops below 1, linear 1/8.
    assert made[0, 0] == round(255 * (1.055 * 0.125 ** (1 / 2.4) - 0.055))


def test_a_photograph_keeps_its_proportions():
    assert scenes.photograph("coffee.png", 96).shape == (64, 96, 3)
