"""The settings of a training run; importing them needs no TensorFlow.

RECIPES has how each network is trained: the paper's losses and the release's, side by
side. The first recipe of a network is its default.

References:
  K. R. Prabhakar, V. S. Srikar, R. V. Babu: DeepFuse: A deep unsupervised approach for
  exposure fusion with extreme exposure image pairs. ICCV 2017.
  https://doi.org/10.1109/ICCV.2017.505

Notes:
  DeepFuse's paper compares the fused luma of two exposures with the patch that has the
  larger contrast and the mean structure of both, without luminance. Where the network
  reconstructs one image, as in the release, that patch is the image's own, and the
  paper's loss is the contrast-structure term on a dynamic range of 255, the range of
  its pixels. The window, which the paper does not give, is that of the release.
"""

import dataclasses
import math
import os
import typing
from collections.abc import Mapping
from typing import Literal

from densefuse_tf import naming
from densefuse_tf.errors import UserError
from densefuse_tf.setting import check_values
from densefuse_tf.setting import explained
from densefuse_tf.setting import setting

Network = Literal["densefuse", "deepfuse"]
Resize = Literal["nearest", "bilinear", "bicubic", "area"]
MixedPrecision = Literal["none", "float16", "bfloat16"]
# For each way to resize a photograph, Pillow's name of its filter.
RESIZE_FILTERS: dict[Resize, str] = {
    "nearest": "NEAREST",
    "bilinear": "BILINEAR",
    "bicubic": "BICUBIC",
    "area": "BOX",
}
MIXED_PRECISION: tuple[MixedPrecision, ...] = typing.get_args(MixedPrecision)
# A continued run may change how long it is, how often it saves, and where crops are
# kept: these settings do not touch the numbers.
MAY_CHANGE = ("epochs", "iterations", "save_every", "cache")


@dataclasses.dataclass(frozen=True)
class Term:
    """One term of the total loss.

    Attributes:
      name: How logs and the columns of history.csv call it.
      loss: The function of `losses` that computes it.
      weight: Its factor. That of ssim_loss is lambda of Eq. 1, which a run may choose.
        A term of weight 0 is measured all the same.
    """

    name: str
    loss: str
    weight: float = 1.0

    @property
    def is_ssim(self) -> bool:
        """Whether it is L_ssim, in whose place validation measures the full index."""
        return self.name == "ssim_loss"

    @property
    def measure(self) -> str:
        """What validation calls the value that it measures for this term."""
        return "ssim" if self.is_ssim else self.name


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The choices in which the paper and the authors' release differ.

    Attributes:
      name: The value of --recipe.
      terms: The terms of the total loss. One of them is called ssim_loss.
      interleaved_batches: The code that made the published weights put a batch
        together as [width, height, batch] and reshaped it, instead of transposing it,
        to [batch, height, width, 1]: each "image" held the pixels of all photographs
        of the batch, alternating along the row. The authors corrected it after
        publishing.
    """

    name: str
    terms: tuple[Term, ...]
    interleaved_batches: bool = False

    @property
    def ssim_weight(self) -> float:
        return next(term.weight for term in self.terms if term.is_ssim)

    @property
    def step_losses(self) -> tuple[str, ...]:
        """The names of the losses of a step."""
        return (*(term.name for term in self.terms), "total_loss")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of history.csv."""
        measures = (f"val_{term.measure}" for term in self.terms)
        return ("iteration", *self.step_losses, *measures)

    def validation_loss(self, row: Mapping[str, float]) -> float:
        """Computes the total loss of the validation images from a row of a history."""
        return sum(
            term.weight
            * (1 - row["val_ssim"] if term.is_ssim else row[f"val_{term.name}"])
            for term in self.terms
        )

    def weighted(self, ssim_weight: float) -> "Recipe":
        """Returns the recipe with another lambda."""
        terms = (
            dataclasses.replace(term, weight=ssim_weight) if term.is_ssim else term
            for term in self.terms
        )
        return dataclasses.replace(self, terms=tuple(terms))


# By network, as `trainer` builds it, then by name.
RECIPES: dict[Network, dict[str, Recipe]] = {
    "densefuse": {
        "paper": Recipe(
            "paper",
            terms=(
                Term("pixel_loss", "euclidean"),
                Term("ssim_loss", "full_ssim_loss", 100.0),
            ),
        ),
        "release": Recipe(
            "release",
            terms=(
                Term("pixel_loss", "mean_squared"),
                Term("ssim_loss", "contrast_structure_of_1_loss", 100.0),
            ),
            interleaved_batches=True,
        ),
    },
    # Trained with L_ssim alone.
    "deepfuse": {
        "release": Recipe(
            "release",
            terms=(
                Term("pixel_loss", "mean_squared", 0.0),
                Term("ssim_loss", "contrast_structure_of_1_loss"),
            ),
        ),
        "paper": Recipe(
            "paper",
            terms=(
                Term("pixel_loss", "mean_squared", 0.0),
                Term("ssim_loss", "contrast_structure_loss"),
            ),
        ),
    },
}


def find_network(name: str) -> Network:
    """Returns the name of a network in RECIPES, which may be given in another case."""
    return naming.pick(name, RECIPES, f"unknown network {name!r}")


def find_recipe(name: str | None = None, network: str = "densefuse") -> Recipe:
    """Returns a recipe of a network by their names, by default the network's first."""
    recipes = RECIPES[find_network(network)]
    if name is None:
        return next(iter(recipes.values()))
    return recipes[naming.pick(name, recipes, f"unknown recipe {name!r}")]


@explained
@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides a training run; written to its config.json.

    The command makes its flags of the fields.
    """

    train_dir: str | os.PathLike = setting(
        dataclasses.MISSING,
        "Photographs to train on: a folder tree or a glob of JPEG, PNG, BMP files.",
    )
    val_dir: str | os.PathLike | None = setting(
        None,
        "Photographs to validate on; by default num_val_images held out of train_dir.",
    )
    num_val_images: int = setting(
        1000,
        "How many photographs to validate on: the first of val_dir, or as many drawn "
        "from train_dir.",
        lower_bound=1,
    )
    num_curve_images: int | None = setting(
        None,
        "How many of them make a point of the validation curve, which takes its time "
        "on a CPU; by default all. The end of the run takes all in any case.",
        lower_bound=1,
    )
    network: Network = setting(
        "densefuse", f"The network to train: {', '.join(RECIPES)}."
    )
    recipe: str = setting(
        None,
        "The losses: paper, or release, as the published weights were made; by default "
        "paper for densefuse and release for deepfuse.",
    )
    ssim_weight: float = setting(
        None,
        "lambda of Eq. 1, the weight of the SSIM loss; by default 100, and 1 for "
        "deepfuse, which has no other loss.",
    )
    epochs: int = setting(
        4, "Length of the run, in passes over the photographs.", lower_bound=1
    )
    iterations: int | None = setting(
        None, "Length of the run, instead of epochs.", lower_bound=1
    )
    batch_size: int = setting(
        2, "Images per step, over all devices and workers together.", lower_bound=1
    )
    learning_rate: float = setting(1e-4, "The learning rate of Adam.")
    seed: int = setting(
        0,
        "Decides the initial kernels, the order of the photographs and random crops.",
        lower_bound=0,
    )
    val_every: int = setting(
        100, "Iterations between two points of the curves.", lower_bound=1
    )
    save_every: int = setting(500, "Iterations between two saves.", lower_bound=1)
    # The window of SSIM has 11x11 pixels.
    image_size: int = setting(
        256, "Height and width of the crops in pixels.", lower_bound=11
    )
    resize: Resize = setting(
        "nearest",
        "How a photograph is resized: nearest (the release), bilinear, bicubic, area.",
        choices=tuple(RESIZE_FILTERS),
    )
    random_crop: bool = setting(
        False, "Cut a random square out instead of squashing the photograph to one."
    )
    cache: str | os.PathLike | None = setting(
        None, "Keep the grey crops: 'memory', or the name of a file."
    )
    mixed_precision: MixedPrecision = setting(
        "none",
        "float16 (GPUs) or bfloat16 for the network's inner layers.",
        choices=MIXED_PRECISION,
    )
    deterministic: bool = setting(
        False,
        "On a GPU, compute the same bits each time, so that a resumed run is equal to "
        "one without a break; slower. On a CPU it is so in any case.",
    )
    xla: bool = setting(False, "Compile the step with XLA.")

    def __post_init__(self):
        """Fills in what the recipe of the network decides; paths become texts."""
        for name in ("train_dir", "val_dir", "cache"):
            if (path := getattr(self, name)) is not None:
                object.__setattr__(self, name, os.fspath(path))
        object.__setattr__(self, "network", find_network(self.network))
        recipe = find_recipe(self.recipe, self.network)
        object.__setattr__(self, "recipe", recipe.name)
        if self.ssim_weight is None:
            object.__setattr__(self, "ssim_weight", recipe.ssim_weight)

    @property
    def weighted_recipe(self) -> Recipe:
        """The recipe with the lambda of this run."""
        return find_recipe(self.recipe, self.network).weighted(self.ssim_weight)

    def check(self) -> None:
        """Refuses a value that no run can have."""
        check_values(self)
        for name in ("learning_rate", "ssim_weight"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"{name} is {value}: expected a number of 0 or more")
