"""The decoder's output as 8-bit pixels, in NumPy and in TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf

from densefuse_tf.fusion.output_range import average_divisor
from densefuse_tf.fusion.output_range import to_pixels
from densefuse_tf.fusion.output_range import to_pixels_in_graph
from densefuse_tf.fusion.settings import OUTPUT_RANGES
from densefuse_tf.fusion.settings import FusionSettings


def test_minmax_is_the_rescale_of_the_release():
    raw = np.array([[-20.0, 30.0], [229.5, 430.0]], np.float32)
    expected = ((raw.astype(np.float64) + 20) * 255 / 450 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(to_pixels(raw, "minmax"), expected)
    assert expected.min() == 0
    assert expected.max() == 255
    # Halves go up, as adding 0.5 and truncating has it.
    raw = np.array([0, 0.5, 1.5, 2.49, 255], np.float32)
    np.testing.assert_array_equal(to_pixels(raw, "minmax"), [0, 1, 2, 2, 255])


def test_minmax_takes_all_channels_together():
    raw = np.zeros((2, 2, 3), np.float32)
    raw[..., 1], raw[..., 2] = 100, 200
    image = to_pixels(raw, "minmax")
    np.testing.assert_array_equal(image[0, 0], [0, 128, 255])


@pytest.mark.parametrize("value", (-3.0, 0.0, 77.0))
def test_minmax_of_a_constant_is_black(value):
    image = to_pixels(np.full((3, 4), value, np.float32), "minmax")
    np.testing.assert_array_equal(image, np.zeros((3, 4), np.uint8))
    assert image.dtype == np.uint8


def test_a_given_range_holds_for_any_array():
    raw = np.array([-5.0, 0.0, 100.0, 102.6, 200.0, 1e9], np.float32)
    image = to_pixels(raw, (0.0, 200.0))
    np.testing.assert_array_equal(image, [0, 0, 128, 131, 255, 255])
    np.testing.assert_array_equal(to_pixels(raw, (7.0, 7.0)), np.zeros(6))


def test_average_divides_rounds_and_clips():
    raw = np.array([-5.0, 0.0, 99.0, 102.6, 510.0, 600.0], np.float32)
    image = to_pixels(raw, "average", 2)
    np.testing.assert_array_equal(image, [0, 0, 50, 51, 255, 255])
    assert image.dtype == np.uint8


@pytest.mark.parametrize(("strategy", "divisor"), [("addition", 3), ("l1_norm", 1)])
def test_only_a_sum_of_sources_is_divided(strategy, divisor):
    settings = FusionSettings(strategy=strategy, num_sources=3)
    assert average_divisor(settings) == divisor


def test_clip_cuts_off_and_truncates():
    raw = np.array([-5.0, 0.99, 1.0, 99.5, 254.99, 255.0, 600.0], np.float32)
    # Where the strategy adds, nothing is divided either.
    image = to_pixels(raw, "clip", 2)
    np.testing.assert_array_equal(image, [0, 0, 1, 99, 254, 255, 255])
    assert image.dtype == np.uint8


@pytest.mark.parametrize("output_range", OUTPUT_RANGES)
def test_the_graph_equals_numpy_bit_for_bit(output_range):
    graph = tf.function(to_pixels_in_graph, reduce_retracing=True)
    generator = np.random.default_rng(0)
    for _ in range(300):
        divisor = float(generator.integers(1, 5))
        center, spread = generator.normal(100, 200), 10 ** generator.uniform(-3, 5)
        raw = generator.normal(center, spread, (3, 7, 11, 1)).astype(np.float32)
        # One constant image, and one of the halves that rounding is about.
        raw[1] = raw[1, 0, 0]
        raw[2] = np.round(raw[2] * 2) / 2
        result = graph(tf.constant(raw), output_range, tf.constant(divisor)).numpy()
        expected = [to_pixels(image, output_range, divisor) for image in raw]
        np.testing.assert_array_equal(result, np.stack(expected))


def test_the_graph_takes_the_extremes_of_all_channels_together():
    raw = np.random.default_rng(1).normal(100, 50, (1, 5, 6, 3)).astype(np.float32)
    result = to_pixels_in_graph(tf.constant(raw), "minmax", 1.0).numpy()
    np.testing.assert_array_equal(result, to_pixels(raw, "minmax"))
