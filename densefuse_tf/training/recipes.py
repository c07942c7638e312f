"""How the network is trained: the paper's settings and the release's, side by side."""

import dataclasses

from densefuse_tf.errors import UserError
from densefuse_tf.model import lambdas

SSIM_WEIGHTS = lambdas.SSIM_WEIGHTS


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The choices in which the paper and the authors' release differ."""

    # What the user calls it.
    name: str
    # L_p: "euclidean" is Eq. 2, "mean_squared" the mean squared error.
    pixel_loss: str
    # L_ssim = 1 - SSIM: "full" is the index with all three terms and a dynamic range
    # of 255; "contrast_structure" leaves the luminance term out and takes a range of 1
    # although pixels are 0..255.
    ssim: str
    # The code that made the published weights put a batch together as
    # [width, height, batch] and reshaped it, instead of transposing it, to
    # [batch, height, width, 1]: each "image" held the pixels of all photographs of
    # the batch, alternating along the row. The authors corrected it after publishing.
    interleaved_batches: bool


PAPER = Recipe(
    name="paper",
    pixel_loss="euclidean",
    ssim="full",
    interleaved_batches=False,
)

RELEASE = Recipe(
    name="release",
    pixel_loss="mean_squared",
    ssim="contrast_structure",
    interleaved_batches=True,
)

RECIPES = {recipe.name: recipe for recipe in (PAPER, RELEASE)}


def get(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
      UserError: There is none.
    """
    try:
        return RECIPES[name]
    except KeyError:
        raise UserError(
            f"unknown recipe {name!r}: expected one of {', '.join(RECIPES)}"
        ) from None
