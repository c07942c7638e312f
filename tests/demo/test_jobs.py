"""Requests beside each other: lines, processes of slow methods, and who has gone."""

import threading
import time

import numpy as np
import pytest

from densefuse_tf.demo import jobs
from densefuse_tf.demo.engine import Answer
from densefuse_tf.demo.engine import Engine
from densefuse_tf.demo.request import Request
from densefuse_tf.errors import UserError
from densefuse_tf.io import images

PATIENCE = 120


@pytest.fixture
def pair(tmp_path):
    generator = np.random.default_rng(0)
    paths = tmp_path / "ir.png", tmp_path / "vis.png"
    for path in paths:
        images.write(path, generator.integers(0, 256, (48, 64), np.uint8))
    return paths


@pytest.fixture
def running():
    running = jobs.Jobs(Engine(10_000_000))
    yield running
    running.close()


def steps(running, request):
    return [step for step in running.run(request) if not isinstance(step, str)]


def wait(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def test_a_method_in_its_process_gives_the_same_file(running, pair, tmp_path):
    request = Request(*pair, method="cbf")
    expected = Engine(10_000).fuse(request, tmp_path)
    said = running.run(request)
    answer = next(step for step in said if not isinstance(step, str))
    assert answer.fused_file.read_bytes() == expected.fused_file.read_bytes()
    assert answer.warnings == expected.warnings
    maps, values = (step for step in said if not isinstance(step, str))
    assert maps == [] and values["En"] > 0
    # The second one needs no other process.
    process = running._workers[False]._process
    steps(running, request)
    assert running._workers[False]._process is process


def test_a_mistake_comes_back_from_the_process(running, pair):
    pair[1].unlink()
    with pytest.raises(UserError, match="^visible image vis.png: is no longer here"):
        steps(running, Request(*pair, method="wls"))


def test_who_goes_ends_a_slow_method_and_nobody_waits_for_it(running, tmp_path):
    generator = np.random.default_rng(0)
    pair = tmp_path / "ir.png", tmp_path / "vis.png"
    for path in pair:
        images.write(path, generator.integers(0, 256, (300, 400), np.uint8))
    slow = running.run(Request(*pair, method="jsr"))
    assert next(slow).startswith("fusing with jsr, ")
    wait(lambda: running._workers[True]._process is not None)
    process = running._workers[True]._process
    # Meanwhile another slow request waits, and all others do not.
    second = running.run(Request(*pair, method="jsrsd"))
    assert next(second).startswith("waiting for 1 other request, ")
    second.close()
    quick = running.run(Request(*pair, method="cbf"))
    assert isinstance(next(step for step in quick if type(step) is not str), Answer)
    quick.close()
    assert process.is_alive()
    slow.close()
    wait(lambda: not process.is_alive())
    wait(lambda: not running._lines[True]._waiting)


def test_the_next_step_of_who_has_gone_is_not_done(running, pair, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def fuse(self, request, folder):
        begun.set()
        assert go_on.wait(PATIENCE)
        return Answer(request, *[None] * 9)

    drawn = []
    monkeypatch.setattr(Engine, "fuse", fuse)
    monkeypatch.setattr(Engine, "maps", lambda self, *_: drawn.append(1))
    said = running.run(Request(*pair))
    next(said)
    assert begun.wait(PATIENCE)
    said.close()
    go_on.set()
    wait(lambda: not running._here._waiting)
    assert drawn == []


def test_a_line_is_in_the_order_of_coming_and_has_an_end(monkeypatch):
    monkeypatch.setattr(jobs, "_LINE", 2)
    line, stays, done, told = jobs.Line(), threading.Event(), [], []

    def come(name, gone=stays):
        with line.turn(gone, told.append):
            done.append(name)

    with line.turn(stays, told.append):
        threads = []
        for name in ("a", "b"):
            threads.append(threading.Thread(target=come, args=(name,)))
            threads[-1].start()
            wait(lambda: len(line._waiting) == 1 + len(threads))
        with pytest.raises(UserError, match="2 requests wait already"):
            come("c")
        wait(lambda: len(told) >= 2)
    for thread in threads:
        thread.join(PATIENCE)
    assert done == ["a", "b"]
    assert "waiting for 1 other request" in told
    assert "waiting for 2 other requests" in told


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (MemoryError("Unable to allocate 9 GiB"), "memory is short: try again later"),
        (KeyError("shape"), "this was not foreseen: please report it"),
        (UserError("a.png: is no image"), "a.png: is no image"),
    ],
)
def test_no_error_has_text_of_python(running, pair, monkeypatch, error, line, caplog):
    def fuse(self, request, folder):
        raise error

    monkeypatch.setattr(Engine, "fuse", fuse)
    with pytest.raises(UserError) as caught:
        steps(running, Request(*pair))
    assert str(caught.value).startswith(line)
    assert ("shape" in caplog.text) == isinstance(error, KeyError)
