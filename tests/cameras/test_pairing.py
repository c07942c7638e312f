"""Which frames of two sources are paired, and when."""

import queue
import threading
import time

import pytest

from densefuse_tf.cameras.pairing import Counts
from densefuse_tf.cameras.pairing import pairs

END = object()


def settled(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


class Feed:
    """An iterator that gives what is put into it, and tells what was taken."""

    def __init__(self):
        self._items = queue.Queue()
        self._given = self._asked = 0

    def put(self, *items):
        """Returns once the source's thread has taken note of all items."""
        for item in items:
            self._given += 1
            self._items.put(item)
        settled(lambda: self._asked > self._given or items[-1] is END)

    def __iter__(self):
        return self

    def __next__(self):
        self._asked += 1
        item = self._items.get(timeout=30)
        if item is END:
            raise StopIteration
        if isinstance(item, Exception):
            raise item
        return item


class Both:
    """Two feeds, and the pairs that are made of them in a thread."""

    def __init__(self, rate="vis", max_skew=0.1):
        self.ir, self.vis, self.counts = Feed(), Feed(), Counts()
        self._pairs = pairs((self.ir, self.vis), rate, max_skew, self.counts)
        self._made = queue.Queue()
        self.error = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            for pair in self._pairs:
                self._made.put(pair)
        except ValueError as error:
            self.error = error

    def next(self):
        return self._made.get(timeout=30)

    def end(self):
        """Ends both sources; the pairs that nobody has taken."""
        self.ir.put(END)
        self.vis.put(END)
        self._thread.join(30)
        assert not self._thread.is_alive()
        return list(self._made.queue)


def test_each_visible_frame_goes_with_the_newest_infrared_one():
    both = Both()
    both.ir.put((1.0, "i1"))
    both.vis.put((1.01, "v1"))
    assert both.next() == (1.01, (1.0, 1.01), ("i1", "v1"))
    both.vis.put((1.05, "v2"))
    assert both.next() == (1.05, (1.0, 1.05), ("i1", "v2"))
    # An infrared frame alone makes no picture.
    both.ir.put((1.11, "i2"))
    both.vis.put((1.13, "v3"))
    assert both.next() == (1.13, (1.11, 1.13), ("i2", "v3"))
    assert both.end() == []
    assert both.counts.dropped == [0, 0]


def test_each_infrared_frame_goes_with_the_newest_visible_one():
    both = Both("ir")
    both.vis.put((1.0, "v1"))
    both.ir.put((1.01, "i1"))
    assert both.next() == (1.01, (1.01, 1.0), ("i1", "v1"))
    both.vis.put((1.05, "v2"), (1.09, "v3"))
    both.ir.put((1.11, "i2"))
    assert both.next() == (1.11, (1.11, 1.09), ("i2", "v3"))
    both.end()
    assert both.counts.dropped == [0, 1]


def test_older_frames_are_dropped_and_never_queued():
    ir, vis, counts, made = Feed(), Feed(), Counts(), []

    def feed():
        ir.put((0.0, "i0"))
        vis.put((0.0, "v0"))

    feeding = threading.Thread(target=feed, daemon=True)
    feeding.start()
    for _, _, frames in pairs((ir, vis), "vis", 1.0, counts):
        made.append(frames)
        if len(made) == 1:
            feeding.join(30)
            # Computing takes long: others come meanwhile.
            ir.put(*((0.01 * index, f"i{index}") for index in range(1, 9)))
            vis.put(*((0.01 * index, f"v{index}") for index in range(1, 9)))
        else:
            vis.put(END)
            ir.put(END)
    assert made == [("i0", "v0"), ("i8", "v8")]
    assert counts.dropped == [7, 7]


def test_frames_too_far_apart_are_not_fused():
    both = Both(max_skew=0.1)
    both.ir.put((1.0, "i1"))
    both.vis.put((1.2, "v1"))
    settled(lambda: both.counts.apart == 1)
    both.ir.put((1.25, "i2"))
    both.vis.put((1.3, "v2"))
    assert both.next()[2] == ("i2", "v2")
    assert both.end() == []
    assert both.counts.dropped == [1, 1]


def test_clocks_that_differ_are_told_once(caplog):
    both = Both(max_skew=0.1)
    both.ir.put((1e9, "i"))
    for index in range(60):
        both.vis.put((index / 25, "v"))
        settled(lambda count=index + 1: both.counts.apart == count)
    assert both.end() == []
    (said,) = caplog.messages
    assert "1e+09 s apart" in said and "one clock?" in said


def test_pictures_are_made_so_many_times_a_second():
    both = Both(rate=20, max_skew=10)
    start = time.monotonic()
    done = threading.Event()

    def feed():
        while not done.wait(0.002):
            now = time.monotonic()
            both.ir.put((now, "i"))
            both.vis.put((now + 0.001, "v"))

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    made = [both.next() for _ in range(10)]
    assert time.monotonic() - start > 9 / 20 * 0.95
    # The time is that of the older frame.
    assert all(moment == min(times) for moment, times, _ in made)
    done.set()
    thread.join()
    both.end()


def test_a_pair_is_made_once_though_the_rate_is_higher():
    both = Both(rate=500, max_skew=10)
    both.ir.put((1.0, "i1"))
    both.vis.put((1.0, "v1"))
    assert both.next()[2] == ("i1", "v1")
    time.sleep(0.1)
    assert both.end() == []


def test_an_error_of_a_source_comes_through():
    both = Both()
    both.ir._items.put(ValueError("the camera burns"))
    both._thread.join(30)
    assert str(both.error) == "the camera burns"


def test_leaving_the_pairs_ends_the_sources():
    counts, ends = Counts(), []

    def camera():
        try:
            while not counts.ended.wait(0.01):
                yield time.monotonic(), "frame"
        finally:
            ends.append(True)

    made = pairs((camera(), camera()), "vis", 1.0, counts)
    next(made)
    made.close()
    assert ends == [True, True]


@pytest.mark.parametrize("rate", ["ir", "vis", 50])
def test_pairs_end_with_either_source(rate):
    both = Both(rate)
    both.vis.put((1.0, "v"))
    both.ir.put(END)
    both._thread.join(30)
    assert not both._thread.is_alive()
