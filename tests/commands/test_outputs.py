"""The whole lines of every refusal to write, whichever command it is."""

import os
import pathlib

import numpy as np
import pytest

from densefuse_tf.commands import evaluate
from densefuse_tf.commands import fuse
from densefuse_tf.commands import register
from densefuse_tf.io import images

IMAGES = ".png, .tif, .tiff, .jpg, .jpeg, .bmp"
TWO_FOLDERS = ("--ir=ir", "--vis=vis")
PAIR = ("--ir=ir/1.png", "--vis=vis/1.png")
FRAMES = (*TWO_FOLDERS, "--video")
SCORED = (*TWO_FOLDERS, "--fused=fused")
TABLE2 = ("--table2", "--data_dir=tno", "--lambdas=1e0", "--methods_dir=methods")
REGISTERED = ("--fixed=vis/1.png", "--moving=ir/1.png")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Images of one size, two of a kind, in the current folder, and more files."""
    monkeypatch.chdir(tmp_path)
    image = np.random.default_rng(1).integers(0, 256, (44, 46), np.uint8)
    for folder in ("ir", "vis", "fused"):
        for number in (1, 2):
            images.write(f"{folder}/{number}.png", image)
    for number in (*range(1, 20), 21):
        for path in (f"tno/IR{number}", f"tno/VIS{number}", f"methods/A/pair{number}"):
            images.write(f"{path}.png", image)
    images.write("twice/1.png", image)
    images.write("twice/1.bmp", image)
    for name in ("photos", "photos2"):
        images.write(f"{name}/a.jpg", image)
    pathlib.Path("link").symlink_to("vis")
    pathlib.Path("link2").symlink_to("photos2")
    pathlib.Path("old").mkdir()
    pathlib.Path("old/notes.txt").touch()
    pathlib.Path("old.mp4").touch()
    pathlib.Path("points.csv").touch()
    pathlib.Path("rig.json").touch()
    pathlib.Path("file").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            (*PAIR, "--output=vis"),
            "vis/1.png: would overwrite a source image: choose another",
        ),
        (
            (*PAIR, "--output=link/1.png"),
            "link/1.png: would overwrite a source image: choose another",
        ),
        (
            (*PAIR, "--output=f.png", "--panel=ir/1.png"),
            "ir/1.png: would overwrite a source image: choose another",
        ),
        (
            (*PAIR, "--output=f.png", "--points=rig.json", "--save_transform=rig.json"),
            "rig.json: would overwrite an input: choose another",
        ),
        (
            ("--ir=photos", "--vis=photos2", "--output=link2"),
            "link2: is the folder of a source, and results in it would be taken for "
            "sources by the next run: choose another",
        ),
        (
            ("--ir=photos", "--vis=photos2", "--output=photos/fused.png"),
            "photos: is the folder of a source, and results in it would be taken for "
            "sources by the next run: choose another",
        ),
        (
            ("--ir=ir", "--vis=twice", "--output=out"),
            "out/1.png: would be written twice, for twice/1.bmp and twice/1.png: give "
            "them different names",
        ),
        (
            (*TWO_FOLDERS, "--output=out", "--panel=out/2.png"),
            "out/2.png: would be written twice, for vis/2.png and another output: give "
            "them different names",
        ),
        (
            (*PAIR, "--output=f.png", "--panel=p.pdf"),
            f"--panel=p.pdf: expected {IMAGES}",
        ),
        (
            (*PAIR, "--output=f.png", "--register", "--checkerboard=c.pdf"),
            f"--checkerboard=c.pdf: expected {IMAGES}",
        ),
        (
            (*PAIR, "--output=f.gif"),
            f"f.gif: cannot write an image named .gif: expected {IMAGES}",
        ),
        (
            (*TWO_FOLDERS, "--output=f.png"),
            "f.png is named as an image: expected a folder for 2 pairs",
        ),
        (
            (*PAIR, "--output=fused/1.png", "--nooverwrite"),
            "fused/1.png: exists, and is not overwritten: choose a new name",
        ),
        (
            (*PAIR, "--output=f.png", "--panel=fused/1.png", "--nooverwrite"),
            "fused/1.png: exists, and is not overwritten: choose a new name",
        ),
        (
            (*PAIR, "--output=file/f.png"),
            "file: cannot be written: a part of this path is a file, where a folder "
            "was expected",
        ),
        (
            (*FRAMES, "--output=vis"),
            "vis: would overwrite a source: choose another name",
        ),
        (
            (*FRAMES, "--output=new", "--register", "--checkerboard=ir/1.png"),
            "ir/1.png: would overwrite a source, an input or another output: choose "
            "another name",
        ),
        (
            (
                *(*FRAMES, "--output=new", "--points=rig.json"),
                "--save_transform=./rig.json",
            ),
            "rig.json: would overwrite a source, an input or another output: choose "
            "another name",
        ),
        (
            (*FRAMES, "--output=f.gif"),
            "f.gif: cannot write a video named .gif: expected .mp4, .m4v, .mov, .mkv, "
            "or a folder for its frames",
        ),
        (
            (*FRAMES, "--output=old.mp4", "--nooverwrite"),
            "old.mp4: exists, and is not overwritten: choose a new name",
        ),
        (
            (*FRAMES, "--output=old"),
            "old: exists, and is not replaced, since notes.txt in it is no earlier "
            "result: choose a new name",
        ),
        (
            ("--ir=ir", "--vis=twice", "--video", "--output=new"),
            "new/1.png: would be written twice: give the frames in twice different "
            "names",
        ),
    ],
)
def test_fuse_refuses(files, capsys, flags, line):
    _refuses(fuse.run, ("fuse.py", *flags), line, files, capsys)


@pytest.mark.parametrize("flag", ("--output=f.png\r", "--ir_range=7,9\r"))
def test_a_carriage_return_at_the_end_is_refused(files, capsys, flag):
    line = (
        f"{flag!r} ends in a carriage return: expected none; save the script with the "
        "line ends of Unix"
    )
    flags = ("fuse.py", *PAIR, "--output=f.png", flag)
    _refuses(fuse.run, flags, line, files, capsys)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ((*SCORED, "--csv=ir/1.png"), "--csv=ir/1.png: would overwrite an image"),
        (
            (*SCORED, "--csv=./a.txt", "--markdown=a.txt"),
            "--markdown=a.txt: would overwrite what --csv writes",
        ),
        (
            (*SCORED, "--latex=a.npy"),
            "--latex=a.npy: is named as an image or a checkpoint: expected another "
            "suffix",
        ),
        (
            (*SCORED, "--csv=new.WEBP"),
            "--csv=new.WEBP: is named as an image or a checkpoint: expected another "
            "suffix",
        ),
        ((*SCORED, "--csv=ir"), "--csv=ir: is a folder: expected a file"),
        (
            (*SCORED, "--csv=file/m.csv"),
            "file: cannot be written: a part of this path is a file, where a folder "
            "was expected",
        ),
        (
            (*SCORED, "--video", "--csv=vis/2.png"),
            "--csv=vis/2.png: would overwrite an image",
        ),
        (
            (*TABLE2, "--pairs_csv=methods/A/pair3.png"),
            "--pairs_csv=methods/A/pair3.png: would overwrite an image",
        ),
        (
            (*TABLE2, "--panels=methods/A"),
            "--panels=methods/A: would overwrite methods/A/pair1.png",
        ),
    ],
)
def test_evaluate_refuses(files, capsys, flags, line):
    _refuses(evaluate.run, ("evaluate.py", *flags), line, files, capsys)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ("--output=ir/1.png", "--output=ir/1.png: would overwrite what --moving reads"),
        (
            "--output=a.png --checkerboard=./a.png",
            "--checkerboard=a.png: would overwrite what --output writes",
        ),
        (
            "--points=points.csv --save_transform=points.csv",
            "--save_transform=points.csv: would overwrite what --points reads",
        ),
        ("--output=old", "--output=old: is a folder: expected a file"),
        ("--output=a.txt", f"--output=a.txt: is named .txt: expected {IMAGES}"),
        ("--output=a", f"--output=a: is named without suffix: expected {IMAGES}"),
        (
            "--save_transform=t.png",
            "--save_transform=t.png: is named .png: expected .json",
        ),
        (
            "--output=file/a.png",
            "file: cannot be written: a part of this path is a file, where a folder "
            "was expected",
        ),
    ],
)
def test_register_refuses(files, capsys, flags, line):
    arguments = ("densefuse-register", *REGISTERED, *flags.split())
    _refuses(register.run, arguments, line, files, capsys)


def _refuses(run, arguments, line, files, capsys):
    """Runs a command that says one line, ends with status 2 and writes nothing."""
    before = {path: os.stat(path).st_mtime_ns for path in files.rglob("*")}
    assert run([*arguments]) == 2
    said = [text for text in capsys.readouterr().err.splitlines() if ": " in text]
    assert said[-1].split(": ", 1)[1] == line
    assert {path: os.stat(path).st_mtime_ns for path in files.rglob("*")} == before
