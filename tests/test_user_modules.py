"""A user's module of fusion strategies is loaded once and tried before the work."""

import pathlib

import numpy as np
import pytest

import densefuse_tf
from densefuse_tf import user_modules
from densefuse_tf.errors import UserError
from densefuse_tf.fusion import graph
from densefuse_tf.model import network
from densefuse_tf.model import strategies

SOURCE = """
import functools
import tensorflow as tf
import densefuse_tf

@densefuse_tf.strategy({name!r}, scales_with_sources=False, reach=0)
def function(feature_maps):
    {body}
"""
LARGEST = "return functools.reduce(tf.maximum, feature_maps)"


pytestmark = pytest.mark.usefixtures("own_strategies")


@pytest.fixture
def module(tmp_path):
    """Writes my_strategies.py with one strategy; returns its path."""

    def write(name="largest", body=LARGEST, after=""):
        path = tmp_path / "my_strategies.py"
        path.write_text(SOURCE.format(name=name, body=body) + after)
        return path

    return write


def test_a_strategy_of_a_file_fuses(module, checkpoint):
    rng = np.random.default_rng(0)
    pair = [rng.integers(0, 256, (20, 24), np.uint8) for _ in range(2)]
    path = module()
    fused = densefuse_tf.fuse(
        pair, checkpoint, strategy="largest", strategy_module=path
    )
    settings = densefuse_tf.FusionSettings(
        checkpoint, "largest", strategy_module=str(path)
    )
    np.testing.assert_array_equal(fused, densefuse_tf.Fuser(settings).fuse(pair).image)
    assert (fused != densefuse_tf.fuse(pair, checkpoint)).any()


def test_a_module_is_run_once_under_any_name(module, monkeypatch, tmp_path):
    counter = tmp_path / "runs"
    path = module(after=f"\nopen({str(counter)!r}, 'a').write('x')\n")
    other = tmp_path / "link.py"
    other.symlink_to(path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("my_strategies", path, "my_strategies.py", other):
        assert strategies.load(name) == ("largest",)
        assert user_modules.path_of(name).samefile(path)
    assert counter.read_text() == "x"


def test_two_files_of_one_name_are_two_modules(module, tmp_path):
    first = module()
    second = tmp_path / "other/my_strategies.py"
    second.parent.mkdir()
    second.write_text(first.read_text().replace("largest", "second"))
    assert strategies.load(first) == ("largest",)
    assert strategies.load(second) == ("second",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "registers no fusion strategy: expected a function decorated with"),
        ("x = 1\n1 / 0\n", "cannot be imported: line 2: ZeroDivisionError: division"),
        ("x = (\n", "cannot be imported: line 1: '(' was never closed"),
        ("import no_such_module\n", "line 1: ModuleNotFoundError: No module named"),
        ("import sys\nsys.exit(3)\n", "cannot be imported: line 2: SystemExit: 3"),
        (
            SOURCE.format(name="addition", body=LARGEST),
            "line 6: ValueError: the fusion strategy 'addition' is registered already",
        ),
    ],
)
def test_a_module_that_cannot_be_used_is_refused(tmp_path, text, message):
    path = tmp_path / "my_strategies.py"
    path.write_text(text)
    before = strategies.get("addition")
    with pytest.raises(UserError) as error:
        strategies.load(path)
    assert f"strategy_module {path}: " in str(error.value)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert strategies.get("addition") is before


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.py", "strategy_module no.py: no such file: expected a Python file"),
        ("folder/", "strategy_module folder/: is a folder"),
        ("no_such_module", "no such module: expected a file that ends in .py, or"),
        ("no_such.module", "no such module"),
        ("my strategies", "no such module"),
    ],
)
def test_a_module_that_is_missing_is_refused(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("folder").mkdir()
    with pytest.raises(UserError, match=message):
        strategies.load(name)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("return feature_maps", r"returns a list for 2 feature maps of shape"),
        ("return feature_maps[0][..., :3]", r"tensor of shape \[1, 9, 11, 3\]"),
        ("return tf.cast(feature_maps[0], tf.float64)", "a float64 tensor of shape"),
        ("raise KeyError('k')", "the strategy 'broken' fails: line 8: KeyError: 'k'"),
        ("return feature_maps[2]", "line 8: IndexError: list index out of range"),
    ],
)
def test_a_strategy_that_does_not_fuse_is_refused(module, body, message):
    strategies.load(module("broken", body))
    with pytest.raises(UserError, match=message):
        graph.fusion_model(network.autoencoder(), strategy="broken")
