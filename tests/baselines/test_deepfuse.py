"""The DeepFuse baseline: golden images, checkpoints of every kind, bad input."""

import shutil
import zipfile

import imageio.v3 as iio
import keras
import numpy as np
import pytest

from densefuse_tf.baselines import deepfuse
from densefuse_tf.errors import UserError
from densefuse_tf.io import weights
from densefuse_tf.training import losses


@pytest.fixture(scope="module")
def prefix(shared):
    """The prefix of the authors' checkpoint."""
    return shared / "methods/DeepFuse/deepfuse_model_bs2_epoch4_all.ckpt"


@pytest.fixture(scope="module")
def given(prefix):
    """The method with the authors' weights."""
    return deepfuse.DeepFuse(checkpoint=str(prefix))


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A .keras file of an untrained autoencoder, and the autoencoder."""
    keras.utils.set_random_seed(1)
    model = deepfuse.autoencoder()
    path = tmp_path_factory.mktemp("deepfuse") / "untrained.keras"
    model.save(path)
    return path, model


@pytest.fixture
def pair():
    return np.random.default_rng(0).integers(256, size=(2, 12, 17), dtype=np.uint8)


@pytest.mark.parametrize("number", [1, 5, 8, 11, 18, 20])
def test_fuse_gives_the_golden_image(tno, golden, given, number):
    expected = golden("DeepFuse", number)
    fused = given.fuse(*tno(number))
    assert fused.dtype == np.uint8
    assert np.abs(fused.astype(int) - expected).max() <= 1
    assert (fused == expected).mean() >= 0.9995


def test_the_checkpoint_has_the_weights_of_the_given_arrays(shared, prefix):
    model = deepfuse.load_autoencoder(prefix)
    assert model.count_params() == deepfuse.NUM_PARAMETERS
    with np.load(shared / "methods/DeepFuse/weights.npz") as arrays:
        variables = deepfuse.variables(model)
        assert variables.keys() == set(arrays)
        for name, variable in variables.items():
            np.testing.assert_array_equal(variable, arrays[name])


def test_raw_is_the_decoded_sum_of_the_feature_maps(untrained, pair):
    path, model = untrained
    inputs = pair[..., None].astype(np.float32)
    maps = np.asarray(model.get_layer("encoder")(inputs))
    expected = model.get_layer("decoder")(maps.sum(axis=0, keepdims=True))
    raw = deepfuse.DeepFuse(checkpoint=str(path)).raw(*pair)
    assert raw.dtype == np.float32
    np.testing.assert_allclose(raw, expected[0, ..., 0], rtol=1e-5, atol=1e-3)


def test_the_order_of_the_images_does_not_matter(untrained, pair):
    fuser = deepfuse.DeepFuse(checkpoint=str(untrained[0]))
    one, other = fuser.fuse(*pair), fuser.fuse(*pair[::-1])
    assert np.abs(one.astype(int) - other).max() <= 1


def test_fused_images_span_all_grey_levels(untrained, pair):
    fused = deepfuse.DeepFuse(checkpoint=str(untrained[0])).fuse(*pair)
    assert fused.shape == (12, 17)
    assert (fused.min(), fused.max()) == (0, 255)


def test_an_encoder_layer_is_a_convolution_of_the_reflected_image(untrained):
    _, model = untrained
    image = np.random.default_rng(0).uniform(0, 255, (5, 6)).astype(np.float32)
    encoder = model.get_layer("encoder")
    first = keras.Model(encoder.input, encoder.get_layer("conv1_1").output)
    kernel, bias = (np.asarray(w) for w in encoder.get_layer("conv1_1").weights)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(image, 1, mode="reflect"), (3, 3)
    )
    expected = np.einsum("yxrc,rcf->yxf", windows, kernel[:, :, 0]) + bias
    np.testing.assert_allclose(
        first(image[None, ..., None])[0], np.maximum(expected, 0), rtol=1e-4, atol=1e-3
    )


def test_the_smallest_image_has_two_pixels_a_side(untrained):
    fuser = deepfuse.DeepFuse(checkpoint=str(untrained[0]))
    tiny = np.array([[0, 255], [40, 3]], np.uint8)
    assert fuser.fuse(tiny, tiny).shape == (2, 2)
    with pytest.raises(UserError, match="1x2: deepfuse expects at least 2x2"):
        fuser.fuse(tiny[:1], tiny[:1])


def test_a_saved_autoencoder_loads_with_keras_alone(untrained, pair):
    path, model = untrained
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json").decode()
    assert "densefuse_tf" not in config
    inputs = pair[..., None].astype(np.float32)
    loaded = keras.saving.load_model(path)
    np.testing.assert_allclose(loaded(inputs), model(inputs), rtol=1e-6)


def test_the_shipped_weights_reconstruct_photographs(shared):
    files = sorted((shared / "train/coco_val2014").glob("*.jpg"))[:3]
    photographs = np.stack([iio.imread(file, mode="L") for file in files])
    inputs = photographs[..., None].astype(np.float32)
    outputs = deepfuse.load_autoencoder()(inputs)
    assert (losses.full_ssim(inputs, outputs).numpy() > 0.998).all()


def test_mixed_precision_ends_in_float32():
    model = deepfuse.autoencoder(dtype="mixed_bfloat16")
    assert model.output.dtype == "float32"
    encoder = model.get_layer("encoder")
    assert encoder.get_layer("conv1_2").compute_dtype == "bfloat16"


def test_a_network_of_mixed_precision_is_saved_in_float32(tmp_path):
    model = deepfuse.autoencoder(dtype="mixed_bfloat16")
    path = tmp_path / "mixed.keras"
    weights.save(model, path, deepfuse.autoencoder)
    loaded = deepfuse.load_autoencoder(path)
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with zipfile.ZipFile(path) as archive:
        assert b"bfloat16" not in archive.read("config.json")
    with pytest.raises(UserError, match="saved as .keras"):
        weights.save(model, tmp_path / "mixed.h5", deepfuse.autoencoder)


def test_load_refuses_files_of_another_network(shared, released, checkpoint, tmp_path):
    other = tmp_path / "other.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(other)
    for path, message in (
        (checkpoint, "holds 74193 numbers: expected the 18817 of DeepFuse"),
        (other, "cannot be read as a checkpoint"),
        (released["1e0"], "encoder/conv1_2/kernel is missing"),
    ):
        with pytest.raises(UserError, match=message):
            deepfuse.load_autoencoder(path)


def test_load_refuses_weights_that_are_not_finite(tmp_path, untrained):
    model = keras.models.clone_model(untrained[1])
    values = model.get_weights()
    values[3][0] = np.nan
    model.set_weights(values)
    path = tmp_path / "nan.keras"
    model.save(path)
    with pytest.raises(UserError, match="encoder/conv1_2/bias holds NaN"):
        deepfuse.load_autoencoder(path)


def test_load_refuses_what_is_missing_or_damaged(tmp_path, prefix, untrained):
    cut = tmp_path / "cut.keras"
    cut.write_bytes(untrained[0].read_bytes()[:5000])
    no_data = tmp_path / "no_data.ckpt"
    shutil.copyfile(f"{prefix}.index", f"{no_data}.index")
    damaged = tmp_path / "damaged.ckpt"
    damaged.with_name("damaged.ckpt.index").write_bytes(b"x" * 100)
    for path, message in (
        (tmp_path / "none.keras", "no such file"),
        (tmp_path / "none.ckpt", "no such checkpoint"),
        (tmp_path, "no such checkpoint"),
        (cut, "cannot be read as a checkpoint"),
        (no_data, "cannot be read as a checkpoint"),
        (damaged, "cannot be read as a checkpoint"),
    ):
        with pytest.raises(UserError, match=message) as raised:
            deepfuse.load_autoencoder(path)
        assert str(path) in str(raised.value)


def test_the_index_file_of_a_checkpoint_is_no_prefix(prefix):
    with pytest.raises(UserError, match="expected a .keras file or the prefix"):
        deepfuse.load_autoencoder(f"{prefix}.index")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ir, vis: (ir, vis[1:]), "must have the same size"),
        (lambda ir, vis: (ir, vis * 0), "vis has the value 0 in every pixel"),
        (lambda ir, vis: (ir[..., None], vis), r"deepfuse expects \[height, width\]"),
    ],
)
def test_fuse_refuses_images_that_are_no_pair(untrained, pair, change, message):
    fuser = deepfuse.DeepFuse(checkpoint=str(untrained[0]))
    with pytest.raises(UserError, match=message):
        fuser.fuse(*change(*pair))


def test_a_constant_output_cannot_be_stretched(tmp_path, pair):
    model = deepfuse.autoencoder()
    model.set_weights([np.zeros_like(weights) for weights in model.get_weights()])
    path = tmp_path / "zeros.keras"
    model.save(path)
    with pytest.raises(UserError, match="one value in every pixel"):
        deepfuse.DeepFuse(checkpoint=str(path)).fuse(*pair)
