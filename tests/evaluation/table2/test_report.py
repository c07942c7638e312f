"""What comes out of Table II: rows, differences, claims, and pictures."""

import csv
import math
import types

import numpy as np
import pytest

from densefuse_tf.evaluation.table2 import figures
from densefuse_tf.evaluation.table2 import inputs
from densefuse_tf.evaluation.table2 import paper
from densefuse_tf.evaluation.table2 import report
from densefuse_tf.evaluation.table2 import rows as table_rows
from densefuse_tf.evaluation.table2.reproduce import EntryResult
from densefuse_tf.io import images
from densefuse_tf.io import texts


def result(name, lambda_, number, values, path=None):
    entry = table_rows.Entry(name, lambda_, (), dict)
    pair = types.SimpleNamespace(number=number)
    return EntryResult(entry, pair, path, values)


def made_up(factor=1.0, *, others=False):
    """Results whose means are the paper's values times a factor."""
    return [
        result(*key, n, {m: factor * share * v for m, v in values.items()})
        for key, values in paper.rows().items()
        if key[1] or others
        for n, share in ((1, 0.5), (2, 1.5))
    ]


def test_rows_are_in_the_papers_order_with_differences():
    rows = report.rows([result("new", "", 1, paper.rows()["CBF", ""]), *made_up(1.02)])
    keys = [(row.name, row.lambda_) for row in rows]
    assert keys == [*list(paper.rows())[:6], ("new", ""), *list(paper.rows())[6:]]
    for row in rows[7:]:
        for metric in paper.METRICS:
            assert row.difference(metric) == pytest.approx(0.02)
    assert not rows[0].values and not rows[6].paper
    summary = report.summarize(rows)
    assert summary.cells == 56
    assert summary.mean == pytest.approx(0.02)


@pytest.mark.parametrize(("averages", "mean"), [("uniform", 1.0), ("paper", 2.0)])
def test_some_published_cells_average_pair_20_as_well(averages, mean):
    values = {n: dict.fromkeys(paper.METRICS, 1.0) for n in (1, 20)}
    values[20] = dict.fromkeys(paper.METRICS, 3.0)
    results = [result("CBF", "", n, own) for n, own in values.items()]
    row = report.rows(results, averages=averages)[0]
    assert row.values["SCD"] == row.values["MS_SSIM"] == mean
    assert row.values["En"] == row.values["FMI_w"] == 1.0


def test_description_names_the_worst_cell_either_way():
    results = made_up()
    for each in results:
        if each.entry.title == "l1_norm_1e3":
            each.values["Qabf"] *= 0.9
        if each.entry.title == "addition_1e0":
            each.values["En"] *= 1.05
    assert report.describe(report.rows(results)) == [
        "DenseFuse: 56 cells, mean absolute difference 0.27 %, worst -10.00 % "
        "(l1_norm, 1e3, Qabf)",
        "addition: 28 cells, mean absolute difference 0.18 %, worst +5.00 % (addition, "
        "1e0, En)",
        "l1_norm: 28 cells, mean absolute difference 0.36 %, worst -10.00 % (l1_norm, "
        "1e3, Qabf)",
    ]
    everything = report.describe(report.rows(made_up(1.01, others=True)))
    assert everything[-1].startswith("other methods: 42 cells, mean absolute diff")


def test_table_has_run_paper_and_difference_with_the_best_marked():
    table = report.of_table2(report.rows(made_up(0.99)))
    cells = table.cells
    assert cells[0] == ["method", "lambda", "", *paper.METRICS]
    assert cells[1][:4] == ["CBF", "", "paper", "6.81494"]
    assert cells[7][:4] == ["addition", "1e0", "run", "6.59617"]
    assert cells[8][:4] == ["", "", "paper", "6.66280"]
    assert cells[9][:4] == ["", "", "diff", "-1.00 %"]
    assert len(cells) == 1 + 6 + 3 * 8
    assert {len(row) for row in cells} == {10}
    marked = [
        [cells[line][column] for (line, column), own in table.ranks.items() if own == n]
        for n in (1, 2)
    ]
    # The paper's best FMI_w and MS_SSIM are those of other methods.
    assert {"6.84189", "0.53954", "0.93353"} <= set(marked[0])
    assert {"6.83278", "0.43224", "0.93039"} <= set(marked[1])
    # The ranks among the rows of this run.
    assert "0.42792" in marked[0] and "0.92109" in marked[0]


def test_undefined_values_are_left_out_and_never_shown():
    results = made_up(others=True)
    for each in results:
        if each.entry.name == "CNN":
            each.values["SCD"] = math.nan
        if each.entry.title == "addition_1e0" and each.pair.number == 1:
            each.values["SCD"] = math.nan
    rows = report.rows(results)
    assert rows[10].title == "l1_norm, 1e0"
    assert rows[6].values["SCD"] == pytest.approx(1.5 * 1.84929)
    text = report.of_table2(rows).text() + "".join(report.claims(rows))
    assert "nan" not in text
    for table in (report.csv_of_table2(rows), report.csv_of_pairs(results)):
        assert "nan" not in {cell for row in table for cell in row}
    assert report.undefined(results)[0].startswith("SCD of CNN is 0/0 and left out for")


def test_claims_hold_for_the_papers_numbers():
    assert report.claims(report.rows(made_up(others=True))) == [
        "section IV-C: in the paper DenseFuse is best in 5 metrics (En, Qabf, SCD, "
        "FMI_dct and SSIM_a) and second best in 2 (FMI_w and MS_SSIM); here it is best "
        "in 5 metrics (En, Qabf, SCD, FMI_dct and SSIM_a) and second best in 2 (FMI_w "
        "and MS_SSIM)"
    ]


def test_claims_say_who_is_ahead_where_they_fail():
    results = made_up(others=True)
    for each in results:
        if each.entry.name == "DeepFuse":
            each.values["SCD"] = 1.85782
    lines = report.claims(report.rows(results))
    assert "here it is best in 4 metrics (En, Qabf, FMI_dct and SSIM_a) and" in lines[0]
    assert "second best in 3 (SCD, FMI_w and MS_SSIM)" in lines[0]
    assert lines[1:] == [
        "SCD: DeepFuse has the largest value, 1.85782; the largest of DenseFuse is "
        "1.84929 (addition, 1e0)"
    ]


def test_claims_are_checked_over_all_14_rows_only():
    assert report.claims(report.rows(made_up())) == []
    some = [r for r in made_up(others=True) if r.entry.name not in ("JSR", "GTF")]
    (line,) = report.claims(report.rows(some))
    assert line.endswith("needs all 14 rows: run JSR and GTF as well")
    some = [r for r in made_up(others=True) if r.entry.lambda_ != "1e3"]
    (line,) = report.claims(report.rows(some))
    assert line.endswith("run all of DenseFuse as well")


def test_csv_has_a_row_for_each_cell(tmp_path):
    header, *rows = report.csv_of_table2(report.rows(made_up(1.01)))
    texts.write_rows(tmp_path / "table.csv", header, rows)
    with open(tmp_path / "table.csv", newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert reader.fieldnames == [
        *("strategy", "lambda", "metric", "value", "paper", "relative_difference")
    ]
    assert len(rows) == 56
    assert rows[0]["strategy"] == "addition" and rows[0]["metric"] == "En"
    for row in rows:
        value, printed = float(row["value"]), float(row["paper"])
        assert value == pytest.approx(1.01 * printed)
        difference = (value - printed) / printed
        assert float(row["relative_difference"]) == pytest.approx(difference)


def test_figure_shows_sources_methods_and_strategies(tiny, tmp_path):
    pairs = inputs.read_pairs(tiny)[:2]
    results = [
        result(strategy, lambda_, pair.number, {}, tiny / f"VIS{pair.number}.png")
        for pair in pairs
        for strategy, lambda_ in [
            *((s, name) for s in paper.STRATEGIES for name in paper.LAMBDAS),
            *((f"method {number}", "") for number in range(5)),
        ]
    ]
    picture = figures.figure(pairs[0], results)
    without = figures.figure(pairs[0], [r for r in results if r.entry.lambda_])
    # Sources and two strategies take three rows; five methods two more.
    assert picture.shape[0] == pytest.approx(without.shape[0] * 5 / 3, rel=0.05)
    written = list(figures.write(tmp_path / "panels", pairs, results))
    assert [path.name for path in written] == ["pair1.png", "pair2.png"]
    np.testing.assert_array_equal(images.read(written[0]), picture)
    assert (images.read(written[1]) != picture).any()
