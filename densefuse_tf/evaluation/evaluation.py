"""The seven metrics for sets of image files, several pairs side by side.

Needs no TensorFlow. `table2` evaluates what it fuses with the same functions.
"""

import contextlib
import dataclasses
import os
import pathlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from densefuse_tf import metrics
from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.io.ordered_map import ordered_map
from densefuse_tf.metrics.evaluate import TABLE_2

METRICS = TABLE_2
# An evaluation takes about 240 bytes for each pixel of the pair; this many pixels are
# in work at a time, or one pair if it is larger, so that memory stays near 1 GB.
_PIXELS_AT_ONCE = 4_000_000


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """The metrics of one fused image.

    Attributes:
      pair: What the pair is called: the name of the fused image, without its suffix.
      values: The seven metrics by name, in the paper's order.
      colored: Those of the three files that were turned to grey first.
    """

    pair: str
    values: dict[str, float]
    colored: tuple[pathlib.Path, ...] = ()


def read_gray(path: str | os.PathLike) -> tuple[np.ndarray, bool]:
    """Reads an image for the metrics, which are defined for 8-bit grey ones.

    Args:
      path: The file; see `images.read`.

    Returns:
      [H, W] uint8, and whether the file is in colour, of which this is the luma.

    Raises:
      UserError: The file cannot be read, or has more than 8 bits: how they become 8
        decides the entropy, so it is not chosen here.
    """
    image = images.read(path)
    if image.dtype != np.uint8:
        raise UserError(
            f"{os.fspath(path)}: has {image.dtype} values: expected an 8-bit image, "
            "which the metrics are defined for"
        )
    return pixels.gray(image), pixels.is_color(image)


def evaluate_files(
    triplets: Sequence[tuple[pathlib.Path, pathlib.Path, pathlib.Path]],
    *,
    workers: int | None = None,
) -> Iterator[Evaluated]:
    """Evaluates fused image files, several at a time.

    Args:
      triplets: Infrared, visible and fused image of each pair, as `images.pair`
        matches three sources.
      workers: Pairs evaluated at a time; by default one for each core.

    Yields:
      The results in the order of `triplets`. Colour images are turned to grey.

    Raises:
      UserError: A file cannot be evaluated; names it.
    """
    stems = [fused.stem for _, _, fused in triplets]
    unique = len(set(stems)) == len(stems)
    evaluate = Evaluator()

    def work(triplet: tuple[pathlib.Path, ...]) -> Evaluated:
        read = [read_gray(path) for path in triplet]
        return Evaluated(
            triplet[-1].stem if unique else str(triplet[-1]),
            evaluate(*(image for image, _ in read), name=str(triplet[-1])),
            tuple(
                path
                for path, (_, colored) in zip(triplet, read, strict=True)
                if colored
            ),
        )

    return side_by_side(work, triplets, workers=workers)


class Evaluator:
    """`metrics.evaluate` for several threads, within a limit on memory."""

    def __init__(self, pixels_at_once: int = _PIXELS_AT_ONCE):
        """Takes the most pixels, over all pairs, that are evaluated at a time."""
        self._limit = pixels_at_once
        self._in_work = 0
        self._changed = threading.Condition()

    def __call__(
        self, ir: np.ndarray, vis: np.ndarray, fused: np.ndarray, *, name: str
    ) -> dict[str, float]:
        """The seven metrics of one pair; see `metrics.evaluate`.

        Args:
          ir: Infrared image, [H, W] uint8.
          vis: Visible image, same size.
          fused: Fused image, same size.
          name: What an error calls the pair.

        Raises:
          UserError: The images cannot be evaluated.
        """
        with self._room(fused.size):
            try:
                return metrics.evaluate(ir, vis, fused)
            except UserError as error:
                raise UserError(f"{name}: {error}") from error

    @contextlib.contextmanager
    def _room(self, pixels: int) -> Iterator[None]:
        def fits() -> bool:
            return not self._in_work or self._in_work + pixels <= self._limit

        with self._changed:
            self._changed.wait_for(fits)
            self._in_work += pixels
        try:
            yield
        finally:
            with self._changed:
                self._in_work -= pixels
                self._changed.notify_all()


def side_by_side(
    function: Callable[[Any], Any], items: Iterable, *, workers: int | None = None
) -> Iterator:
    """Applies a function in threads; the results come in order.

    Args:
      function: Called with one item at a time.
      items: Taken in the calling thread, only a few more than are in work.
      workers: Threads; by default as many as this process may use cores.

    Yields:
      The results. The first exception of `items` or `function` ends it.
    """
    return ordered_map(function, items, workers=workers or cores())


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def mean(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Each metric's mean over pairs, as the paper averages.

    Args:
      rows: The metrics of one pair or more.
    """
    rows = list(rows)
    return {name: float(np.mean([row[name] for row in rows])) for name in METRICS}


def table(results: Sequence[Evaluated]) -> list[list[str]]:
    """The cells of a table for people: a header, a row for each pair and their mean."""
    return [
        ["pair", *METRICS],
        *(
            [name, *(f"{values[m]:.5f}" for m in METRICS)]
            for name, values in _with_mean(results)
        ),
    ]


def _with_mean(
    results: Sequence[Evaluated],
) -> list[tuple[str, Mapping[str, float]]]:
    rows = [(result.pair, result.values) for result in results]
    return [*rows, ("mean", mean(values for _, values in rows))]


def text(cells: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A table for the terminal: columns aligned, the first `left` ones to the left."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def markdown(cells: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """The same table in Markdown; ends with a newline."""
    header, *rows = ["| " + " | ".join(row) + " |" for row in cells]
    columns = len(cells[0])
    rule = "|" + "|".join(["---"] * left + ["---:"] * (columns - left)) + "|"
    return "\n".join([header, rule, *rows]) + "\n"


def write_csv(path: str | os.PathLike, results: Sequence[Evaluated]) -> None:
    """Writes one row for each pair and a last row `mean`.

    Args:
      path: The file; its columns are pair, En, Qabf, SCD, FMI_w, FMI_dct, SSIM_a and
        MS_SSIM.
      results: One or more.

    Raises:
      UserError: It cannot be written.
    """
    files.write_rows(
        path,
        ["pair", *METRICS],
        (
            [name, *(repr(values[m]) for m in METRICS)]
            for name, values in _with_mean(results)
        ),
    )
