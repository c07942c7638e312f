"""The fusion graph and the way from stored arrays to the fused image and back."""

import functools

import keras
import numpy as np
import numpy_densefuse
import pytest
import tensorflow as tf

import densefuse_tf
from densefuse_tf.errors import UserError
from densefuse_tf.fusion import fusion
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.model import checkpoints
from densefuse_tf.model import network
from densefuse_tf.model import strategies

STRATEGIES = {"addition": numpy_densefuse.addition, "l1_norm": numpy_densefuse.l1_norm}


@strategies.strategy("maximum_of_the_tests", scales_with_sources=False)
def maximum(feature_maps):
    return functools.reduce(tf.maximum, feature_maps)


def photographs(count, size=(37, 53), channels=(), seed=0):
    rng = np.random.default_rng(seed)
    return list(rng.integers(0, 256, (count, *size, *channels), np.uint8))


def tno(shared, number):
    names = (f"IR{number}.png", f"VIS{number}.png")
    return [images.read(shared / "tno" / name) for name in names]


def as_batch(image):
    return image[None, :, :, None].astype(np.float32)


@pytest.fixture(scope="module")
def fusers(checkpoint):
    """Fusers of the untrained checkpoint, each built once."""

    @functools.cache
    def get(strategy="addition", **settings):
        return fusion.Fuser(checkpoint, strategy=strategy, **settings)

    return get


@pytest.fixture(scope="module")
def weights(checkpoint):
    return numpy_densefuse.weights_of(checkpoints.load_autoencoder(checkpoint))


@pytest.mark.parametrize("pair", (1, 8, 11))
@pytest.mark.parametrize("name", ("1e0", "1e2"))
@pytest.mark.parametrize(
    ("strategy", "array"),
    (("addition", "addition"), ("l1_norm", "l1_norm_radius0")),
)
def test_equals_the_release(shared, released, pair, name, strategy, array):
    with np.load(shared / "reference_outputs" / f"pair{pair}.npz") as arrays:
        expected = arrays[f"{array}_{name}"]
    sources = tno(shared, pair)
    settings = {"strategy": strategy, "window_radius": 0}
    fuser = fusion.Fuser(released[name], **settings)
    assert np.abs(fuser.raw(sources) - expected).max() < 0.01
    model = fusion.load_fusion_model(released[name], **settings)
    outputs = model([as_batch(source) for source in sources])
    assert np.abs(outputs[0, :, :, 0] - expected).max() < 0.01


@pytest.mark.parametrize("name", checkpoints.SHORT_NAMES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_equals_the_release_where_it_gave_no_output(shared, released, name, strategy):
    """Other pairs, lambdas and sizes, by the NumPy twin with the release's weights."""
    pair, size = {"1e0": (2, 61), "1e1": (5, 40), "1e2": (13, 33), "1e3": (21, 2)}[name]
    sources = [source[50 : 50 + size, 70:123] for source in tno(shared, pair)]
    model = checkpoints.load_autoencoder(released[name])
    expected = numpy_densefuse.fuse(
        numpy_densefuse.weights_of(model), sources, STRATEGIES[strategy], 0
    )
    fuser = fusion.Fuser(released[name], strategy=strategy, window_radius=0)
    assert np.abs(fuser.raw(sources) - expected).max() < 0.01


@pytest.mark.parametrize("size", ((2, 2), (2, 7), (7, 2), (37, 53)))
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("count", (2, 3, 4))
def test_equals_numpy(fusers, weights, strategy, count, size):
    sources = photographs(count, size)
    raw = fusers(strategy, num_sources=count).raw(sources)
    expected = numpy_densefuse.fuse(weights, sources, STRATEGIES[strategy])
    assert raw.shape == size
    assert raw.dtype == np.float32
    np.testing.assert_allclose(raw, expected, rtol=1e-5, atol=2e-3)


@pytest.mark.parametrize("count", (2, 3, 4))
def test_equal_sources_give_the_reconstruction_with_l1_norm(checkpoint, fusers, count):
    source = photographs(1)[0]
    reconstruction = checkpoints.load_autoencoder(checkpoint)(as_batch(source))
    raw = fusers("l1_norm", num_sources=count).raw([source] * count)
    np.testing.assert_allclose(raw, reconstruction[0, :, :, 0], rtol=1e-5, atol=2e-3)


def test_black_sources_give_the_reconstruction_of_black(checkpoint, fusers):
    black = np.zeros((5, 6), np.uint8)
    reconstruction = checkpoints.load_autoencoder(checkpoint)(as_batch(black))
    raw = fusers("l1_norm").raw([black, black])
    np.testing.assert_allclose(raw, reconstruction[0, :, :, 0], atol=2e-3)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_model_equals_fuser(checkpoint, fusers, strategy):
    model = fusion.load_fusion_model(checkpoint, strategy=strategy)
    sources = photographs(2)
    outputs = model([as_batch(source) for source in sources])
    np.testing.assert_allclose(
        outputs[0, :, :, 0], fusers(strategy).raw(sources), rtol=1e-5, atol=2e-3
    )


@pytest.mark.parametrize(
    ("count", "names"), ((2, ["ir", "vis"]), (3, ["source_1", "source_2", "source_3"]))
)
def test_names_its_inputs(checkpoint, count, names):
    model = densefuse_tf.load_fusion_model(checkpoint, num_sources=count)
    assert [tensor.name for tensor in model.inputs] == names
    assert model.count_params() == network.NUM_PARAMETERS


@pytest.mark.parametrize(
    "settings",
    (
        {"strategy": "addition", "num_sources": 3},
        {"strategy": "l1_norm"},
        {"strategy": "l1_norm", "window_radius": 0, "num_sources": 4},
        {"strategy": "maximum_of_the_tests"},
    ),
)
def test_model_loads_again_in_safe_mode(checkpoint, settings, tmp_path):
    model = fusion.load_fusion_model(checkpoint, **settings)
    model.save(tmp_path / "fusion.keras")
    loaded = keras.saving.load_model(tmp_path / "fusion.keras", safe_mode=True)
    sources = [as_batch(s) for s in photographs(settings.get("num_sources", 2))]
    np.testing.assert_array_equal(loaded(sources), model(sources))


def test_fuses_with_a_strategy_of_the_user(fusers, weights):
    sources = photographs(3)
    maps = [numpy_densefuse.encode(weights, source) for source in sources]
    expected = numpy_densefuse.decode(weights, np.max(maps, axis=0))
    raw = fusers("maximum_of_the_tests", num_sources=3).raw(sources)
    np.testing.assert_allclose(raw, expected, rtol=1e-5, atol=2e-3)


def test_builds_one_graph_for_all_sizes(fusers):
    fuser = fusers()
    for size in ((2, 2), (5, 9), (40, 31)):
        fuser.fuse(photographs(2, size))
        fuser.fuse(photographs(2, size, (3,)))
    assert fuser._graph.experimental_get_tracing_count() == 1


def test_same_bytes_every_time(fusers):
    sources = photographs(2)
    first, second = (fusers("l1_norm").fuse(sources) for _ in range(2))
    np.testing.assert_array_equal(first.raw, second.raw)
    np.testing.assert_array_equal(first.image, second.image)


def test_minmax_is_the_release_s_rescale():
    raw = np.array([[-20.0, 30.0], [229.5, 430.0]], np.float32)
    expected = ((raw.astype(np.float64) + 20) * 255 / 450 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(fusion.to_uint8(raw, "minmax"), expected)
    assert expected.min() == 0
    assert expected.max() == 255
    # Halves go up, as adding 0.5 and truncating has it.
    raw = np.array([0, 0.5, 1.5, 2.49, 255], np.float32)
    np.testing.assert_array_equal(fusion.to_uint8(raw, "minmax"), [0, 1, 2, 2, 255])


def test_minmax_takes_all_channels_together():
    raw = np.zeros((2, 2, 3), np.float32)
    raw[..., 1], raw[..., 2] = 100, 200
    image = fusion.to_uint8(raw, "minmax")
    np.testing.assert_array_equal(image[0, 0], [0, 128, 255])


@pytest.mark.parametrize("value", (-3.0, 0.0, 77.0))
def test_minmax_of_a_constant_is_black(value):
    image = fusion.to_uint8(np.full((3, 4), value, np.float32), "minmax")
    np.testing.assert_array_equal(image, np.zeros((3, 4), np.uint8))
    assert image.dtype == np.uint8


def test_a_range_that_is_given_holds_for_any_array():
    raw = np.array([-5.0, 0.0, 100.0, 102.6, 200.0, 1e9], np.float32)
    image = fusion.to_uint8(raw, (0.0, 200.0))
    np.testing.assert_array_equal(image, [0, 0, 128, 131, 255, 255])
    np.testing.assert_array_equal(fusion.to_uint8(raw, (7.0, 7.0)), np.zeros(6))


def test_a_call_may_have_a_range_of_its_own(fusers):
    sources = photographs(2)
    fuser = fusers()
    for output_range in ("average", (10.0, 300.0)):
        fused = fuser.fuse(sources, output_range=output_range)
        expected = fusion.to_uint8(fused.raw, output_range, 2)
        np.testing.assert_array_equal(fused.image, expected)
    np.testing.assert_array_equal(
        fuser.fuse(sources).image, fusion.to_uint8(fused.raw, "minmax")
    )


def test_average_divides_rounds_and_clips():
    raw = np.array([-5.0, 0.0, 99.0, 102.6, 510.0, 600.0], np.float32)
    image = fusion.to_uint8(raw, "average", 2)
    np.testing.assert_array_equal(image, [0, 0, 50, 51, 255, 255])
    assert image.dtype == np.uint8


@pytest.mark.parametrize(
    ("strategy", "count", "divisor"), (("addition", 3, 3), ("l1_norm", 3, 1))
)
def test_divides_where_the_strategy_adds(fusers, strategy, count, divisor):
    fuser = fusers(strategy, num_sources=count, output_range="average")
    fused = fuser.fuse(photographs(count))
    expected = np.clip(np.rint(fused.raw / divisor), 0, 255)
    np.testing.assert_array_equal(fused.image, expected)


def test_fuses_colour_channel_by_channel(fusers):
    infrared, visible = photographs(1)[0], photographs(1, channels=(3,), seed=1)[0]
    fused = fusers().fuse([infrared, visible])
    assert fused.raw.shape == fused.image.shape == (37, 53, 3)
    for channel in range(3):
        alone = fusers().raw([infrared, visible[:, :, channel]])
        np.testing.assert_array_equal(fused.raw[:, :, channel], alone)
    np.testing.assert_array_equal(fused.image, fusion.to_uint8(fused.raw, "minmax"))


def test_auto_takes_grey_in_three_channels_as_grey(fusers):
    sources = photographs(2)
    stacked = [np.stack([source] * 3, axis=-1) for source in sources]
    fused = fusers().fuse(stacked)
    assert fused.image.ndim == 2
    np.testing.assert_array_equal(fused.raw, fusers().raw(sources))


def test_gray_fuses_the_luma(fusers):
    sources = photographs(2, channels=(3,))
    fused = fusers(color="gray").fuse(sources)
    expected = fusers().raw([pixels.gray(source) for source in sources])
    np.testing.assert_array_equal(fused.raw, expected)


def test_rgb_of_grey_sources_has_three_equal_channels(fusers):
    sources = photographs(2)
    raw = fusers(color="rgb").raw(sources)
    expected = fusers().raw(sources)
    np.testing.assert_array_equal(raw, np.stack([expected] * 3, axis=-1))


def test_luma_keeps_the_chroma_of_the_visible_image(fusers):
    infrared, visible = photographs(1)[0], photographs(1, channels=(3,), seed=1)[0]
    visible = visible // 8 + 112  # Little colour, so that little is clipped.
    fused = fusers(color="luma").fuse([infrared, visible])
    gray = fusers().fuse([infrared, pixels.gray(visible)])
    assert fused.raw.ndim == 2
    np.testing.assert_array_equal(fused.raw, gray.raw)
    found = pixels.to_ycbcr(fused.image.astype(np.float32))
    wanted = pixels.to_ycbcr(visible.astype(np.float32))
    inside = ((fused.image > 0) & (fused.image < 255)).all(axis=-1)
    assert inside.mean() > 0.5
    assert np.abs(found - wanted)[inside][:, 1:].max() < 1
    assert np.abs(found[..., 0] - gray.image)[inside].max() < 1


def test_bands_change_no_colours(fusers, monkeypatch):
    sources = [*photographs(1), *photographs(1, channels=(3,))]
    fuser = fusers(color="luma")
    expected = fuser.fuse(sources).image
    monkeypatch.setattr(pixels, "_BAND_PIXELS", 300)
    np.testing.assert_array_equal(fuser.fuse(sources).image, expected)


def test_luma_without_colour_is_grey(fusers):
    fused = fusers(color="luma").fuse(photographs(2))
    assert fused.image.ndim == 2


def test_takes_16_bits_from_their_own_range(fusers):
    infrared, visible = photographs(2)
    infrared[0, 0], infrared[0, 1] = 0, 255
    deep = infrared.astype(np.uint16) * 100 + 7000
    np.testing.assert_allclose(
        fusers().raw([deep, visible]), fusers().raw([infrared, visible]), atol=1e-2
    )


@pytest.mark.parametrize("dtype", (np.float16, np.float32, np.float64))
def test_takes_floats_as_they_are(fusers, dtype):
    sources = photographs(2)
    np.testing.assert_array_equal(
        fusers().raw([source.astype(dtype) for source in sources]),
        fusers().raw(sources),
    )


def test_takes_views_and_read_only_arrays(fusers):
    sources = photographs(2, (20, 30))
    views = [source[::2, ::-1] for source in sources]
    for view in views:
        view.flags.writeable = False
    copies = [view.copy() for view in views]
    np.testing.assert_array_equal(fusers().raw(views), fusers().raw(copies))


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (
            [np.zeros((4, 5)), np.zeros((6, 5))],
            "ir is 4x5 and vis is 6x5: the source images of a pair must have the same",
        ),
        ([np.zeros((4, 5))], "1 source images given: expected 2"),
        ([np.zeros((4, 5))] * 3, "3 source images given: expected 2"),
        ([np.zeros((4, 1))] * 2, "ir"),
        ([np.zeros((4, 4)), np.full((4, 4), np.nan)], "vis"),
        ([np.zeros((4, 4)), np.zeros((4, 4), complex)], "vis"),
        ([np.zeros((4, 4)), np.zeros((4, 4, 2))], "vis"),
        ([np.zeros((4, 4)), [[1, 2], [3, 4]]], "vis"),
        (
            [np.eye(4) * 310, np.zeros((4, 4))],
            "ir has values of 0..310: expected 0..255; densefuse_tf.io.pixels.to_",
        ),
        ([np.zeros((4, 4)), np.eye(4) * -3e38], "vis has values of -3e+38.."),
    ],
)
def test_refuses_other_sources(fusers, sources, message):
    with pytest.raises(UserError) as caught:
        fusers().fuse(sources)
    assert message in str(caught.value)


def test_refuses_a_checkpoint_that_overflows(tmp_path):
    model = network.autoencoder()
    network.convolution(model, "C5").kernel.assign(np.full((3, 3, 16, 1), 1e38))
    checkpoints.save_autoencoder(model, tmp_path / "model.keras")
    with pytest.raises(UserError, match="output is not finite"):
        densefuse_tf.fuse(photographs(2), tmp_path / "model.keras")


def test_errors_use_the_names_given(fusers):
    with pytest.raises(UserError, match=r"IR3.png is 2x3 and VIS3.png is 3x2"):
        fusers().fuse(
            [np.zeros((2, 3)), np.zeros((3, 2))], names=("IR3.png", "VIS3.png")
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"strategy": "mean"}, "unknown strategy 'mean'"),
        ({"num_sources": 1}, "num_sources is 1: fusion takes 2 or more"),
        ({"window_radius": -1}, "window_radius is -1"),
        ({"output_range": "max"}, "output_range is 'max': expected one of minmax, ave"),
        ({"color": "red"}, "color is 'red': expected one of auto, gray, rgb, luma"),
    ],
)
def test_refuses_other_settings(checkpoint, settings, message):
    with pytest.raises(UserError) as caught:
        fusion.Fuser(checkpoint, **settings)
    assert message in str(caught.value)


def test_refuses_an_unknown_checkpoint():
    with pytest.raises(UserError, match="1e9: no such checkpoint"):
        densefuse_tf.fuse(photographs(2), checkpoint="1e9")


@pytest.mark.parametrize("count", (2, 3))
def test_fuse_is_one_call(checkpoint, fusers, count):
    sources = photographs(count)
    image = densefuse_tf.fuse(sources, checkpoint, strategy="l1_norm")
    expected = fusers("l1_norm", num_sources=count).fuse(sources).image
    np.testing.assert_array_equal(image, expected)


def test_fuse_reads_a_checkpoint_again_when_it_has_changed(tmp_path):
    path = tmp_path / "model.keras"
    sources = photographs(2)
    results = []
    for seed in range(2):
        keras.utils.set_random_seed(seed)
        checkpoints.save_autoencoder(network.autoencoder(), path)
        results.append(densefuse_tf.fuse(sources, path))
    assert (results[0] != results[1]).any()


def test_fuse_uses_a_strategy_that_was_registered_again(checkpoint):
    """As a notebook's cell that is changed and run again."""

    def register(index):
        @strategies.strategy("one_of_the_tests", scales_with_sources=False)
        def one(feature_maps):
            return feature_maps[index]

    sources = photographs(2)
    results = []
    for index in range(2):
        register(index)
        results.append(
            densefuse_tf.fuse(sources, checkpoint, strategy="one_of_the_tests")
        )
    assert (results[0] != results[1]).any()
