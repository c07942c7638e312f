"""Flags made from the fields of a dataclass."""

import dataclasses
import os
import pathlib
import subprocess
import sys

import pytest
from absl import flags

from densefuse_tf.commands import common_flags
from densefuse_tf.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[2]


@dataclasses.dataclass(frozen=True)
class Settings:
    folder: str | os.PathLike = dataclasses.field(metadata={"help": "A folder."})
    color: str = dataclasses.field(
        default="gray", metadata={"help": "A mode.", "choices": ("gray", "rgb")}
    )
    count: int | None = dataclasses.field(
        default=None, metadata={"help": "A number.", "lower_bound": 1}
    )
    rate: float = dataclasses.field(default=0.5, metadata={"help": "A rate."})
    quick: bool = dataclasses.field(default=False, metadata={"help": "A switch."})
    names: tuple[str, ...] = dataclasses.field(
        default=("a", "b"), metadata={"help": "Some names."}
    )
    hidden: int = 7


def parsed(*arguments, **selection):
    values = flags.FlagValues()
    selection = selection or {"except_": ["hidden"]}
    common_flags.define(Settings, values, **selection)
    values(["test", *arguments])
    return values


def test_flags_give_the_dataclass_back_with_its_defaults():
    found = common_flags.read(Settings, parsed("--folder=x"))
    assert found == Settings(folder="x")


def test_each_type_is_parsed():
    arguments = ["--folder=x", "--color=rgb", "--count=2", "--rate=1", "--quick"]
    found = common_flags.read(Settings, parsed(*arguments, "--names=c"))
    assert found == Settings("x", "rgb", 2, 1.0, True, ("c",))


def test_values_besides_the_flags_take_their_place():
    found = common_flags.read(Settings, parsed("--folder=x"), color="rgb", hidden=8)
    assert found == Settings("x", "rgb", hidden=8)


def test_fields_that_are_left_out_get_no_flag():
    shown = parsed(except_=["hidden", "color", "names"])
    assert set(shown) == {"folder", "count", "rate", "quick"}


def test_the_help_shows_metadata():
    text = parsed("--folder=x").get_help()
    assert "--color: <gray|rgb>: A mode." in text
    assert "(default: '0.5')" in text


def test_a_flag_without_a_default_is_required():
    with pytest.raises(UserError, match="--folder is missing: expected a folder"):
        common_flags.read(Settings, parsed())


@pytest.mark.parametrize("argument", ["--color=red", "--count=0", "--rate=fast"])
def test_a_value_out_of_bounds_is_refused(argument):
    with pytest.raises(flags.IllegalFlagValueError):
        parsed("--folder=x", argument)


def test_options_are_sorted_by_method():
    texts = ["gtf.lambda=2.5", "cnn.checkpoint=a.b=c.npz", " gtf.iterations=3"]
    assert common_flags.options_by_method(texts) == {
        "gtf": {"lambda": "2.5", "iterations": "3"},
        "cnn": {"checkpoint": "a.b=c.npz"},
    }
    assert common_flags.options_by_method([]) == {}


@pytest.mark.parametrize("text", ["lambda=2", "gtf.lambda", "gtf.=2", ".lambda=2", ""])
def test_options_without_method_name_or_value_are_refused(text):
    with pytest.raises(UserError, match="expected METHOD.OPTION=VALUE"):
        common_flags.options_by_method([text])


def test_an_option_given_twice_is_refused():
    with pytest.raises(UserError, match="--method_options has gtf.lambda twice"):
        common_flags.options_by_method(["gtf.lambda=2", "gtf.lambda=4"])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("curves", "--history"),
        ("evaluate", "--[no]table2"),
        ("export", "--num_sources"),
        ("fuse", "--[no]save_raw"),
        ("train", "--ssim_weight"),
    ],
)
def test_help_imports_nothing_heavy(name, shown):
    code = (
        "import runpy, sys; sys.argv[1:] = ['--help']\n"
        f"try: runpy.run_module('densefuse_tf.commands.{name}', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'tensorflow', 'keras', 'numba', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"\n  {shown}:" in done.stdout and str(ROOT) not in done.stdout
    assert done.stdout.startswith("-c: ") and "flagfile" not in done.stdout
