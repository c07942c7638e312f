"""How a command line is read, and what is said of a mistake in its flags."""

import os
import pathlib

import pytest
from absl import flags

from densefuse_tf.commands import fuse
from densefuse_tf.commands import parsing

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples" / "pairs"


@pytest.mark.parametrize("between", ["=", " "])
def test_flags_are_read_from_no_pipe(tmp_path, capsys, between):
    os.mkfifo(tmp_path / "pipe")
    given = f"--flagfile{between}{tmp_path / 'pipe'}"
    assert fuse.run(["test", *given.split(" ")]) == 2
    assert "pipe: is not a regular file: expected a file of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argument", "line"),
    (
        ("flagfile", "unexpected argument 'flagfile': see test --help"),
        ("--nosave_raw=true", "--nosave_raw=true: expected --nosave_raw alone"),
        ("--no-save-raw=1", "--nosave_raw=1: expected --nosave_raw alone"),
        ("--strategy", "--strategy: has no value: expected --strategy=VALUE"),
        ("--hlep", "--hlep: unknown flag: see test --help; did you mean --help?"),
        ("--vresion", "unknown flag: see test --help; did you mean --version?"),
        ("--no-overwite", "unknown flag: see test --help; did you mean --nooverwrite?"),
        ("-straegy=mean", "unknown flag: see test --help; did you mean --strategy?"),
        ("--flagfile=none.txt", "none.txt: cannot be read: No such file"),
        ("--flagfile", "--flagfile: has no value: expected --flagfile=VALUE"),
        ("--no-output=x", "--no-output: unknown flag: see test --help"),
    ),
)
def test_a_mistake_in_a_flag_is_one_line(argument, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fuse.run(["test", argument]) == 2
    said = capsys.readouterr().err
    assert line in said and said.count("\n") == 1


@pytest.mark.parametrize("given", ("--nooverwrite", "--no-overwrite", "--No_Overwrite"))
def test_a_switch_is_turned_off_by_no_before_it(given, tmp_path, capsys):
    (tmp_path / "fused.png").touch()
    sources = [f"--{kind}={EXAMPLES / kind / 'hut.png'}" for kind in ("ir", "vis")]
    assert (
        fuse.run(["test", *sources, f"--output={tmp_path / 'fused.png'}", given]) == 2
    )
    assert "is not overwritten" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        (
            "--stratgy=l1_norm",
            "--stratgy: unknown flag: see fuse.py --help; did you m",
        ),
        ("--soup", "--soup: unknown flag: see fuse.py --help\n"),
        ("--noskip_existin", "did you mean --noskip_existing?"),
        ("--Output-Range=averge", "--output_range=averge: expected one of minmax, ave"),
        ("--Output-Range=averge", "; did you mean average?"),
        ("--noOverwrite", "--ir is missing"),
    ],
)
def test_a_flag_is_taken_in_any_case_or_the_nearest_is_named(flag, message, capsys):
    assert fuse.run(["fuse.py", flag]) == 2
    assert message in capsys.readouterr().err


def test_a_value_that_looks_like_a_flag_stays_as_it_is():
    values = flags.FlagValues()
    flags.DEFINE_string("vis_input", None, "", flag_values=values)
    given = ["fuse.py", "--VIS-input", "-f h264", "--vis-input=-F x"]
    spelled = ["fuse.py", "--vis_input", "-f h264", "--vis_input=-F x"]
    assert parsing._spelled(given, values) == spelled
