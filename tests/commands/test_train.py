"""train.py as a user meets it: a tiny run end to end, and every mistake in one line."""

import json
import pathlib
import re
import shutil
import signal

import numpy as np
import pytest
from PIL import Image

from densefuse_tf.commands import train
from densefuse_tf.training import folder
from densefuse_tf.training.state import State

pytestmark = pytest.mark.usefixtures("traced_once")
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
        ({"batch_size": "two"}, "--batch_size=two: expected a positive integer"),
        ({"colour": 1}, "--colour: unknown flag: see train.py --help"),
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


@pytest.mark.guard
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


@pytest.fixture
def at_iteration(monkeypatch):
    """Does something after a step: `at_iteration(3, action)`."""
    count = State.count

    def arrange(iteration, action):
        def count_and_act(state, *args, **kwargs):
            count(state, *args, **kwargs)
            if state.iteration == iteration:
                action()

        monkeypatch.setattr(State, "count", count_and_act)

    return arrange


@pytest.fixture
def share(photos, tmp_path):
    """A folder of the photographs that can go away and come back."""
    shutil.copytree(photos, tmp_path / "share")
    return tmp_path / "share"


def test_a_share_that_goes_away_ends_the_run_which_goes_on(
    share, tmp_path, at_iteration, capfd
):
    away = tmp_path / "away"
    at_iteration(3, lambda: share.rename(away))
    chosen = {"run_dir": tmp_path / "run", "val_every": 10000}
    assert train.run(arguments(share, iterations=10000, **chosen)) == 2
    error = capfd.readouterr().err.splitlines()[-1]
    said = re.fullmatch(
        rf"train.py: {share}: no batch of photographs can be read any more: saved at "
        rf"iteration (\d+) of 10000 in {tmp_path}/run; the same command goes on from "
        "there",
        error,
    )
    done = int(said[1])
    assert 3 <= done < 50
    away.rename(share)
    assert train.run(arguments(share, iterations=done + 2, **chosen)) == 0
    assert f"going on from iteration {done}" in capfd.readouterr().err


def test_validation_photographs_that_go_away_end_the_run(
    photos, share, tmp_path, at_iteration, capfd
):
    at_iteration(1, lambda: shutil.rmtree(share))
    chosen = arguments(photos, tmp_path / "run", val_dir=share, save_every=1)
    assert train.run(chosen) == 2
    assert capfd.readouterr().err.splitlines()[-1] == (
        "train.py: no photograph to validate on can be read any more; "
        f"{tmp_path}/run keeps the last good save"
    )


def test_sigterm_saves_and_ends_with_status_143(photos, tmp_path, at_iteration, capfd):
    at_iteration(2, lambda: signal.raise_signal(signal.SIGTERM))
    chosen = arguments(photos, tmp_path / "run", val_every=10)
    assert train.run(chosen) == 143
    error = capfd.readouterr().err
    assert "saving after this iteration; SIGTERM again ends without a save" in error
    assert f"saved at iteration 2 of 4 in {tmp_path}/run; the same command" in error
    assert error.splitlines()[-1] == "train.py: terminated"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    at_iteration(0, None)
    assert train.run(chosen) == 0
    assert "going on from iteration 2" in capfd.readouterr().err


@pytest.mark.parametrize("saves", [False, True])
def test_a_loss_that_is_not_finite_names_what_may_be_the_cause(
    photos, tmp_path, capfd, saves
):
    flags = {"learning_rate": 1e30, "save_every": 1 if saves else 500}
    chosen = arguments(photos, tmp_path / "run", val_every=500, **flags)
    assert train.run(chosen) == 2
    error = capfd.readouterr().err.splitlines()[-1]
    assert re.search(
        r"train.py: iteration 2: the loss is (nan|inf) on .*\.png, .*\.png, at a "
        r"--learning_rate of 1e\+30",
        error,
    )
    assert ("keeps the last good save" in error) == saves
