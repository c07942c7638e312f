"""The geometry of bands, and that an image fused in bands is the one fused whole."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from densefuse_tf.fusion import bands
from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.fusion.fuser import rows_of_band
from densefuse_tf.fusion.methods import fuse
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.model import network
from densefuse_tf.model import strategies

# The largest difference, of 255.
TOLERANCE = 1e-3


@strategies.strategy("brightest_of_the_tests", scales_with_sources=False)
def brightest(feature_maps):
    """Chooses the source with the largest maps for the whole image."""
    sums = tf.stack([tf.reduce_sum(phi) for phi in feature_maps])
    return tf.stack(feature_maps)[tf.argmax(sums)]


@strategies.strategy("blur_of_the_tests", scales_with_sources=False, reach=3)
def blur(feature_maps):
    total = functools.reduce(tf.add, feature_maps)
    return tf.nn.avg_pool2d(total, 7, strides=1, padding="SAME")


def photographs(count, size, seed=0):
    """Makes random images, in which each pixel matters."""
    rng = np.random.default_rng(seed)
    return list(rng.integers(0, 256, (count, *size), np.uint8))


def budget(rows, width, num_sources=2):
    """The budget, in GB, with which bands have so many rows, margins included."""
    return (rows + 0.5) / rows_of_band(1e6, width, num_sources) * 1e6


def in_both_ways(fuser, sources, rows):
    """The decoder's output of the whole image, and of bands of so many rows."""
    outputs = []
    limit = budget(rows, sources[0].shape[1], len(sources))
    with pytest.MonkeyPatch.context() as patch:
        for gigabytes in (0, limit):
            patch.setattr(fuser, "_budget", gigabytes)
            outputs.append(fuser.raw(sources))
    return outputs


def assert_equal(banded, whole):
    assert banded.dtype == whole.dtype == np.float32
    # Untrained weights shrink the range: what is promised is of 255.
    assert np.abs(banded - whole).max() * 255 / np.ptp(whole) < TOLERANCE


def length(cut):
    return cut.stop - cut.start


@settings(deadline=None, max_examples=100)
@given(
    height=st.integers(2, 300),
    rows=st.integers(0, 320),
    margin=st.integers(4, 40),
    lag=st.sampled_from((0, 4)),
)
def test_bands_cover_each_row_once_with_their_margins(height, rows, margin, lag):
    image = np.arange(height)
    found = list(bands.split(height, rows, margin=margin, lag=lag))
    covered = np.concatenate([image[band.inner] for band in found])
    np.testing.assert_array_equal(covered, image)
    first, last = found[0], found[-1]
    assert first.outer.start == 0 and last.outer.stop == height
    for band in found:
        assert band.cuts == (band is not first, band is not last)
        assert length(band.outer) <= max(rows, 4 * margin, 2 * margin + 10)
    # What a band is computed for begins where the one above ends; a margin lies between
    # that and the rows that are cut off.
    starts = [0]
    for band, following in itertools.pairwise(found):
        starts.append(following.outer.start + margin)
        assert band.outer.stop - margin == starts[-1]
        assert band.inner.stop == starts[-1] - lag
    if len(found) > 1:
        assert min(np.diff([*starts, height])) >= 5
        heights = [length(band.outer) for band in found]
        assert len(set(heights[:-1])) == 1 and heights[-1] <= heights[0]


@pytest.mark.parametrize(
    ("height", "rows", "count"),
    ((100, 100, 1), (100, 99, 2), (100, 50, 3), (100, 0, 6), (32, 0, 1), (33, 0, 2)),
)
def test_there_are_no_more_bands_than_needed(height, rows, count):
    assert len(list(bands.split(height, rows, margin=8))) == count


@pytest.mark.parametrize(
    ("arguments", "channels"),
    (
        ({"strategy": "addition"}, ()),
        ({"strategy": "l1_norm", "window_radius": 3}, ()),
        *(
            pytest.param(*case, marks=pytest.mark.guard)
            for case in (
                ({"strategy": "l1_norm", "num_sources": 3, "color": "rgb"}, (3,)),
                ({"strategy": "detail_choose_max", "num_sources": 3}, ()),
                ({"strategy": "l1_norm", "window_radius": 0}, ()),
                ({"strategy": "l1_norm", "window_radius": 1}, ()),
                ({"strategy": "addition", "num_sources": 3}, ()),
                ({"strategy": "l1_norm", "num_sources": 3}, ()),
                ({"strategy": "addition", "color": "rgb"}, (3,)),
                ({"strategy": "l1_norm", "color": "rgb"}, (3,)),
                ({"strategy": "l1_norm", "color": "luma"}, (3,)),
                ({"strategy": "maximum"}, ()),
                ({"strategy": "choose_max", "window_radius": 2}, ()),
                ({"strategy": "l1_norm_softmax", "window_radius": 3}, ()),
                ({"strategy": "detail_softmax", "window_radius": 2}, ()),
            )
        ),
    ),
    ids=str,
)
def test_bands_equal_the_whole_image(fusers, arguments, channels):
    fuser = fusers(**arguments)
    for size, rows in (((47, 61), 30), ((59, 2), 20)):
        sources = photographs(fuser.num_sources, (*size, *channels))
        whole, banded = in_both_ways(fuser, sources, rows)
        assert banded.shape == whole.shape == sources[0].shape[: whole.ndim]
        assert_equal(banded, whole)


@pytest.mark.parametrize("size", ((2, 2), (3, 23), (11, 20), (21, 20), (37, 2)))
def test_the_lowest_bands_equal_the_whole_image(fusers, size):
    fuser = fusers(strategy="l1_norm")
    whole, banded = in_both_ways(fuser, photographs(2, size), 0)
    assert_equal(banded, whole)


@pytest.mark.parametrize(
    ("strategy", "rows"),
    (
        ("addition", 73),
        *(
            pytest.param(*case, marks=pytest.mark.guard)
            for case in itertools.product(("addition", "l1_norm"), (40, 73, 100))
            if case != ("addition", 73)
        ),
    ),
)
def test_bands_of_photographs_equal_the_whole_image(shared, released, rows, strategy):
    from densefuse_tf.io import images

    sources = [images.read(shared / "tno" / name) for name in ("IR1.png", "VIS1.png")]
    fuser = Fuser(FusionSettings(released["1e2"], strategy=strategy))
    whole, banded = in_both_ways(fuser, sources, rows)
    if strategy == "addition":
        np.testing.assert_array_equal(banded, whole)
    assert np.abs(banded - whole).max() < TOLERANCE


def test_bands_equal_the_whole_image_with_keras_layers(checkpoint, monkeypatch):
    monkeypatch.setattr(network, "use_quick_layers", lambda: False)
    fuser = Fuser(FusionSettings(checkpoint, strategy="l1_norm"))
    whole, banded = in_both_ways(fuser, photographs(2, (47, 61)), 30)
    assert_equal(banded, whole)


def test_a_smaller_margin_changes_the_image(fusers, checkpoint, monkeypatch):
    """Shows that the comparisons with the whole image would notice."""
    sources = photographs(2, (90, 61))
    fuser = fusers(strategy="l1_norm", window_radius=3)
    assert fuser.margin == network.ENCODER_RADIUS + 3
    whole, banded = in_both_ways(fuser, sources, 50)
    assert_equal(banded, whole)
    monkeypatch.setattr(strategies.Strategy, "radius", lambda *_: 1)
    narrow = Fuser(FusionSettings(checkpoint, strategy="l1_norm", window_radius=3))
    assert narrow.margin == network.ENCODER_RADIUS + 1
    whole, banded = in_both_ways(narrow, sources, 50)
    assert np.abs(banded - whole).max() * 255 / np.ptp(whole) > TOLERANCE


def test_the_image_is_rescaled_after_all_bands(fusers):
    sources = photographs(2, (33, 40))
    whole = fusers(strategy="addition").fuse(sources)
    banded = fusers(memory_budget=budget(26, 40)).fuse(sources)
    assert banded.image.min() == 0 and banded.image.max() == 255
    # Rounding apart.
    assert np.abs(banded.image.astype(int) - whole.image).max() <= 1
    assert (banded.image != whole.image).mean() < 0.01


def test_an_image_above_the_budget_is_computed_in_bands(fusers, monkeypatch):
    sources = photographs(2, (48, 62))
    fuser = fusers(memory_budget=budget(40, 62))
    shapes = []
    compute = fuser._compute
    monkeypatch.setattr(
        fuser,
        "_compute",
        lambda parts, *others: shapes.append(parts[0].shape) or compute(parts, *others),
    )
    fuser.raw(sources)
    assert shapes == [(28, 62)] * 2
    shapes.clear()
    fuser.raw([source[:40] for source in sources])
    assert shapes == [(40, 62)]


def test_three_graphs_serve_all_bands(checkpoint):
    fuser = Fuser(FusionSettings(checkpoint, memory_budget=1e-4))
    for size in ((60, 40), (90, 31), (70, 62)):
        fuser.raw(photographs(2, size))
    assert len(fuser._graph._compiled) == 3


def test_the_reach_of_a_strategy_widens_the_margin(fusers):
    sources = photographs(2, (71, 53))
    whole, banded = in_both_ways(fusers(strategy="blur_of_the_tests"), sources, 40)
    assert_equal(banded, whole)


def test_a_strategy_without_a_reach_is_computed_whole(fusers):
    sources = photographs(2, (60, 40))
    expected = fusers(strategy="brightest_of_the_tests").raw(sources)
    fuser = fusers(strategy="brightest_of_the_tests", memory_budget=1e-5)
    np.testing.assert_array_equal(fuser.raw(sources), expected)


def test_fuse_in_bands_gives_the_same_image(checkpoint):
    sources = photographs(2, (53, 40))
    whole = fuse(sources, checkpoint, output_range="average")
    banded = fuse(sources, checkpoint, output_range="average", memory_budget=1e-4)
    np.testing.assert_array_equal(banded, whole)
