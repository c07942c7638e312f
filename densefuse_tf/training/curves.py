"""The training curves of the paper, Figures 5 and 6, drawn from histories."""

import math
import os
import pathlib
from collections.abc import Mapping, Sequence

from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.training import folder

LAST_ITERATION = 5000


def label(path: str | os.PathLike, name: str | None = None) -> str:
    """Makes the legend of a curve, which says what lambda the run had.

    Args:
      path: The history. The config.json of the run tells lambda where it lies beside.
      name: What the user calls the run; taken as its lambda where it is a number and
        there is no config.json.
    """
    described = folder.read_config(pathlib.Path(path).parent)
    number = _number(name)
    if described is None:
        if name is None:
            raise UserError(
                f"{path}: has no {folder.CONFIG} beside it that tells lambda: expected "
                "NAME=FILE"
            )
        return name if number is None else f"λ = {name}"
    weight = described["settings"]["ssim_weight"]
    if not isinstance(weight, int | float):
        raise UserError(
            f"{path}: the {folder.CONFIG} beside it has an ssim_weight of {weight!r}: "
            "expected a number"
        )
    if name is None:
        return f"λ = {weight:g}"
    return f"λ = {name}" if number == weight else f"{name}, λ = {weight:g}"


def _number(name: str | None) -> float | None:
    try:
        return None if name is None else float(name)
    except ValueError:
        return None


def draw(
    histories: Mapping[str, Sequence[dict[str, float]]],
    path: str | os.PathLike,
    *,
    validation: bool = False,
    last_iteration: int = LAST_ITERATION,
) -> None:
    """Draws Figure 5 or 6, a panel for each column of the histories, a curve for each.

    Args:
      histories: Rows by the legend of the curve, for instance "λ = 100".
      path: The picture, in the format of its suffix.
      validation: Draw what was validated, Figure 6, not the training losses, Figure 5.
      last_iteration: Where the curves end.
    """
    # The object interface needs no display and leaves no state behind.
    from matplotlib.figure import Figure

    for name, rows in histories.items():
        if not any(row["iteration"] <= last_iteration for row in rows):
            raise UserError(
                f"the history of {name} has no point up to iteration {last_iteration}"
            )
    columns = dict.fromkeys(
        name
        for rows in histories.values()
        for name in rows[0]
        if name != "iteration" and name.startswith("val_") == validation
    )
    figure = Figure(figsize=(4.6 * len(columns), 3.6), layout="constrained")
    axes = figure.subplots(1, len(columns), squeeze=False)[0]
    for axis, column in zip(axes, columns, strict=True):
        for name, rows in histories.items():
            shown = [row for row in rows if row["iteration"] <= last_iteration]
            axis.plot(
                [row["iteration"] for row in shown],
                # One recipe may have a term that another has not.
                [row.get(column, math.nan) for row in shown],
                linewidth=1.2,
                # A line through one point shows nothing.
                marker="o" if len(shown) == 1 else None,
                label=name,
            )
        axis.set_xlabel("iteration")
        axis.set_ylabel(_name(column))
        if column == "val_ssim":
            # SSIM starts near 0; what tells the curves apart is close to 1.
            axis.set_ylim(0.96, 1.0)
        else:
            axis.set_yscale("log")
        axis.grid(alpha=0.3)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _name(column: str) -> str:
    """Makes "SSIM, validation" of val_ssim."""
    words = column.removeprefix("val_").replace("_", " ").capitalize()
    words = words.replace("Ssim", "SSIM")
    return f"{words}, validation" if column.startswith("val_") else words
