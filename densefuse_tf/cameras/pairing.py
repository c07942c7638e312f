"""Pairs the newest frames of two sources; what is older is dropped, never queued."""

import collections
import dataclasses
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

# How long a source may take to end, in seconds.
_PATIENCE = 3.0


@dataclasses.dataclass
class Counts:
    """Counts what happens, and says when it ends.

    Attributes:
      arrived: The frames of the infrared and of the visible source so far.
      used: Those that are in a picture.
      apart: Pairs that are too far apart in time.
      failed: Pairs that could not be fused.
      delays: How long after its frame each new picture was out, in seconds.
      ended: Is set at the end; sources that look at it end as well.
    """

    arrived: list[int] = dataclasses.field(default_factory=lambda: [0, 0])
    used: list[int] = dataclasses.field(default_factory=lambda: [0, 0])
    apart: int = 0
    failed: int = 0
    delays: collections.deque = dataclasses.field(default_factory=collections.deque)
    ended: threading.Event = dataclasses.field(default_factory=threading.Event)

    def is_out(self, moment: float) -> None:
        """Counts the picture of a frame that came at this moment."""
        self.delays.append(time.monotonic() - moment)


class _Newest(threading.Thread):
    """Reads a source, and holds its newest item, and how it ended."""

    def __init__(self, items, changed: threading.Condition, ended: threading.Event):
        super().__init__(daemon=True)
        self.count, self.latest = 0, (0.0, None)
        self.end: BaseException | None = None
        self._items, self._changed, self._ended = items, changed, ended
        self.start()

    def run(self) -> None:
        end: Any = StopIteration()
        try:
            for latest in self._items:
                with self._changed:
                    self.count, self.latest = self.count + 1, latest
                    self._changed.notify_all()
                if self._ended.is_set():
                    break
        except BaseException as error:
            end = error
        with self._changed:
            self.end = end
            self._changed.notify_all()


def pairs(
    sources: Iterable[Iterable], rate: str | float, max_skew: float, counts: Counts
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
    newest = [_Newest(source, changed, counts.ended) for source in sources]
    pace = {"ir": [0], "vis": [1]}.get(str(rate), [0, 1])
    due, paired = time.monotonic(), [0, 0]

    def is_new() -> bool:
        return any(newest[i].count > counts.arrived[i] for i in pace)

    def ends() -> list[BaseException]:
        return [one.end for one in newest if one.end is not None]

    try:
        is_last = False
        while not is_last:
            if len(pace) == 2:
                time.sleep(max(0.0, due - time.monotonic()))
                due = max(due + 1 / float(rate), time.monotonic())
            with changed:
                changed.wait_for(lambda: is_new() or ends())
                is_last = bool(ends())
                if not is_new():
                    continue
                counts.arrived = arrived = [one.count for one in newest]
                times, frames = zip(*(one.latest for one in newest), strict=True)
            if 0 in arrived:
                continue
            if max(times) - min(times) > max_skew:
                counts.apart += 1
                continue
            for i in range(2):
                counts.used[i] += arrived[i] > paired[i]
            paired = arrived
            yield min(times[i] for i in pace), times, frames
        for end in ends():
            if not isinstance(end, StopIteration):
                raise end
    finally:
        counts.ended.set()
        for one in newest:
            one.join(_PATIENCE)
