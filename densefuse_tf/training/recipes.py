"""How each network is trained: the paper's settings and the release's, side by side.

The first recipe of a network is its default.

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

from densefuse_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The choices in which the paper and the authors' release differ.

    Attributes:
      name: The value of --recipe.
      pixel_loss: L_p: "euclidean" is Eq. 2, "mean_squared" the mean squared error.
      ssim: L_ssim = 1 - SSIM: "full" is the index with all three terms and a dynamic
        range of 255; "contrast_structure" leaves the luminance term out;
        "contrast_structure_of_1" takes a range of 1, too, although pixels are 0..255.
      interleaved_batches: The code that made the published weights put a batch
        together as [width, height, batch] and reshaped it, instead of transposing it,
        to [batch, height, width, 1]: each "image" held the pixels of all photographs
        of the batch, alternating along the row. The authors corrected it after
        publishing.
      pixel_weight: The weight of L_p in the total loss; 0 where a network is trained
        with L_ssim alone.
      ssim_weight: The weight of L_ssim, lambda, unless another is asked for.
    """

    name: str
    pixel_loss: str
    ssim: str
    interleaved_batches: bool
    pixel_weight: float = 1.0
    ssim_weight: float = 100.0


PAPER = Recipe(
    name="paper",
    pixel_loss="euclidean",
    ssim="full",
    interleaved_batches=False,
)

RELEASE = Recipe(
    name="release",
    pixel_loss="mean_squared",
    ssim="contrast_structure_of_1",
    interleaved_batches=True,
)

_DEEPFUSE_RELEASE = Recipe(
    name="release",
    pixel_loss="mean_squared",
    ssim="contrast_structure_of_1",
    interleaved_batches=False,
    pixel_weight=0.0,
    ssim_weight=1.0,
)

# By network, as `networks.build` knows it, then by name.
RECIPES = {
    "densefuse": {recipe.name: recipe for recipe in (PAPER, RELEASE)},
    "deepfuse": {
        recipe.name: recipe
        for recipe in (
            _DEEPFUSE_RELEASE,
            dataclasses.replace(
                _DEEPFUSE_RELEASE, name="paper", ssim="contrast_structure"
            ),
        )
    },
}


def get(name: str | None = None, network: str = "densefuse") -> Recipe:
    """Returns a recipe of a network by their names.

    Args:
      name: By default the network's first.
      network: A key of RECIPES.

    Raises:
      UserError: There is no such network or recipe.
    """
    if network not in RECIPES:
        raise UserError(
            f"unknown network {network!r}: expected one of {', '.join(RECIPES)}"
        )
    if name is None:
        return next(iter(RECIPES[network].values()))
    if name not in RECIPES[network]:
        raise UserError(
            f"unknown recipe {name!r}: expected one of {', '.join(RECIPES[network])}"
        )
    return RECIPES[network][name]
