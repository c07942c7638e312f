"""train.py as a user meets it: a tiny run end to end, and every mistake in one line."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from densefuse_tf.commands import train
from densefuse_tf.training import folder

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for number in range(8):
        image = rng.integers(0, 256, (24, 24), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def arguments(photos, run_dir, **flags):
    chosen = {
        "train_dir": photos,
        "run_dir": run_dir,
        "num_val_images": 2,
        "iterations": 4,
        "val_every": 2,
        "image_size": 16,
        **flags,
    }
    return ["train.py", *(f"--{name}={value}" for name, value in chosen.items())]


def test_a_tiny_run_from_end_to_end(photos, tmp_path):
    run_dir = tmp_path / "runs" / "tiny"
    assert train.run(arguments(photos, run_dir, ssim_weight=10, seed=3)) == 0
    rows = folder.read_history(run_dir / "history.csv")
    assert [row["iteration"] for row in rows] == [2, 4]
    config = json.loads((run_dir / "config.json").read_text())
    assert config["settings"]["ssim_weight"] == 10
    assert config["settings"]["seed"] == 3
    assert config["settings"]["recipe"] == "paper"
    assert (run_dir / "model.keras").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"recipe": "soup"}, "unknown recipe 'soup': expected one of paper, release"),
        ({"train_dir": "/nowhere"}, "/nowhere: no such file or folder"),
        ({"xla": "maybe"}, "--xla=maybe: expected true or false"),
        ({"train_dir": ""}, "--train_dir is missing: expected photographs to train on"),
        ({"run_dir": ""}, "--run_dir is missing"),
        ({"batch_size": "two"}, "--batch_size=two: expected an integer"),
        ({"colour": 1}, "Unknown command line flag 'colour'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(photos, tmp_path, capfd, flags, message):
    flags = {"run_dir": tmp_path / "run"} | flags
    assert train.run(arguments(photos, **flags)) == 2
    error = capfd.readouterr().err.splitlines()
    assert error[-1].startswith("train.py: ") and message in error[-1]
    assert not (tmp_path / "run").exists()


def test_another_run_in_the_folder_is_refused(photos, tmp_path, capfd):
    assert train.run(arguments(photos, tmp_path / "run")) == 0
    model = (tmp_path / "run" / "model.keras").read_bytes()
    assert train.run(arguments(photos, tmp_path / "run", seed=1)) == 2
    assert "holds a run with seed=0, this one has seed=1" in capfd.readouterr().err
    assert (tmp_path / "run" / "model.keras").read_bytes() == model


def test_a_full_disk_is_one_line_and_keeps_the_save(photos, small_disk, capfd):
    """It has room for the first save only."""
    run_dir = small_disk(2000)
    assert train.run(arguments(photos, run_dir)) == 0
    state = (run_dir / "state.npz").read_bytes()
    assert train.run(arguments(photos, run_dir, iterations=8)) == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert error.startswith("train.py: ") and "No space left on device" in error
    assert (run_dir / "state.npz").read_bytes() == state
    assert not list(run_dir.glob(".*"))
