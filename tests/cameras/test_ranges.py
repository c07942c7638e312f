"""Steady brightness over changing scenes, and the frames of a shutter."""

import itertools

import numpy as np
import pytest

from densefuse_tf.cameras.ranges import SteadyRange
from densefuse_tf.errors import UserError
from densefuse_tf.io import pixels

RATE = 25.0


def scene(seed=0, level=8000, contrast=600):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :128]
    smooth = np.sin(x / 15) + np.cos(y / 11)
    return (level + contrast * smooth / 2 + rng.normal(0, 4, x.shape)).astype(np.uint16)


def with_object(frame, value, side=24):
    """A hot object with a soft edge, as a lens makes it."""
    frame = frame.astype(np.float64)
    for inset in range(4):
        inside = slice(20 + inset, 20 + side - inset)
        frame[inside, inside] += (value - frame[inside, inside]) * (inset + 1) / 4
    return frame.astype(np.uint16)


def scaled(steady, frames, rate=RATE):
    return [
        steady.scale(frame, 5 + index / rate, True)
        for index, frame in enumerate(frames)
    ]


@pytest.mark.parametrize("value", [9500, 12000, 60000])
def test_a_hot_object_changes_a_still_scene_by_two_levels_a_frame_at_most(value):
    still = [scene() for _ in range(20)]
    hot = [with_object(scene(), value) for _ in range(60)]
    shown = scaled(SteadyRange("ir", None, 2.0), [*still, *hot, *still])
    elsewhere = np.ones(shown[0].shape, bool)
    elsewhere[16:48, 16:48] = False
    steps = [
        np.abs(after - before)[elsewhere].max()
        for before, after in itertools.pairwise(shown)
    ]
    assert max(steps) <= 2
    # And it does follow.
    assert shown[79][elsewhere].mean() < shown[0][elsewhere].mean() - 5


def test_by_itself_each_frame_would_pump():
    frames = [scene(), with_object(scene(), 60000)]
    one, other = scaled(SteadyRange("ir", None, 0.0), frames)
    assert np.abs(one - other).max() > 100


def test_a_range_arrives_where_the_scene_is():
    frames = [scene()] * 5 + [scene(contrast=900)] * 300
    shown = scaled(SteadyRange("ir", None, 1.0), frames)
    alone, _ = pixels.to_pixel_range(frames[-1], "auto")
    assert np.abs(shown[-1] - alone).max() < 1


def test_another_scene_is_followed_at_once():
    shown = scaled(SteadyRange("ir", None, 2.0), [scene(), scene(level=20000)])
    alone, _ = pixels.to_pixel_range(scene(level=20000), "auto")
    np.testing.assert_array_equal(shown[1], alone)


@pytest.mark.parametrize("level", [8000, 8250, 12000])
@pytest.mark.parametrize("noise", [0, 3])
def test_a_shutter_costs_its_frames(level, noise):
    """Wherever its value is: within the range of the scene, too."""
    steady = SteadyRange("ir", None, 2.0)
    scaled(steady, [scene()] * 5)
    flat = np.random.default_rng(1).normal(level, noise, (96, 128)).astype(np.uint16)
    for index in range(20):
        with pytest.raises(UserError, match="ir: no contrast: a shutter"):
            steady.scale(flat, 5.2 + index / RATE, True)
    after = steady.scale(scene(), 6.1, True)
    np.testing.assert_allclose(after, pixels.to_pixel_range(scene(), "auto")[0], atol=2)


def test_a_scene_that_stays_flat_is_shown_after_the_memory():
    steady = SteadyRange("ir", None, 2.0)
    steady.scale(scene(), 0.0, True)
    flat = scene(contrast=0)
    with pytest.raises(UserError):
        steady.scale(flat, 1.9, True)
    assert steady.scale(flat, 2.1, True).shape == flat.shape
    assert steady.scale(flat, 2.2, True).shape == flat.shape


def test_a_shutter_is_seen_in_eight_bits_too_which_stay_as_they_are():
    steady = SteadyRange("ir", None, 2.0)
    frame = (scene() // 64).astype(np.uint8)
    assert steady.scale(frame, 0.0, True) is frame
    with pytest.raises(UserError, match="shutter"):
        steady.scale(np.full_like(frame, 128), 0.1, True)


def test_a_visible_camera_may_be_in_the_dark():
    steady = SteadyRange("vis", None, 2.0)
    steady.scale((scene() // 64).astype(np.uint8), 0.0, False)
    dark = np.zeros((96, 128), np.uint8)
    assert steady.scale(dark, 0.1, False) is dark


def test_a_fixed_range_stays_and_tells_once_of_frames_outside(caplog):
    steady = SteadyRange("ir", (7000.0, 9000.0), 2.0)
    frame = with_object(scene(), 60000)
    expected, _ = pixels.to_pixel_range(frame, (7000.0, 9000.0))
    np.testing.assert_array_equal(steady.scale(frame, 0.0, True), expected)
    for index in range(12):
        assert not steady.scale(scene(level=3000), 0.1 + index / RATE, True).any()
    (said,) = caplog.messages
    assert "ir: its values of " in said and " become 0 " in said
    with pytest.raises(UserError, match="shutter"):
        steady.scale(np.full_like(frame, 8000), 1.0, True)


@pytest.mark.parametrize("first", [8000, 7998])
def test_a_range_without_width_is_left_at_once(first):
    """Though most of the scene has the value that all had at first."""
    steady = SteadyRange("vis", None, 2.0)
    flat = np.full((96, 128), 8000, np.uint16)
    flat[0, 0] = first
    steady.scale(flat, 0.0, False)
    flat[:40] = 9000
    shown = steady.scale(flat, 0.04, False)
    np.testing.assert_array_equal(shown, pixels.to_pixel_range(flat, "auto")[0])


def test_percentiles_are_steady_as_well():
    given = pixels.Percentiles(1, 99)
    frames = [scene()] * 5 + [with_object(scene(), 60000)] * 5
    shown = scaled(SteadyRange("ir", given, 2.0), frames)
    assert np.abs(shown[5] - shown[4])[60:].max() <= 2


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((4, 4), np.int32),
        np.zeros((4, 4, 4), np.uint8),
        np.full((4, 4), np.nan, np.float32),
    ],
)
def test_what_is_no_image_is_refused(frame):
    with pytest.raises(UserError, match="ir: "):
        SteadyRange("ir", None, 2.0).scale(frame, 0.0, True)
