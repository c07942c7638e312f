"""Tables as text, Markdown and LaTeX."""

import math

from densefuse_tf.evaluation import tables

TABLE = tables.Table(
    [["method", "A_1", "B"], ["one & two", "1.5", "0.25"], ["λ 3", "-", "10.125"]],
    ranks={(1, 1): 1, (1, 2): 2, (2, 2): 1},
)


def test_text_is_aligned_and_marks_best_and_second_best():
    assert TABLE.text().splitlines() == [
        "method     A_1        B",
        "one & two  1.5*    0.25'",
        "λ 3          -   10.125*",
    ]


def test_a_legend_explains_the_marks_that_there_are():
    assert TABLE.legend("*", "'") == "* the best, ' the second best"
    assert tables.Table([["A"], ["1"]]).legend("*", "'") == ""
    table = tables.Table([["A ↑"], ["1 ± 2"]], ranks={(1, 0): 1}, marks=["± sd"])
    assert table.legend("bold", "italics") == "↑ higher is better, ± sd, bold the best"


def test_markdown_has_best_bold_and_second_best_in_italics():
    assert TABLE.markdown().splitlines() == [
        "| method | A_1 | B |",
        "|---|---:|---:|",
        "| one & two | **1.5** | *0.25* |",
        "| λ 3 | - | **10.125** |",
    ]


def test_latex_is_a_booktabs_tabular_with_letters_escaped():
    assert TABLE.latex().splitlines() == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"method & A\_1 & B \\",
        r"\midrule",
        r"one \& two & \textbf{1.5} & \textit{0.25} \\",
        r"$\lambda$ 3 & - & \textbf{10.125} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_latex_escapes_each_letter_that_it_would_read():
    table = tables.Table([["method"], ["&%$#_{}"], ["\\~^"]])
    rows = table.latex().splitlines()[4:]
    assert rows[0] == r"\&\%\$\#\_\{\} \\"
    assert rows[1] == r"\textbackslash{}\textasciitilde{}\textasciicircum{} \\"


def test_rank_finds_the_two_largest_values():
    assert tables.rank({"a": 1.0, "b": 3.0, "c": 2.0}) == {"b": 1, "c": 2}
    assert tables.rank({"a": 3.0, "b": 3.0, "c": 2.0}) == {"a": 1, "b": 1, "c": 2}
    assert tables.rank({"a": 1.0, "b": 3.0}) == {"b": 1}
    assert tables.rank({"a": 1.0, "b": math.nan}) == {}
    assert tables.rank({"a": 1.0, "b": math.inf, "c": 2.0}) == {"b": 1, "c": 2}
    errors = {"a": 1.0, "b": 3.0, "c": 2.0}
    assert tables.rank(errors, higher_is_better=False) == {"a": 1, "c": 2}


def test_undefined_values_are_no_numbers():
    assert tables.number(math.nan) == "-" and tables.exact(math.nan) == ""
    assert tables.number(1 / 3) == "0.33333" and float(tables.exact(1 / 3)) == 1 / 3


def test_names_are_listed_in_words():
    assert [tables.listed(names) for names in ((), ("a",), ("a", "b", "c"))] == [
        *("none", "a", "a, b and c")
    ]


def test_names_of_files_break_no_table():
    table = tables.Table([["pair|1", "A"], ["a\nb\x1b[2J", "<b>|"]])
    assert table.text().splitlines() == [
        r"pair|1          A",
        r"a\nb\x1b[2J  <b>|",
    ]
    assert table.markdown().splitlines() == [
        r"| pair\|1 | A |",
        "|---|---:|",
        r"| a\nb\x1b[2J | &lt;b>\| |",
    ]
    assert len(table.latex().splitlines()) == 7
