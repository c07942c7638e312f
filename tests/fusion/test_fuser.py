"""The way from stored arrays to the fused image."""

import functools

import keras
import numpy as np
import numpy_densefuse
import pytest
import tensorflow as tf

import densefuse_tf
from densefuse_tf import lambdas
from densefuse_tf.errors import UserError
from densefuse_tf.fusion import graph
from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.fusion.output_range import to_pixels
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.io import weights as files_of_weights
from densefuse_tf.model import checkpoints
from densefuse_tf.model import network
from densefuse_tf.model import strategies

# What the documents promise of the raw output with the release's weights.
RAW_TOLERANCE = 5e-4
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
def weights(checkpoint):
    return numpy_densefuse.weights_of(checkpoints.load_autoencoder(checkpoint))


@pytest.mark.parametrize(
    "pair", (8, *(pytest.param(n, marks=pytest.mark.guard) for n in (1, 11)))
)
@pytest.mark.parametrize("name", ("1e0", "1e2"))
@pytest.mark.parametrize(
    ("strategy", "array"),
    (("addition", "addition"), ("l1_norm", "l1_norm_radius0")),
)
def test_raw_output_equals_the_release(shared, released, pair, name, strategy, array):
    with np.load(shared / "reference_outputs" / f"pair{pair}.npz") as arrays:
        expected = arrays[f"{array}_{name}"]
    sources = tno(shared, pair)
    settings = {"strategy": strategy, "window_radius": 0}
    fuser = Fuser(FusionSettings(released[name], **settings))
    assert np.abs(fuser.raw(sources) - expected).max() < RAW_TOLERANCE
    model = graph.load_fusion_model(released[name], **settings)
    outputs = model([as_batch(source) for source in sources])
    assert np.abs(outputs[0, :, :, 0] - expected).max() < RAW_TOLERANCE


@pytest.mark.guard
@pytest.mark.parametrize("name", lambdas.SHORT_NAMES)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_raw_output_of_released_weights_equals_numpy(shared, released, name, strategy):
    """Covers pairs, lambdas and sizes for which the release gave no output."""
    pair, size = {"1e0": (2, 61), "1e1": (5, 40), "1e2": (13, 33), "1e3": (21, 2)}[name]
    sources = [source[50 : 50 + size, 70:123] for source in tno(shared, pair)]
    model = checkpoints.load_autoencoder(released[name])
    expected = numpy_densefuse.fuse(
        numpy_densefuse.weights_of(model), sources, STRATEGIES[strategy], 0
    )
    fuser = Fuser(FusionSettings(released[name], strategy=strategy, window_radius=0))
    assert np.abs(fuser.raw(sources) - expected).max() < RAW_TOLERANCE


@pytest.mark.parametrize("size", ((2, 2), (2, 7), (7, 2), (37, 53)))
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("count", (2, 3, pytest.param(4, marks=pytest.mark.guard)))
def test_raw_output_equals_numpy(fusers, weights, strategy, count, size):
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


@pytest.mark.parametrize("is_quick", (True, False))
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_fuser_equals_the_keras_model(checkpoint, monkeypatch, strategy, is_quick):
    monkeypatch.setattr(network, "use_quick_layers", lambda: is_quick)
    model = graph.load_fusion_model(checkpoint, strategy=strategy)
    sources = photographs(2)
    outputs = model([as_batch(source) for source in sources])
    raw = Fuser(FusionSettings(checkpoint, strategy=strategy)).raw(sources)
    np.testing.assert_allclose(outputs[0, :, :, 0], raw, rtol=1e-5, atol=2e-3)


def test_a_strategy_of_the_user_is_used(fusers, weights):
    sources = photographs(3)
    maps = [numpy_densefuse.encode(weights, source) for source in sources]
    expected = numpy_densefuse.decode(weights, np.max(maps, axis=0))
    raw = fusers("maximum_of_the_tests", num_sources=3).raw(sources)
    np.testing.assert_allclose(raw, expected, rtol=1e-5, atol=2e-3)


def test_one_graph_serves_all_sizes(fusers):
    fuser = fusers()
    for size in ((2, 2), (5, 9), (40, 31)):
        fuser.fuse(photographs(2, size))
        fuser.fuse(photographs(2, size, (3,)))
    assert len(fuser._graph._compiled) == 1


def test_fusing_again_gives_the_same_bytes(fusers):
    sources = photographs(2)
    first, second = (fusers("l1_norm").fuse(sources) for _ in range(2))
    np.testing.assert_array_equal(first.raw, second.raw)
    np.testing.assert_array_equal(first.image, second.image)


def test_the_range_of_a_call_replaces_that_of_the_settings(fusers):
    sources = photographs(2)
    fuser = fusers()
    for output_range in ("average", (10.0, 300.0)):
        fused = fuser.fuse(sources, output_range=output_range)
        expected = to_pixels(fused.raw, output_range, 2)
        np.testing.assert_array_equal(fused.image, expected)
    np.testing.assert_array_equal(
        fuser.fuse(sources).image, to_pixels(fused.raw, "minmax")
    )


@pytest.mark.parametrize(
    ("strategy", "count", "divisor"), (("addition", 3, 3), ("l1_norm", 3, 1))
)
def test_average_divides_by_k_where_the_strategy_adds(fusers, strategy, count, divisor):
    fuser = fusers(strategy, num_sources=count, output_range="average")
    fused = fuser.fuse(photographs(count))
    expected = np.clip(np.rint(fused.raw / divisor), 0, 255)
    np.testing.assert_array_equal(fused.image, expected)


def test_colour_is_fused_channel_by_channel(fusers):
    infrared, visible = photographs(1)[0], photographs(1, channels=(3,), seed=1)[0]
    fused = fusers().fuse([infrared, visible])
    assert fused.raw.shape == fused.image.shape == (37, 53, 3)
    for channel in range(3):
        alone = fusers().raw([infrared, visible[:, :, channel]])
        np.testing.assert_array_equal(fused.raw[:, :, channel], alone)
    np.testing.assert_array_equal(fused.image, to_pixels(fused.raw, "minmax"))


def test_auto_treats_three_equal_channels_as_grey(fusers):
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


def test_bands_of_rows_change_no_colours(fusers, monkeypatch):
    sources = [*photographs(1), *photographs(1, channels=(3,))]
    fuser = fusers(color="luma")
    expected = fuser.fuse(sources).image
    monkeypatch.setattr(pixels, "_BAND_PIXELS", 300)
    np.testing.assert_array_equal(fuser.fuse(sources).image, expected)


def test_luma_without_colour_is_grey(fusers):
    fused = fusers(color="luma").fuse(photographs(2))
    assert fused.image.ndim == 2


def test_16_bits_are_stretched_from_their_own_range(fusers):
    infrared, visible = photographs(2)
    infrared[0, 0], infrared[0, 1] = 0, 255
    deep = infrared.astype(np.uint16) * 100 + 7000
    np.testing.assert_allclose(
        fusers().raw([deep, visible]), fusers().raw([infrared, visible]), atol=1e-2
    )


@pytest.mark.parametrize("dtype", (np.float16, np.float32, np.float64))
def test_floats_are_taken_as_they_are(fusers, dtype):
    sources = photographs(2)
    np.testing.assert_array_equal(
        fusers().raw([source.astype(dtype) for source in sources]),
        fusers().raw(sources),
    )


def test_views_and_read_only_arrays_are_taken(fusers):
    sources = photographs(2, (20, 30))
    views = [source[::2, ::-1] for source in sources]
    for view in views:
        view.flags.writeable = False
    copies = [view.copy() for view in views]
    np.testing.assert_array_equal(fusers().raw(views), fusers().raw(copies))


@pytest.mark.parametrize("dtype", (np.float16, np.float32, np.float64))
@pytest.mark.parametrize("which", (0, 1))
def test_floats_in_0_to_1_are_refused_though_one_source_is_in_0_to_255(
    fusers, dtype, which
):
    sources = photographs(2)
    sources[which] = (sources[which] / 255).astype(dtype)
    name = ("ir", "vis")[which]
    expected = f"{name}: 0..1 found, 0..255 expected: multiply by 255"
    with pytest.raises(UserError, match=expected):
        fusers().fuse(sources)
    with pytest.raises(UserError, match=expected):
        fusers().raw(sources)


def test_floats_of_dark_images_are_fused_where_no_scale_of_0_to_1_is_shown(fusers):
    black, bright = np.zeros((37, 53), np.float32), photographs(1)[0]
    dark = black + np.float32(0.5)
    negative = black - np.float32(0.25)
    expected = fusers().raw([black.astype(np.uint8), bright])
    np.testing.assert_array_equal(fusers().raw([black, bright]), expected)
    assert np.isfinite(fusers().raw([negative, bright])).all()
    assert np.isfinite(fusers().raw([dark, bright], are_scaled=True)).all()


@pytest.mark.parametrize("others", ((), ("1e2",), (photographs(1)[0],)))
def test_fuse_says_what_to_pass_instead_of_single_arrays(others):
    with pytest.raises(UserError, match=r"pass fuse\(\[infrared, visible\]\)"):
        densefuse_tf.fuse(photographs(1)[0], *others)


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
def test_fuse_refuses_what_is_no_set_of_source_images(fusers, sources, message):
    with pytest.raises(UserError) as caught:
        fusers().fuse(sources)
    assert message in str(caught.value)


def test_fuse_refuses_an_output_that_is_not_finite(tmp_path):
    model = network.autoencoder()
    network.convolution_layer(model, "C5").kernel.assign(np.full((3, 3, 16, 1), 1e38))
    files_of_weights.save(model, tmp_path / "model.keras", network.autoencoder)
    with pytest.raises(UserError, match="output is not finite"):
        densefuse_tf.fuse(photographs(2), tmp_path / "model.keras")


def test_errors_use_the_names_given(fusers):
    with pytest.raises(UserError, match=r"IR3.png is 2x3 and VIS3.png is 3x2"):
        fusers().fuse(
            [np.zeros((2, 3)), np.zeros((3, 2))], names=("IR3.png", "VIS3.png")
        )


def test_fuse_refuses_an_unknown_checkpoint():
    with pytest.raises(UserError, match="1e9: no such checkpoint"):
        densefuse_tf.fuse(photographs(2), checkpoint="1e9")


@pytest.mark.parametrize("count", (2, 3))
def test_fuse_equals_the_fuser_of_the_same_settings(checkpoint, fusers, count):
    sources = photographs(count)
    image = densefuse_tf.fuse(sources, checkpoint, strategy="l1_norm")
    expected = fusers("l1_norm", num_sources=count).fuse(sources).image
    np.testing.assert_array_equal(image, expected)


def test_fuse_reads_a_changed_checkpoint_again(tmp_path):
    path = tmp_path / "model.keras"
    sources = photographs(2)
    results = []
    for seed in range(2):
        keras.utils.set_random_seed(seed)
        files_of_weights.save(network.autoencoder(), path, network.autoencoder)
        results.append(densefuse_tf.fuse(sources, path))
    assert (results[0] != results[1]).any()


def test_fuse_uses_a_strategy_that_is_registered_again(checkpoint):
    """A notebook's cell is changed and run again."""

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


def test_another_output_shares_the_graph_and_equals_another_fuser(fusers):
    sources = photographs(2, channels=(3,))
    changed = fusers().with_output(color="luma", output_range="average")
    expected = fusers(color="luma", output_range="average").fuse(sources).image
    np.testing.assert_array_equal(changed.fuse(sources).image, expected)
    assert changed._graph is fusers()._graph
    assert fusers().fuse(sources).image.shape == sources[0].shape
    with pytest.raises(UserError, match="color is 'red'"):
        fusers().with_output(color="red", output_range="average")


@pytest.mark.parametrize("dtype", ("<u2", ">u2", "<f4", ">f4", ">f8"))
def test_a_byte_order_is_no_other_image(dtype):
    fuser = Fuser(FusionSettings("1e2", output_range="average"))
    rng = np.random.default_rng(1)
    infrared = rng.integers(0, 256, (9, 12)).astype(dtype)
    visible = rng.integers(0, 256, (9, 12), np.uint8)
    expected = fuser.fuse([infrared.astype(dtype[1:]), visible]).image
    np.testing.assert_array_equal(fuser.fuse([infrared, visible]).image, expected)


def test_a_range_that_leaves_nothing_of_a_frame_is_warned_of(caplog):
    fuser = Fuser(FusionSettings("1e2"))
    deep = np.random.default_rng(1).integers(7000, 9001, (9, 12)).astype(np.uint16)
    fuser.fuse([deep, deep], ranges=[(7000, 9000), (20, 40)], names=("left", "right"))
    (line,) = [each for each in caplog.messages if "value range" in each]
    assert line.startswith("right: its values of 70")
    assert line.endswith("become 255 with the value range 20,40")


def test_ranges_bring_a_cameras_frames_to_bytes():
    """A closed shutter's frame, which scales to 0..0.9, does not end the loop."""
    fuser = Fuser(FusionSettings("1e2", output_range="average"))
    rng = np.random.default_rng(1)
    visible = rng.integers(0, 256, (9, 12), np.uint8)
    scene = rng.integers(7000, 9001, (9, 12)).astype(np.uint16)
    for infrared in (scene, np.full((9, 12), 7007, np.uint16), scene * np.float32(1)):
        scaled, _ = pixels.to_pixel_range(infrared, (7000, 9000))
        expected = fuser.fuse([scaled, visible], are_scaled=True).image
        found = fuser.fuse([infrared, visible], ranges=[(7000, 9000), None]).image
        np.testing.assert_array_equal(found, expected)
    with pytest.raises(UserError, match="0..1 found, 0..255 expected"):
        fuser.fuse([scene / np.float32(65535), visible], ranges=[None, None])
    with pytest.raises(UserError, match="1 ranges given: expected 2"):
        fuser.fuse([scene, visible], ranges=["auto"])


def test_an_output_range_of_one_call_is_checked(fusers):
    pair = [np.full((8, 8), 10, np.uint8), np.full((8, 8), 200, np.uint8)]
    with pytest.raises(UserError, match="output_range is 'averge'.*mean average"):
        fusers().fuse(pair, output_range="averge")
    image = fusers().fuse(pair, output_range="Average").image
    assert (image == fusers().fuse(pair, output_range="average").image).all()
