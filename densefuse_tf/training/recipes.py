"""How each network is trained: the paper's settings and the release's, side by side."""

import dataclasses

from densefuse_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The choices in which the paper and the authors' release differ.

    Attributes:
      name: The value of --recipe.
      pixel_loss: L_p: "euclidean" is Eq. 2, "mean_squared" the mean squared error.
      ssim: L_ssim = 1 - SSIM: "full" is the index with all three terms and a dynamic
        range of 255; "contrast_structure" leaves the luminance term out and takes a
        range of 1 although pixels are 0..255.
      interleaved_batches: The code that made the published weights put a batch
        together as [width, height, batch] and reshaped it, instead of transposing it,
        to [batch, height, width, 1]: each "image" held the pixels of all photographs
        of the batch, alternating along the row. The authors corrected it after
        publishing.
      pixel_weight: The weight of L_p in the total loss; 0 where a network is trained
        with L_ssim alone.
    """

    name: str
    pixel_loss: str
    ssim: str
    interleaved_batches: bool
    pixel_weight: float = 1.0


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

# By network, as `networks.build` knows it, then by name.
RECIPES = {
    "densefuse": {recipe.name: recipe for recipe in (PAPER, RELEASE)},
}


def get(name: str, network: str = "densefuse") -> Recipe:
    """Returns a recipe of a network by their names.

    Raises:
      UserError: There is no such network or recipe.
    """
    if network not in RECIPES:
        raise UserError(
            f"unknown network {network!r}: expected one of {', '.join(RECIPES)}"
        )
    if name not in RECIPES[network]:
        raise UserError(
            f"unknown recipe {name!r}: expected one of {', '.join(RECIPES[network])}"
        )
    return RECIPES[network][name]
