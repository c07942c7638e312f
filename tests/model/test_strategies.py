"""Eq. 4-7 and the other strategies by NumPy twins, silent sources, registration."""

import functools
import inspect

import numpy as np
import numpy_densefuse
import pytest
import tensorflow as tf
from scipy import ndimage

from densefuse_tf.errors import UserError
from densefuse_tf.model import activity
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


def test_the_radius_is_1_as_in_the_paper_unless_another_is_given():
    functions = [strategies.get(name).function for name in ("l1_norm", *TWINS)]
    functions += [
        activity.activity_level_map,
        activity.detail_level_map,
        activity.l1_norm_weights,
    ]
    for function in functions:
        assert inspect.signature(function).parameters["window_radius"].default == 1


@pytest.mark.parametrize("factor", (1, 1e9))
def test_activity_and_detail_levels_equal_numpy(factor):
    (maps,) = feature_maps(1)
    maps *= np.float32(factor)
    maps[..., ::3] *= -1
    for found, level in (
        (activity.activity_level_map(maps, 2), activity_level),
        (activity.detail_level_map(maps, 2), detail),
    ):
        for index in range(2):
            expected = level(np.float64(maps[index]), 2)
            np.testing.assert_allclose(found[index, ..., 0], expected, rtol=1e-5)


@pytest.mark.parametrize("name", ("l1_norm", "l1_norm_softmax", "choose_max"))
def test_weights_of_the_largest_floats_are_finite(name):
    maps = [np.full((1, 3, 4, 64), 3e38, np.float32)] * 4
    fused = strategies.get(name).function(maps)
    np.testing.assert_allclose(fused, maps[0], rtol=1e-5)


def test_weights_sum_to_1():
    weights = activity.l1_norm_weights(feature_maps(3))
    np.testing.assert_allclose(sum(weights), np.ones((2, 6, 9, 1)), rtol=1e-6)
    assert all((weight.numpy() >= 0).all() for weight in weights)


@pytest.mark.parametrize("count", (2, 3))
def test_silent_sources_have_equal_weights(count):
    maps = [np.zeros((1, 4, 4, 64), np.float32)] * count
    for weight in activity.l1_norm_weights(maps, window_radius=1):
        np.testing.assert_allclose(weight, np.full((1, 4, 4, 1), 1 / count))
    np.testing.assert_array_equal(strategies.l1_norm(maps), maps[0])


def test_a_silent_source_has_weight_0():
    loud = feature_maps(1)[0] + 1
    silent = np.zeros_like(loud)
    np.testing.assert_allclose(strategies.l1_norm([loud, silent]), loud, rtol=1e-6)


def block_mean(maps, radius):
    """Eq. 6 over the pixels that exist, for an array [H, W, ...]."""
    size = (2 * radius + 1, 2 * radius + 1) + (1,) * (maps.ndim - 2)
    count = ndimage.uniform_filter(np.ones_like(maps), size, mode="constant")
    return ndimage.uniform_filter(maps, size, mode="constant") / count


def activity_level(phi, radius):
    return block_mean(np.abs(phi).sum(-1), radius)


def detail(phi, radius):
    return block_mean(np.abs(phi - block_mean(phi, 1)).sum(-1), radius)


def chosen(activities):
    largest = np.max(activities, axis=0)
    weights = np.isclose(activities, largest, rtol=1e-9).astype(float)
    return weights / weights.sum(0)


def softmax(activities):
    powers = np.exp(2 * activities / np.mean(activities, axis=0))
    return powers / powers.sum(0)


TWINS = {
    "choose_max": (activity_level, chosen),
    "l1_norm_softmax": (activity_level, softmax),
    "detail_choose_max": (detail, chosen),
    "detail_softmax": (detail, softmax),
}


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("count", (2, 3, 4))
@pytest.mark.parametrize("radius", (0, 1, 3))
@pytest.mark.parametrize("size", ((2, 7), (11, 8)))
def test_a_weighing_strategy_equals_numpy(name, count, radius, size):
    maps = feature_maps(count, size)
    fused = strategies.get(name).function(maps, window_radius=radius).numpy()
    level, weigh = TWINS[name]
    for index in range(2):
        phi = np.float64([each[index] for each in maps])
        weights = weigh(np.array([level(each, radius) for each in phi]))
        expected = (weights[..., None] * phi).sum(0)
        np.testing.assert_allclose(fused[index], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("count", (2, 3, 4))
def test_mean_is_the_mean(count):
    maps = feature_maps(count)
    np.testing.assert_allclose(strategies.mean(maps), np.mean(maps, axis=0), rtol=1e-6)


@pytest.mark.parametrize("count", (2, 3, 4))
def test_maximum_is_the_largest_value(count):
    maps = feature_maps(count)
    np.testing.assert_array_equal(strategies.maximum(maps), np.max(maps, axis=0))


@pytest.mark.parametrize("name", ("choose_max", "detail_choose_max"))
def test_sources_of_equal_activity_share_alike(name):
    (loud,) = feature_maps(1)
    # The l1-norm does not see the sign.
    fused = strategies.get(name).function([loud, 0 * loud, -loud, loud])
    np.testing.assert_allclose(fused, loud / 3, rtol=1e-6)


@pytest.mark.parametrize("name", ("choose_max", "detail_choose_max"))
def test_the_sharper_source_is_chosen_on_each_side(name):
    photo = feature_maps(1, (24, 40))[0]
    blurred = ndimage.uniform_filter(photo, (0, 5, 5, 0), mode="nearest")
    left = np.arange(40)[:, None] < 20
    # The blur evens out what is large and what is 0, so that the l1-norm stays.
    sources = [np.where(left, 2 * photo, blurred), np.where(left, blurred, 2 * photo)]
    fused = strategies.get(name).function(sources, window_radius=2).numpy()
    away = np.abs(np.arange(40) - 19.5) > 4
    np.testing.assert_allclose(fused[:, :, away], 2 * photo[:, :, away], rtol=1e-5)


@pytest.mark.parametrize("name", ("detail_choose_max", "detail_softmax"))
def test_brightness_has_no_influence_on_the_choice_by_detail(name):
    maps = [np.float32(np.round(phi)) for phi in feature_maps(2)]
    fuse = strategies.get(name).function
    brighter = fuse([maps[0] + 1024, maps[1]]).numpy()
    weight = (brighter - fuse(maps).numpy()) / 1024
    # What is added comes back times the weight of its source, which has not changed.
    share = (fuse(maps) - maps[1]) / np.where(maps[0] == maps[1], 1, maps[0] - maps[1])
    differ = maps[0] != maps[1]
    np.testing.assert_allclose(weight[differ], share.numpy()[differ], atol=1e-4)


@pytest.mark.parametrize("count", (2, 3))
def test_softmax_weights_lie_between_0_and_1_and_sum_to_1(count):
    activities = [np.abs(phi).sum(-1, keepdims=True) for phi in feature_maps(count)]
    activities[0][:, 0] = 0
    weights = activity.softmax_weights(activities)
    assert all(
        ((weight.numpy() > 0) & (weight.numpy() < 1)).all() for weight in weights
    )
    np.testing.assert_allclose(sum(weights), np.ones_like(activities[0]), rtol=1e-6)
    silent = [np.zeros_like(each) for each in activities]
    for weight in activity.softmax_weights(silent):
        np.testing.assert_allclose(weight, np.full(weight.shape, 1 / count))


ALL = ("addition", "mean", "l1_norm", "maximum", *TWINS)


@pytest.mark.parametrize(
    ("name", "expected"),
    (("maximum", 0), ("choose_max", 5), ("l1_norm_softmax", 5), ("detail_softmax", 6)),
)
def test_the_reach_counts_the_window_and_the_3x3_mean(name, expected):
    assert strategies.get(name).radius(5) == expected


@pytest.mark.parametrize("name", ALL)
def test_order_of_sources_does_not_matter(name):
    maps = feature_maps(3)
    fuse = strategies.get(name).function
    np.testing.assert_allclose(fuse(maps), fuse(maps[::-1]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("count", (2, 3))
@pytest.mark.parametrize("value", (0.0, 7.0))
def test_constant_maps_stay_constant(name, count, value):
    maps = [np.full((1, 5, 6, 64), value, np.float32)] * count
    fused = strategies.get(name).function(maps).numpy()
    share = count if name == "addition" else 1
    np.testing.assert_allclose(fused, share * maps[0], rtol=1e-6)


@pytest.mark.parametrize("name", ALL[1:])
@pytest.mark.parametrize("count", (2, 3))
def test_equal_sources_give_the_source(name, count):
    (phi,) = feature_maps(1)
    fused = strategies.get(name).function([phi] * count)
    np.testing.assert_allclose(fused, phi, rtol=1e-6)


def test_both_strategies_of_the_paper_are_registered():
    assert {"addition", "l1_norm"} <= set(strategies.list_strategies())
    assert strategies.get("addition").scales_with_sources
    assert not strategies.get("l1_norm").scales_with_sources


def test_get_refuses_an_unknown_strategy():
    with pytest.raises(UserError, match="'median': expected one of addition, mean, l1"):
        strategies.get("median")


def test_layer_refuses_a_negative_radius():
    with pytest.raises(UserError, match="window_radius is -1: expected 0 or more"):
        strategies.checked_arguments("l1_norm", window_radius=-1)


def test_registration_refuses_a_taken_name():
    with pytest.raises(ValueError, match="'addition' is registered already"):
        strategies.strategy("addition", scales_with_sources=True)(sum)


@pytest.mark.usefixtures("own_strategies")
def test_the_signature_says_which_arguments_a_function_takes():
    def with_both(feature_maps, window_radius=1, offset=None):
        return feature_maps[0]

    def with_any(feature_maps, **arguments):
        return feature_maps[0]

    partial = functools.partial(with_both, window_radius=8)
    declared = {"takes_window_radius": True, "takes_offset": True}
    for name, function, facts, expected in (
        ("both", with_both, {}, (True, True)),
        ("declared", with_both, declared, (True, True)),
        ("neither", lambda feature_maps: feature_maps[0], {}, (False, False)),
        ("bound", partial, {}, (False, True)),
        ("none_of_any", with_any, {}, (False, False)),
        ("any", with_any, declared, (True, True)),
    ):
        strategies.strategy(name, scales_with_sources=False, **facts)(function)
        found = strategies.get(name)
        assert (found.takes_window_radius, found.takes_offset) == expected


@pytest.mark.usefixtures("own_strategies")
@pytest.mark.parametrize(
    ("fact", "given", "function"),
    [
        ("takes_window_radius", True, lambda feature_maps: feature_maps[0]),
        ("takes_offset", True, lambda feature_maps, window_radius: feature_maps[0]),
        ("takes_offset", False, lambda feature_maps, offset: feature_maps[0]),
    ],
)
def test_a_fact_that_the_signature_contradicts_is_refused(fact, given, function):
    with pytest.raises(ValueError, match=f"{fact}={given}: expected {not given}"):
        strategies.strategy("odd", scales_with_sources=False, **{fact: given})(function)
    assert "odd" not in strategies.list_strategies()


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


def test_the_sum_of_maps_that_are_not_negative_is_their_l1_norm():
    rng = np.random.default_rng(0)
    maps = [rng.random((2, 5, 7, 64), np.float32) for _ in range(3)]
    expected = strategies.l1_norm(maps)
    found = strategies.layer("l1_norm", {"offset": 0.0})(maps)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_rounding_makes_no_activity_negative():
    """The maps are bfloat16, and constants were subtracted from them."""
    maps = tf.fill([1, 3, 4, 64], tf.constant(-1.0, tf.bfloat16))
    for offset, expected in ((64.5, 0.5), (63.5, 0.0)):
        found = activity.activity_level_map(maps, 0, tf.constant(offset))
        assert found.dtype == tf.float32
        np.testing.assert_array_equal(found, np.full((1, 3, 4, 1), expected))


@pytest.mark.parametrize("name", ALL)
def test_maps_in_parts_are_fused_like_those_in_one_tensor(name):
    maps = feature_maps(3)
    parts = [tf.split(phi, 4, axis=-1) for phi in maps]
    assert strategies.get(name).takes_parts
    fuse = strategies.get(name).function
    np.testing.assert_allclose(fuse(parts), fuse(maps), rtol=1e-5, atol=1e-6)
