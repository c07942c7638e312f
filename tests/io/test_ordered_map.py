"""The ordered, bounded map: order, bounds, errors and early ends."""

import gc
import itertools
import threading
import time
import weakref

import pytest

from densefuse_tf.io.ordered_map import ordered_map


def test_results_come_in_the_order_of_the_items():
    def work(item):
        time.sleep(0.01 * (item % 3 == 0))
        return 10 * item

    found = ordered_map(work, range(20), workers=4)
    assert list(found) == [10 * item for item in range(20)]


@pytest.mark.parametrize("most", (1, 2, 5))
def test_no_more_items_are_taken_than_may_be_held(most):
    taken = []
    items = (taken.append(item) or item for item in itertools.count())
    results = ordered_map(lambda item: item, items, workers=2, most=most)
    for count in range(10):
        assert next(results) == count
        assert len(taken) <= count + most
    results.close()


def test_costs_bound_what_is_held():
    costs = [1, 2, 2, 9, 1, 1, 5, 1]
    held = {"now": 0}
    lock = threading.Lock()

    def work(cost):
        with lock:
            held["now"] += cost
            assert held["now"] <= 4 or held["now"] == cost
        return cost

    results = ordered_map(work, costs, workers=3, most=8, cost=int, most_cost=4)
    for expected, found in zip(costs, results, strict=True):
        assert found == expected
        with lock:
            held["now"] -= found


def test_an_item_that_costs_too_much_is_yielded_before_the_next_is_taken():
    taken = []
    items = (taken.append(item) or item for item in (1, 9, 1))
    results = ordered_map(str, items, workers=2, cost=int, most_cost=4)
    assert [next(results), next(results)] == ["1", "9"]
    assert taken == [1, 9]
    assert list(results) == ["1"]


def test_items_and_results_are_let_go():
    class Large:
        pass

    alive = []

    def items():
        for _ in range(5):
            gc.collect()
            assert sum(reference() is not None for reference in alive) == 0
            item = Large()
            alive.append(weakref.ref(item))
            yield item
            del item

    for result in ordered_map(lambda item: item, items(), workers=1, most=1):
        del result


def test_the_first_exception_in_order_ends_it():
    done = []

    def work(item):
        if item == 2:
            time.sleep(0.05)
        if item >= 2:
            raise ValueError(item)
        return item

    with pytest.raises(ValueError, match="2"):
        for result in ordered_map(work, itertools.count(), workers=4):
            done.append(result)
    assert done == [0, 1]


def test_an_exception_of_the_items_ends_it():
    def items():
        yield 1
        raise OSError("no more")

    results = ordered_map(str, items(), workers=2)
    assert next(results) == "1"
    with pytest.raises(OSError, match="no more"):
        next(results)


def test_an_exception_of_the_items_waits_for_those_before():
    def items():
        yield from (0, 1)
        raise OSError("no more")

    def work(item):
        time.sleep(0.02)
        raise ValueError(item)

    with pytest.raises(ValueError, match="0"):
        next(ordered_map(work, items(), workers=2, most=5))


@pytest.mark.parametrize("workers", (1, 3))
def test_as_many_threads_work_as_are_asked_for(workers):
    now, most = [0], [0]
    lock, all_there = threading.Lock(), threading.Event()

    def work(item):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
            if now[0] >= workers:
                all_there.set()
        assert all_there.wait(5)
        time.sleep(0.02)
        with lock:
            now[0] -= 1

    list(ordered_map(work, range(12), workers=workers, most=12))
    assert most[0] == workers


@pytest.mark.parametrize("end", ("close", KeyboardInterrupt))
def test_an_early_end_drops_what_waits_and_leaves_no_thread(end):
    started, ended = [], []

    def work(item):
        started.append(item)
        time.sleep(0.05)
        ended.append(item)

    def items():
        yield from range(50)
        raise KeyboardInterrupt

    threads = threading.active_count()
    if end == "close":
        results = ordered_map(work, items(), workers=2, most=50)
        next(results)
        results.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            next(ordered_map(work, items(), workers=2, most=60))
    assert sorted(started) == sorted(ended)
    assert len(started) <= 4
    assert threading.active_count() == threads
