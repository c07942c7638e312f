"""Each command killed at a random moment after its first file, and started again.

At no moment is there a half-written file under a final name, and the end is that of a
run that nobody disturbed. In the temporary folder a kill leaves nothing, but of
export.py files that TensorFlow has generated. `--long` kills each command 8 times.
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
from densefuse_tf.training import folder as run_folder
from densefuse_tf.training.settings import find_recipe

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


def empty(folder: pathlib.Path) -> None:
    """Removes what is in a folder that stays."""
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def fuse(folder, checkpoint) -> list[str]:
    for number in range(1, 7):
        images.write(folder / f"ir/{number}.png", photograph(number, 120, 90))
        images.write(folder / f"vis/{number}.png", photograph(50 + number, 120, 90, 3))
    flags = ["--ir=ir", "--vis=vis", "--output=out", "--panel=out/panel.png"]
    flags += ["--save_raw", "--strategy=l1_norm", f"--checkpoint={checkpoint}"]
    return [str(ROOT / "fuse.py"), *flags]


def video(folder, checkpoint) -> list[str]:
    fuse(folder, checkpoint)
    flags = ["--ir=ir", "--vis=vis", "--output=out/fused.mp4", "--color=luma"]
    return [str(ROOT / "fuse.py"), *flags, f"--checkpoint={checkpoint}"]


def register(folder, checkpoint) -> list[str]:
    image = np.asarray(
        Image.fromarray(photograph(3, 12, 14)).resize((140, 120)).convert("L")
    )
    images.write(folder / "vis.png", image)
    images.write(folder / "ir.png", image)
    (folder / "points.csv").write_text("0,0,6,4\n99,0,105,4\n99,90,105,94\n0,90,6,94\n")
    flags = ["--fixed=vis.png", "--moving=ir.png", "--points=points.csv"]
    flags += [
        "--output=out/a.png",
        "--fixed_output=out/f.png",
        "--checkerboard=out/c.png",
    ]
    return [
        "-m",
        "densefuse_tf.commands.register",
        *flags,
        "--save_transform=out/t.json",
    ]


def curves(folder, checkpoint) -> list[str]:
    columns = find_recipe("paper").columns
    row = dict.fromkeys(columns, 1.0) | {"iteration": 100}
    run_folder.write_history(folder / "1e0.csv", columns, [row])
    flags = ["--history=1e0=1e0.csv", "--output_dir=out"]
    return ["-m", "densefuse_tf.commands.curves", *flags]


def score(folder, checkpoint) -> list[str]:
    for number in range(1, 9):
        for name in ("ir", "vis", "fused"):
            path = folder / f"{name}/{number}.png"
            images.write(path, photograph(number + len(name), 60, 60))
    flags = ["--ir=ir", "--vis=vis", "--fused=fused", "--csv=out/a.csv"]
    return [str(ROOT / "evaluate.py"), *flags, "--latex=out/a.tex"]


def evaluate(folder, checkpoint) -> list[str]:
    for n in (*range(1, 20), 21):
        images.write(folder / f"tno/IR{n}.png", photograph(n, 44, 46))
        images.write(folder / f"tno/VIS{n}.png", photograph(n + 100, 44, 46))
    (folder / "models").mkdir()
    shutil.copy(checkpoint, folder / "models/densefuse_1e0.keras")
    flags = ["--table2", "--data_dir=tno", "--checkpoint_dir=models", "--lambdas=1e0"]
    flags += ["--work_dir=out/work", "--csv=out/table.csv", "--markdown=out/table.md"]
    return [str(ROOT / "evaluate.py"), *flags]


def train(folder, checkpoint) -> list[str]:
    (folder / "photos").mkdir()
    for number in range(14):
        coarse = Image.fromarray(photograph(number, 6, 6))
        path = folder / f"photos/{number:02}.png"
        coarse.resize((40, 30), Image.Resampling.BILINEAR).save(path)
    flags = ["--train_dir=photos", "--run_dir=out", "--num_val_images=4"]
    flags += ["--iterations=14", "--val_every=3", "--save_every=4"]
    flags += ["--image_size=16", "--cache=cache/crops"]
    return [str(ROOT / "train.py"), *flags]


def export(folder, checkpoint) -> list[str]:
    flags = [f"--checkpoint={checkpoint}", "--output=out/densefuse/1"]
    return [str(ROOT / "export.py"), *flags]


def start(command: list[str], folder: pathlib.Path) -> subprocess.Popen:
    """Starts a command; returns when its first file or folder is there."""
    (folder / "tmp").mkdir(exist_ok=True)
    own = {"TF_CPP_MIN_LOG_LEVEL": "3", "TMPDIR": str(folder / "tmp")}
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | own | {"PYTHONPATH": str(ROOT)},
    )
    before = len(list(folder.rglob("out/**")))
    while process.poll() is None and len(list(folder.rglob("out/**"))) <= before:
        time.sleep(0.002)
    return process


@pytest.mark.guard
@pytest.mark.parametrize(
    "make", [fuse, video, register, score, evaluate, train, curves, export]
)
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
    # The short version kills those that do most.
    short = make in (fuse, evaluate, train, export)
    for _ in range(8 if long else int(short)):
        shutil.rmtree(out)
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        process = start(command, tmp_path)
        time.sleep(generator.uniform(0, seconds))
        process.send_signal(signal.SIGKILL)
        process.wait()
        # A run in training has older files; that they can be read is enough.
        left = contents(out)
        in_tmp = [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()]
        assert all(path.match("__autograph_generated_file*.py") for path in in_tmp)
        assert make is export or not in_tmp
        assert make is train or left.items() <= expected.items()
        # A finished export is not replaced.
        done = make is export and left == expected
        assert start(command, tmp_path).wait() == (2 if done else 0)
        assert contents(out) == expected
