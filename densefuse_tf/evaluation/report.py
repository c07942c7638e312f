"""The tables of evaluated files, of methods, and of the metrics there are."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from densefuse_tf import metrics
from densefuse_tf.evaluation import scoring
from densefuse_tf.evaluation import tables
from densefuse_tf.evaluation.scoring import Evaluated
from densefuse_tf.evaluation.tables import Table

# Fused files


def of_files(results: Sequence[Evaluated]) -> Table:
    """Makes the table of one set of files: a row for each pair, and their mean."""
    return Table(
        [
            ["pair", *_with_arrows(results[0].values)],
            *(
                [name, *map(tables.number, values.values())]
                for name, values in _with_mean(results)
            ),
        ]
    )


def of_frames(results: Sequence[Evaluated]) -> Table:
    """Makes the table of one sequence: what each metric is over its frames."""
    names = list(results[0].values)
    columns = [[result.values[name] for result in results] for name in names]
    return of_columns(names, columns, "frames")


def of_columns(
    names: Sequence[str], columns: Sequence[Sequence[float]] | np.ndarray, what: str
) -> Table:
    """Makes the table of what each metric is over very many pairs or frames.

    Args:
      names: The metrics.
      columns: The values of each.
      what: What has these values: "pairs".
    """
    defined = [
        [value for value in column if not np.isnan(value)] or [float("nan")]
        for column in columns
    ]
    rows = {
        "mean": map(scoring.average, columns),
        "standard deviation": map(_deviation, columns),
        "minimum": map(min, defined),
        "maximum": map(max, defined),
    }
    return Table(
        [
            [f"{what}: {len(columns[0])}", *_with_arrows(names)],
            *([name, *map(tables.number, values)] for name, values in rows.items()),
        ]
    )


def csv_of_files(results: Sequence[Evaluated], *, one: str = "pair") -> list[list[str]]:
    """Returns header and rows for a CSV file, with all digits, and the mean.

    The first column is headed `one`: what each result is of, a pair or a frame.
    """
    return [
        [one, *results[0].values],
        *(
            [name, *map(tables.exact, values.values())]
            for name, values in _with_mean(results)
        ),
    ]


def _with_mean(
    results: Sequence[Evaluated],
) -> list[tuple[str, Mapping[str, float]]]:
    rows = [(result.pair, result.values) for result in results]
    return [*rows, ("mean", scoring.mean(values for _, values in rows))]


def _with_arrows(names: Iterable[str]) -> list[str]:
    """Returns the heads of the columns: each metric with its direction."""
    return [f"{name} {metrics.METRICS[name].arrow}" for name in names]


# Methods on one set of sources


def of_methods(results: Mapping[str, Sequence[Evaluated]]) -> Table:
    """Makes the table of methods: mean ± standard deviation over the pairs of each."""
    means = {
        name: scoring.mean(each.values for each in own) for name, own in results.items()
    }
    names = _names(results)
    places = ranks(means, names)
    cells = [["method", *_with_arrows(names)]]
    marked = {}
    for method, own in results.items():
        shown = []
        for column, metric in enumerate(names, start=1):
            marked[len(cells), column] = places.get((method, metric), 0)
            deviation = _deviation([each.values[metric] for each in own])
            shown.append(
                f"{tables.number(means[method][metric])} ± {tables.number(deviation)}"
            )
        cells.append([method, *shown])
    return Table(cells, ranks=marked, marks=["± the standard deviation"])


def _names(results: Mapping[str, Sequence[Evaluated]]) -> list[str]:
    """Returns the names of the metrics, which all results have."""
    return list(next(iter(results.values()))[0].values)


def _deviation(values: Sequence[float]) -> float:
    """Returns the standard deviation; NaN, undefined, where a value is not finite."""
    return float(np.std(values)) if np.isfinite(values).all() else float("nan")


def csv_of_methods(
    results: Mapping[str, Sequence[Evaluated]], *, one: str = "pair"
) -> list[list[str]]:
    """Returns header and rows of a CSV file: each pair, or frame, of each method."""
    return [
        ["method", one, *_names(results)],
        *(
            [name, each.pair, *map(tables.exact, each.values.values())]
            for name, own in results.items()
            for each in own
        ),
    ]


def ranks(
    rows: Mapping[Any, Mapping[str, float]], names: Iterable[str]
) -> dict[tuple[Any, str], int]:
    """Ranks each metric over rows, by its direction; see `tables.rank`.

    The rows are values by metric, by any key; the ranks are by key and metric.
    """
    return {
        (key, metric): place
        for metric in names
        for key, place in tables.rank(
            {key: values[metric] for key, values in rows.items()},
            higher_is_better=metrics.METRICS[metric].higher_is_better,
        ).items()
    }


# The metrics themselves


def of_metrics() -> Table:
    """Makes the table of the metrics there are."""
    cells = [["metric", "", "range", "conventions", "title", "paper"]]
    for metric in metrics.METRICS.values():
        low, high = metric.range
        cells.append(
            [
                metric.name,
                metric.arrow,
                f"{low:.4g}..{high:.4g}",
                ", ".join(metric.conventions),
                metric.title,
                metric.reference,
            ]
        )
    return Table(cells, left=len(cells[0]))
