"""history.csv: the curves of one training run, a row for each point."""

import csv
import dataclasses
import os
from collections.abc import Sequence

from densefuse_tf.errors import UserError
from densefuse_tf.io import files


@dataclasses.dataclass(frozen=True)
class Row:
    """Holds a point of the curves.

    The training losses are means over the iterations since the row before; the
    validation values are those of the weights at this iteration. Losses are those of
    the run's recipe, val_ssim is always the full index on a range of 255.
    """

    iteration: int
    pixel_loss: float
    ssim_loss: float
    total_loss: float
    val_pixel_loss: float
    val_ssim: float


COLUMNS = tuple(field.name for field in dataclasses.fields(Row))


def write(rows: Sequence[Row], path: str | os.PathLike) -> None:
    """Writes all rows, replacing the file in one step."""
    files.write_rows(path, COLUMNS, map(dataclasses.astuple, rows))


def read(path: str | os.PathLike) -> list[Row]:
    """Reads the rows of a file that `write` made.

    Raises:
      UserError: It cannot be read, or is no history.
    """
    try:
        with open(path, newline="") as file:
            names, *lines = csv.reader(file)
        if tuple(names) != COLUMNS:
            raise ValueError(f"expected the columns {', '.join(COLUMNS)}")
        return [Row(int(line[0]), *map(float, line[1:])) for line in lines]
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read as a history: {reason}") from error
