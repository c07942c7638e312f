"""What there is to choose from in a registration; importing it is quick."""

import typing
from typing import Literal

# What a transform may do, each as much as the one before and more.
Model = Literal["translation", "similarity", "affine", "homography"]
# What becomes of pixels that the moving image does not cover; see `Alignment`.
Uncovered = Literal["crop", "black", "fixed"]
MODELS: tuple[Model, ...] = typing.get_args(Model)
MODELS_HELP = (
    "What the transform may do: translation, shift; similarity, scale and turn as "
    "well; affine, shear as well; homography, perspective. By default affine, or a "
    "homography where that matches clearly better."
)
UNCOVERED: tuple[Uncovered, ...] = typing.get_args(Uncovered)
