"""Tests of densefuse_tf.io.files."""

import os
import pathlib

import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.io import files


@pytest.fixture
def path(tmp_path) -> pathlib.Path:
    return tmp_path / "result.txt"


def write(path: pathlib.Path, text: str) -> None:
    with files.replacing(path) as temporary:
        temporary.write_text(text)


def names(path: pathlib.Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def test_file_takes_its_name_when_whole(path):
    with files.replacing(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == path.suffix
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert names(path) == ["result.txt"]


def test_missing_folder_is_made(path):
    deep = path.parent / "a" / "b" / "result.txt"
    write(deep, "new")
    assert deep.read_text() == "new"


def test_result_has_usual_permissions(path):
    umask = os.umask(0o027)
    try:
        write(path, "new")
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o640


def test_error_in_body_leaves_old_file(path):
    path.write_text("old")
    with pytest.raises(KeyError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    assert names(path) == ["result.txt"]


def test_names_may_be_as_long_as_possible(path):
    long = path.with_name("x" * 251 + ".txt")
    write(long, "new")
    assert long.read_text() == "new"
    with files.creating_folder(path.with_name("y" * 255)):
        pass
    assert names(path) == [long.name, "y" * 255]


@pytest.mark.parametrize("mode", [0o444, 0o000])
def test_read_only_file_is_not_replaced(path, mode):
    path.write_text("old")
    path.chmod(mode)
    with pytest.raises(UserError, match=r"txt: cannot be written: it is read-only; "):
        write(path, "new")
    path.chmod(0o644)
    assert path.read_text() == "old"
    assert names(path) == ["result.txt"]


def test_folder_is_not_replaced(path):
    path.mkdir()
    with pytest.raises(UserError, match=r"txt: cannot be written: it is a folder"):
        write(path, "new")
    assert names(path) == ["result.txt"]


def test_file_in_place_of_folder_is_reported(path):
    path.write_text("a file")
    with pytest.raises(UserError, match=r"result\.txt/x\.txt: cannot be written: "):
        write(path / "x.txt", "new")
    assert path.read_text() == "a file"


def test_folder_takes_its_name_when_whole(path):
    with files.creating_folder(path) as temporary:
        (temporary / "part").write_text("new")
        assert not path.exists()
    assert (path / "part").read_text() == "new"
    assert names(path) == ["result.txt"]


def test_error_in_body_leaves_no_folder(path):
    with pytest.raises(KeyError), files.creating_folder(path) as temporary:
        (temporary / "part").write_text("half")
        raise KeyError
    assert names(path) == []


def test_folder_replaces_nothing(path):
    path.write_text("old")
    with (
        pytest.raises(UserError, match=r"result\.txt: exists, and is not overwritten"),
        files.creating_folder(path),
    ):
        pass
    assert path.read_text() == "old"


def test_rows_are_written_whole_with_names_of_any_bytes(path):
    name = os.fsdecode(b"\xff, \xe2\x82\xac")
    files.write_rows(path, ["file", "error"], [[name, 'a "b"'], ["c", "d"]])
    assert path.read_bytes() == (b'file,error\n"\xff, \xe2\x82\xac","a ""b"""\nc,d\n')
    with pytest.raises(ZeroDivisionError):
        files.write_rows(path, ["file"], ([str(1 // n)] for n in (1, 0)))
    assert path.read_bytes().startswith(b"file,error")
    assert names(path) == ["result.txt"]


def test_a_folder_is_created_and_checked_before_the_work(tmp_path):
    files.check_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: .* a part of this path is a file"):
        files.check_writable(tmp_path / "file")
