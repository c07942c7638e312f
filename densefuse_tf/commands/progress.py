"""Shows what a command does, and how far it is.

Terminals show bars. Elsewhere, in a log for instance, work that takes long writes a
line now and then.
"""

import contextlib
import itertools
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from densefuse_tf.errors import one_line

# Where nobody watches, a line is written so often.
_SECONDS = 30.0
# A report has all errors, the terminal the first ones.
_ERRORS_SHOWN = 20
# How many of many pairs are shown.
_PAIRS_SHOWN = 3


def say(line: str) -> None:
    """Prints one line at once, whatever the names in it hold."""
    print(one_line(line), flush=True)


def say_pairs(lines: Iterable[str], count: int) -> None:
    """Prints the lines of the first of `count` pairs, and how many there are."""
    for line in itertools.islice(lines, _PAIRS_SHOWN):
        say(line)
    if count > _PAIRS_SHOWN:
        say(f"... {count} pairs in all")


def print_errors(
    what: str, reasons: Sequence[str], count: int, *, has_report: bool
) -> None:
    """Says why some of `count` pairs were not fused or evaluated."""
    print(f"{len(reasons)} of {count} pairs were not {what}:", file=sys.stderr)
    for reason in reasons[:_ERRORS_SHOWN] if has_report else reasons:
        print(f"  {reason}", file=sys.stderr)


def bar(items: Iterable | None, count: int, unit: str, **settings):
    """Shows a bar with items per second; without items its `update` is called."""
    return _line(
        items,
        total=count,
        unit=unit,
        bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, "
        "{rate_noinv_fmt}]",
        **settings,
    )


@contextlib.contextmanager
def bar_of_runner(count: int, unit: str) -> Iterator[Callable[[int], object]]:
    """Shows a bar while standard error is hushed; yields what moves it on."""
    # The bar goes where standard error goes before that.
    with os.fdopen(os.dup(2), "w") as stderr:
        with contextlib.closing(bar(None, count, unit, file=stderr)) as shown:
            yield shown.update


def frames(items: Iterable, total: int | None, what: str) -> Iterable:
    """Shows a bar with frames per second, as a `video.Progress`.

    The bar of the fusing or evaluating stays.
    """
    return _line(
        items,
        desc=what,
        total=total,
        unit=" frames",
        bar_format=(
            "{desc}: {n_fmt} frames [{elapsed}, {rate_noinv_fmt}]"
            if total is None
            else "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} "
            "[{elapsed}<{remaining}, {rate_noinv_fmt}]"
        ),
        leave=what in ("fusing", "evaluating"),
    )


@contextlib.contextmanager
def counted(count: int, unit: str) -> Iterator[Callable[[str], object]]:
    """Shows a bar of work that may take minutes a piece, anew now and then.

    Yields what moves it on by one, and takes the words that stand at its end.
    """
    line = _line(
        total=count,
        unit=unit,
        bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}"
        "{postfix}]",
    )

    def advance(words: str) -> None:
        line.set_postfix_str(words, refresh=False)
        line.update()

    with _alive(line):
        yield advance


@contextlib.contextmanager
def elapsed(what: str) -> Iterator[None]:
    """Shows what is done and for how long, anew now and then, until the body ends."""
    with _alive(_line(desc=what, bar_format="{desc} [{elapsed}]")):
        yield


@contextlib.contextmanager
def _alive(line) -> Iterator[None]:
    """Shows a line of tqdm anew now and then until the body ends, and closes it."""
    done = threading.Event()

    def show() -> None:
        while not done.wait(line.pause) and not line.disable:
            # It may have been shown when it moved on.
            if time.time() - line.last_print_t >= line.pause:
                line.refresh()

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        line.close()


class _Lines:
    """Writes what a bar shows as lines, without what steers a terminal."""

    def __init__(self, stream):
        self._stream = stream
        self._last = ""

    def write(self, text: str) -> None:
        text = text.strip()
        if text not in ("", self._last):
            self._last = text
            self._stream.write(f"{text}\n")

    def flush(self) -> None:
        self._stream.flush()


def _line(items: Iterable | None = None, file=None, **settings):
    # Its import takes 0.1 s, which --help and one pair do without.
    import tqdm

    file, pause = file or sys.stderr, 1.0
    if not file.isatty():
        pause = _SECONDS
        # The first line comes when so much time is over.
        seldom = dict.fromkeys(("delay", "mininterval", "maxinterval"), pause)
        settings = {**seldom, **settings}
        settings["bar_format"] = re.sub(
            r"({l_bar}|{percentage:3.0f}%\|)?{bar}\| ", "", settings["bar_format"]
        )
        file = _Lines(file)
    line = tqdm.tqdm(items, file=file, **settings)
    # After so many seconds `_alive` shows it anew.
    line.pause = pause
    return line
