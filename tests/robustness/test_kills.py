"""Each command killed at a random moment after its first file, and started again.

At no moment is there a half-written file under a final name, and the end is that of a
run that nobody disturbed. `--long` kills each command 20 times.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from densefuse_tf.io import images
from densefuse_tf.model import checkpoints

ROOT = pathlib.Path(__file__).resolve().parents[2]


def photograph(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def content(path: pathlib.Path) -> object:
    """What a file holds, apart from the time at which it was made."""
    if path.suffix == ".keras":
        weights = checkpoints.load_autoencoder(path).get_weights()
        return b"".join(values.tobytes() for values in weights)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: arrays[name].tobytes() for name in arrays.files}
    if path.name == "saved_model.pb":
        source = tf.constant(photograph(0, 1, 9, 7, 1), tf.float32)
        loaded = tf.saved_model.load(str(path.parent))
        result = loaded.signatures["serving_default"](ir=source, vis=source[:, ::-1])
        return result["raw"].numpy().tobytes()
    if path.name in ("fingerprint.pb", "variables.index"):
        return path.name
    return path.read_bytes()


def contents(folder: pathlib.Path) -> dict[str, object]:
    """The files under final names; what is hidden has to be a temporary of ours."""
    found = {}
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        hidden = [part for part in parts if part.startswith(".")]
        assert all(part.startswith(".densefuse_") for part in hidden)
        if path.is_file() and not hidden and "tensorboard" not in parts:
            found["/".join(parts)] = content(path)
    return found


def fuse(folder, checkpoint) -> list[str]:
    for number in range(1, 7):
        images.write(folder / f"ir/{number}.png", photograph(number, 120, 90))
        images.write(folder / f"vis/{number}.png", photograph(50 + number, 120, 90, 3))
    flags = ["--ir=ir", "--vis=vis", "--output=out", "--panel=out/panel.png"]
    flags += ["--save_raw", "--strategy=l1_norm", f"--checkpoint={checkpoint}"]
    return ["fuse.py", *flags]


def evaluate(folder, checkpoint) -> list[str]:
    for n in (*range(1, 20), 21):
        images.write(folder / f"tno/IR{n}.png", photograph(n, 44, 46))
        images.write(folder / f"tno/VIS{n}.png", photograph(n + 100, 44, 46))
    (folder / "models").mkdir()
    shutil.copy(checkpoint, folder / "models/densefuse_1e0.keras")
    flags = ["--table2", "--data_dir=tno", "--checkpoint_dir=models", "--lambdas=1e0"]
    flags += ["--work_dir=out/work", "--csv=out/table.csv", "--markdown=out/table.md"]
    return ["evaluate.py", *flags]


def train(folder, checkpoint) -> list[str]:
    (folder / "photos").mkdir()
    for number in range(14):
        coarse = Image.fromarray(photograph(number, 6, 6))
        path = folder / f"photos/{number:02}.png"
        coarse.resize((40, 30), Image.Resampling.BILINEAR).save(path)
    flags = ["--train_dir=photos", "--run_dir=out", "--num_val_images=4"]
    flags += ["--iterations=14", "--val_every=3", "--save_every=4"]
    flags += ["--image_size=16", "--cache=cache/crops"]
    return ["train.py", *flags]


def export(folder, checkpoint) -> list[str]:
    flags = [f"--checkpoint={checkpoint}", "--output=out/densefuse/1"]
    return ["export.py", *flags]


def start(command: list[str], folder: pathlib.Path) -> subprocess.Popen:
    """Starts a command; returns when its first file or folder is there."""
    script, *flags = command
    process = subprocess.Popen(
        [sys.executable, str(ROOT / script), *flags],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    before = len(list(folder.rglob("out/**")))
    while process.poll() is None and len(list(folder.rglob("out/**"))) <= before:
        time.sleep(0.002)
    return process


@pytest.mark.parametrize("make", [fuse, evaluate, train, export])
def test_killed_at_any_moment_it_ends_the_same(make, checkpoint, tmp_path, long):
    generator = np.random.default_rng(5)
    command = make(tmp_path, checkpoint)
    out = tmp_path / "out"
    process = start(command, tmp_path)
    began = time.monotonic()
    assert process.wait() == 0
    seconds = time.monotonic() - began
    expected = contents(out)
    assert expected
    for _ in range(20 if long else 1):
        shutil.rmtree(out)
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        process = start(command, tmp_path)
        time.sleep(generator.uniform(0, seconds))
        process.send_signal(signal.SIGKILL)
        process.wait()
        # A run in training has older files; that they can be read is enough.
        left = contents(out)
        assert make is train or left.items() <= expected.items()
        # A finished export is not replaced.
        done = make is export and left == expected
        assert start(command, tmp_path).wait() == (2 if done else 0)
        assert contents(out) == expected
