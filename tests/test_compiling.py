"""Compiled loops, whatever has become of the files of the compiler."""

import importlib.util
import pathlib

import pytest

from densefuse_tf import compiling

SOURCE = """
def total(values):
    result = 0.0
    for value in values:
        result += value
    return result
"""


@pytest.fixture
def function(tmp_path):
    """A function in a file, and the files that its machine code is kept in."""

    def make(folder=tmp_path):
        path = pathlib.Path(folder) / "loops.py"
        path.write_text(SOURCE)
        spec = importlib.util.spec_from_file_location("loops", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return compiling.compiled(module.total)

    return make


def test_damaged_machine_code_is_made_anew(function, tmp_path):
    assert function()((1.0, 2.0)) == 3.0
    kept = list(tmp_path.glob("__pycache__/*.nb?"))
    assert {path.suffix for path in kept} == {".nbi", ".nbc"}
    for damage in (b"", b"no machine code", b"\x80\x05N."):
        for path in kept:
            path.write_bytes(damage)
        assert function()((1.0, 2.0)) == 3.0


def test_a_full_disk_keeps_no_machine_code(function, small_disk):
    folder = small_disk(8)
    assert function(folder)((1.0, 2.0)) == 3.0
    assert not list(folder.glob("__pycache__/*.nbc"))
