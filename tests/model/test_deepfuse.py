"""The network of DeepFuse: checkpoints of every kind, bad ones among them."""

import shutil
import zipfile

import imageio.v3 as iio
import keras
import numpy as np
import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.io import weights
from densefuse_tf.model import deepfuse
from densefuse_tf.training import losses


@pytest.fixture(scope="module")
def prefix(shared):
    """The prefix of the authors' checkpoint."""
    return shared / "methods/DeepFuse/deepfuse_model_bs2_epoch4_all.ckpt"


@pytest.fixture
def pair():
    return np.random.default_rng(0).integers(256, size=(2, 12, 17), dtype=np.uint8)


def test_the_checkpoint_has_the_weights_of_the_given_arrays(shared, prefix):
    model = deepfuse.load_autoencoder(prefix)
    assert model.count_params() == 18_817
    with np.load(shared / "methods/DeepFuse/weights.npz") as arrays:
        variables = deepfuse.variables(model)
        assert variables.keys() == set(arrays)
        for name, variable in variables.items():
            np.testing.assert_array_equal(variable, arrays[name])


def test_a_saved_autoencoder_loads_with_keras_alone(untrained_deepfuse, pair):
    path, model = untrained_deepfuse
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json").decode()
    assert "densefuse_tf" not in config
    inputs = pair[..., None].astype(np.float32)
    loaded = keras.saving.load_model(path)
    np.testing.assert_allclose(loaded(inputs), model(inputs), rtol=1e-6)


def test_initial_kernels_are_truncated_normal_and_biases_zero(untrained_deepfuse):
    layers = deepfuse.variables(untrained_deepfuse[1]).items()
    kernels = [np.ravel(value) for name, value in layers if name.endswith("kernel")]
    values = np.concatenate(kernels)
    # 0.1, cut at two standard deviations.
    assert np.abs(values).max() <= 0.2
    assert values.std() == pytest.approx(0.088, rel=0.02)
    assert not any(np.any(value) for name, value in layers if name.endswith("bias"))


def test_the_shipped_weights_reconstruct_photographs(shared):
    files = sorted((shared / "train/coco_val2014").glob("*.jpg"))[:3]
    photographs = np.stack([iio.imread(file, mode="L") for file in files])
    inputs = photographs[..., None].astype(np.float32)
    outputs = deepfuse.load_autoencoder()(inputs)
    assert (losses.full_ssim(inputs, outputs).numpy() > 0.998).all()


def test_a_network_of_mixed_precision_ends_and_is_saved_in_float32(tmp_path):
    model = deepfuse.autoencoder(dtype="mixed_bfloat16")
    assert model.output.dtype == "float32"
    encoder = model.get_layer("encoder")
    assert encoder.get_layer("conv1_2").compute_dtype == "bfloat16"
    path = tmp_path / "mixed.keras"
    weights.save(model, path, deepfuse.autoencoder)
    loaded = deepfuse.load_autoencoder(path)
    for one, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with zipfile.ZipFile(path) as archive:
        assert b"bfloat16" not in archive.read("config.json")
    with pytest.raises(UserError, match="saved as .keras"):
        weights.save(model, tmp_path / "mixed.h5", deepfuse.autoencoder)


def test_load_refuses_weights_that_are_not_finite(tmp_path, untrained_deepfuse):
    model = keras.models.clone_model(untrained_deepfuse[1])
    values = model.get_weights()
    values[3][0] = np.nan
    model.set_weights(values)
    path = tmp_path / "nan.keras"
    model.save(path)
    with pytest.raises(UserError, match="conv1_2/bias holds NaN"):
        deepfuse.load_autoencoder(path)


def test_load_refuses_what_is_missing_damaged_or_of_another_network(
    tmp_path, prefix, untrained_deepfuse, released, checkpoint
):
    cut = tmp_path / "cut.keras"
    cut.write_bytes(untrained_deepfuse[0].read_bytes()[:5000])
    no_data = tmp_path / "no_data.ckpt"
    shutil.copyfile(f"{prefix}.index", f"{no_data}.index")
    damaged = tmp_path / "damaged.ckpt"
    damaged.with_name("damaged.ckpt.index").write_bytes(b"x" * 100)
    for path, message in (
        (tmp_path / "none.keras", "no such checkpoint"),
        (tmp_path / "none.ckpt", "no such checkpoint"),
        (tmp_path, "is a folder"),
        (cut, "cannot be read as a checkpoint"),
        (no_data, "cannot be read as a checkpoint"),
        (damaged, "cannot be read as a checkpoint"),
        (f"{prefix}.index", "give its prefix"),
        (checkpoint, "holds 74193 numbers: expected the 18817 of DeepFuse"),
        (released["1e0"], "encoder/conv1_2/kernel is missing"),
    ):
        with pytest.raises(UserError, match=message) as raised:
            deepfuse.load_autoencoder(path)
        assert str(path) in str(raised.value)
