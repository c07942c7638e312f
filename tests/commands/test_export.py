"""export.py from its flags to its files."""

import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from densefuse_tf.commands import export
from tests.commands import conftest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def run(checkpoint, ended, tmp_path, monkeypatch):
    """Runs export.py in `tmp_path`; returns its status, output and errors."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments, checkpoint=checkpoint):
        return ended(export, f"--checkpoint={checkpoint}", *arguments)

    return call


def mistake(ended) -> str:
    assert ended[1] == ""
    return conftest.mistake(export, ended)


def test_a_saved_model(run, tmp_path):
    result = run("--output=models/three/1", "--num_sources=3", "--strategy=l1_norm")
    assert result[:2] == (0, "saved_model: models/three/1\n")
    assert [path.name for path in (tmp_path / "models/three").iterdir()] == ["1"]
    folder = tmp_path / "models/three/1"
    # What a server run by somebody else can read.
    assert folder.stat().st_mode & 0o777 == 0o777 & ~umask()
    loaded = tf.saved_model.load(str(folder))
    names = loaded.signatures["fuse_encoded"].structured_input_signature[1]
    assert sorted(names) == ["source_1_bytes", "source_2_bytes", "source_3_bytes"]


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_checkpoint_that_is_missing_is_one_line(run, tmp_path):
    line = mistake(run("--output=1", checkpoint="9e9"))
    assert "9e9: no such checkpoint: expected one of" in line


def test_a_strategy_of_a_module_is_exported(run, tmp_path, own_strategies):
    (tmp_path / "first_alone.py").write_text(
        "import densefuse_tf\n"
        "@densefuse_tf.strategy('first_alone', scales_with_sources=False, reach=0)\n"
        "def first_alone(feature_maps):\n    return feature_maps[0]\n"
    )
    flags = ("--strategy=first_alone", f"--strategy_module={tmp_path}/first_alone.py")
    assert run(*flags, f"--output={tmp_path}/1", "--nowarmup")[0] == 0
    fuse = tf.saved_model.load(f"{tmp_path}/1").signatures["serving_default"]
    image = tf.random.uniform([1, 16, 16, 1], 0, 255)
    same, other = (fuse(ir=image, vis=vis)["raw"] for vis in (image, image * 0))
    np.testing.assert_array_equal(same, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--output is missing"),
        (["--output="], "--output is missing"),
        (["--output=1", "--strategy=max"], "unknown strategy 'max': expected one of"),
        (["--output=1", "--num_sources=1"], "num_sources is 1: fusion takes 2 or more"),
        (["--output=1", "--num_sources=two"], "--num_sources=two: expected an integer"),
        (["--output=1", "--output_range=log"], "--output_range=log: expected one"),
        (["--output=1", "--output=2"], "--output is given 2 times: expected once"),
        (
            ["--output=1", "--format=pickle"],
            "--format=pickle: expected one of saved_model,",
        ),
        (
            ["--output=1", "--max_pixels=0"],
            "--max_pixels=0: expected a positive integer",
        ),
        (
            ["--output=1", "--window_radius=-1", "--strategy=l1_norm"],
            "window_radius is -1: expected 0 or more",
        ),
        (["--output=old"], "old: exists, and is not overwritten"),
        (["--output=old/file/1"], "old/file/1: cannot be written: "),
        (["--output=1", "--format=litert"], "1: expected a name that ends in .tflite"),
        (
            ["--output=a.onnx", "--format=onnx", "--precision=bfloat16"],
            "--precision is 'bfloat16' with the format onnx: expected float32, or the",
        ),
        (["--output=a.onnx"], "a.onnx: is named as a file, and a SavedModel"),
        (["--output=1", "more"], "unexpected argument 'more'"),
    ],
)
def test_mistakes_get_one_line(run, tmp_path, arguments, message):
    (tmp_path / "old").mkdir()
    (tmp_path / "old/file").touch()
    assert message in mistake(run(*arguments))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "old"]


@pytest.mark.parametrize("kilobytes", [4, 300])
def test_a_full_disk_is_one_line_and_leaves_nothing(run, small_disk, kilobytes):
    """Wherever in the writing it is full."""
    disk = small_disk(kilobytes)
    line = mistake(run(f"--output={disk}/densefuse/1"))
    assert f"{disk}/densefuse/1: cannot be written: " in line
    assert not list((disk / "densefuse").iterdir())
