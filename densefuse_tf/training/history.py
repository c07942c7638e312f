"""history.csv: the curves of one training run, a row for each point."""

import csv
import dataclasses
import os
import pathlib
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
    path = pathlib.Path(path)
    try:
        with open(path, newline="") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != COLUMNS:
                raise UserError(f"{path}: expected the columns {', '.join(COLUMNS)}")
            return [
                Row(int(line["iteration"]), *(float(line[c]) for c in COLUMNS[1:]))
                for line in reader
            ]
    except (OSError, ValueError, TypeError) as error:
        if isinstance(error, UserError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read as a history: {reason}") from error
