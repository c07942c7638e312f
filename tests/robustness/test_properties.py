"""What holds for any numbers: the strategies, the whole network, the metrics.

The properties of single metrics are in tests/metrics; here are those that all share,
and the bytes that fuse.py gives each time. That the other commands end with the same
bytes or weights each time, test_kills.py shows.
"""

import functools
import hashlib
import math
import pathlib

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from densefuse_tf import metrics
from densefuse_tf.commands import fuse
from densefuse_tf.errors import UserError
from densefuse_tf.fusion.settings import COLOR_MODES
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.model import activity
from densefuse_tf.model import strategies

# The same examples in each run, however busy the machine.
quick = hypothesis.settings(derandomize=True, deadline=None, max_examples=40)
few = hypothesis.settings(quick, max_examples=15)


def floats(low: float, high: float):
    """Those of float32 between the two, denormal ones among them."""
    return st.floats(float(np.float32(low)), float(np.float32(high)), width=32)


# Whatever a network of any weights may make of an image; and what it does make of it.
any_float, ordinary = floats(-1e38, 1e38), floats(0, 2000)
NAMES = ("addition", "l1_norm")


@st.composite
def feature_maps(draw, elements=any_float, *, most=4):
    """k maps [1, H, W, 64] of one size, from 1x1 up, k from 2 up."""
    shape = (1, draw(st.integers(1, 5)), draw(st.integers(1, 5)), 64)
    count = draw(st.integers(2, most))
    # Some values in many places: 64 maps at each pixel are too many to draw one by one.
    seed = draw(st.integers(0, 2**32 - 1))
    values = draw(st.lists(elements, min_size=1, max_size=12))
    generator = np.random.default_rng(seed)
    maps = generator.choice(np.float32(values), (count, *shape))
    return list(maps)


radii = st.integers(0, 2)


def strategy(name, radius):
    function = strategies.get(name).function
    if name == "l1_norm":
        return functools.partial(function, window_radius=radius)
    return function


@pytest.mark.parametrize("name", NAMES)
@quick
@hypothesis.given(maps=feature_maps(ordinary), radius=radii, data=st.data())
def test_the_order_of_sources_does_not_matter(name, maps, radius, data):
    """To the last bit for the sum of two; else up to rounding."""
    fused = strategy(name, radius)(maps).numpy()
    order = data.draw(st.permutations(range(len(maps))))
    other = strategy(name, radius)([maps[index] for index in order]).numpy()
    if len(maps) == 2 and name == "addition":
        np.testing.assert_array_equal(other, fused)
    atol = 1e-6 * np.max(maps) + 1e-30
    np.testing.assert_allclose(other, fused, rtol=1e-5, atol=atol)


@quick
@hypothesis.given(maps=feature_maps(ordinary), power=st.integers(-20, 20), radius=radii)
def test_scaling_by_a_power_of_two_is_exact(maps, power, radius):
    """Addition is linear; the weights of the l1-norm do not change at all."""
    # What is tiny loses digits on the way.
    maps = [np.where(phi < 1e-20, np.float32(0), phi) for phi in maps]
    scale = np.float32(2.0**power)
    scaled = [scale * phi for phi in maps]
    np.testing.assert_array_equal(
        strategies.addition(scaled), scale * strategies.addition(maps).numpy()
    )
    for one, other in zip(
        activity.l1_norm_weights(maps, radius),
        activity.l1_norm_weights(scaled, radius),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@quick
@hypothesis.given(maps=feature_maps(ordinary), scale=floats(0.01, 100))
def test_scaling_by_any_number(maps, scale):
    scaled = [np.float32(scale) * phi for phi in maps]
    for name in NAMES:
        fused = strategy(name, 1)(maps).numpy()
        other = strategy(name, 1)(scaled).numpy()
        np.testing.assert_allclose(other, scale * fused, rtol=1e-5, atol=1e-30)


@quick
@hypothesis.given(maps=feature_maps(), radius=radii)
def test_weights_are_shares_for_any_finite_maps(maps, radius):
    weights = [w.numpy() for w in activity.l1_norm_weights(maps, radius)]
    assert all(((w >= 0) & (w <= 1)).all() for w in weights)
    np.testing.assert_allclose(sum(weights), 1, rtol=1e-5)
    assert np.isfinite(strategies.l1_norm(maps, radius)).all()


@quick
@hypothesis.given(maps=feature_maps(ordinary), radius=radii)
def test_silent_pixels_share_alike(maps, radius):
    silent = [phi.copy() for phi in maps]
    for phi in silent:
        phi[:, :1] = 0
    for weight in activity.l1_norm_weights(silent, 0):
        np.testing.assert_allclose(weight[:, :1], 1 / len(maps), rtol=1e-6)
    silent = [0 * phi for phi in maps]
    np.testing.assert_array_equal(strategies.l1_norm(silent, radius), silent[0])


# The whole network.


@st.composite
def source_images(draw, count, *, smallest=2, largest=20):
    """Images of one size: constant, black, of two levels, or noise."""
    side = st.integers(smallest, largest)
    shape = (draw(side), draw(side))
    kinds = st.sampled_from(["black", "white", "constant", "levels", "noise"])
    found = []
    for _ in range(count):
        generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        kind = draw(kinds)
        values = {
            "black": [0],
            "white": [255],
            "constant": [draw(st.integers(0, 255))],
            "levels": [0, draw(st.integers(1, 255))],
            "noise": range(256),
        }[kind]
        found.append(generator.choice(np.uint8(values), shape))
    return found


@pytest.mark.parametrize("name", NAMES)
@few
@hypothesis.given(data=st.data(), count=st.integers(2, 3))
def test_images_of_any_size_in_any_order(fusers, name, data, count):
    sources = data.draw(source_images(count))
    fuser = fusers(name, num_sources=count)
    fused = fuser.fuse(sources)
    assert fused.image.shape == fused.raw.shape == sources[0].shape
    assert fused.image.dtype == np.uint8 and np.isfinite(fused.raw).all()
    other = fuser.fuse(sources[::-1])
    if count == 2 and name == "addition":
        np.testing.assert_array_equal(other.raw, fused.raw)
        np.testing.assert_array_equal(other.image, fused.image)
    # The raw output is compared, in 0..255k: levels of pixels depend on the extremes.
    np.testing.assert_allclose(other.raw, fused.raw, atol=1e-2)


@few
@hypothesis.given(
    image=hnp.arrays(np.float32, (3, 4), elements=floats(0, 255)),
    exponent=st.integers(-140, 0),
)
def test_float_images_of_any_smallness(fusers, image, exponent):
    """Denormal numbers among them."""
    with np.errstate(under="ignore"):
        small = (image.astype(np.float64) * 2.0**exponent).astype(np.float32)
    for name in NAMES:
        assert np.isfinite(fusers(name).raw([small, image], are_scaled=True)).all()


@few
@hypothesis.given(
    image=hnp.arrays(np.float32, (3, 4), elements=st.floats(width=32)),
    value_range=st.sampled_from([None, (0.0, 1e-30), (-1e38, 1e38), (7000.0, 9000.0)]),
)
def test_any_floats_are_brought_to_the_pixel_range(image, value_range):
    """Or refused in one line, where they are no numbers."""
    if not np.isfinite(image).all():
        with pytest.raises(UserError, match="NaN, infinite"):
            pixels.check(image, "it")
        return
    scaled, _ = pixels.to_pixel_range(image, value_range)
    assert scaled.dtype == np.float32
    assert ((scaled >= 0) & (scaled <= 255)).all()


# The metrics.


@pytest.mark.filterwarnings("error")
@few
@hypothesis.given(data=st.data())
def test_metrics_are_in_their_range_and_treat_both_sources_alike(data):
    """For any 8-bit images: constant, black, of two levels, noise."""
    ir, vis, fused = data.draw(source_images(3, smallest=44, largest=50))
    for name, metric in metrics.METRICS.items():
        low, high = metric.range
        value = metric(ir, vis, fused)
        assert type(value) is float, name
        assert low - 1e-9 <= value <= high + 1e-9, name
        # PSNR of equal images is infinite.
        assert math.isfinite(value) or name == "PSNR", name
        swapped = metric(vis, ir, fused)
        assert swapped == pytest.approx(value, rel=1e-12, abs=1e-12), name


# The same bytes each time.


def digests(folder: pathlib.Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "color",
    [
        pytest.param(color, marks=[pytest.mark.guard] if color != "luma" else [])
        for color in COLOR_MODES
    ],
)
def test_fuse_gives_the_same_bytes(checkpoint, tmp_path, name, color):
    generator = np.random.default_rng(1)
    for number in range(2):
        images.write(
            tmp_path / f"ir/{number}.png", generator.integers(0, 256, (37, 50), "u1")
        )
        images.write(
            tmp_path / f"vis/{number}.png",
            generator.integers(0, 256, (37, 50, 3), "u1"),
        )
    for turn in "ab":
        flags = [f"--ir={tmp_path}/ir", f"--vis={tmp_path}/vis", "--save_raw"]
        flags += [
            f"--strategy={name}",
            f"--color={color}",
            f"--output={tmp_path / turn}",
        ]
        assert fuse.run(["fuse.py", f"--checkpoint={checkpoint}", *flags]) == 0
    assert len(digests(tmp_path / "a")) == 4
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
