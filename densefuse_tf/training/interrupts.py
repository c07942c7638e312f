"""Ctrl-C that waits for the end of a step, so that the state is whole."""

import contextlib
import signal
import threading
from collections.abc import Iterator

from absl import logging


@contextlib.contextmanager
def deferred() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C in the body into an event; a second one ends at once.

    Where Ctrl-C does not raise KeyboardInterrupt, as in threads and in commands that
    the shell runs in the background, nothing is changed.

    Yields:
      The event, set by Ctrl-C.
    """
    asked = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def ask(*_) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)
        logging.info("saving after this iteration; Ctrl-C again ends without a save")

    in_main_thread = threading.current_thread() is threading.main_thread()
    if before is not signal.default_int_handler or not in_main_thread:
        yield asked
        return
    signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
