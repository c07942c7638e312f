"""Shows how far a command is."""

import threading
from collections.abc import Iterable, Iterator


def bar(items: Iterable | None, count: int, unit: str, **settings):
    """Shows a bar with items per second on a terminal.

    Args:
      items: What is iterated; None where `update` is called.
      count: How many items there are.
      unit: What they are called.
      **settings: Others of tqdm's.
    """
    import tqdm

    return tqdm.tqdm(
        items,
        total=count,
        unit=unit,
        bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, "
        "{rate_noinv_fmt}]",
        disable=None,
        **settings,
    )


def frames(items: Iterable, total: int | None, what: str) -> Iterable:
    """Shows a bar with frames per second; without a terminal there is none.

    Args:
      items: One for each frame.
      total: How many there are; None where that is not known yet.
      what: Says what is done with them. The bar of the fusing or evaluating stays.
    """
    import tqdm

    return tqdm.tqdm(
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
        disable=None,
        leave=what in ("fusing", "evaluating"),
    )


def elapsed(items: Iterable, what: str) -> Iterator:
    """Shows what is done and for how long, anew each second, until all items are there.

    Without a terminal nothing is shown.
    """
    import tqdm

    line = tqdm.tqdm(desc=what, bar_format="{desc} [{elapsed}]", disable=None)
    done = threading.Event()

    def show() -> None:
        while not done.wait(1):
            line.refresh()

    thread = threading.Thread(target=show, daemon=True)
    if not line.disable:
        thread.start()
    try:
        yield from items
    finally:
        done.set()
        if thread.ident is not None:
            thread.join()
        line.close()
