"""Tables for people, as text, Markdown and LaTeX, with their best values marked."""

import dataclasses
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

from densefuse_tf.errors import one_line

_Key = TypeVar("_Key", bound=Hashable)

_ARROWS = {"↑": "higher is better", "↓": "lower is better"}
_TEXT_MARKS = {1: "*", 2: "'"}
_MARKDOWN_MARKS = {1: "**{}**", 2: "*{}*"}
_LATEX_MARKS = {1: r"\textbf{{{}}}", 2: r"\textit{{{}}}"}
# A bar would end the cell, and < begin a tag.
_MARKDOWN_LETTERS = {"|": r"\|", "<": "&lt;"}
_LATEX_LETTERS = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "λ": r"$\lambda$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}


@dataclasses.dataclass(frozen=True)
class Table:
    """Holds a table of text.

    Attributes:
      cells: A header, then the rows, all of one length. What would break a line, as
        the name of a file may, is written as an escape.
      left: The number of columns aligned to the left; the others to the right.
      ranks: By the indices of row and column in `cells`: 1 for the best value, 2 for
        the second best, 0 for others; cells that are missing are others.
      marks: Says what other marks in the cells mean.
    """

    cells: Sequence[Sequence[str]]
    left: int = 1
    ranks: Mapping[tuple[int, int], int] = dataclasses.field(default_factory=dict)
    marks: Sequence[str] = ()

    def __post_init__(self):
        """Makes each cell one line."""
        cells = [[one_line(cell) for cell in row] for row in self.cells]
        object.__setattr__(self, "cells", cells)

    def legend(self, best: str, second: str) -> str:
        """Returns a line that explains the marks, "" for a table without any.

        Args:
          best: How the best values are marked.
          second: How the second best ones are.
        """
        cells = [cell for row in self.cells for cell in row]
        arrows = [
            f"{arrow} {meaning}"
            for arrow, meaning in _ARROWS.items()
            if any(arrow in cell for cell in cells)
        ]
        names = {1: f"{best} the best", 2: f"{second} the second best"}
        places = [names[n] for n in sorted(names.keys() & set(self.ranks.values()))]
        return ", ".join([*arrows, *self.marks, *places])

    def text(self) -> str:
        """Returns the table for a terminal; * marks the best, ' the second best."""
        marked_columns = {column for (_, column), place in self.ranks.items() if place}
        cells = [
            [
                cell + _TEXT_MARKS.get(self.ranks.get((i, j), 0), " ")
                if j in marked_columns
                else cell
                for j, cell in enumerate(row)
            ]
            for i, row in enumerate(self.cells)
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = []
        for row in cells:
            padded = [
                cell.ljust(width) if index < self.left else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("  ".join(padded).rstrip())
        return "\n".join(lines)

    def markdown(self) -> str:
        """Returns the table in Markdown: best values bold, second best in italics."""
        right = len(self.cells[0]) - self.left
        rule = "|" + "|".join(["---"] * self.left + ["---:"] * right) + "|"
        marked = self._escaped(_MARKDOWN_LETTERS)._marked(_MARKDOWN_MARKS)
        header, *rows = ("| " + " | ".join(row) + " |" for row in marked)
        return "\n".join([header, rule, *rows]) + "\n"

    def latex(self) -> str:
        """Returns a LaTeX tabular for the package booktabs."""
        right = len(self.cells[0]) - self.left
        marked = self._escaped(_LATEX_LETTERS)._marked(_LATEX_MARKS)
        header, *rows = (" & ".join(row) + r" \\" for row in marked)
        return "\n".join(
            [
                rf"\begin{{tabular}}{{{'l' * self.left}{'r' * right}}}",
                *(r"\toprule", header, r"\midrule", *rows, r"\bottomrule"),
                r"\end{tabular}",
                "",
            ]
        )

    def _escaped(self, letters: Mapping[str, str]) -> "Table":
        cells = [
            ["".join(letters.get(c, c) for c in cell) for cell in row]
            for row in self.cells
        ]
        return dataclasses.replace(self, cells=cells)

    def _marked(self, marks: Mapping[int, str]) -> list[list[str]]:
        return [
            [
                marks.get(self.ranks.get((i, j), 0), "{}").format(cell)
                for j, cell in enumerate(row)
            ]
            for i, row in enumerate(self.cells)
        ]


def rank(
    values: Mapping[_Key, float], *, higher_is_better: bool = True
) -> dict[_Key, int]:
    """Finds the best and the second best of some values by any key.

    Returns:
      1 or 2 by the keys of the values that have this rank; equal values share it. NaN
      has none. Of two values only the best is ranked, and one alone is not.
    """
    defined = {key: value for key, value in values.items() if not math.isnan(value)}
    places = {0: 0, 1: 0, 2: 1}.get(len(defined), 2)
    best = sorted(set(defined.values()), reverse=higher_is_better)[:places]
    return {
        key: best.index(value) + 1 for key, value in defined.items() if value in best
    }


def number(value: float) -> str:
    """Returns a value with five decimals as the paper has them, "-" for NaN, "inf"."""
    return "-" if math.isnan(value) else f"{value:.5f}"


def exact(value: float) -> str:
    """Returns a value with all its digits for a CSV file, nothing for NaN."""
    return "" if math.isnan(value) else repr(value)


def listed(names: Iterable[str]) -> str:
    """Returns "a", "a and b", "a, b and c" or "none"."""
    *first, last = list(names) or ["none"]
    return f"{', '.join(first)} and {last}" if first else last
