"""What an export writes, and what it refuses."""

import sys
import tempfile

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from densefuse_tf import extras
from densefuse_tf.errors import UserError
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.serving import converters
from densefuse_tf.serving import export
from densefuse_tf.serving import signatures
from densefuse_tf.serving.settings import ExportSettings


@pytest.fixture
def write(checkpoint):
    """Exports the untrained checkpoint with these fields of `ExportSettings`."""

    def call(path, **settings):
        export.export(FusionSettings(checkpoint), path, ExportSettings(**settings))

    return call


def test_warm_up_requests_run(write, tmp_path):
    write(tmp_path / "densefuse/1", warmup=True)
    loaded = tf.saved_model.load(str(tmp_path / "densefuse/1"))
    assert set(loaded.signatures) == {signatures.ARRAYS, signatures.ENCODED}
    path = tmp_path / "densefuse/1/assets.extra/tf_serving_warmup_requests"
    seen = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        request = log.predict_log.request
        assert request.model_spec.name == "densefuse"
        inputs = {
            name: tf.constant(tf.make_ndarray(proto))
            for name, proto in request.inputs.items()
        }
        result = loaded.signatures[request.model_spec.signature_name](**inputs)
        assert all(tf.shape(output)[0] == 1 for output in result.values())
        seen.append(request.model_spec.signature_name)
    assert seen == [signatures.ARRAYS, signatures.ENCODED]


def test_nothing_is_left_in_the_temporary_folder(write, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    written = []
    made = tempfile.NamedTemporaryFile
    monkeypatch.setattr(
        tempfile, "NamedTemporaryFile", lambda **how: written.append(how) or made(**how)
    )
    # AutoGraph writes a function's source once in a process.
    from tensorflow.python.autograph.impl import api

    monkeypatch.setattr(api, "_TRANSPILER", api.PyToTF())
    write(tmp_path / "1")
    assert [how["suffix"] for how in written] == [".py"]
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("extra", "name", "settings"),
    [
        ("serving", "1", {"warmup": True}),
        ("litert", "a.tflite", {"format": "litert"}),
        ("onnx", "a.onnx", {"format": "onnx"}),
    ],
)
def test_a_missing_extra_is_named(write, tmp_path, monkeypatch, extra, name, settings):
    monkeypatch.setitem(extras._PACKAGES, extra, {"no_such_module": "missing"})
    line = rf"needs missing: pip install '.\[{extra}\]'"
    with pytest.raises(UserError, match=line):
        write(tmp_path / name, **settings)
    assert not list(tmp_path.iterdir())


def test_a_conversion_that_is_off_is_not_kept(write, tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "require", lambda extra, what: None)
    monkeypatch.setattr(
        converters, "_write_onnx", lambda model, path: path.write_bytes(b"wrong")
    )
    monkeypatch.setattr(
        converters,
        "_load_onnx",
        lambda path: lambda sources: {"raw": sources["ir"] + 1000},
    )
    with pytest.raises(UserError, match=r"is \d+\.?\d* off: expected at most 0.5"):
        write(tmp_path / "a.onnx", format="onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"format": "pickle"}, "format is 'pickle': expected one of saved_model, lit"),
        ({"max_pixels": 0}, "max_pixels is 0: expected 1 or more"),
        ({"format": "onnx", "warmup": True}, "warmup goes with the format saved_model"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        ExportSettings(**settings)
