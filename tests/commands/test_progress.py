"""What shows how far a command is, in a terminal and in a log."""

import functools
import io
import sys
import time

import pytest
import tqdm

from densefuse_tf.commands import fuse
from densefuse_tf.commands import fusing
from densefuse_tf.commands import progress
from densefuse_tf.commands import runner


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS", 0.05)


def test_a_log_has_a_line_now_and_then_and_nothing_that_steers(often, capsys):
    for _ in progress.bar(range(4), 4, " pairs"):
        time.sleep(0.06)
    with progress.counted(3, " images") as advance:
        time.sleep(0.2)
        advance("1 was kept before")
    with progress.elapsed("fusing with jsr"):
        time.sleep(0.2)
    said = capsys.readouterr().err
    assert not set("\r\x1b|") & set(said)
    lines = said.splitlines()
    assert len(set(lines)) == len(lines)
    assert all(line == line.strip() for line in lines)
    assert any(line.startswith("1/4 [") for line in lines)
    assert "0/3 images [00:00<?]" in lines
    assert sum(line.endswith("1 was kept before]") for line in lines) == 1
    assert "fusing with jsr [00:00]" in lines


def test_a_log_has_nothing_of_what_is_quick(capsys):
    assert list(progress.bar(range(4), 4, " pairs")) == [0, 1, 2, 3]
    assert list(progress.frames(range(4), None, "reading")) == [0, 1, 2, 3]
    with progress.elapsed("fusing with jsr"):
        pass
    assert capsys.readouterr().err == ""


def test_whoever_wants_no_bars_has_none(often, monkeypatch, capsys):
    # As TQDM_DISABLE=1 makes it.
    monkeypatch.setattr(tqdm, "tqdm", functools.partial(tqdm.tqdm, disable=True))
    with progress.counted(3, " images") as advance:
        time.sleep(0.1)
        advance("1 was kept before")
    with progress.elapsed("fusing with jsr"):
        time.sleep(0.1)
    assert list(progress.bar(range(4), 4, " pairs")) == [0, 1, 2, 3]
    assert capsys.readouterr().err == ""


def test_a_terminal_has_a_bar_at_once(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    for _ in progress.bar(range(4), 4, " pairs"):
        assert "\r  0%|" in sys.stderr.getvalue()


def test_ctrl_c_says_which_pairs_are_there(tmp_path, monkeypatch, capsys):
    def interrupted(request, events):
        with events.fusing(3) as advance:
            advance(1)
            raise KeyboardInterrupt

    monkeypatch.setattr(fusing.folder, "fuse", interrupted)
    arguments = ["--ir=ir", "--vis=vis", f"--output={tmp_path}"]
    assert fuse.run(["fuse.py", *arguments]) == runner.INTERRUPTED
    said = capsys.readouterr()
    assert said.out == (
        f"1 of 3 pairs are done: results are kept in {tmp_path}; --skip_existing goes "
        "on with pairs that have none there\n"
    )
    assert said.err == "fuse.py: interrupted\n"
