"""A map over threads whose results come in order and whose memory is bounded."""

import collections
import concurrent.futures
import os
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def cores() -> int:
    """Returns how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ordered_map(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    workers: int,
    most: int | None = None,
    cost: Callable[[_Item], float] = lambda item: 0,
    most_cost: float = float("inf"),
) -> Generator[_Result, None, None]:
    """Applies a function to items in threads and yields the results in order.

    Args:
      function: Called with one item at a time in each thread.
      items: They are taken in the calling thread, each when there is room for it: what
        makes them may compute there while the threads work.
      workers: The number of threads.
      most: The largest number of items that are held at a time, waiting, in work or
        done; by default one more than `workers`.
      cost: The cost of an item, its pixels for instance.
      most_cost: The largest cost of all items that are held at a time. An item that
        costs more is held alone: all results before it are yielded before it starts,
        and its own is yielded before the next item is taken.

    Yields:
      The results.

    Raises:
      Exception: The first one of `items` or `function`, in the order of the items: of
        what comes before an item that cannot be taken, the results are yielded. Then,
        after a KeyboardInterrupt, and when the generator is closed, items that wait are
        dropped at once; only those that threads work on come to their end.
    """
    most = workers + 1 if most is None else most
    held: collections.deque = collections.deque()
    total = 0.0

    def oldest() -> _Result:
        nonlocal total
        future, price = held.popleft()
        total -= price
        return future.result()

    pool = concurrent.futures.ThreadPoolExecutor(workers)
    iterator, failed = iter(items), None
    try:
        while True:
            try:
                item = next(iterator)
            except StopIteration:
                break
            except Exception as error:
                failed = error
                break
            price = cost(item)
            while held and total + price > most_cost:
                yield oldest()
            held.append((pool.submit(function, item), price))
            total += price
            # Nothing may hold on to large items while the next ones are made.
            del item
            while held and (len(held) >= most or total > most_cost):
                yield oldest()
        while held:
            yield oldest()
        if failed is not None:
            raise failed
    finally:
        pool.shutdown(cancel_futures=True)
