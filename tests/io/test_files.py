"""Tests of densefuse_tf.io.files."""

import os
import pathlib
import time

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


def test_the_file_takes_its_name_when_it_is_whole(path):
    with files.replacing(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == path.suffix
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert names(path) == ["result.txt"]


def test_the_folder_is_made(path):
    deep = path.parent / "a" / "b" / "result.txt"
    write(deep, "new")
    assert deep.read_text() == "new"


def test_the_result_has_the_usual_rights(path):
    umask = os.umask(0o027)
    try:
        write(path, "new")
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o640


def test_an_error_in_the_body_leaves_the_old_file(path):
    path.write_text("old")
    with pytest.raises(KeyError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    assert names(path) == ["result.txt"]


def test_the_longest_name_there_is(path):
    long = path.with_name("x" * 251 + ".txt")
    write(long, "new")
    assert long.read_text() == "new"
    with files.creating_folder(path.with_name("y" * 255)):
        pass
    assert names(path) == [long.name, "y" * 255]


@pytest.fixture
def left(path) -> dict[str, pathlib.Path]:
    """What killed processes left, long ago and now, and files of other programs."""
    folder = path.parent
    found = {name: folder / name for name in (".densefuse_a.png", ".hidden.png")}
    found["folder"] = folder / ".densefuse_b"
    found["link"] = folder / ".densefuse_c"
    found["new"] = folder / ".densefuse_d.png"
    found["folder"].mkdir()
    (found["folder"] / "part").write_text("half")
    found["link"].symlink_to(folder.parent)
    for name in (".densefuse_a.png", ".hidden.png", "new"):
        found[name].write_text("half")
    for name, one in found.items():
        age = 3600 if name == "new" else 25 * 3600
        times = (time.time() - age,) * 2
        os.utime(one, times, follow_symlinks=False)
    return found


def test_what_killed_processes_left_is_removed_after_a_day(path, left):
    write(path, "new")
    assert names(path) == [".densefuse_d.png", ".hidden.png", "result.txt"]
    assert path.parent.parent.exists()


def test_a_folder_is_looked_through_once(path, left):
    write(path, "new")
    again = path.with_name(".densefuse_e.png")
    again.write_text("half")
    os.utime(again, (0, 0))
    with files.creating_folder(path.with_name("folder")):
        pass
    assert again.exists()


@pytest.mark.parametrize("mode", [0o444, 0o400, 0o555, 0o000])
def test_a_read_only_file_is_not_replaced(path, mode):
    path.write_text("old")
    path.chmod(mode)
    with pytest.raises(UserError, match=r"txt: cannot be written: it is read-only; "):
        write(path, "new")
    path.chmod(0o644)
    assert path.read_text() == "old"
    assert names(path) == ["result.txt"]


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o200])
def test_a_file_that_may_be_written_is_replaced(path, mode):
    path.write_text("old")
    path.chmod(mode)
    write(path, "new")
    assert path.read_text() == "new"


def test_a_folder_is_not_replaced(path):
    path.mkdir()
    with pytest.raises(UserError, match=r"txt: cannot be written: it is a folder"):
        write(path, "new")
    assert names(path) == ["result.txt"]


def test_a_file_in_the_place_of_the_folder_is_one_line(path):
    path.write_text("a file")
    with pytest.raises(UserError, match=r"result\.txt/x\.txt: cannot be written: "):
        write(path / "x.txt", "new")
    assert path.read_text() == "a file"


@pytest.mark.parametrize("make", [files.replacing, files.creating_folder])
def test_an_error_about_another_file_is_not_taken_for_one_of_this(path, make):
    with pytest.raises(FileNotFoundError), make(path):
        (path.parent / "missing.txt").read_text()
    assert names(path) == []


def test_an_error_about_a_file_in_the_folder_is_one_of_it(path):
    with (
        pytest.raises(UserError, match=r"result\.txt: cannot be written: No such file"),
        files.creating_folder(path) as temporary,
    ):
        (temporary / "missing/part").write_text("new")
    assert names(path) == []


def test_a_folder_takes_its_name_when_it_is_whole(path):
    with files.creating_folder(path) as temporary:
        (temporary / "part").write_text("new")
        assert not path.exists()
    assert (path / "part").read_text() == "new"
    assert names(path) == ["result.txt"]


def test_an_error_while_a_folder_is_filled_leaves_none(path):
    with pytest.raises(KeyError), files.creating_folder(path) as temporary:
        (temporary / "part").write_text("half")
        raise KeyError
    assert names(path) == []


@pytest.mark.parametrize("late", [False, True])
def test_a_folder_replaces_nothing(path, late):
    def occupy():
        path.write_text("old")

    if not late:
        occupy()
    with (
        pytest.raises(UserError, match=r"result\.txt: exists, and is not overwritten"),
        files.creating_folder(path),
    ):
        occupy()
    assert path.read_text() == "old"
    assert names(path) == ["result.txt"]


def test_rows_are_written_whole_with_names_of_any_bytes(path):
    name = os.fsdecode(b"\xff, \xe2\x82\xac")
    files.write_rows(path, ["file", "error"], [[name, 'a "b"'], ["c", "d"]])
    assert path.read_bytes() == (b'file,error\n"\xff, \xe2\x82\xac","a ""b"""\nc,d\n')
    with pytest.raises(ZeroDivisionError):
        files.write_rows(path, ["file"], ([str(1 // n)] for n in (1, 0)))
    assert path.read_bytes().startswith(b"file,error")
    assert names(path) == ["result.txt"]


def test_what_cannot_be_replaced_is_known_before(path):
    files.check_replaceable(path)
    files.check_replaceable(path / "below")
    path.write_text("old")
    files.check_replaceable(path)
    path.chmod(0o444)
    with pytest.raises(UserError, match="it is read-only"):
        files.check_replaceable(path)
    with pytest.raises(UserError, match="it is a folder"):
        files.check_replaceable(path.parent)


def test_a_folder_is_created_and_checked_before_the_work(tmp_path):
    files.check_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: .* a part of this path is a file"):
        files.check_writable(tmp_path / "file")
