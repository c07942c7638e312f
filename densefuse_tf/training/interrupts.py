"""Ctrl-C that waits for the end of a step, so that the state is whole."""

import contextlib
import signal
import threading
from collections.abc import Iterator

from absl import logging


@contextlib.contextmanager
def deferred() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C in the body into an event; a second one ends at once.

    Outside of the main thread, which alone gets Ctrl-C, nothing is changed.

    Yields:
      The event, set by Ctrl-C.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(*_) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)
        logging.info("saving after this iteration; Ctrl-C again ends without a save")

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
