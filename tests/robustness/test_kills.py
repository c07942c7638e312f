"""Each command killed at random moments and started again, until it ends.

At no moment is there a half-written file under a final name; what was there stays; and
the end is that of a run that nobody disturbed. Every second moment lies after the first
file, hidden or not, has appeared, so that not all of them hit the start of TensorFlow.
"""

import dataclasses
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from densefuse_tf.io import images
from densefuse_tf.model import checkpoints
from densefuse_tf.training import history

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 900
SAVE_EVERY = 4

# What is in a folder: the content of each file by its path, hidden ones left out.
Contents = Mapping[str, object]


@dataclasses.dataclass(frozen=True)
class Command:
    """A command line, and what its output has to be like while it is not finished.

    Attributes:
      arguments: The script and its flags; run in a folder whose `out` it fills.
      check: Called with the folder and the contents that an undisturbed run leaves.
      replaces_nothing: Whether it refuses an output that is there.
    """

    arguments: list[str]
    check: Callable[[pathlib.Path, Contents], None]
    replaces_nothing: bool = False


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


def files_in(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """The files under final names; what is hidden has to be a temporary of ours."""
    found = {}
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        hidden = [part for part in parts if part.startswith(".")]
        assert all(part.startswith(".densefuse_") for part in hidden)
        if path.is_file() and not hidden and "tensorboard" not in parts:
            found["/".join(parts)] = path
    return found


def contents(folder: pathlib.Path) -> Contents:
    return {name: content(path) for name, path in files_in(folder).items()}


def check_finished_files(folder: pathlib.Path, expected: Contents) -> None:
    """Each file that is there is as it will be at the end."""
    for name, found in contents(folder).items():
        assert found == expected[name], name


def check_run(folder: pathlib.Path, expected: Contents) -> None:
    """A training run that can go on, and has lost save_every iterations at most."""
    names = files_in(folder).keys()
    assert names <= expected.keys()
    for name in ("config.json", "validation.json"):
        if name in names:
            assert (folder / name).read_bytes() == expected[name]
    saved = 0
    if "state.npz" in names:
        with np.load(folder / "state.npz") as state:
            saved = int(state["iteration"])
        assert "model.keras" in names
    for name in ("model.keras", "best.keras"):
        if name in names:
            checkpoints.load_autoencoder(folder / name)
    if "history.csv" in names:
        written = (folder / "history.csv").read_bytes()
        assert expected["history.csv"].startswith(written)
        rows = history.read(folder / "history.csv")
        assert not rows or rows[-1].iteration <= saved + SAVE_EVERY


def fuse(folder, checkpoint) -> Command:
    for number in range(1, 7):
        images.write(folder / f"ir/{number}.png", photograph(number, 120, 90))
        images.write(folder / f"vis/{number}.png", photograph(50 + number, 120, 90, 3))
    flags = ["--ir=ir", "--vis=vis", "--output=out", "--panel=out/panel.png"]
    flags += ["--save_raw", "--strategy=l1_norm", f"--checkpoint={checkpoint}"]
    return Command(["fuse.py", *flags], check_finished_files)


def evaluate(folder, checkpoint) -> Command:
    for n in (*range(1, 20), 21):
        images.write(folder / f"tno/IR{n}.png", photograph(n, 44, 46))
        images.write(folder / f"tno/VIS{n}.png", photograph(n + 100, 44, 46))
    (folder / "models").mkdir()
    shutil.copy(checkpoint, folder / "models/densefuse_1e0.keras")
    flags = ["--table2", "--data_dir=tno", "--checkpoint_dir=models", "--lambdas=1e0"]
    flags += ["--work_dir=out/work", "--csv=out/table.csv", "--markdown=out/table.md"]
    return Command(["evaluate.py", *flags], check_finished_files)


def train(folder, checkpoint) -> Command:
    (folder / "photos").mkdir()
    for number in range(14):
        coarse = Image.fromarray(photograph(number, 6, 6))
        path = folder / f"photos/{number:02}.png"
        coarse.resize((40, 30), Image.Resampling.BILINEAR).save(path)
    flags = ["--train_dir=photos", "--run_dir=out", "--num_val_images=4"]
    flags += ["--iterations=14", "--val_every=3", f"--save_every={SAVE_EVERY}"]
    flags += ["--image_size=16", "--cache=cache/crops"]
    return Command(["train.py", *flags], check_run)


def export(folder, checkpoint) -> Command:
    flags = [f"--checkpoint={checkpoint}", "--output=out/densefuse/1"]
    return Command(["export.py", *flags], check_finished_files, replaces_nothing=True)


def start(command: Command, folder: pathlib.Path) -> subprocess.Popen:
    script, *flags = command.arguments
    return subprocess.Popen(
        [sys.executable, str(ROOT / script), *flags],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def first_file(process: subprocess.Popen, folder: pathlib.Path, number: int) -> None:
    """Waits until more than `number` files and folders are there, or it has ended."""
    while process.poll() is None and len(list(folder.rglob("*"))) <= number:
        time.sleep(0.002)


def finish(command: Command, folder: pathlib.Path) -> tuple[float, float]:
    """Runs a command to its end: seconds until its first file, and until its end."""
    out = folder / "out"
    finished = command.replaces_nothing and bool(files_in(out))
    began = time.monotonic()
    process = start(command, folder)
    first_file(process, out, len(list(out.rglob("*"))))
    first = time.monotonic() - began
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    if finished:
        assert process.returncode == 2
        assert "exists, and is not overwritten" in errors
    else:
        assert process.returncode == 0, errors
    return first, time.monotonic() - began


def stamps(folder: pathlib.Path) -> dict[str, int]:
    """When the files of the evaluation's work were written."""
    return {
        name: path.stat().st_mtime_ns
        for name, path in files_in(folder).items()
        if name.startswith("work/")
    }


@pytest.mark.parametrize("make", [fuse, evaluate, train, export])
def test_killed_at_any_moment_it_ends_the_same(make, checkpoint, tmp_path, long):
    generator = np.random.default_rng(5)
    command = make(tmp_path, checkpoint)
    out = tmp_path / "out"
    first, end = finish(command, tmp_path)
    expected = contents(out)
    assert expected

    kills = wanted = 20 if long else 1
    while wanted:
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        out.mkdir()
        again = True
        while again and wanted:
            process = start(command, tmp_path)
            if wanted % 2:
                first_file(process, out, len(list(out.rglob("*"))))
                time.sleep(generator.uniform(0, end - first))
            else:
                time.sleep(generator.uniform(0, end))
            process.send_signal(signal.SIGKILL)
            process.communicate()
            where = f"kill {kills - wanted + 1}"
            if process.returncode == -signal.SIGKILL:
                wanted -= 1
            try:
                command.check(out, expected)
            except Exception as error:
                raise AssertionError(f"{where}: {sorted(files_in(out))}") from error
            before, times = files_in(out).keys(), stamps(out)
            again = generator.random() < 0.5 and process.returncode != 0
        finish(command, tmp_path)
        assert contents(out) == expected, where
        assert before <= files_in(out).keys()
        # What was fused and evaluated is not made again.
        assert times.items() <= stamps(out).items()
