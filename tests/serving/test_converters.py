"""LiteRT and ONNX files; what they compute is tested in test_serving_clients.py."""

import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.serving import conversion
from densefuse_tf.serving import serving


@pytest.mark.parametrize("format", ["litert", "onnx"])
def test_a_missing_extra_is_named(checkpoint, tmp_path, monkeypatch, format):
    monkeypatch.setattr(conversion.importlib.util, "find_spec", lambda name: None)
    path = tmp_path / f"a{conversion.SUFFIXES[format]}"
    with pytest.raises(UserError, match=rf"pip install '\.\[{format}\]'"):
        serving.export(checkpoint, path, format=format)


def test_a_conversion_that_is_off_is_not_kept(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "check_installed", lambda format: None)

    def write(model, path):
        path.write_bytes(b"wrong")

    def load(path):
        return lambda sources: {"raw": sources["ir"] + 1000}

    monkeypatch.setattr(conversion, "_write_onnx", write)
    monkeypatch.setattr(conversion, "_load_onnx", load)
    with pytest.raises(UserError, match=r"is \d+\.?\d* off: expected at most 0.5"):
        serving.export(checkpoint, tmp_path / "a.onnx", format="onnx")
    assert not list(tmp_path.iterdir())
