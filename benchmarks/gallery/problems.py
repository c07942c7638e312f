"""The fusion problems of the gallery: what suits each, and its example scenes."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from densefuse_tf.demo import scenes
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import images

# Width of the example images that are made of photographs, in pixels.
_WIDTH = 384
# Where the random depths come from.
_SEED = 17
# The last one gives its colours.
_STOPS = (-3, 3, 0)

_CREDIT = (
    "TNO Image Fusion Dataset (A. Toet, figshare, doi:10.6084/m9.figshare.1008029), "
    "TNO, Soesterberg, The Netherlands; [terms](../examples/pairs/README.md)"
)
_LIGHT = (
    "Light that grows from left to right from 1/8 to 8 falls on it; each exposure, of "
    "-3, +3 and 0 stops, is cut at 1, encoded as sRGB and rounded to 8 bits."
)


@dataclasses.dataclass(frozen=True)
class Scene:
    """Holds the source images of one scene.

    Attributes:
      name: The name of its picture.
      title: Its heading.
      made: Sentences on where the images come from, how they are made, whose they are.
      look: Sentences on what to look at.
      sources: k images, uint8 [H, W] or [H, W, 3].
      captions: One for each source.
      truth: What a perfect fusion would give, where that is known.
    """

    name: str
    title: str
    made: str
    look: str
    sources: Sequence[np.ndarray]
    captions: Sequence[str]
    truth: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Problem:
    """Describes one kind of fusion.

    Attributes:
      name: Its flag.
      title: Its heading.
      advice: Sentences on which settings to take.
      command: The flags of fuse.py that the advice comes to.
      settings: What is compared: strategies with their window and output range.
      metrics: Names in `metrics.METRICS`, or "MEF-SSIM".
      scores_sources: Whether the table has a row for each source.
    """

    name: str
    title: str
    advice: str
    command: str
    settings: Sequence[FusionSettings]
    metrics: Sequence[str]
    scores_sources: bool = False


def _settings(
    output_range: str, *strategies: tuple[str, int], color: str = "auto"
) -> list[FusionSettings]:
    return [
        FusionSettings(
            strategy=name,
            window_radius=radius,
            output_range=output_range,
            color=color,
        )
        for name, radius in strategies
    ]


PROBLEMS = (
    Problem(
        name="infrared_visible",
        title="Infrared and visible",
        advice="Take one of the strategies of the paper. Over the pairs of Table II "
        "`addition` has the higher SCD, SSIM_a and MS_SSIM; `l1_norm` has the higher "
        "En and Qabf, and brighter objects. The strategies that go by detail leave "
        "patches of both images here.",
        command="--strategy=l1_norm",
        settings=_settings(
            "minmax",
            ("addition", 0),
            ("l1_norm", 1),
            ("maximum", 0),
            ("l1_norm_softmax", 1),
            ("choose_max", 1),
            ("detail_softmax", 8),
        ),
        metrics=("En", "Qabf", "SCD", "SSIM_a", "MS_SSIM"),
    ),
    Problem(
        name="multi_focus",
        title="Multi-focus",
        advice="Take `detail_choose_max`, and `--output_range=average`, which keeps "
        "the brightness of the sources. A larger window leaves fewer wrong choices "
        "where there is noise. `choose_max`, the usual rule, needs a window of radius "
        "8, because its activity follows brightness as much as sharpness. Qabf counts "
        "the faint edges of the blurred sources as well, and ranks results first that "
        "are further from the truth.",
        command="--strategy=detail_choose_max --output_range=average",
        settings=_settings(
            "average",
            ("addition", 0),
            ("l1_norm", 1),
            ("maximum", 0),
            ("choose_max", 1),
            ("choose_max", 8),
            ("detail_softmax", 8),
            ("detail_choose_max", 1),
        ),
        metrics=("Qabf", "MS_SSIM", "PSNR to the truth", "SSIM to the truth"),
        scores_sources=True,
    ),
    Problem(
        name="multi_exposure",
        title="Multi-exposure",
        advice="Take `detail_softmax` with a window whose radius is about a twelfth of "
        "the image's width: an exposure that is too dark or cut at white has little "
        "detail and little weight, and a wide window shows no seam. `l1_norm`, "
        "`choose_max` and `maximum` favour what is bright, and therefore what is "
        "over-exposed. Give the exposure with the best colours last: with "
        "`--color=luma` the result has its colours. Where one exposure alone shows "
        "nearly everything, none of this helps.",
        command="--strategy=detail_softmax --window_radius=32 --color=luma",
        settings=_settings(
            "minmax",
            ("addition", 0),
            ("l1_norm", 1),
            ("maximum", 0),
            ("choose_max", 8),
            ("detail_choose_max", 32),
            ("detail_softmax", 8),
            ("detail_softmax", 32),
            color="luma",
        ),
        metrics=("MEF-SSIM",),
        scores_sources=True,
    ),
)


def examples(problem: Problem, folder: pathlib.Path) -> list[Scene]:
    """Returns the example scenes of a problem.

    Args:
      problem: One of PROBLEMS.
      folder: The project's folder examples/.

    Raises:
      UserError: An image is missing.
    """
    if problem.name == "infrared_visible":
        pair = folder / "pairs"
        return [
            Scene(
                name=name,
                title=title,
                made=f"Images: {_CREDIT}.",
                look=look,
                sources=[images.read(pair / kind / f"{name}.png") for kind in kinds],
                captions=("infrared", "visible"),
            )
            for kinds in [("ir", "vis")]
            for name, title, look in (
                (
                    "hut",
                    "A man beside a hut",
                    "Look at the man, who is bright in the infrared image alone, and "
                    "at the windows and the roof.",
                ),
                (
                    "street",
                    "A street by night",
                    "Look at the people and the cars of the infrared image, and "
                    "at the lettering of the visible one.",
                ),
            )
        ]
    coffee = scenes.photograph("coffee.png", _WIDTH)
    cat = scenes.photograph("chelsea.png", _WIDTH)
    if problem.name == "multi_focus":
        shares = scenes.depths(cat.shape[:2], 3, np.random.default_rng(_SEED))
        return [
            Scene(
                name="coffee",
                title="Two focal planes",
                made="Photograph: `skimage.data.coffee` by Rachel Michetti, CC0, "
                "blurred on the right and on the left by a Gaussian of sigma 3.",
                look="Look at the grain of the table on both sides, and at the rim of "
                "the cup, where one focal plane ends.",
                sources=[
                    images.read(folder / "multifocus" / side / "coffee.png")
                    for side in ("left", "right")
                ],
                captions=("in focus on the left", "in focus on the right"),
                truth=coffee,
            ),
            Scene(
                name="cat",
                title="Three depths",
                made="Photograph: `skimage.data.chelsea` by Stéfan van der Walt, CC0, "
                "divided into three regions of random shape, of which each source "
                "shows one in focus and the others under a Gaussian of sigma 3.",
                look="Look at the whiskers and the fur, which cross all three regions.",
                sources=scenes.focal_planes(cat, shares),
                captions=("near", "middle", "far"),
                truth=cat,
            ),
        ]
    captions = [f"{stop:+} stops" if stop else "0 stops" for stop in _STOPS]
    return [
        Scene(
            name="coffee_exposures",
            title="A cup in uneven light",
            made="Photograph: `skimage.data.coffee` by Rachel Michetti, CC0. " + _LIGHT,
            look="Look at the far left and the far right of the table, which no "
            "single exposure shows both, and at the top right corner, where the "
            "exposure that gives the colours is cut at white.",
            sources=scenes.exposures(coffee, _STOPS),
            captions=captions,
        ),
        Scene(
            name="cat_exposures",
            title="A cat in uneven light",
            made="Photograph: `skimage.data.chelsea` by Stéfan van der Walt, CC0. The "
            "exposures are made in the same way.",
            look="Look at the fur on the left, which is too dark without the bright "
            "exposure, and at the background on the right.",
            sources=scenes.exposures(cat, _STOPS),
            captions=captions,
        ),
    ]
