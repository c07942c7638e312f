"""The geometry of tiles, and that an image fused in tiles is the one fused whole."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from densefuse_tf.errors import UserError
from densefuse_tf.fusion import tiles
from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.fusion.fuser import automatic_tile_size
from densefuse_tf.fusion.fuser import fuse
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.model import network
from densefuse_tf.model import strategies

MODULE = "densefuse_tf.fusion.fuser"
# Of 255.
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


@pytest.fixture(scope="module")
def fusers(checkpoint):
    """Fusers of the untrained checkpoint, each built once."""

    @functools.cache
    def get(**arguments):
        return Fuser(FusionSettings(checkpoint, **arguments))

    return get


def photographs(count, size, seed=0):
    """Makes random images, in which each pixel matters."""
    rng = np.random.default_rng(seed)
    return list(rng.integers(0, 256, (count, *size), np.uint8))


def in_both_ways(fuser, sources, tile_size):
    """The decoder's output of the whole image, and of tiles."""
    outputs = []
    with pytest.MonkeyPatch.context() as patch:
        for size in (0, tile_size):
            patch.setattr(fuser, "_tile_size", size)
            outputs.append(fuser.raw(sources))
    return outputs


def assert_equal(tiled, whole):
    assert tiled.dtype == whole.dtype == np.float32
    # Untrained weights shrink the range: what is promised is of 255.
    assert np.abs(tiled - whole).max() * 255 / np.ptp(whole) < TOLERANCE


def length(cut):
    return cut.stop - cut.start


@settings(deadline=None, max_examples=50)
@given(
    height=st.integers(2, 90),
    width=st.integers(2, 90),
    size=st.integers(tiles.MIN_SIZE, 100),
    margin=st.integers(0, 20),
)
def test_tiles_cover_each_pixel_once_with_their_margins(height, width, size, margin):
    image = np.arange(height * width).reshape(height, width)
    covered = np.zeros_like(image)
    outer_shapes = set()
    for tile in tiles.split(height, width, size, margin):
        covered[tile.inner] += 1
        part = image[tile.outer]
        outer_shapes.add(part.shape)
        np.testing.assert_array_equal(part[tile.where], image[tile.inner])
        for outer, inner, side in zip(
            tile.outer, tile.inner, (height, width), strict=True
        ):
            assert 0 <= outer.start <= max(0, inner.start - margin)
            assert min(side, inner.stop + margin) <= outer.stop <= side
            largest = 3 if size == 2 and side % 2 else size
            assert tiles.MIN_SIZE <= length(inner) <= largest
            assert length(outer) <= largest + 2 * margin
    assert (covered == 1).all()
    assert len(outer_shapes) == 1


@pytest.mark.parametrize("side", (2, 3, 5, 64, 65, 127, 129))
def test_there_are_no_more_tiles_than_needed(side):
    found = list(tiles.split(side, 2, 64, 9))
    assert len(found) == -(-side // 64)


@pytest.mark.parametrize(
    ("arguments", "channels"),
    (
        ({"strategy": "addition"}, ()),
        ({"strategy": "l1_norm", "window_radius": 0}, ()),
        ({"strategy": "l1_norm", "window_radius": 1}, ()),
        ({"strategy": "l1_norm", "window_radius": 3}, ()),
        ({"strategy": "addition", "num_sources": 3}, ()),
        ({"strategy": "l1_norm", "num_sources": 3}, ()),
        ({"strategy": "addition", "color": "rgb"}, (3,)),
        ({"strategy": "l1_norm", "color": "rgb"}, (3,)),
        ({"strategy": "l1_norm", "color": "luma"}, (3,)),
        ({"strategy": "maximum"}, ()),
        ({"strategy": "choose_max", "window_radius": 2}, ()),
        ({"strategy": "l1_norm_softmax", "window_radius": 3}, ()),
        ({"strategy": "detail_choose_max", "num_sources": 3}, ()),
        ({"strategy": "detail_softmax", "window_radius": 2}, ()),
    ),
    ids=str,
)
def test_tiles_equal_the_whole_image(fusers, arguments, channels):
    fuser = fusers(**arguments)
    for size, tile_size in (((47, 61), 16), ((2, 59), 20)):
        sources = photographs(fuser.num_sources, (*size, *channels))
        whole, tiled = in_both_ways(fuser, sources, tile_size)
        assert tiled.shape == whole.shape == sources[0].shape[: whole.ndim]
        assert_equal(tiled, whole)


@pytest.mark.parametrize("tile_size", (2, 3, 7, 40))
@pytest.mark.parametrize("size", ((2, 2), (3, 23), (21, 20)))
def test_tiny_tiles_equal_the_whole_image(fusers, tile_size, size):
    fuser = fusers(strategy="l1_norm")
    whole, tiled = in_both_ways(fuser, photographs(2, size), tile_size)
    assert_equal(tiled, whole)


@pytest.mark.parametrize("pair", (1, 8))
@pytest.mark.parametrize("strategy", ("addition", "l1_norm"))
def test_tiles_of_photographs_equal_the_whole_image(shared, released, pair, strategy):
    """Odd crops, and tiles that do not divide them."""
    from densefuse_tf.io import images

    names = (f"IR{pair}.png", f"VIS{pair}.png")
    sources = [images.read(shared / "tno" / name)[7:180, 11:220] for name in names]
    fuser = Fuser(FusionSettings(released["1e2"], strategy=strategy))
    whole, tiled = in_both_ways(fuser, sources, 50)
    assert np.abs(tiled - whole).max() < TOLERANCE


def test_a_smaller_margin_changes_the_image(fusers, monkeypatch):
    """Shows that the comparisons with the whole image would notice."""
    sources = photographs(2, (47, 61))
    fuser = fusers(strategy="l1_norm", window_radius=3)
    assert fuser.margin == network.RECEPTIVE_RADIUS + 3
    monkeypatch.setattr(fuser, "margin", fuser.margin - 2)
    whole, tiled = in_both_ways(fuser, sources, 16)
    assert np.abs(tiled - whole).max() * 255 / np.ptp(whole) > TOLERANCE


def test_the_image_is_rescaled_after_all_tiles(fusers):
    sources = photographs(2, (33, 40))
    whole = fusers(strategy="addition").fuse(sources)
    tiled = fusers(tile_size=12).fuse(sources)
    assert tiled.image.min() == 0 and tiled.image.max() == 255
    # Rounding apart.
    assert np.abs(tiled.image.astype(int) - whole.image).max() <= 1
    assert (tiled.image != whole.image).mean() < 0.01


def test_large_images_are_tiled_by_default(fusers, monkeypatch):
    sources = photographs(2, (48, 62))
    fuser = fusers(strategy="addition")
    expected = fuser.raw(sources)
    monkeypatch.setattr(f"{MODULE}.MAX_WHOLE_PIXELS", 48 * 62 - 1)
    monkeypatch.setattr(f"{MODULE}._TILE_BYTES", 1200 * 40**2)
    shapes = []
    compute = fuser._compute
    monkeypatch.setattr(
        fuser, "_compute", lambda parts: shapes.append(parts[0].shape) or compute(parts)
    )
    tiled = fuser.raw(sources)
    assert shapes == [(40, 37)] * 6
    assert_equal(tiled, expected)
    shapes.clear()
    monkeypatch.setattr(f"{MODULE}.MAX_WHOLE_PIXELS", 48 * 62)
    fuser.raw(sources)
    assert shapes == [(48, 62)]


@pytest.mark.parametrize("num_sources", (2, 3, 4))
@pytest.mark.parametrize("radius", (0, 1, 50, 10_000))
def test_automatic_tiles_are_no_slivers(num_sources, radius):
    margin = network.RECEPTIVE_RADIUS + radius
    size = automatic_tile_size(num_sources, margin)
    assert 300 < size < 1100


def test_the_reach_of_a_strategy_widens_the_margin(fusers):
    sources = photographs(2, (41, 53))
    whole, tiled = in_both_ways(fusers(strategy="blur_of_the_tests"), sources, 14)
    assert_equal(tiled, whole)


def test_a_strategy_without_a_reach_is_not_tiled(fusers, monkeypatch):
    sources = photographs(2, (30, 40))
    fuser = fusers(strategy="brightest_of_the_tests")
    expected = fuser.raw(sources)
    monkeypatch.setattr(f"{MODULE}.MAX_WHOLE_PIXELS", 10)
    monkeypatch.setattr(f"{MODULE}._TILE_BYTES", 1200 * 30**2)
    np.testing.assert_array_equal(fuser.raw(sources), expected)
    with pytest.raises(UserError, match="'brightest_of_the_tests' .* without a reach"):
        fusers(strategy="brightest_of_the_tests", tile_size=14)


def test_fuse_in_tiles_gives_the_same_image(checkpoint):
    sources = photographs(2, (33, 40))
    whole = fuse(sources, checkpoint, output_range="average")
    tiled = fuse(sources, checkpoint, output_range="average", tile_size=12)
    assert np.abs(tiled.astype(int) - whole).max() <= 1
