"""Shows how far a command is."""

from collections.abc import Iterable


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
