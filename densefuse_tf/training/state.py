"""What a run saves beside its weights in order to go on exactly where it was."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.training import history
from densefuse_tf.training.trainer import STEP_LOSSES


@dataclasses.dataclass
class State:
    """The place of a run.

    Attributes:
      iteration: The number of steps done.
      next_position: Where the photographs go on; see `Photographs.training_batches`.
      rows: The points of the curves so far.
      sums: Sums of the step losses since the last of these points.
      num_summed: The number of steps in the sums.
    """

    iteration: int = 0
    next_position: int = 0
    rows: list[history.Row] = dataclasses.field(default_factory=list)
    sums: dict[str, float] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(STEP_LOSSES, 0.0)
    )
    num_summed: int = 0

    def count(self, losses: Mapping[str, float], *, last_position: int) -> None:
        """Counts a step that is done."""
        self.iteration += 1
        self.next_position = last_position + 1
        for name in STEP_LOSSES:
            self.sums[name] += float(losses[name])
        self.num_summed += 1

    def close_row(self, validation: Mapping[str, float]) -> history.Row:
        """Makes a point of the curves of the steps since the last one.

        Args:
          validation: pixel_loss and ssim of the validation images.
        """
        row = history.Row(
            iteration=self.iteration,
            **{name: total / self.num_summed for name, total in self.sums.items()},
            val_pixel_loss=validation["pixel_loss"],
            val_ssim=validation["ssim"],
        )
        self.rows.append(row)
        self.sums = dict.fromkeys(STEP_LOSSES, 0.0)
        self.num_summed = 0
        return row

    def save(
        self, path: str | os.PathLike, variables: Sequence[keras.Variable]
    ) -> None:
        """Writes the state with the variables that a step changes.

        Raises:
          UserError: The file cannot be written.
        """
        arrays = {f"variable_{i}": v.value.numpy() for i, v in enumerate(variables)}
        with files.replacing(path) as temporary:
            np.savez(
                temporary,
                iteration=self.iteration,
                next_position=self.next_position,
                rows=np.array([dataclasses.astuple(row) for row in self.rows]),
                sums=[self.sums[name] for name in STEP_LOSSES],
                num_summed=self.num_summed,
                **arrays,
            )


def load(path: str | os.PathLike, variables: Sequence[keras.Variable]) -> State:
    """Reads what `State.save` wrote and assigns the variables.

    Raises:
      UserError: The file is damaged, or its variables have other shapes.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            for number, variable in enumerate(variables):
                variable.assign(held[f"variable_{number}"])
            sums = map(float, held["sums"])
            return State(
                iteration=int(held["iteration"]),
                next_position=int(held["next_position"]),
                rows=[
                    history.Row(int(row[0]), *map(float, row[1:]))
                    for row in held["rows"]
                ],
                sums=dict(zip(STEP_LOSSES, sums, strict=True)),
                num_summed=int(held["num_summed"]),
            )
    except Exception as error:  # A damaged file can make NumPy raise any.
        raise UserError(f"{path}: cannot be read as the state of a run") from error
