"""The settings of a training run; importing them needs no TensorFlow."""

import dataclasses
import math
from typing import Any

from densefuse_tf.errors import UserError
from densefuse_tf.training import recipes

# The name of each way to resize a photograph, and Pillow's name of its filter.
RESIZE_FILTERS = {
    "nearest": "NEAREST",
    "bilinear": "BILINEAR",
    "bicubic": "BICUBIC",
    "area": "BOX",
}
MIXED_PRECISION = ("none", "float16", "bfloat16")
# A continued run may change how long it is, how often it saves, and where crops are
# kept: these settings do not touch the numbers.
MAY_CHANGE = ("epochs", "iterations", "save_every", "cache")
# Settings that have a least value; 11 is the size of SSIM's window.
_LEAST = {
    "num_val_images": 1,
    "num_curve_images": 1,
    "epochs": 1,
    "iterations": 1,
    "batch_size": 1,
    "val_every": 1,
    "save_every": 1,
    "seed": 0,
    "image_size": 11,
}


def _field(default: Any, text: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that decides a training run; written to its config.json.

    The description of each field is its `metadata["help"]`, from which the command
    makes its flags.
    """

    train_dir: str = dataclasses.field(
        metadata={
            "help": "Photographs to train on: a folder tree or a glob of JPEG, PNG, "
            "BMP files."
        }
    )
    val_dir: str | None = _field(
        None,
        "Photographs to validate on; by default num_val_images held out of train_dir.",
    )
    num_val_images: int = _field(
        1000,
        "How many photographs to validate on: the first of val_dir, or as many drawn "
        "from train_dir.",
    )
    num_curve_images: int | None = _field(
        None,
        "How many of them make a point of the validation curve, which takes its time "
        "on a CPU; by default all. The end of the run takes all in any case.",
    )
    network: str = _field(
        "densefuse", f"The network to train: {', '.join(recipes.RECIPES)}."
    )
    recipe: str = _field(
        None,
        "The losses: paper, or release, as the published weights were made; by default "
        "paper for densefuse and release for deepfuse.",
    )
    ssim_weight: float = _field(
        None,
        "lambda of Eq. 1, the weight of the SSIM loss; by default 100, and 1 for "
        "deepfuse, which has no other loss.",
    )
    epochs: int = _field(4, "Length of the run, in passes over the photographs.")
    iterations: int | None = _field(None, "Length of the run, instead of epochs.")
    batch_size: int = _field(
        2, "Images per step, over all devices and workers together."
    )
    learning_rate: float = _field(1e-4, "The learning rate of Adam.")
    seed: int = _field(
        0,
        "Decides the initial kernels, the order of the photographs and random crops.",
    )
    val_every: int = _field(100, "Iterations between two points of the curves.")
    save_every: int = _field(500, "Iterations between two saves.")
    image_size: int = _field(256, "Height and width of the crops in pixels.")
    resize: str = _field(
        "nearest",
        "How a photograph is resized: nearest (the release), bilinear, bicubic, area.",
    )
    random_crop: bool = _field(
        False, "Cut a random square out instead of squashing the photograph to one."
    )
    cache: str | None = _field(
        None, "Keep the grey crops: 'memory', or the name of a file."
    )
    mixed_precision: str = _field(
        "none", "float16 (GPUs) or bfloat16 for the network's inner layers."
    )
    xla: bool = _field(False, "Compile the step with XLA.")

    def __post_init__(self):
        """Fills in what the recipe of the network decides.

        Raises:
          UserError: There is no such network or recipe.
        """
        recipe = recipes.get(self.recipe, self.network)
        object.__setattr__(self, "recipe", recipe.name)
        if self.ssim_weight is None:
            object.__setattr__(self, "ssim_weight", recipe.ssim_weight)

    def check(self) -> None:
        """Checks each setting by itself.

        Raises:
          UserError: No run can have this value.
        """
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"{name} is {value}: expected {least} or more")
        for name in ("learning_rate", "ssim_weight"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"{name} is {value}: expected a number of 0 or more")
        for name, choices in (
            ("resize", RESIZE_FILTERS),
            ("mixed_precision", MIXED_PRECISION),
        ):
            if getattr(self, name) not in choices:
                raise UserError(
                    f"{name} is {getattr(self, name)!r}: expected one of "
                    f"{', '.join(choices)}"
                )
