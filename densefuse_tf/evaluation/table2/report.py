"""Table II: this run's rows beside the paper's, and what the paper says of them."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from densefuse_tf.evaluation import report
from densefuse_tf.evaluation import scoring
from densefuse_tf.evaluation import tables
from densefuse_tf.evaluation.table2 import paper
from densefuse_tf.evaluation.table2.paper import METRICS
from densefuse_tf.evaluation.table2.reproduce import EntryResult
from densefuse_tf.evaluation.tables import Table


@dataclasses.dataclass(frozen=True)
class TableRow:
    """Holds a row of Table II: this run's means by metric, and the paper's.

    Attributes:
      name: The strategy, or the name of another method.
      lambda_: The lambda; empty for another method.
      values: Empty for what was not run.
      paper: Empty for a method that is not in the paper.
    """

    name: str
    lambda_: str
    values: Mapping[str, float]
    paper: Mapping[str, float]

    @property
    def key(self) -> tuple[str, str]:
        """Name and lambda, as `paper.rows` has them."""
        return self.name, self.lambda_

    @property
    def title(self) -> str:
        """The row in words: "addition, 1e2"."""
        return ", ".join(filter(None, self.key))

    def difference(self, metric: str) -> float:
        """Returns (value - paper) / paper, or NaN where one of them is missing."""
        if not (self.values and self.paper):
            return float("nan")
        return self.values[metric] / self.paper[metric] - 1


@dataclasses.dataclass(frozen=True)
class Summary:
    """Says how far some rows are from the paper, in relative differences.

    Attributes:
      cells: The number of cells that were compared.
      mean: The mean of the absolute differences.
      worst: The difference of largest absolute value, with its sign, which is in the
        cell of `row` and `metric`.
    """

    cells: int
    mean: float
    worst: float
    row: TableRow
    metric: str


def rows(
    results: Iterable[EntryResult], *, averages: str = "uniform"
) -> list[TableRow]:
    """Averages the rows of the table and puts them in the paper's order.

    The six methods of the paper come first, with values if there are any; then other
    methods; then the strategies and lambdas there are results for, the paper's first.
    `averages`, one of `settings.AVERAGES`, decides which pairs each cell averages.
    """
    by_row: dict[tuple[str, str], dict[int, Mapping[str, float]]] = {}
    for result in results:
        own = by_row.setdefault(result.entry.key, {})
        own[result.pair.number] = result.values
    means = {
        (name, lambda_): {
            metric: scoring.average(
                values[metric]
                for n, values in own.items()
                if n in paper.averaged_pairs(name, metric, averages)
            )
            for metric in METRICS
        }
        for (name, lambda_), own in by_row.items()
    }
    in_paper = paper.rows()
    keys = [key for key in in_paper if not key[1]]
    keys += [key for key in means if not key[1] and key not in in_paper]
    keys += [key for key in in_paper if key[1] and key in means]
    keys += [key for key in means if key[1] and key not in in_paper]
    return [TableRow(*key, means.get(key, {}), in_paper.get(key, {})) for key in keys]


def of_table2(rows: Sequence[TableRow]) -> Table:
    """Makes Table II with up to three lines a row: this run, the paper, the difference.

    The best and second best values are marked among this run's rows, and among all
    rows of the paper.
    """
    in_run = {row.key: row.values for row in rows if row.values}
    of_run, of_paper = (report.ranks(each, METRICS) for each in (in_run, paper.rows()))
    cells = [["method", "lambda", "", *METRICS]]
    ranks = {}
    for row in rows:
        start = [*row.key]
        for label, values, own in (
            ("run", row.values, of_run),
            ("paper", row.paper, of_paper),
        ):
            if values:
                for column, metric in enumerate(METRICS, start=3):
                    ranks[len(cells), column] = own.get((row.key, metric), 0)
                cells.append(
                    [*start, label, *(tables.number(values[m]) for m in METRICS)]
                )
                start = ["", ""]
        if row.values and row.paper:
            differences = [100 * row.difference(metric) for metric in METRICS]
            shown = ("-" if np.isnan(d) else f"{d:+.2f} %" for d in differences)
            cells.append([*start, "diff", *shown])
    return Table(cells, left=3, ranks=ranks, marks=["diff (run - paper) / paper"])


def summarize(rows: Iterable[TableRow]) -> Summary | None:
    """Finds worst and mean absolute difference; None where nothing was compared."""
    cells = [
        (difference, row, metric)
        for row in rows
        for metric in METRICS
        if not np.isnan(difference := row.difference(metric))
    ]
    if not cells:
        return None
    worst, row, metric = max(cells, key=lambda cell: abs(cell[0]))
    mean = float(np.mean([abs(difference) for difference, _, _ in cells]))
    return Summary(len(cells), mean, worst, row, metric)


def describe(rows: Sequence[TableRow]) -> list[str]:
    """Says how far DenseFuse, each strategy and other methods are from the paper."""
    groups = {"DenseFuse": [row for row in rows if row.lambda_]}
    for strategy in paper.STRATEGIES:
        groups[strategy] = [row for row in rows if row.name == strategy]
    groups["other methods"] = [row for row in rows if not row.lambda_]
    lines = []
    for name, group in groups.items():
        found = summarize(group)
        if found is not None:
            lines.append(
                f"{name}: {found.cells} cells, mean absolute difference "
                f"{100 * found.mean:.2f} %, worst {100 * found.worst:+.2f} % "
                f"({found.row.title}, {found.metric})"
            )
    return lines


def claims(rows: Sequence[TableRow]) -> list[str]:
    """Checks what section IV-C says of DenseFuse's best values, over the 14 rows.

    Returns:
      What the paper says, what these rows give, and where they differ, who is ahead; or
      which rows are missing. Nothing if no other method of the paper was run.
    """
    rows = [row for row in rows if row.paper]
    if not any(row.values for row in rows if not row.lambda_):
        return []
    missing = [row.name for row in rows if not row.values]
    if {row.key for row in rows} != set(paper.rows()):
        missing.append("all of DenseFuse")
    if missing:
        return [
            "the claims of section IV-C are not checked, which needs all 14 rows: run "
            f"{tables.listed(missing)} as well"
        ]
    places = {metric: _place(rows, metric) for metric in METRICS}
    claimed = _claim(paper.CLAIMED_BEST, paper.CLAIMED_SECOND)
    here = _claim(*([m for m in METRICS if places[m] == n] for n in (1, 2)))
    lines = [f"section IV-C: in the paper DenseFuse is {claimed}; here it is {here}"]
    for metric in METRICS:
        if places[metric] != (1 if metric in paper.CLAIMED_BEST else 2):
            best, own = (
                max(group, key=lambda row: _or_least(row.values[metric]))
                for group in (rows, [row for row in rows if row.lambda_])
            )
            lines.append(
                f"{metric}: {best.title} has the largest value, "
                f"{tables.number(best.values[metric])}; the largest of DenseFuse is "
                f"{tables.number(own.values[metric])} ({own.title})"
            )
    return lines


def _claim(best: Sequence[str], second: Sequence[str]) -> str:
    return (
        f"best in {len(best)} metrics ({tables.listed(best)}) and second best in "
        f"{len(second)} ({tables.listed(second)})"
    )


def _place(rows: Sequence[TableRow], metric: str) -> int:
    """Returns the place of DenseFuse's best row among DenseFuse and other methods."""
    own = max(_or_least(row.values[metric]) for row in rows if row.lambda_)
    return 1 + sum(
        _or_least(row.values[metric]) > own for row in rows if not row.lambda_
    )


def _or_least(value: float) -> float:
    return -np.inf if np.isnan(value) else value


def undefined(results: Iterable[EntryResult]) -> list[str]:
    """Says which values are undefined and left out of the averages."""
    pairs: dict[str, list[str]] = {}
    for result in results:
        if np.isnan(result.values["SCD"]):
            pairs.setdefault(result.entry.title, []).append(str(result.pair.number))
    return [
        f"SCD of {name} is 0/0 and left out for pair {tables.listed(numbers)}, where "
        "the fused image equals a source"
        for name, numbers in pairs.items()
    ]


def csv_of_table2(rows: Sequence[TableRow]) -> list[list[str]]:
    """Returns header and rows of a CSV file: each cell that has a value.

    relative_difference is (value - paper) / paper; it and paper are empty for a method
    that is not in the paper. `strategy` has the name of another method, without lambda.
    """
    header = ["strategy", "lambda", "metric", "value", "paper", "relative_difference"]
    return [
        header,
        *(
            [
                *row.key,
                metric,
                tables.exact(row.values[metric]),
                f"{row.paper[metric]:.5f}" if row.paper else "",
                tables.exact(row.difference(metric)),
            ]
            for row in rows
            if row.values
            for metric in METRICS
        ),
    ]


def csv_of_pairs(results: Iterable[EntryResult]) -> list[list[str]]:
    """Returns header and rows of a CSV file: each pair of each row of Table II."""
    return [
        ["strategy", "lambda", "pair", *METRICS],
        *(
            [
                *result.entry.key,
                str(result.pair.number),
                *map(tables.exact, result.values.values()),
            ]
            for result in results
        ),
    ]
