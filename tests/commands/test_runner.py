"""How commands start and end, wherever they are put to work."""

import os
import pathlib
import subprocess
import sys
import tempfile

import pytest
from absl import flags
from absl import logging

from densefuse_tf.commands import curves
from densefuse_tf.commands import demo
from densefuse_tf.commands import evaluate
from densefuse_tf.commands import export
from densefuse_tf.commands import fuse
from densefuse_tf.commands import register
from densefuse_tf.commands import runner
from densefuse_tf.commands import train
from densefuse_tf.commands import train_cnn
from densefuse_tf.errors import UserError
from densefuse_tf.io import telling

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "pairs"
COMMANDS = (curves, demo, evaluate, export, fuse, register, train, train_cnn)
# The flags whose text is no path. Every other one takes ~ for the home folder.
NO_PATHS = {
    *("beam_options", "fps", "history", "host", "ir_input", "ir_range", "live_rate"),
    *("method", "metrics", "vis_input"),
    *("color", "mixed_precision", "network", "output_range", "precision", "recipe"),
    *("resize", "runner", "strategy"),
    *("vis_range",),
}


def run_with(main, *arguments, **named) -> int:
    return runner.run(main, flags.FlagValues(), "A test.", ["test", *arguments])


@pytest.mark.parametrize("command", COMMANDS)
def test_the_home_folder_is_known_in_every_path(command, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    values = command._FLAGS
    for name in values:
        parser = values[name].parser
        if name in NO_PATHS or parser.flag_type() != "string":
            continue
        if isinstance(parser, flags.EnumParser):
            continue
        assert parser.parse("~/x") == "/home/somebody/x", f"--{name}"
        assert parser.parse("a~/x*") == "a~/x*"


def test_the_home_folder_is_known_in_options_of_methods(monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    given = fuse.common_flags.options(["dictionary=~/d.npy", "lambda=2"])
    assert given == {"dictionary": "/home/somebody/d.npy", "lambda": "2"}


def test_an_unforeseen_error_is_one_line_with_a_status_of_its_own(capsys, monkeypatch):
    def main():
        raise KeyError("nobody\nforesaw")

    monkeypatch.delenv("DENSEFUSE_TRACEBACK", raising=False)
    assert run_with(main) == 70
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "KeyError: " in line and "please report" in line
    assert "DENSEFUSE_TRACEBACK=1 before the same command shows" in line
    monkeypatch.setenv("DENSEFUSE_TRACEBACK", "1")
    assert run_with(main) == 70
    assert "Traceback" in capsys.readouterr().err


def test_memory_that_runs_out_is_one_line_with_the_flag_that_helps(capsys, monkeypatch):
    class ResourceExhaustedError(Exception):
        """Stands for TensorFlow's."""

    for command, error, flag in (
        (fuse, ResourceExhaustedError("OOM when allocating\nnode"), "--memory_budget"),
        (train, ResourceExhaustedError("OOM when allocating"), "--batch_size"),
        (evaluate, MemoryError("Unable to allocate 9 GiB"), "expected more"),
    ):
        monkeypatch.setattr(command, "main", lambda error=error: _raise(error))
        assert command.run([command.__name__]) == 2
        line = capsys.readouterr().err
        assert "memory ran out (" in line and flag in line and line.count("\n") == 1


def _raise(error):
    raise error


def test_output_that_nobody_reads_any_more_ends_the_command():
    words = [sys.executable, str(ROOT / "evaluate.py"), "--help"]
    started = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    started.stdout.close()
    assert started.stderr.read() == b""
    assert started.wait() == 141


@pytest.mark.parametrize("name", ["fuse", "evaluate", "train", "export"])
def test_help_without_docstrings(name):
    words = [sys.executable, "-OO", str(ROOT / f"{name}.py"), "--help"]
    ended = subprocess.run(words, capture_output=True, text=True)
    assert ended.returncode == 0 and ended.stderr == ""
    assert "--" in ended.stdout


def test_without_a_temporary_folder_is_one_line(tmp_path, monkeypatch, capsys):
    from densefuse_tf import startup
    from densefuse_tf.io import files

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with startup.hushed():
        os.write(2, b"hidden")
    assert run_with(files.temporary_file) == 2
    line = capsys.readouterr().err
    assert "no temporary folder can be written" in line and "TMPDIR" in line


@pytest.mark.parametrize("vis", ("embeded", "Embedded"))
def test_the_word_for_photographs_in_files_may_be_misspelt(vis, tmp_path, capsys):
    source = EXAMPLES / "ir" / "hut.png"
    output = tmp_path / "fused.png"
    assert fuse.run(["test", f"--ir={source}", f"--vis={vis}", f"--output={output}"])
    said = capsys.readouterr().err
    expected = "did you mean embedded?" if vis == "embeded" else "has no temperatures"
    assert expected in said


def test_what_many_files_have_is_said_of_the_first_and_counted(capsys, monkeypatch):
    monkeypatch.setattr(telling, "SHOWN", 3)

    def main():
        for index in range(5):
            telling.info("%s: has %d pages", f"{index}.tif", 2 + index)
            telling.warning("%s: no temperatures: %s", f"{index}.tif", "row 100 %")
        for what in ("17 pixels without a value", "row 7"):
            telling.warning("%s: no temperatures: %s", "x7.tif", what)
        for index in range(5):
            logging.info("step %d", index)
        raise UserError("y.tif: is damaged")

    assert run_with(main) == 2
    lines = capsys.readouterr().err.splitlines()
    shown = [f"{index}.tif: has {2 + index} pages" for index in range(3)]
    warned = [f"warning: {i}.tif: no temperatures: row 100 %" for i in range(3)]
    assert lines[:6:2] == shown and lines[1:6:2] == warned
    # What is said is part of the kind, but for its numbers.
    other = ["warning: x7.tif: no temperatures: 17 pixels without a value"]
    other += ["warning: x7.tif: no temperatures: row 7"]
    assert lines[6:-3] == [*other, *(f"step {index}" for index in range(5))]
    assert lines[-3:-1] == [
        "2 more lines as this one: 3.tif: has 5 pages",
        "warning: 2 more lines as this one: 3.tif: no temperatures: row 100 %",
    ]
    assert lines[-1].endswith("y.tif: is damaged")


def test_lines_of_files_name_who_said_them(caplog):
    telling.warning("%s: is grey", "x.tif")
    assert caplog.records[-1].filename == "test_runner.py"
