"""Tests of densefuse_tf.io.streamed: order, iterations and indices."""

import random

import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.io import streamed


@pytest.mark.parametrize("run", (10, 100, 1000))
def test_texts_are_sorted_in_memory_and_in_files(monkeypatch, run):
    monkeypatch.setattr(streamed, "_RUN", run)
    monkeypatch.setattr(streamed, "_BLOCK", 7)
    texts = [f"{number}\udcff" for number in range(100)]
    random.Random(0).shuffle(texts)
    sorted_texts = streamed.in_order(iter(texts), lambda text: int(text[:-1]))
    expected = [f"{number}\udcff" for number in range(100)]
    assert list(sorted_texts) == expected
    assert list(zip(sorted_texts, sorted_texts, strict=True)) == list(
        zip(expected, expected, strict=True)
    )
    assert len(sorted_texts) == 100
    assert (sorted_texts[3], sorted_texts[-1]) == (expected[3], expected[-1])
    assert sorted_texts[:3] == expected[:3]
    with pytest.raises(IndexError):
        sorted_texts[100]


def test_equal_keys_leave_the_order_of_the_texts():
    assert list(streamed.in_order(["b", "a", "C"], str.lower)) == ["a", "b", "C"]
    assert list(streamed.in_order(["b", "a"], lambda text: 0)) == ["a", "b"]


def test_nothing_is_an_empty_sequence():
    assert not streamed.in_order([], str.lower)


def test_a_full_temporary_folder_is_named(monkeypatch, small_disk):
    folder = small_disk(64)
    monkeypatch.setattr(streamed.tempfile, "tempdir", str(folder))
    monkeypatch.setattr(streamed, "_RUN", 10)
    with pytest.raises(UserError, match="the list of the files cannot be written"):
        streamed.in_order(map(str, range(100_000)), str.lower)
