"""What a run saves beside its weights in order to go on exactly where it was."""

import os
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.io import weights
from densefuse_tf.training.settings import Recipe

_WHAT = "the state of a run"
# The weights with Adam's slots take 0.9 MB, a million points of the curves 100 MB.
_MAX_BYTES = 200_000_000


class State:
    """The place of a run.

    Attributes:
      iteration: The number of steps done.
      next_position: Where the photographs go on; see `Photographs.training_batches`.
      rows: The points of the curves so far.
    """

    def __init__(self, recipe: Recipe):
        self.iteration = 0
        self.next_position = 0
        self.rows: list[dict[str, float]] = []
        self._columns = recipe.columns
        # Since the last point of the curves.
        self._sums = dict.fromkeys(recipe.step_losses, 0.0)
        self._num_summed = 0

    def count(self, losses: Mapping[str, float], *, last_position: int) -> None:
        """Counts a step that is done."""
        self.iteration += 1
        self.next_position = last_position + 1
        for name in self._sums:
            self._sums[name] += float(losses[name])
        self._num_summed += 1

    def close_row(self, validation: Mapping[str, float]) -> dict[str, float]:
        """Makes a point of the curves, with what `Trainer.measure` returned."""
        values = {
            "iteration": self.iteration,
            **{name: total / self._num_summed for name, total in self._sums.items()},
            **{f"val_{name}": value for name, value in validation.items()},
        }
        row = {name: values[name] for name in self._columns}
        self.rows.append(row)
        self._sums = dict.fromkeys(self._sums, 0.0)
        self._num_summed = 0
        return row

    def save(
        self, path: str | os.PathLike, variables: Sequence[keras.Variable]
    ) -> None:
        """Writes the state with the variables that a step changes."""
        arrays = {f"variable_{i}": v.value.numpy() for i, v in enumerate(variables)}
        with files.replacing(path) as temporary:
            np.savez(
                temporary,
                iteration=self.iteration,
                next_position=self.next_position,
                rows=np.array([list(row.values()) for row in self.rows]),
                sums=list(self._sums.values()),
                num_summed=self._num_summed,
                **arrays,
            )

    def load(
        self, path: str | os.PathLike, variables: Sequence[keras.Variable]
    ) -> None:
        """Reads what `save` wrote and assigns the variables."""
        try:
            held = weights.read_arrays(path, what=_WHAT, max_bytes=_MAX_BYTES)
            arrays = [held[f"variable_{i}"] for i in range(len(variables))]
            self.iteration = int(held["iteration"])
            self.next_position = int(held["next_position"])
            self.rows = [
                dict(zip(self._columns, (int(row[0]), *row[1:]), strict=True))
                for row in held["rows"].tolist()
            ]
            sums = held["sums"].tolist()
            self._sums = dict(zip(self._sums, sums, strict=True))
            self._num_summed = int(held["num_summed"])
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"{path}: cannot be read as {_WHAT}") from error
        for variable, array in zip(variables, arrays, strict=True):
            if tuple(variable.shape) != array.shape:
                raise UserError(
                    f"{path}: {variable.path} is {array.shape}: expected "
                    f"{tuple(variable.shape)}"
                )
            variable.assign(array)
