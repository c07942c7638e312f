"""The loader: round trips, the release's files, and what it refuses."""

import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest
import pytorch_files
import tensorflow as tf

from densefuse_tf import extras
from densefuse_tf import lambdas
from densefuse_tf.errors import UserError
from densefuse_tf.io import weights
from densefuse_tf.model import checkpoints
from densefuse_tf.model import deepfuse
from densefuse_tf.model import network

WEIGHTS = "model.weights.h5"
CONFIG = "config.json"
# Where a .keras file has the kernel of C1.
KERNEL = "layers/functional/layers/conv2d/vars/0"
RELEASED = (
    "encoder/conv1_1",
    *(f"encoder/dense_block_conv{i}" for i in (1, 2, 3)),
    *(f"decoder/conv2_{i}" for i in (1, 2, 3, 4)),
)
# A Python with another version of Keras, to open the shipped files with both.
OTHER_PYTHON = os.environ.get("OTHER_KERAS_PYTHON")


def rewritten(checkpoint, folder, *, weights=None, members=None):
    """Copies a .keras file with weights changed by a function, or other members."""
    with zipfile.ZipFile(checkpoint) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    if weights is not None:
        buffer = io.BytesIO(parts[WEIGHTS])
        with h5py.File(buffer, "r+") as store:
            weights(store)
        parts[WEIGHTS] = buffer.getvalue()
    parts.update(members or {})
    path = folder / "changed.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def refusal(path) -> str:
    with pytest.raises(UserError) as caught:
        checkpoints.load_autoencoder(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert "expected" in message or "give its prefix" in message
    return message


def release_tensors(model) -> dict[str, np.ndarray]:
    """The weights of an autoencoder under the release's names."""
    names = [f"{layer}/{kind}" for layer in RELEASED for kind in ("kernel", "bias")]
    return dict(zip(names, model.get_weights(), strict=True))


def save_release(tensors, folder) -> pathlib.Path:
    """Writes a TensorFlow 1 checkpoint; returns its prefix."""
    prefix = folder / "model.ckpt"
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )
    return prefix


@pytest.fixture(scope="module")
def model(checkpoint):
    return checkpoints.load_autoencoder(checkpoint)


def assert_same_weights(one, other):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_saved_model_loads_with_the_same_weights(tmp_path):
    model = network.autoencoder()
    weights.save(model, tmp_path / "new" / "model.keras", network.autoencoder)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.keras"]
    loaded = checkpoints.load_autoencoder(tmp_path / "new" / "model.keras")
    assert_same_weights(loaded, model)


def test_a_saved_model_is_plain_whatever_it_was_trained_with(tmp_path):
    model = network.autoencoder(dtype="mixed_bfloat16", quick=True)
    model.compile(optimizer="adam", loss="mse")
    weights.save(model, tmp_path / "model.keras", network.autoencoder)
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert_same_weights(loaded, model)
    assert not loaded.compiled
    assert network.convolution_layer(loaded, "C1").compute_dtype == "float32"


@pytest.mark.guard
@pytest.mark.parametrize("python", (sys.executable, OTHER_PYTHON))
def test_keras_alone_loads_the_shipped_models(python, tmp_path):
    if python is None:
        pytest.skip("needs OTHER_KERAS_PYTHON, a Python with another Keras")
    image = np.random.default_rng(0).uniform(0, 255, (1, 21, 34, 1)).astype("float32")
    paths = [str(checkpoints.locate(name)) for name in lambdas.SHORT_NAMES]
    expected = [checkpoints.load_autoencoder(path)(image) for path in paths]
    np.savez(tmp_path / "arrays.npz", image=image, expected=expected)
    code = f"""
import sys
sys.modules["densefuse_tf"] = None  # An import of the package fails.
import keras, numpy as np
arrays = np.load("arrays.npz")
for path, expected in zip({paths!r}, arrays["expected"], strict=True):
    model = keras.models.load_model(path)
    np.testing.assert_allclose(model(arrays["image"]), expected, rtol=1e-5, atol=1e-3)
"""
    subprocess.run([python, "-I", "-c", code], cwd=tmp_path, check=True)


def test_files_of_the_old_form_load(tmp_path, monkeypatch, model):
    """Their padding was a layer of this package."""
    pad = keras.ops.pad

    @keras.saving.register_keras_serializable(package="densefuse_tf")
    class ReflectionPadding(keras.layers.Layer):
        def call(self, inputs):
            return pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")

    monkeypatch.setattr(
        keras.ops, "pad", lambda maps, *_, **__: ReflectionPadding()(maps)
    )
    weights.save(model, tmp_path / "old.keras", network.autoencoder)
    monkeypatch.undo()
    with zipfile.ZipFile(tmp_path / "old.keras") as archive:
        assert b"densefuse_tf>ReflectionPadding" in archive.read(CONFIG)
    loaded = checkpoints.load_autoencoder(tmp_path / "old.keras")
    assert_same_weights(loaded, model)


def test_a_failed_save_leaves_what_was_there(tmp_path, monkeypatch, model):
    path = tmp_path / "model.keras"
    path.write_bytes(b"before")

    def fail(self, target):
        pathlib.Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(keras.Model, "save", fail)
    with pytest.raises(UserError, match="No space left"):
        weights.save(model, path, network.autoencoder)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_model_is_saved_only_as_keras(tmp_path, model):
    with pytest.raises(UserError, match=r"model.h5: a checkpoint is saved as .keras"):
        weights.save(model, tmp_path / "model.h5", network.autoencoder)


def test_short_names_are_found_installed_and_in_a_checkout(
    tmp_path, monkeypatch, checkpoint, model
):
    folders = (tmp_path / "installed", tmp_path / "checkout")
    monkeypatch.setattr(weights, "FOLDERS", folders)
    with pytest.raises(UserError, match=r"densefuse_1e2.keras is missing"):
        checkpoints.load_autoencoder("1e2")
    for folder in reversed(folders):
        folder.mkdir()
        shutil.copy(checkpoint, folder / "densefuse_1e2.keras")
        assert checkpoints.locate("1e2").parent == folder
    assert_same_weights(checkpoints.load_autoencoder("1e2"), model)


@pytest.mark.parametrize("kind", (int, float, np.int64, np.float32))
def test_a_number_gets_the_short_name_to_pass(kind):
    for name, weight in lambdas.SSIM_WEIGHTS.items():
        with pytest.raises(UserError, match=f'expected the text "{name}" for this'):
            checkpoints.load_autoencoder(kind(weight))
    with pytest.raises(UserError, match=r"is 7 \(int\): expected one of 1e0, 1e1, 1e2"):
        checkpoints.load_autoencoder(7)
    for given in (None, np.ones(2), 10**400):
        with pytest.raises(UserError, match=r"checkpoint is .*: expected one of 1e0"):
            checkpoints.load_autoencoder(given)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("1e4", "no such checkpoint: expected one of 1e0, 1e1, 1e2, 1e3, a .keras"),
        ("absent.keras", "no such checkpoint"),
        ("folder", "is a folder"),
        ("folder.keras", "is a folder"),
        ("run", "is a folder: expected one of"),
        ("run", "/run/model.keras?"),
        ("notes.txt", "is not a checkpoint"),
        ("x" * 5000, "no such checkpoint"),
        ("nul\0.keras", "no such checkpoint"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, name, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.keras").touch()
    (tmp_path / "folder.keras").mkdir()
    (tmp_path / "notes.txt").write_text("not a checkpoint")
    assert message in refusal(tmp_path / name)


def test_only_the_weights_of_a_keras_file_are_read(tmp_path, checkpoint, model):
    """Its configuration could name any class and hold any code."""
    members = {CONFIG: b'{"module": "os", "class_name": "system", "config": {}}'}
    path = rewritten(checkpoint, tmp_path, members=members)
    assert_same_weights(checkpoints.load_autoencoder(path), model)


@pytest.mark.parametrize("part", (0, 0.01, 0.5, 0.999))
def test_a_truncated_keras_file_is_refused(put, checkpoint, part):
    content = checkpoint.read_bytes()
    path = put(content[: int(len(content) * part)], "model.keras")
    assert "cannot be read as a checkpoint" in refusal(path)


@pytest.mark.parametrize("content", (b"", b"\x89HDF\r\n\x1a\n", b"\0" * 5000))
def test_a_keras_file_with_damaged_weights_is_refused(tmp_path, checkpoint, content):
    path = rewritten(checkpoint, tmp_path, members={WEIGHTS: content})
    assert "cannot be read as a checkpoint" in refusal(path)


def test_flipped_bits_are_refused_or_leave_the_weights(tmp_path, checkpoint, model):
    content = checkpoint.read_bytes()
    path = tmp_path / "model.keras"
    generator = np.random.default_rng(0)
    refused = 0
    for place in generator.integers(len(content), size=20):
        changed = bytearray(content)
        changed[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(changed)
        try:
            assert_same_weights(checkpoints.load_autoencoder(path), model)
        except UserError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 10


def test_a_file_that_is_too_large_is_refused(tmp_path, checkpoint):
    path = tmp_path / "model.keras"
    shutil.copy(checkpoint, path)
    with open(path, "ab") as file:
        file.truncate(30_000_000)
    assert "has 30000000 bytes: expected at most 20000000" in refusal(path)
    path = rewritten(checkpoint, tmp_path, members={"assets": bytes(20_000_000)})
    assert path.stat().st_size < 1_000_000
    assert "bytes: expected at most 20000000" in refusal(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (KERNEL, None, "Layer 'C1' expected 2 variables, but received 1 variables"),
        ("layers/functional/layers/conv2d/vars/2", np.zeros(3), "holds 74196 numbers"),
        ("layers/functional/layers/other/vars/0", np.zeros(3), "holds 74196 numbers"),
        (KERNEL, np.zeros((3, 3, 16)), "(3, 3, 1, 16)"),
        (KERNEL, np.full((3, 3, 1, 16), np.nan), "C1/kernel holds NaN or infinity"),
        (KERNEL, np.full((3, 3, 1, 16), 1e300), "C1/kernel holds NaN or infinity"),
        (KERNEL, np.full((3, 3, 1, 16), b"x"), "cannot be read as a checkpoint"),
        (KERNEL, h5py.ExternalLink("other.h5", "secret"), "ExternalLink"),
        (KERNEL, h5py.SoftLink("/vars"), "SoftLink"),
    ],
)
def test_a_keras_file_with_wrong_tensors_is_refused(
    tmp_path, checkpoint, name, value, message
):
    def change(store):
        store.pop(name, None)
        if value is not None:
            store[name] = value

    assert message in refusal(rewritten(checkpoint, tmp_path, weights=change))


def test_a_release_checkpoint_with_adam_slots_loads(tmp_path, model):
    tensors = release_tensors(model)
    extras = {f"{name}/Adam": value for name, value in tensors.items()}
    extras |= {f"{name}/Adam_1": value for name, value in tensors.items()}
    extras |= {"beta1_power": np.float32(0.9), "beta2_power": np.float32(0.999)}
    prefix = save_release(tensors | extras, tmp_path)
    assert_same_weights(checkpoints.load_autoencoder(prefix), model)


@pytest.mark.parametrize("end", ("index", "meta", "data-00000-of-00001"))
def test_the_name_of_a_part_gets_the_prefix_to_pass(tmp_path, model, end):
    prefix = save_release(release_tensors(model), tmp_path)
    assert f"give its prefix, {prefix}" in refusal(f"{prefix}.{end}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"decoder/conv2_4/bias": None},
            "decoder/conv2_4/bias is missing: expected",
        ),
        ({"decoder/extra": np.zeros(2)}, "holds tensor decoder/extra: expected those"),
        ({"encoder/conv1_1/bias": np.zeros(3)}, "encoder/conv1_1/bias has shape (3,)"),
        (
            {"encoder/conv1_1/bias": np.full(16, np.inf)},
            "C1/bias holds NaN or infinity",
        ),
        ({"encoder/conv1_1/bias": np.zeros(16, int)}, "is int64: expected floats"),
    ],
)
def test_a_release_checkpoint_with_wrong_tensors_is_refused(
    tmp_path, model, change, message
):
    tensors = release_tensors(model) | change
    tensors = {name: value for name, value in tensors.items() if value is not None}
    assert message in refusal(save_release(tensors, tmp_path))


@pytest.mark.parametrize("end", ("index", "data-00000-of-00001"))
def test_a_damaged_release_checkpoint_is_refused(tmp_path, model, end):
    prefix = save_release(release_tensors(model), tmp_path)
    part = pathlib.Path(f"{prefix}.{end}")
    content = part.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0xFF
    for damaged in (b"", content[:100], flipped):
        part.write_bytes(damaged)
        refusal(prefix)
    part.unlink()
    refusal(prefix)
    os.mkfifo(part)
    refusal(prefix)


@pytest.mark.parametrize("name", lambdas.SHORT_NAMES)
def test_the_checkpoints_of_the_release_load(released, name):
    model = checkpoints.load_autoencoder(released[name])
    reader = tf.train.load_checkpoint(released[name])
    for released_name, values in release_tensors(model).items():
        np.testing.assert_array_equal(values, reader.get_tensor(released_name))


def pytorch_tensors() -> dict[str, np.ndarray]:
    """Tensors as the authors' PyTorch program names and shapes them."""
    layers = {
        **{"conv1": (1, 16), "conv2": (64, 64), "conv3": (64, 32)},
        **{"conv4": (32, 16), "conv5": (16, 1)},
        **{f"DB1.denseblock.{i}.dense_conv": (16 * i + 16, 16) for i in range(3)},
    }
    rng = np.random.default_rng(0)
    tensors = {}
    for name, (inputs, filters) in layers.items():
        kernel = rng.normal(0, 0.1, (filters, inputs, 3, 3)).astype(np.float32)
        tensors[f"{name}.conv2d.weight"] = kernel
        tensors[f"{name}.conv2d.bias"] = rng.random(filters, np.float32)
    return tensors


@pytest.fixture
def pytorch_file(put, monkeypatch):
    """A file of PyTorch, which holds what a dict or a function of its path says."""

    def make(tensors, size=100):
        load = tensors if callable(tensors) else lambda path: tensors
        monkeypatch.setitem(sys.modules, "torch", pytorch_files.module(load))
        return put(bytes(size), "densefuse_gray.model")

    return make


def test_pytorch_weights_become_those_of_the_network(pytorch_file):
    tensors = pytorch_tensors()
    model = checkpoints.load_autoencoder(pytorch_file(tensors))
    layer = network.convolution_layer(model, "C3")
    expected = tensors["conv3.conv2d.weight"]
    np.testing.assert_array_equal(layer.kernel[2, 0, 40, 5], expected[5, 40, 2, 0])
    np.testing.assert_array_equal(layer.bias, tensors["conv3.conv2d.bias"])
    # The maps of C1 come first there, and last here.
    kernel = network.convolution_layer(model, "DC3").kernel
    expected = tensors["DB1.denseblock.2.dense_conv.conv2d.weight"]
    np.testing.assert_array_equal(kernel[1, 2, 32:], expected[:, :16, 1, 2].T)
    np.testing.assert_array_equal(kernel[1, 2, :16], expected[:, 32:, 1, 2].T)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv5.conv2d.bias": None}, "holds no conv5.conv2d.bias: expected the wei"),
        ({"conv6.conv2d.bias": np.zeros(2)}, "conv6.conv2d.bias does not belong to"),
        ({"conv1.conv2d.bias": np.zeros(3)}, "conv1.conv2d.bias has shape (3,): exp"),
        ({"conv1.conv2d.bias": np.full(16, np.nan)}, "holds NaN or infinity"),
        ({"conv1.conv2d.bias": np.zeros(16, int)}, "is int64: expected floats"),
    ],
)
def test_pytorch_weights_with_wrong_tensors_are_refused(pytorch_file, change, message):
    tensors = pytorch_tensors() | change
    tensors = {name: value for name, value in tensors.items() if value is not None}
    with pytest.raises(UserError, match=re.escape(message)):
        checkpoints.load_autoencoder(pytorch_file(tensors))


def test_what_pytorch_cannot_read_is_refused(pytorch_file):
    message = "cannot be read: expected the weights of the authors' PyTorch program"
    assert message in refusal(pytorch_file(pytorch_files.read))
    assert message in refusal(pytorch_file([1, 2]))
    path = pytorch_file(pytorch_tensors(), 20_000_001)
    assert "has 20000001 bytes: expected at most 20000000" in refusal(path)
    # A file of PyTorch is a zip, whose members may be deflated.
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data/0", bytes(20_000_001))
    path.write_bytes(packed.getvalue())
    assert "has 20000001 bytes: expected at most 20000000" in refusal(path)


def test_pytorch_weights_need_its_extra(put, monkeypatch):
    monkeypatch.setitem(extras._PACKAGES, "torch", {"no_such_module": "torch"})
    path = put(b"", "densefuse_gray.model")
    message = r"gray.model, a file of PyTorch, needs torch: pip install '.\[torch\]"
    with pytest.raises(UserError, match=message):
        checkpoints.load_autoencoder(path)


def test_only_densefuse_reads_pytorch_weights(put):
    path = put(b"", "deepfuse.model")
    with pytest.raises(UserError, match=r"deepfuse.model: is not a checkpoint: exp"):
        deepfuse.load_autoencoder(path)
