"""The loader: round trips, the release's files, and everything it refuses."""

import base64
import io
import json
import marshal
import pathlib
import shutil
import stat
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensor_bundles
import tensorflow as tf

from densefuse_tf.errors import UserError
from densefuse_tf.fusion import graph
from densefuse_tf.model import checkpoints
from densefuse_tf.model import network

WEIGHTS = "model.weights.h5"
CONFIG = "config.json"
# A tensor of the file, and what the project calls it.
STORED, CALLED = "layers/functional/layers/conv2d/vars/0", "C1/kernel"


def rewritten(checkpoint, folder, *, config=None, weights=None, members=None):
    """A copy of a .keras file with its parts changed by functions."""
    with zipfile.ZipFile(checkpoint) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    if config is not None:
        changed = json.loads(parts[CONFIG])
        config(changed)
        parts[CONFIG] = json.dumps(changed).encode()
    if weights is not None:
        buffer = io.BytesIO(parts[WEIGHTS])
        with h5py.File(buffer, "r+") as store:
            weights(store)
        parts[WEIGHTS] = buffer.getvalue()
    parts.update(members or {})
    path = folder / "changed.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def layer_configs(config):
    for part in config["config"]["layers"]:
        yield from part["config"].get("layers", [])


def refusal(path) -> str:
    with pytest.raises(UserError) as caught:
        checkpoints.load_autoencoder(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def save_release(tensors, folder) -> pathlib.Path:
    """Writes a TensorFlow 1 checkpoint; returns its prefix."""
    prefix = folder / "model.ckpt"
    tensor_bundles.save(tensors, prefix)
    return prefix


@pytest.fixture(scope="module")
def model(checkpoint):
    return checkpoints.load_autoencoder(checkpoint)


def assert_same_weights(one, other):
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_round_trip(tmp_path):
    model = network.autoencoder()
    checkpoints.save_autoencoder(model, tmp_path / "new" / "model.keras")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.keras"]
    loaded = checkpoints.load_autoencoder(tmp_path / "new" / "model.keras")
    assert_same_weights(loaded, model)
    by_keras = keras.saving.load_model(tmp_path / "new" / "model.keras")
    assert_same_weights(by_keras, model)


def test_saves_a_plain_model_whatever_it_was_trained_with(tmp_path):
    model = network.autoencoder(dtype="mixed_bfloat16")
    model.compile(optimizer="adam", loss="mse")
    model.fit(np.ones((1, 4, 4, 1)), np.ones((1, 4, 4, 1)), verbose=0)
    checkpoints.save_autoencoder(model, tmp_path / "model.keras")
    loaded = checkpoints.load_autoencoder(tmp_path / "model.keras")
    assert_same_weights(loaded, model)
    assert network.convolution(loaded, "C1").compute_dtype == "float32"


def test_a_failed_save_leaves_what_was_there(tmp_path, monkeypatch, model):
    path = tmp_path / "model.keras"
    path.write_bytes(b"before")

    def fail(self, target):
        pathlib.Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(keras.Model, "save", fail)
    with pytest.raises(UserError, match="No space left"):
        checkpoints.save_autoencoder(model, path)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_saves_only_as_keras(tmp_path, model):
    with pytest.raises(UserError, match=r"model.h5: a checkpoint is saved as .keras"):
        checkpoints.save_autoencoder(model, tmp_path / "model.h5")


def test_short_names(tmp_path, monkeypatch, checkpoint, model):
    """Of a checkout, or of an installed package: whichever folder has the file."""
    folders = (tmp_path / "installed", tmp_path / "checkout")
    monkeypatch.setattr(checkpoints, "_FOLDERS", folders)
    with pytest.raises(UserError, match=r"1e2: its file .*densefuse_1e2.keras is miss"):
        checkpoints.load_autoencoder("1e2")
    for folder in reversed(folders):
        folder.mkdir()
        shutil.copy(checkpoint, folder / "densefuse_1e2.keras")
        assert checkpoints.locate("1e2").parent == folder
    assert_same_weights(checkpoints.load_autoencoder("1e2"), model)
    assert checkpoints.SHORT_NAMES == ("1e0", "1e1", "1e2", "1e3")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("1e4", "no such checkpoint: expected one of 1e0, 1e1, 1e2, 1e3, a .keras"),
        ("absent.keras", "no such checkpoint"),
        ("folder", "is a folder"),
        ("folder.keras", "is a folder"),
        ("notes.txt", "is not a checkpoint"),
        ("x" * 5000, "no such checkpoint"),
        ("nul\0.keras", "no such checkpoint"),
    ],
)
def test_refuses_what_is_no_checkpoint(tmp_path, name, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.keras").mkdir()
    (tmp_path / "notes.txt").write_text("not a checkpoint")
    assert message in refusal(tmp_path / name)


@pytest.mark.parametrize("content", (b"", b"PK", b"not a zip file" * 100))
def test_refuses_a_keras_file_that_is_no_archive(tmp_path, content):
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    assert "cannot be read as a checkpoint" in refusal(path)


@pytest.mark.parametrize("part", (0.01, 0.5, 0.999))
def test_refuses_a_truncated_keras_file(tmp_path, checkpoint, part):
    content = checkpoint.read_bytes()
    path = tmp_path / "model.keras"
    path.write_bytes(content[: int(len(content) * part)])
    assert "cannot be read as a checkpoint" in refusal(path)


def test_refuses_a_flipped_bit(tmp_path, checkpoint):
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    assert "Bad CRC-32" in refusal(path)


@pytest.mark.parametrize(
    "members",
    (
        {CONFIG: None},
        {"assets/code.py": b"1"},
        {"../code.py": b"1"},
        {"/etc/code.py": b"1"},
        {f"./{CONFIG}": b"{}"},
    ),
)
def test_refuses_other_members(tmp_path, checkpoint, members):
    message = refusal(rewritten(checkpoint, tmp_path, members=members))
    assert "expected the config.json, metadata.json, model.weights.h5" in message


def test_follows_no_link_of_an_archive(tmp_path, checkpoint):
    """A member that is a symbolic link: its target is its content."""
    (tmp_path / "target").write_text("{}")
    path = rewritten(checkpoint, tmp_path, members={CONFIG: None})
    link = zipfile.ZipInfo(CONFIG)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, str(tmp_path / "target"))
    assert "cannot be read as a checkpoint: Expecting value" in refusal(path)


@pytest.mark.parametrize("method", (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
def test_refuses_a_compression_that_unpacks_without_limit(tmp_path, checkpoint, method):
    path = rewritten(checkpoint, tmp_path, members={CONFIG: None})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(CONFIG, b"{}", compress_type=method)
    assert "config.json is compressed by other than Deflate" in refusal(path)


def test_reads_a_compressed_keras_file(tmp_path, checkpoint, model):
    path = tmp_path / "deflated.keras"
    with (
        zipfile.ZipFile(checkpoint) as archive,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as deflated,
    ):
        for name in archive.namelist():
            deflated.writestr(name, archive.read(name))
    assert_same_weights(checkpoints.load_autoencoder(path), model)


def test_refuses_a_keras_file_that_is_too_large(tmp_path, checkpoint):
    path = tmp_path / "model.keras"
    shutil.copy(checkpoint, path)
    with open(path, "ab") as file:
        file.truncate(30_000_000)
    assert "has 30000000 bytes: expected at most 22200000" in refusal(path)


def test_refuses_a_member_that_is_too_large(tmp_path, checkpoint):
    members = {WEIGHTS: bytes(10_000_001)}
    message = refusal(rewritten(checkpoint, tmp_path, members=members))
    assert "model.weights.h5 has 10000001 bytes" in message


@pytest.mark.parametrize(
    "content",
    (b"", b"{", b"\xff", b"[" * 100_000, b"null", b'{"class_name": []}', b"[[1]]"),
)
def test_refuses_a_damaged_config(tmp_path, checkpoint, content):
    refusal(rewritten(checkpoint, tmp_path, members={CONFIG: content}))


@pytest.mark.parametrize("content", (b"", b"\x89HDF\r\n\x1a\n", b"\0" * 5000))
def test_refuses_damaged_weights(tmp_path, checkpoint, content):
    message = refusal(rewritten(checkpoint, tmp_path, members={WEIGHTS: content}))
    assert "cannot be read as a checkpoint" in message


def test_refuses_a_lambda_and_runs_nothing(tmp_path):
    mark = tmp_path / "it ran"
    inputs = keras.Input((None, None, 1))

    def code(x):
        pathlib.Path(mark).touch()
        return x

    outputs = keras.layers.Lambda(code, output_shape=(None, None, 1))(inputs)
    keras.Model(inputs, outputs).save(tmp_path / "model.keras")
    mark.unlink(missing_ok=True)
    assert "holds keras.layers.Lambda: only the layers" in refusal(
        tmp_path / "model.keras"
    )
    assert not mark.exists()


@pytest.mark.parametrize(
    ("module", "name", "registered", "called"),
    [
        ("os", "system", None, "os.system"),
        ("evil.package", "Conv2D", None, "evil.package.Conv2D"),
        ("keras.layers", "TFSMLayer", None, "keras.layers.TFSMLayer"),
        (None, "Attack", None, "keras.Attack"),
        ("keras.layers", "Conv2D", "evil>Conv2D", "evil>Conv2D"),
        (
            "densefuse_tf.model.strategies",
            "function",
            "densefuse_tf>addition",
            "densefuse_",
        ),
    ],
)
def test_refuses_another_layer(tmp_path, checkpoint, module, name, registered, called):
    def change(config):
        layer = next(layer_configs(config))
        layer["module"], layer["class_name"] = module, name
        layer["registered_name"] = registered

    message = refusal(rewritten(checkpoint, tmp_path, config=change))
    assert f"holds {called}" in message
    assert "only the layers of the DenseFuse autoencoder are loaded" in message


@pytest.mark.parametrize(
    "place", ("compile_config", "build_config", "activation", "name")
)
def test_refuses_code_wherever_it_is(tmp_path, checkpoint, place):
    """What Keras calls a lambda, in places where Keras deserialises what it finds."""
    mark = tmp_path / "it ran"
    code = compile(f"open({str(mark)!r}, 'w')", "", "eval")
    marshalled = base64.b64encode(marshal.dumps(code)).decode()
    attack = {
        "class_name": "__lambda__",
        "config": {"value": [marshalled, None, None]},
    }

    def change(config):
        if place.endswith("_config"):
            config[place] = {"loss": [attack], "input_shape": attack}
            return
        for layer in layer_configs(config):
            layer["config"][place] = attack

    assert "holds keras.__lambda__: only the" in refusal(
        rewritten(checkpoint, tmp_path, config=change)
    )
    assert not mark.exists()


def test_refuses_a_layer_that_is_registered_and_runs_nothing(tmp_path):
    """As a program does that registers its own classes before it loads."""
    mark = tmp_path / "it ran"

    @keras.saving.register_keras_serializable(package="theirs")
    class Theirs(keras.layers.Layer):
        def __init__(self, **settings):
            mark.touch()
            super().__init__(**settings)

        def call(self, inputs):
            return inputs

    inputs = keras.Input((None, None, 1))
    keras.Model(inputs, Theirs()(inputs)).save(tmp_path / "model.keras")
    mark.unlink()
    assert "Theirs: only the layers" in refusal(tmp_path / "model.keras")
    assert not mark.exists()


def test_refuses_a_saved_fusion_graph(tmp_path, checkpoint):
    """Its strategy is a function; whoever trusts it loads it with Keras."""
    graph.load_fusion_model(checkpoint).save(tmp_path / "fusion.keras")
    with pytest.raises(UserError, match=r"only the layers of the DenseFuse autoenc"):
        graph.load_fusion_model(tmp_path / "fusion.keras")


def test_refuses_another_activation(tmp_path, checkpoint):
    def change(config):
        for layer in layer_configs(config):
            if layer["config"]["name"] == "DC2":
                layer["config"]["activation"] = "tanh"

    message = refusal(rewritten(checkpoint, tmp_path, config=change))
    assert "layer DC2 is" in message
    assert "tanh" in message


def test_refuses_a_missing_tensor(tmp_path, checkpoint):
    def change(store):
        del store[STORED]

    message = refusal(rewritten(checkpoint, tmp_path, weights=change))
    assert f"tensor {CALLED} is missing: expected it as (3, 3, 1, 16)" in message


def test_refuses_an_extra_tensor(tmp_path, checkpoint):
    def change(store):
        store["layers/other/vars/0"] = np.zeros(3)

    message = refusal(rewritten(checkpoint, tmp_path, weights=change))
    assert "tensor layers/other/vars/0 is not part of the network" in message


def replaced(values, **settings):
    def change(store):
        del store[STORED]
        store.create_dataset(STORED, data=values, **settings)

    return change


@pytest.mark.parametrize(
    ("values", "settings", "message"),
    [
        (np.zeros((3, 3, 16)), {}, "has shape (3, 3, 16): expected (3, 3, 1, 16)"),
        (np.full((3, 3, 1, 16), np.nan), {}, "holds NaN or infinity"),
        (np.zeros((3, 3, 1, 16), int), {}, "is int64: expected floats"),
        (np.full((3, 3, 1, 16), 1e300), {}, "holds NaN or infinity"),
    ],
)
def test_refuses_a_wrong_tensor(tmp_path, checkpoint, values, settings, message):
    change = replaced(values, **settings)
    found = refusal(rewritten(checkpoint, tmp_path, weights=change))
    assert f"tensor {CALLED} {message}" in found


@pytest.mark.parametrize(
    "settings", ({"chunks": True}, {"compression": "gzip"}, {"fletcher32": True})
)
def test_refuses_a_tensor_in_pieces(tmp_path, checkpoint, settings):
    change = replaced(np.zeros((3, 3, 1, 16), np.float32), **settings)
    found = refusal(rewritten(checkpoint, tmp_path, weights=change))
    assert f"tensor {STORED} is not stored in one piece" in found


@pytest.mark.parametrize("kind", (h5py.ExternalLink, h5py.SoftLink))
def test_follows_no_link(tmp_path, checkpoint, kind):
    """A tensor of another file, or of another name, is none."""
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = np.zeros((3, 3, 1, 16), np.float32)

    def change(store):
        del store[STORED]
        target = (str(tmp_path / "other.h5"), "/secret")
        store[STORED] = kind(*target) if kind is h5py.ExternalLink else kind("/vars")

    message = refusal(rewritten(checkpoint, tmp_path, weights=change))
    if kind is h5py.SoftLink:
        assert f"tensor {CALLED} is missing" in message
    else:
        assert "the weights have layers/functional/layers/conv2d/vars of a" in message


def test_reads_no_external_storage(tmp_path, checkpoint):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(4 * 3 * 3 * 16))

    def change(store):
        del store[STORED]
        store.create_dataset(
            STORED, (3, 3, 1, 16), "f4", external=[(str(secret), 0, 576)]
        )

    message = refusal(rewritten(checkpoint, tmp_path, weights=change))
    assert "is not stored in one piece" in message


def test_reads_a_release_checkpoint_with_adam_slots(tmp_path, model):
    tensors = tensor_bundles.release_tensors(model)
    extras = {f"{name}/Adam": value for name, value in tensors.items()}
    extras |= {f"{name}/Adam_1": value for name, value in tensors.items()}
    extras |= {"beta1_power": np.float32(0.9), "beta2_power": np.float32(0.999)}
    prefix = save_release(tensors | extras, tmp_path)
    assert_same_weights(checkpoints.load_autoencoder(prefix), model)


@pytest.mark.parametrize("end", ("index", "meta", "data-00000-of-00001"))
def test_tells_the_prefix_that_was_meant(tmp_path, model, end):
    prefix = save_release(tensor_bundles.release_tensors(model), tmp_path)
    message = refusal(f"{prefix}.{end}")
    assert f"give its prefix, {prefix}" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decoder/conv2_4/bias": None}, "decoder/conv2_4/bias is missing"),
        ({"decoder/extra": np.zeros(2)}, "decoder/extra is not part of the network"),
        ({"encoder/conv1_1/bias": np.zeros(3)}, "encoder/conv1_1/bias has shape (3,)"),
        (
            {"encoder/conv1_1/bias": np.full(16, np.inf)},
            "encoder/conv1_1/bias holds NaN or infinity",
        ),
        ({"encoder/conv1_1/bias": np.zeros(16, int)}, "is int64: expected floats"),
    ],
)
def test_refuses_wrong_release_tensors(tmp_path, model, change, message):
    tensors = tensor_bundles.release_tensors(model) | change
    tensors = {name: value for name, value in tensors.items() if value is not None}
    assert message in refusal(save_release(tensors, tmp_path))


@pytest.mark.parametrize("end", ("index", "data-00000-of-00001"))
@pytest.mark.parametrize("size", (0, 100, None))
def test_refuses_a_damaged_release_checkpoint(tmp_path, model, end, size):
    prefix = save_release(tensor_bundles.release_tensors(model), tmp_path)
    part = pathlib.Path(f"{prefix}.{end}")
    if size is None:
        content = bytearray(part.read_bytes())
        content[len(content) // 2] ^= 0xFF
        part.write_bytes(content)
    else:
        part.write_bytes(part.read_bytes()[:size])
    assert "cannot be read as a checkpoint" in refusal(prefix)


def test_refuses_a_release_checkpoint_without_its_data(tmp_path, model):
    prefix = save_release(tensor_bundles.release_tensors(model), tmp_path)
    pathlib.Path(f"{prefix}.data-00000-of-00001").unlink()
    assert "cannot be read as a checkpoint" in refusal(prefix)


@pytest.mark.parametrize("name", checkpoints.SHORT_NAMES)
def test_reads_the_release(released, name):
    model = checkpoints.load_autoencoder(released[name])
    reader = tf.train.load_checkpoint(released[name])
    for released_name, values in tensor_bundles.release_tensors(model).items():
        np.testing.assert_array_equal(values, reader.get_tensor(released_name))
