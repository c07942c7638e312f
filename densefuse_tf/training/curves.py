"""The training curves of the paper, Figures 5 and 6, drawn from histories."""

import os
from collections.abc import Mapping, Sequence

from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.training import history

# What a figure shows: column of the history, title, whether the axis is logarithmic.
FIGURE_5 = (
    ("pixel_loss", "Pixel loss", True),
    ("ssim_loss", "SSIM loss", True),
    ("total_loss", "Total loss", True),
)
FIGURE_6 = (
    ("val_pixel_loss", "Pixel loss, validation", True),
    ("val_ssim", "SSIM, validation", False),
)
LAST_ITERATION = 5000


def draw(
    histories: Mapping[str, Sequence[history.Row]],
    panels: Sequence[tuple[str, str, bool]],
    path: str | os.PathLike,
    *,
    last_iteration: int = LAST_ITERATION,
) -> None:
    """Draws one figure, a panel per quantity and a curve per history.

    Args:
      histories: Rows by the name of the curve, for instance "1e2" for lambda = 100.
      panels: FIGURE_5 or FIGURE_6.
      path: The picture; its suffix says the format.
      last_iteration: Where the curves end.

    Raises:
      UserError: A history has no point up to last_iteration, or the picture cannot be
        written.
    """
    # The object interface needs no display and leaves no state behind.
    from matplotlib.figure import Figure

    for name, rows in histories.items():
        if not any(row.iteration <= last_iteration for row in rows):
            raise UserError(
                f"the history of {name} has no point up to iteration {last_iteration}"
            )
    figure = Figure(figsize=(4.6 * len(panels), 3.6), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (column, title, logarithmic) in zip(axes, panels, strict=True):
        for name, rows in histories.items():
            shown = [row for row in rows if row.iteration <= last_iteration]
            axis.plot(
                [row.iteration for row in shown],
                [getattr(row, column) for row in shown],
                linewidth=1.2,
                label=f"λ = {name}",
            )
        axis.set_title(title)
        axis.set_xlabel("iteration")
        if logarithmic:
            axis.set_yscale("log")
        else:
            # SSIM starts near 0; what tells the curves apart is close to 1.
            axis.set_ylim(0.96, 1.0)
        axis.grid(alpha=0.3)
    axes[0].legend()
    with files.replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
