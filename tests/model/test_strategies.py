"""Eq. 4-7 by a NumPy twin, silent sources, registration."""

import functools

import numpy as np
import numpy_densefuse
import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.model import strategies


def feature_maps(count, size=(6, 9), seed=0):
    rng = np.random.default_rng(seed)
    maps = rng.uniform(0, 50, (count, 2, *size, 64)).astype(np.float32)
    maps[maps < 25] = 0  # As after ReLU.
    return list(maps)


@pytest.mark.parametrize("count", (2, 3, 4))
@pytest.mark.parametrize("size", ((2, 2), (1, 5), (6, 9)))
def test_addition_is_the_sum(count, size):
    maps = feature_maps(count, size)
    np.testing.assert_allclose(strategies.addition(maps), sum(maps), rtol=1e-6)


@pytest.mark.parametrize("count", (2, 3, 4))
@pytest.mark.parametrize("radius", (0, 1, 2))
@pytest.mark.parametrize("size", ((2, 2), (2, 7), (11, 8)))
def test_l1_norm_equals_numpy(count, radius, size):
    maps = feature_maps(count, size)
    fused = strategies.l1_norm(maps, window_radius=radius).numpy()
    for index in range(2):
        expected = numpy_densefuse.l1_norm([phi[index] for phi in maps], radius)
        np.testing.assert_allclose(fused[index], expected, rtol=1e-5)


def test_l1_norm_has_radius_1_as_in_the_paper():
    maps = feature_maps(2)
    np.testing.assert_array_equal(
        strategies.l1_norm(maps), strategies.l1_norm(maps, window_radius=1)
    )


def test_weights_sum_to_1():
    weights = strategies.l1_norm_weights(feature_maps(3))
    np.testing.assert_allclose(sum(weights), np.ones((2, 6, 9, 1)), rtol=1e-6)
    assert all((weight.numpy() >= 0).all() for weight in weights)


@pytest.mark.parametrize("count", (2, 3))
def test_silent_sources_have_equal_weights(count):
    maps = [np.zeros((1, 4, 4, 64), np.float32)] * count
    for weight in strategies.l1_norm_weights(maps, window_radius=1):
        np.testing.assert_allclose(weight, np.full((1, 4, 4, 1), 1 / count))
    np.testing.assert_array_equal(strategies.l1_norm(maps), maps[0])


def test_a_silent_source_has_weight_0():
    loud = feature_maps(1)[0] + 1
    silent = np.zeros_like(loud)
    np.testing.assert_allclose(strategies.l1_norm([loud, silent]), loud, rtol=1e-6)


@pytest.mark.parametrize("name", ("addition", "l1_norm"))
def test_order_of_sources_does_not_matter(name):
    maps = feature_maps(3)
    fuse = strategies.get(name).function
    np.testing.assert_allclose(fuse(maps), fuse(maps[::-1]), rtol=1e-5)


def test_both_strategies_of_the_paper_are_registered():
    assert {"addition", "l1_norm"} <= set(strategies.names())
    assert strategies.get("addition").scales_with_sources
    assert not strategies.get("l1_norm").scales_with_sources


def test_get_refuses_an_unknown_strategy():
    with pytest.raises(UserError, match="'mean': expected one of addition, l1_norm"):
        strategies.get("mean")


def test_layer_refuses_a_negative_radius():
    with pytest.raises(UserError, match="window_radius is -1: expected 0 or more"):
        strategies.layer("l1_norm", window_radius=-1)


def test_registration_refuses_a_taken_name():
    with pytest.raises(ValueError, match="'addition' is registered already"):
        strategies.strategy("addition", scales_with_sources=True)(sum)


def register_constant(value):
    """A notebook's cell is changed and run again."""

    @strategies.strategy("constant_of_the_tests", scales_with_sources=False, reach=0)
    def constant(feature_maps):
        return feature_maps[0] * 0 + value


def test_a_function_defined_again_takes_its_place():
    for value in (1, 2):
        register_constant(value)
        fused = strategies.get("constant_of_the_tests").function(feature_maps(2))
        np.testing.assert_array_equal(fused, np.full(fused.shape, value))
    partial = functools.partial(strategies.l1_norm, window_radius=2)
    with pytest.raises(ValueError, match="'constant_of_the_tests' is registered"):
        strategies.strategy("constant_of_the_tests", scales_with_sources=False)(partial)
