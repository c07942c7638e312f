"""The tables of evaluated files and of methods."""

from densefuse_tf.evaluation import report
from densefuse_tf.evaluation.scoring import Evaluated
from densefuse_tf.metrics._evaluate import TABLE_2


def evaluated():
    first = dict(zip(TABLE_2, (6, 0.5, 1.5, 0.4, 0.3, 0.7, 0.9), strict=True))
    second = {name: value / 3 for name, value in first.items()}
    return [Evaluated("VIS1", first), Evaluated("a,b", second)]


def test_table_of_files_ends_with_the_mean():
    cells = report.of_files(evaluated()).cells
    assert cells[0] == ["pair", *(f"{name} ↑" for name in TABLE_2)]
    assert cells[1][:3] == ["VIS1", "6.00000", "0.50000"]
    assert cells[3][:3] == ["mean", "4.00000", "0.33333"]
    rows = report.csv_of_files(evaluated())
    assert [row[0] for row in rows] == ["pair", "VIS1", "a,b", "mean"]
    assert [float(cell) for cell in rows[2][1:]] == list(evaluated()[1].values.values())


def test_table_of_methods_has_mean_and_standard_deviation():
    first, second = evaluated()
    table = report.of_methods({"one": [first, second], "two": [first]})
    assert table.cells[1][:3] == ["one", "4.00000 ± 2.00000", "0.33333 ± 0.16667"]
    assert table.cells[2][1] == "6.00000 ± 0.00000"
    assert table.ranks[2, 1] == 1 and table.ranks[1, 1] == 0
    rows = report.csv_of_methods({"one": [first, second], "two": [first]})
    assert [row[:2] for row in rows[1:]] == [
        *(["one", "VIS1"], ["one", "a,b"], ["two", "VIS1"])
    ]
