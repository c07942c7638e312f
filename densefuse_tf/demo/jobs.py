"""Runs requests beside each other, step by step, as long as somebody waits for them."""

import collections
import contextlib
import logging
import multiprocessing
import os
import pathlib
import queue
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import tqdm

from densefuse_tf.demo.engine import Answer
from densefuse_tf.demo.engine import Engine
from densefuse_tf.demo.engine import evaluate
from densefuse_tf.demo.request import Request
from densefuse_tf.errors import UserError
from densefuse_tf.fusion import methods

# Further requests are refused while so many wait in a line.
_LINE = 16
# How often a step that takes long shows that it goes on, in seconds.
_BEAT = 0.5
# What is asked of a process, and how often one looks whether it has answered.
_POLL = 0.1
_UNFORESEEN = (
    "this was not foreseen: please report it, with what the terminal of densefuse-demo "
    "shows"
)


class _Gone(Exception):
    """Says that nobody waits for an answer any more."""


class Line:
    """Lets in one at a time, in the order of coming."""

    def __init__(self):
        self._waiting: collections.deque[object] = collections.deque()
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def turn(
        self, gone: threading.Event, tell: Callable[[str], object]
    ) -> Iterator[None]:
        """Waits, and tells how many come before."""
        own = object()
        with self._changed:
            if len(self._waiting) > _LINE:
                raise UserError(f"{_LINE} requests wait already: try again later")
            self._waiting.append(own)
        try:
            with self._changed:
                while place := self._waiting.index(own):
                    tell(f"waiting for {place} other request{'s' * (place > 1)}")
                    _check(gone)
                    self._changed.wait(_BEAT)
            _check(gone)
            yield
        finally:
            with self._changed:
                self._waiting.remove(own)
                self._changed.notify_all()


class Worker:
    """Fuses in a process of its own, which ends when nobody waits any more."""

    def __init__(self, max_pixels: int):
        self._max_pixels = max_pixels
        self._process: Any = None

    def fuse(
        self, request: Request, folder: pathlib.Path, gone: threading.Event
    ) -> Answer:
        """Fuses as `Engine.fuse` does."""
        if self._process is None or not self._process.is_alive():
            context = multiprocessing.get_context("spawn")
            self._pipe, pipe = context.Pipe()
            self._process = context.Process(
                target=_work, args=(pipe, self._max_pixels), daemon=True
            )
            self._process.start()
            pipe.close()
        try:
            self._pipe.send((request, folder))
            while not self._pipe.poll(_POLL):
                _check(gone)
            said = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise UserError(
                f"{request.method} has ended without an answer: memory may be short"
            ) from error
        except _Gone:
            self.close()
            raise
        if isinstance(said, Exception):
            raise said
        return said

    def close(self) -> None:
        """Ends the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None


def _work(pipe: Any, max_pixels: int) -> None:
    """Answers requests until the other end of the pipe is closed."""
    # What is quick goes first.
    os.nice(10)
    # Ctrl-C is for the page, which then ends this process. What is killed must not hold
    # a lock of several processes, as bars do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tqdm.tqdm.set_lock(threading.RLock())
    engine = Engine(max_pixels)
    with contextlib.suppress(EOFError, OSError):
        while True:
            try:
                pipe.send(engine.fuse(*pipe.recv()))
            except (EOFError, OSError):
                raise
            except Exception as error:
                pipe.send(told(error))


class Jobs:
    """Runs the requests of a page.

    DenseFuse is quick and fuses here. Other methods have a line and a process of their
    own, and those that take minutes another one, so that nobody else waits for them.
    """

    def __init__(self, engine: Engine):
        self.engine = engine
        self._here = Line()
        self._lines = {takes_minutes: Line() for takes_minutes in (False, True)}
        self._workers = {
            takes_minutes: Worker(engine.max_pixels) for takes_minutes in (False, True)
        }

    def run(
        self, request: Request
    ) -> Generator[str | Answer | list[pathlib.Path] | dict[str, float], None, None]:
        """Yields the fused image, its maps and its metrics, and meanwhile what goes on.

        The files last until the iterator is closed or at its end. Where it is closed
        before, the request ends at its next step.
        """
        said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        gone = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(request, said.put, gone), daemon=True
        )
        thread.start()
        start, state = time.monotonic(), ""
        try:
            while True:
                with contextlib.suppress(queue.Empty):
                    what = said.get(timeout=_BEAT)
                    if what is None:
                        return
                    if isinstance(what, Exception):
                        raise what
                    if not isinstance(what, str):
                        yield what
                        continue
                    state = what
                yield f"{state}, {time.monotonic() - start:.0f} s"
        finally:
            gone.set()

    def close(self) -> None:
        """Ends the processes."""
        for worker in self._workers.values():
            worker.close()

    def _run(
        self, request: Request, say: Callable[[Any], object], gone: threading.Event
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            try:
                for step in self._steps(request, pathlib.Path(folder), say, gone):
                    say(step)
                say(None)
            except Exception as error:
                say(told(error))
            # The files are read until then.
            gone.wait()

    def _steps(
        self,
        request: Request,
        folder: pathlib.Path,
        say: Callable[[str], object],
        gone: threading.Event,
    ) -> Iterator[Any]:
        if methods.settings_class(request.method).is_quick:
            with self._here.turn(gone, say):
                say(f"fusing with {request.method}")
                answer = self.engine.fuse(request, folder)
        else:
            kind = getattr(methods.get(request.method), "takes_minutes", False)
            with self._lines[kind].turn(gone, say):
                say(f"fusing with {request.method}")
                answer = self._workers[kind].fuse(request, folder, gone)
        yield answer
        with self._here.turn(gone, say):
            say("drawing the maps")
            yield self.engine.maps(answer, folder)
            _check(gone)
            say("computing the metrics")
            yield evaluate(answer)


def _check(gone: threading.Event) -> None:
    if gone.is_set():
        raise _Gone


def told(error: Exception) -> Exception:
    """Returns an error for the page; what was not foreseen is logged."""
    if isinstance(error, UserError | _Gone):
        return error
    if isinstance(error, MemoryError):
        return UserError("memory is short: try again later, or with smaller images")
    logging.getLogger("densefuse_demo").error("unforeseen", exc_info=error)
    return UserError(_UNFORESEEN)
