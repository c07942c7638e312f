"""The network in bfloat16."""

import builtins
import functools
import io
import operator

import numpy as np
import pytest
import tensorflow as tf

from densefuse_tf.errors import UserError
from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.fusion.methods import fuse
from densefuse_tf.fusion.output_range import to_pixels
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import images
from densefuse_tf.model import low_precision
from densefuse_tf.model import network
from densefuse_tf.model import strategies


@strategies.strategy(
    "middle_of_the_tests",
    scales_with_sources=False,
    reach=0,
    takes_differences=True,
)
def middle(feature_maps):
    """A user's strategy, which takes no parts."""
    return functools.reduce(operator.add, feature_maps) / len(feature_maps)


@pytest.fixture
def everywhere(monkeypatch):
    """TensorFlow computes in bfloat16, slowly, where the processor cannot."""
    monkeypatch.setattr(low_precision, "obstacle", lambda: None)


@functools.cache
def built(checkpoint, **settings):
    """A Fuser, each traced once; in bfloat16 where the fixture `everywhere` is used."""
    return Fuser(FusionSettings(checkpoint, **settings))


def in_both(checkpoint, sources, **settings):
    """Returns the raw output in float32 and in bfloat16."""
    settings["num_sources"] = len(sources)
    return [
        built(checkpoint, precision=each, **settings).raw(sources)
        for each in ("float32", "bfloat16")
    ]


def processor(monkeypatch, text):
    def read(path, *arguments, **others):
        if path != "/proc/cpuinfo":
            return original(path, *arguments, **others)
        if text is None:
            raise FileNotFoundError(path)
        return io.StringIO(text)

    original = builtins.open
    monkeypatch.setattr(builtins, "open", read)


@pytest.mark.parametrize(
    "pair", (8, *(pytest.param(n, marks=pytest.mark.guard) for n in (1, 20)))
)
@pytest.mark.parametrize(
    ("name", "strategy"),
    (
        ("1e2", "l1_norm"),
        ("1e3", "addition"),
        pytest.param("1e0", "l1_norm", marks=pytest.mark.guard),
        pytest.param("1e1", "addition", marks=pytest.mark.guard),
    ),
)
def test_grey_levels_are_close_to_those_of_float32(
    shared, released, everywhere, pair, name, strategy
):
    sources = [images.read(shared / f"tno/{kind}{pair}.png") for kind in ("IR", "VIS")]
    levels = [
        to_pixels(raw, "minmax").astype(int)
        for raw in in_both(released[name], sources, strategy=strategy)
    ]
    differences = np.abs(levels[0] - levels[1])
    assert 0 < differences.max() <= 3
    assert (differences > 2).mean() < 1e-3


@pytest.mark.parametrize(
    "settings",
    (
        {"strategy": "addition"},
        {"strategy": "l1_norm", "window_radius": 2},
        {"strategy": "middle_of_the_tests"},
        pytest.param({"strategy": "mean"}, marks=pytest.mark.guard),
        pytest.param({"strategy": "maximum"}, marks=pytest.mark.guard),
    ),
    ids=str,
)
@pytest.mark.parametrize("count", (2, pytest.param(3, marks=pytest.mark.guard)))
def test_each_strategy_gives_about_what_it_gives_in_float32(
    everywhere, settings, count
):
    y, x = np.mgrid[:50, :61]
    sources = [127 + 120 * np.sin(x / (4 + i) + y / 7) for i in range(count)]
    expected, raw = in_both("1e2", sources, **settings)
    assert raw.shape == expected.shape
    assert raw.dtype == np.float32
    difference = np.abs(raw - expected).max() / np.ptp(expected) * 255
    assert 0 < difference < 3


@pytest.mark.parametrize("value", (0, 7, 128, 255))
@pytest.mark.parametrize("strategy", ("addition", "l1_norm", "maximum"))
def test_a_uniform_image_loses_nothing(everywhere, value, strategy):
    """Nothing differs from it but what m' is rounded by."""
    source = np.full((9, 12), value, np.uint8)
    expected, raw = in_both("1e2", [source, source], strategy=strategy)
    np.testing.assert_allclose(raw, expected, atol=0.02)


@pytest.mark.parametrize("lowest", (0, 111, 223))
@pytest.mark.parametrize("strategy", ("addition", "l1_norm"))
def test_little_contrast_is_kept_at_any_brightness(
    shared, everywhere, lowest, strategy
):
    sources = [
        lowest + images.read(shared / f"tno/{kind}8.png") / np.float32(8)
        for kind in ("IR", "VIS")
    ]
    expected, raw = in_both("1e2", sources, strategy=strategy)
    assert np.abs(raw - expected).max() / np.ptp(expected) * 255 < 3


def test_the_mean_is_that_of_the_service():
    source = np.full((301, 400), 127.5, np.float32)
    source[0, 0] = 127.0
    found = low_precision.level_in_graph([tf.constant(source)] * 2)
    assert low_precision.level([source, source]) == found == 127
    # The level of unequal sources is their mean, rounded to the nearest even number.
    sources = [np.full((4, 5), value, np.float32) for value in (10, 21)]
    found = low_precision.level_in_graph(list(map(tf.constant, sources)))
    assert low_precision.level(sources) == found == 16


def test_another_precision_is_refused(checkpoint):
    with pytest.raises(UserError, match="precision is 'float16': expected one of"):
        FusionSettings(checkpoint, precision="float16")


def test_a_strategy_that_does_not_take_bfloat16_is_one_line(
    everywhere, own_strategies, checkpoint
):
    @strategies.strategy(
        "only_float32", scales_with_sources=False, reach=0, takes_differences=True
    )
    def only_float32(feature_maps):
        return tf.constant(0.5) * (feature_maps[0] + feature_maps[1])

    with pytest.raises(UserError, match="the strategy 'only_float32' fails"):
        Fuser(FusionSettings(checkpoint, "only_float32", precision="bfloat16"))


def test_fuse_takes_the_precision(everywhere):
    rng = np.random.default_rng(0)
    sources = list(rng.integers(0, 256, (2, 20, 30), np.uint8))
    exact, preview = (fuse(sources, precision=each) for each in ("float32", "bfloat16"))
    assert 0 < np.abs(np.subtract(exact, preview, dtype=int)).max() <= 3


def test_other_strategies_are_refused():
    with pytest.raises(UserError, match="with the strategy 'detail_softmax': expected"):
        Fuser(FusionSettings(strategy="detail_softmax", precision="bfloat16"))


@pytest.mark.guard
@pytest.mark.parametrize("strategy", ("l1_norm", "addition", "maximum"))
def test_bands_equal_the_whole_image(everywhere, strategy):
    rng = np.random.default_rng(0)
    sources = list(rng.integers(0, 256, (2, 61, 40), np.uint8))
    whole, banded = (
        Fuser(
            FusionSettings(
                strategy=strategy, precision="bfloat16", memory_budget=memory_budget
            )
        ).raw(sources)
        for memory_budget in (0, 1e-4)
    )
    # Where a processor sums in another order, a value may round to another bfloat16.
    assert np.abs(whole - banded).max() < 1
    assert np.abs(whole - banded).mean() < 0.02


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("flags : fpu avx512f avx512_bf16\n", None),
        ("flags\t: fpu amx_bf16 amx_tile\n", None),
        ("flags : fpu avx512f avx2\n", "neither AVX512-BF16 nor AMX-BF16"),
        (None, "is not known"),
    ),
)
def test_obstacle_is_what_the_processor_lacks(monkeypatch, text, message):
    monkeypatch.setattr(network, "use_quick_layers", lambda: True)
    processor(monkeypatch, text)
    found = low_precision.obstacle()
    assert found is None if message is None else message in found


def test_a_gpu_is_an_obstacle(monkeypatch):
    monkeypatch.setattr(network, "use_quick_layers", lambda: False)
    assert "a GPU is visible" in low_precision.obstacle()


def test_float32_is_computed_where_bfloat16_is_not_quicker(monkeypatch, caplog):
    monkeypatch.setattr(low_precision, "obstacle", lambda: "this is a test")
    rng = np.random.default_rng(0)
    sources = list(rng.integers(0, 256, (2, 20, 30), np.uint8))
    expected = built("1e2", precision="float32").raw(sources)
    raw = Fuser(FusionSettings("1e2", precision="bfloat16")).raw(sources)
    np.testing.assert_array_equal(raw, expected)
    assert "bfloat16: this is a test: computing in float32" in caplog.text
