"""Pairs the newest frames of two sources; what is older is dropped, never queued."""

import dataclasses
import numbers
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import numpy as np
from absl import logging

from densefuse_tf.errors import UserError

NAMES = ("ir", "vis")
# How long a source may take to end, in seconds.
_PATIENCE = 3.0
# Where the first pairs, so many, are all too far apart a line says so.
_HOPELESS = 50


@dataclasses.dataclass
class Counts:
    """Counts what happens, and says when it ends.

    Attributes:
      dropped: The infrared and the visible frames that are in no picture.
      apart: Pairs that are too far apart in time.
      failed: Pairs that could not be fused.
      pictures: All that are out.
      delays: How long after its frame each new picture was out, in seconds.
      ended: Is set at the end; sources that look at it end as well.
    """

    dropped: list[int] = dataclasses.field(default_factory=lambda: [0, 0])
    apart: int = 0
    failed: int = 0
    pictures: int = 0
    delays: list[float] = dataclasses.field(default_factory=list)
    ended: threading.Event = dataclasses.field(default_factory=threading.Event)

    def add_picture(self, moment: float) -> None:
        """Counts the picture of a frame that came at this moment."""
        self.pictures += 1
        self.delays.append(time.monotonic() - moment)


def _check(item: Any, name: str) -> None:
    """Refuses what is no time and frame, as a frame alone or a letter of a name."""
    if isinstance(item, tuple | list) and len(item) == 2:
        item = item[0]
        if isinstance(item, numbers.Real):
            return
    raise UserError(
        f"{name} gives a value of type {type(item).__name__}: expected an iterator of "
        "(time in seconds, frame); fuse.py --live opens files and cameras"
    )


def pairs(
    sources: Sequence[Any], rate: str | float, max_skew: float, counts: Counts
) -> Iterator[tuple[float, tuple[float, ...], tuple[np.ndarray, ...]]]:
    """Yields the newest frames of two sources, each time that a picture is due.

    Args:
      sources: Give (time, frame), the infrared and the visible one.
      rate: "ir" or "vis", with each frame of that source; or pictures a second.
      max_skew: Frames that are farther apart are left out, in seconds.
      counts: Is kept up to date.

    Yields:
      The time of the frame with which the picture is made, of the older one with
      pictures a second; the times of the two frames; and these.
    """
    changed = threading.Condition()
    newest: list = [None, None]
    arrived, seen, used = [0, 0], [0, 0], [0, 0]
    ends: list[BaseException | None] = []

    def read(index: int) -> None:
        end = None
        try:
            for item in sources[index]:
                _check(item, NAMES[index])
                with changed:
                    newest[index], arrived[index] = item, arrived[index] + 1
                    changed.notify()
                if counts.ended.is_set():
                    break
            if isinstance(sources[index], Generator):
                sources[index].close()
        except BaseException as error:
            end = error
        with changed:
            ends.append(end)
            changed.notify()

    threads = [threading.Thread(target=read, args=[i], daemon=True) for i in range(2)]
    for thread in threads:
        thread.start()
    pace = {"ir": [0], "vis": [1]}.get(str(rate), [0, 1])
    due, is_last = time.monotonic(), False
    try:
        while not is_last:
            if len(pace) == 2:
                time.sleep(max(0.0, due - time.monotonic()))
                due = max(due + 1 / float(rate), time.monotonic())
            with changed:
                changed.wait_for(
                    lambda: ends or any(arrived[i] > seen[i] for i in pace)
                )
                is_last = bool(ends)
                if all(arrived[i] == seen[i] for i in pace):
                    break
                seen[:], pair = arrived, [*newest]
            if None in pair:
                continue
            times, frames = zip(*pair, strict=True)
            if max(times) - min(times) > max_skew:
                counts.apart += 1
                if counts.apart == _HOPELESS and used == [0, 0]:
                    apart = max(times) - min(times)
                    logging.warning(
                        "no pair yet: frames are %.3g s apart, more than %.3g s: do "
                        "both cameras use one clock?",
                        *(apart, max_skew),
                    )
                continue
            for i in range(2):
                counts.dropped[i] += max(0, seen[i] - used[i] - 1)
            used = [*seen]
            yield min(times[i] for i in pace), times, frames
        for end in filter(None, ends):
            raise end
    finally:
        counts.ended.set()
        for thread in threads:
            thread.join(_PATIENCE)
