"""Each command on a disk that is full at a random moment: one line, and whole files.

`--long` fills 30 disks.
"""

import importlib
import pathlib

import numpy as np
import pytest

from tests.robustness import test_kills as kills


def litert(folder, checkpoint) -> list[str]:
    flags = ["--format=litert", "--output=out/densefuse.tflite"]
    return ["export", f"--checkpoint={checkpoint}", *flags]


def onnx(folder, checkpoint) -> list[str]:
    flags = ["--format=onnx", "--output=out/densefuse.onnx"]
    return ["export", f"--checkpoint={checkpoint}", *flags]


# By command: how many disks of --long are filled.
COUNTS = {
    **{
        kills.fuse: 5,
        kills.video: 4,
        kills.register: 5,
        kills.score: 4,
        kills.curves: 2,
    },
    **{kills.evaluate: 2, kills.train: 2, kills.export: 2, litert: 2, onnx: 2},
}


def run(words: list[str]) -> int:
    """Runs in this process what `kills.start` runs in one of its own."""
    words = words[1:] if words[0] == "-m" else words
    name = pathlib.Path(words[0]).stem if words[0].endswith(".py") else words[0]
    name = name.rpartition(".")[2]
    command = importlib.import_module(f"densefuse_tf.commands.{name}")
    return command.run([name, *words[1:]])


@pytest.mark.parametrize("make", COUNTS)
def test_a_full_disk_is_one_line_and_whole_files(
    make, checkpoint, small_disk, tmp_path, monkeypatch, capfd, long
):
    if not (long or make in (kills.video, kills.register, kills.score)):
        pytest.skip("one of those that --long adds")
    monkeypatch.chdir(tmp_path)
    words = make(tmp_path, checkpoint)
    disk = small_disk(100_000)
    (tmp_path / "out").symlink_to(disk)
    assert run(words) == 0
    expected = kills.contents(disk)
    size = sum(path.stat().st_size for path in disk.rglob("*") if path.is_file())
    random = np.random.default_rng(3)
    for _ in range(COUNTS[make] if long else 1):
        kills.empty(disk)
        # A page is the least that a file takes.
        pages = 1 + int(random.integers(max(size // 4096 - 1, 1)))
        small_disk.change(f"size={4 * pages}k")
        capfd.readouterr()
        status = run(words)
        said = capfd.readouterr().err
        assert status in (1, 2), said
        assert "No space left on device" in said and "Traceback" not in said
        left = kills.contents(disk)
        assert make in (kills.train, kills.evaluate) or left.items() <= expected.items()
        assert not list(disk.rglob(".densefuse_*"))
        small_disk.change("size=100000k")
