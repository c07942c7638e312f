"""Tests of densefuse_tf.io.files."""

import errno
import os
import pathlib
import time

import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.io import files


@pytest.fixture
def path(tmp_path) -> pathlib.Path:
    return tmp_path / "result.txt"


@pytest.fixture(params=[files.replacing, files.creating_folder])
def make(request):
    """One of the two functions that give a temporary path its final name."""
    return request.param


def fill(temporary: pathlib.Path, text: str) -> None:
    """Writes text into the temporary file, or a file in the temporary folder."""
    place = temporary / "part" if temporary.is_dir() else temporary
    place.write_text(text)


def write(path: pathlib.Path, text: str) -> None:
    with files.replacing(path) as temporary:
        temporary.write_text(text)


def names(path: pathlib.Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def test_a_result_takes_its_name_when_whole(make, path):
    path = path.parent / "a" / "b" / path.name
    with make(path) as temporary:
        assert temporary.parent == path.parent
        assert make is files.creating_folder or temporary.suffix == path.suffix
        fill(temporary, "new")
        assert not path.exists()
    written = path / "part" if path.is_dir() else path
    assert written.read_text() == "new"
    assert names(path) == [path.name]


def test_an_error_in_the_body_leaves_nothing(make, path):
    with pytest.raises(KeyError), make(path) as temporary:
        fill(temporary, "half")
        raise KeyError
    assert names(path) == []


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


def test_names_may_be_as_long_as_possible(make, path):
    long = path.with_name("x" * 251 + ".txt")
    with make(long):
        pass
    assert names(path) == [long.name]


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


def test_leftovers_of_killed_processes_are_removed_after_a_day(path, left):
    write(path, "new")
    assert names(path) == [".densefuse_d.png", ".hidden.png", "result.txt"]
    assert path.parent.parent.exists()


@pytest.mark.parametrize("mode", [0o444, 0o555, 0o000])
def test_read_only_file_is_not_replaced(path, mode):
    path.write_text("old")
    path.chmod(mode)
    for attempt in (lambda: write(path, "new"), lambda: files.check_replaceable(path)):
        with pytest.raises(UserError, match=r"txt: cannot be written: it is read-only"):
            attempt()
    path.chmod(0o644)
    assert path.read_text() == "old"
    assert names(path) == ["result.txt"]


@pytest.mark.parametrize("mode", [0o600, 0o200])
def test_writable_file_is_replaced(path, mode):
    path.write_text("old")
    path.chmod(mode)
    files.check_replaceable(path)
    write(path, "new")
    assert path.read_text() == "new"


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


def test_errors_about_other_files_pass(make, path):
    with pytest.raises(FileNotFoundError), make(path):
        (path.parent / "missing.txt").read_text()
    assert names(path) == []


def test_error_about_file_in_folder_names_folder(path):
    with (
        pytest.raises(UserError, match=r"result\.txt: cannot be written: No such file"),
        files.creating_folder(path) as temporary,
    ):
        (temporary / "missing/part").write_text("new")
    assert names(path) == []


def test_folder_replaces_one_with_files_of_the_names_given(path):
    path.mkdir()
    for name in ("a", "b"):
        (path / name).write_text("old")
    with files.creating_folder(path, replacing=["a", "b", "c"]) as temporary:
        (temporary / "c").write_text("new")
        assert names(path / "a") == ["a", "b"]
    assert names(path / "c") == ["c"]
    assert names(path) == ["result.txt"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda entry: entry.with_name("x").touch(), "since x in it is no earlier res"),
        (lambda entry: entry.mkdir(), "a: cannot be written: it is a folder, not a f"),
        (lambda entry: entry.touch(0o444), "a: cannot be written: it is read-only"),
    ],
)
def test_folder_replaces_none_with_anything_else(path, make, message):
    path.mkdir()
    make(path / "a")
    before = names(path / "a")
    with (
        pytest.raises(UserError, match=message),
        files.creating_folder(path, replacing=["a"]),
    ):
        pass
    assert names(path / "a") == before


def test_folder_stays_where_the_new_one_cannot_take_its_name(path, monkeypatch):
    path.mkdir()
    (path / "a").write_text("old")
    rename = os.rename

    def fail_once(source, target):
        if pathlib.Path(target) == path and pathlib.Path(source, "new").exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO), source)
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_once)
    with (
        pytest.raises(UserError, match="cannot be written: Input/output error"),
        files.creating_folder(path, replacing=["a"]) as temporary,
    ):
        (temporary / "new").write_text("new")
    assert (path / "a").read_text() == "old"
    assert names(path) == ["result.txt"]


@pytest.mark.parametrize("late", [False, True])
def test_folder_replaces_nothing(path, late):
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


def test_a_folder_is_created_and_checked_before_the_work(tmp_path):
    files.make_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file: .* a part of this path is a file"):
        files.make_folder(tmp_path / "file")


@pytest.mark.parametrize("links", [True, False])
def test_a_name_that_somebody_took_meanwhile_is_not_overwritten(
    path, monkeypatch, links
):
    def refuse(*_):
        raise OSError(errno.EPERM, "no links on this file system")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    with files.replacing(path, overwrite=False) as temporary:
        temporary.write_text("first")
    with pytest.raises(UserError, match="txt: exists, and is not overwritten"):
        with files.replacing(path, overwrite=False):
            raise AssertionError("not before the work")
    path.unlink()
    with pytest.raises(UserError, match="txt: exists, and is not overwritten"):
        with files.replacing(path, overwrite=False) as temporary:
            temporary.write_text("second")
            path.write_text("somebody else's")
    assert path.read_text() == "somebody else's"
    assert names(path) == [path.name]


def test_a_folder_that_somebody_made_meanwhile_is_not_replaced(path):
    with pytest.raises(UserError, match=r"result\.txt: exists"):
        with files.creating_folder(path):
            (path / "theirs").mkdir(parents=True)
    assert names(path / "theirs") == ["theirs"] and names(path) == [path.name]


def test_the_umask_is_never_set(make, path, monkeypatch):
    # Other threads would make files with it.
    monkeypatch.setattr(os, "umask", None)
    with make(path):
        pass


def test_what_is_no_regular_file_is_refused_at_once(path, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nothing")
    for name, what in (
        (tmp_path / "pipe", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        (tmp_path, "a folder"),
        (tmp_path / "link", "a link to nothing, which is missing"),
    ):
        with pytest.raises(UserError, match=rf": is {what}: expected a list"):
            files.open_to_read(name, "a list")
    with pytest.raises(UserError, match=r"result\.txt: cannot be read: No such file"):
        files.open_to_read(path, "a list")


def test_what_somebody_else_has_left_is_not_removed(path, monkeypatch, left):
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    files.remove_abandoned(path.parent, "*")
    assert set(names(path)) == {each.name for each in left.values()}
