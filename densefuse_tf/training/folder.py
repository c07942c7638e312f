"""The folder of a run: its files, config.json by which it is known, and history.csv.

A row of history.csv is a point of the curves. The training losses are means over the
iterations since the row before; the validation values, val_..., are those of the
weights at this iteration. Losses are those of the run's recipe, val_ssim is always the
full index on a range of 255.
"""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Sequence

from densefuse_tf.errors import UserError
from densefuse_tf.io import texts
from densefuse_tf.io import weights
from densefuse_tf.training.settings import MAY_CHANGE
from densefuse_tf.training.settings import TrainingSettings

CONFIG = "config.json"


class Paths:
    """The files of a run in its folder."""

    def __init__(self, folder: str | os.PathLike):
        self.folder = pathlib.Path(folder)
        self.config = self.folder / CONFIG
        # The weights of the last save, and of the least validation loss of the curves.
        self.model = self.folder / weights.RUN_FILE
        self.best = self.folder / "best.keras"
        self.history = self.folder / "history.csv"
        self.state = self.folder / "state.npz"
        # The losses over all validation images at the end.
        self.validation = self.folder / "validation.json"
        self.tensorboard = self.folder / "tensorboard"


def describe(
    settings: TrainingSettings, num_train_images: int, num_val_images: int
) -> dict:
    """Returns what config.json holds."""
    packages = ("tensorflow", "keras", "numpy", "pillow")
    return {
        "settings": dataclasses.asdict(settings),
        "recipe": dataclasses.asdict(settings.weighted_recipe),
        "num_train_images": num_train_images,
        "num_val_images": num_val_images,
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
    }


def read_config(run_dir: str | os.PathLike) -> dict | None:
    """Returns what `describe` gave for the run in a folder, or None without a run."""
    path = pathlib.Path(run_dir) / CONFIG
    if not path.exists():
        return None
    try:
        held = json.loads(texts.read(path, "the configuration of a run"))
        # Settings that an earlier version did not have.
        fields = dataclasses.fields(TrainingSettings)
        defaults = {field.name: field.default for field in fields}
        held["settings"] = {**defaults, **held["settings"]}
        int(held["num_train_images"]), int(held["num_val_images"])
    # A number such as 1e999 is infinite; brackets may be nested too deep.
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(
            f"{path}: cannot be read as the configuration of a run"
        ) from error
    return held


def check_same(run_dir: str | os.PathLike, config: dict) -> None:
    """Refuses a folder that holds a run with other settings or photographs."""
    held = read_config(run_dir)
    if held is None:
        return
    for name, value in config["settings"].items():
        before = held["settings"].get(name)
        if name not in MAY_CHANGE and before != value:
            raise UserError(
                f"{run_dir}: holds a run with {name}={before}, this one has "
                f"{name}={value}: give another run_dir"
            )
    counts, before = (
        f"{of['num_train_images']} + {of['num_val_images']}" for of in (config, held)
    )
    if counts != before:
        raise UserError(
            f"{run_dir}: its run was on {before} photographs, now there are {counts}: "
            "give another run_dir"
        )


def write_history(
    path: str | os.PathLike, columns: Sequence[str], rows: Sequence[dict[str, float]]
) -> None:
    """Writes all rows, replacing the file in one step."""
    texts.write_rows(path, columns, [list(map(str, row.values())) for row in rows])


def read_history(path: str | os.PathLike) -> list[dict[str, float]]:
    """Reads the rows of a file that `write_history` made, by their columns."""
    columns, *rows = texts.read_rows(path, "the history of a run") or [[]]
    if not {"iteration", "total_loss"} <= {*columns}:
        raise UserError(
            f"{path}: expected the columns of a history: iteration, losses, "
            "total_loss, validation values"
        )
    try:
        return [
            {
                name: int(text) if name == "iteration" else float(text)
                for name, text in zip(columns, row, strict=True)
            }
            for row in rows
        ]
    except ValueError as error:
        raise UserError(f"{path}: cannot be read as a history: {error}") from error
