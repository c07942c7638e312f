"""config.json: the settings of a run, by which its folder is known."""

import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform

from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.training import recipes
from densefuse_tf.training import settings as settings_module
from densefuse_tf.training.settings import Settings

NAME = "config.json"


def describe(settings: Settings, num_train_images: int, num_val_images: int) -> dict:
    """Returns what config.json holds."""
    packages = ("tensorflow", "keras", "numpy", "pillow")
    return {
        "settings": dataclasses.asdict(settings),
        "recipe": dataclasses.asdict(recipes.get(settings.recipe, settings.network)),
        "num_train_images": num_train_images,
        "num_val_images": num_val_images,
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in packages},
        },
    }


def write(run_dir: str | os.PathLike, config: dict) -> None:
    """Writes config.json into the folder of a run.

    Raises:
      UserError: It cannot be written.
    """
    with files.replacing(pathlib.Path(run_dir) / NAME) as temporary:
        temporary.write_text(json.dumps(config, indent=2) + "\n")


def read(run_dir: str | os.PathLike) -> dict | None:
    """Returns what `describe` gave for the run in a folder, or None without a run.

    Raises:
      UserError: config.json is damaged.
    """
    path = pathlib.Path(run_dir) / NAME
    if not path.exists():
        return None
    try:
        held = json.loads(path.read_text())
        # Runs of earlier versions trained the one network there was.
        held["settings"] = {"network": "densefuse", **held["settings"]}
        int(held["num_train_images"]), int(held["num_val_images"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: cannot be read as the configuration of a run"
        ) from error
    return held


def check_same(run_dir: str | os.PathLike, config: dict) -> None:
    """Checks that a folder holds no run, or one with this configuration.

    Raises:
      UserError: The run in the folder had other settings or photographs.
    """
    held = read(run_dir)
    if held is None:
        return
    for name, value in config["settings"].items():
        before = held["settings"].get(name)
        if name not in settings_module.MAY_CHANGE and before != value:
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
