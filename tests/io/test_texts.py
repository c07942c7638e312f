"""Tests of densefuse_tf.io.texts."""

import csv
import os

import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.io import texts


@pytest.mark.parametrize("read", [texts.read, texts.read_rows])
def test_what_is_no_text_is_refused(tmp_path, read):
    with pytest.raises(UserError, match=": is a folder: expected a list"):
        read(tmp_path, "a list")
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"list\.txt: cannot be read: it is no text in"):
        read(path, "a list")


def test_rows_are_written_whole_with_names_of_any_bytes(tmp_path):
    path = tmp_path / "rows.csv"
    name = os.fsdecode(b"\xff, \xe2\x82\xac")
    texts.write_rows(path, ["file", "error"], [[name, 'a "b"'], ["c", "d"]])
    assert path.read_bytes() == (b'file,error\n"\xff, \xe2\x82\xac","a ""b"""\nc,d\n')
    with pytest.raises(ZeroDivisionError):
        texts.write_rows(path, ["file"], ([str(1 // n)] for n in (1, 0)))
    assert path.read_bytes().startswith(b"file,error")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["=1+1", "@x", "+x", "-x.png", "\t=x", "'=x", "''-1"])
def test_no_name_is_a_formula_and_it_is_read_as_it_was(tmp_path, name):
    path = tmp_path / "rows.csv"
    rows = [["pair", name], [name, "-0.25", "'quoted'", "a=b", "-inf"]]
    texts.write_rows(path, rows[0], rows[1:])
    stored = list(csv.reader(path.open(newline="")))
    assert stored == [["pair", f"'{name}"], [f"'{name}", *rows[1][1:]]]
    assert texts.read_rows(path, "a table") == rows
