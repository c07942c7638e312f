"""The settings of a fusion; importing them needs no TensorFlow."""

import dataclasses
import math
import os
import typing
from typing import Any, ClassVar, Literal, TypedDict

from densefuse_tf.errors import UserError
from densefuse_tf.setting import check_values
from densefuse_tf.setting import explained
from densefuse_tf.setting import pick_choice
from densefuse_tf.setting import setting

OutputRange = Literal["minmax", "average", "clip"]
ColorMode = Literal["auto", "gray", "rgb", "luma", "thermal"]
# Those of `io.palettes`, perceptually even ones first.
Palette = Literal[
    "inferno", "magma", "plasma", "viridis", "cividis", "iron", "rainbow", "grey-hot"
]
Precision = Literal["float32", "bfloat16", "tf32"]
OUTPUT_RANGES: tuple[OutputRange, ...] = typing.get_args(OutputRange)
COLOR_MODES: tuple[ColorMode, ...] = typing.get_args(ColorMode)
PALETTES: tuple[Palette, ...] = typing.get_args(Palette)
PRECISIONS: tuple[Precision, ...] = typing.get_args(Precision)

Preset = Literal["paper", "camera"]
# For each preset the settings in which it differs from the defaults.
PRESETS: dict[Preset, dict[str, Any]] = {
    "paper": {},
    "camera": {"strategy": "l1_norm", "color": "luma"},
}


@explained
@dataclasses.dataclass(frozen=True)
class FusionSettings:
    """Adds or weighs deep feature maps (Li and Wu 2019).

    These are the settings of DenseFuse, from which a `fuser.Fuser` is built and the
    commands make their flags.
    """

    method: ClassVar[str] = "densefuse"
    # What other code asks of a method, whichever it is.
    needs_tensorflow: ClassVar[bool] = True
    # Whether a strategy fuses feature maps, which can be looked at.
    fuses_maps: ClassVar[bool] = True
    # Whether channels are fused into more than the pixels of the result.
    has_raw_output: ClassVar[bool] = True
    runs_on_beam: ClassVar[bool] = True
    # Whether an image takes seconds at most.
    is_quick: ClassVar[bool] = True

    checkpoint: str | os.PathLike = setting(
        "1e2",
        "1e0, 1e1, 1e2 or 1e3 (lambda of the training loss), a .keras file, the prefix "
        "of a TensorFlow 1 checkpoint of the authors, or the weights of their PyTorch "
        "program, densefuse_gray.model (needs the extra torch).",
    )
    strategy: str = setting(
        "addition",
        "The fusion strategy: addition (Eq. 4) or l1_norm (Eq. 5-7) of the paper; mean "
        "of the authors' PyTorch program; maximum; choose_max and l1_norm_softmax, "
        "which weigh by the same activity; detail_choose_max, for images of different "
        "focus, and detail_softmax, for exposures; or one of strategy_module. "
        "docs/gallery.md shows what suits what.",
    )
    strategy_module: str | os.PathLike | None = setting(
        None,
        "A Python file, or the dotted name of a module, that registers fusion "
        "strategies of your own; see CONTRIBUTING.md.",
    )
    num_sources: int = setting(
        2,
        "The number k of source images; at least 2.",
    )
    window_radius: int = setting(
        1,
        "r of the block average (Eq. 6) of the strategies that have one, all but "
        "addition, mean and maximum: 1 in the paper, 0 in the release.",
    )
    output_range: OutputRange = setting(
        "minmax",
        "minmax: each result's minimum and maximum become 0 and 255, as in the "
        "release; average: the decoder's output, divided by k where the strategy "
        "adds, which keeps brightness comparable between images; clip: the decoder's "
        "output clipped to 0..255 and truncated, as in the authors' PyTorch program.",
        choices=OUTPUT_RANGES,
    )
    color: ColorMode = setting(
        "auto",
        "gray: fuses the luma of colour sources and gives a grey result; rgb: fuses "
        "channel by channel, as in IV-D of the paper, a grey source paired with each "
        "channel of the others; luma: fuses the luma and keeps the chroma of the last "
        "source that has colour, the visible image of a pair; thermal: fuses the luma, "
        "and gives it the colours of a palette at the values of the first source, the "
        "infrared image; auto: rgb if a source has colour, else gray.",
        choices=COLOR_MODES,
    )
    palette: Palette = setting(
        PALETTES[0],
        "The colours from cold to hot where the colour mode is thermal; in the first "
        "five equal steps look equal.",
        choices=PALETTES,
    )
    precision: Precision = setting(
        "float32",
        "float32; tf32, which lets a GPU round what convolutions take to 10 bits, and "
        "changes nothing on a processor; or bfloat16, with addition, mean, l1_norm or "
        "maximum, for previews and live pictures: 1.5 times as fast on a processor "
        "with AVX512-BF16 or AMX-BF16, and seldom more than 3 grey levels off. Where "
        "the processor has neither, fuse.py computes in float32.",
        choices=PRECISIONS,
    )
    memory_budget: float = setting(
        1.0,
        "The memory in GB that the feature maps may take. An image that needs more is "
        "computed in bands of rows, with the same result; 0 computes all images whole.",
    )

    @property
    def configured(self) -> "FusionSettings":
        """The method with its options."""
        return self

    @property
    def title(self) -> str:
        """What fuses, in a word for a caption."""
        return self.strategy

    def __post_init__(self):
        """Refuses values that no checkpoint and no strategy could make right.

        Raises:
          UserError: There is one.
        """
        check_values(self)
        if not (math.isfinite(self.memory_budget) and self.memory_budget >= 0):
            raise UserError(
                f"memory_budget is {self.memory_budget:g}: expected GB of memory, or 0 "
                "for no limit"
            )


def preset_values(preset: str, *, is_video: bool = False) -> dict[str, Any]:
    """Returns the settings that a preset changes, by their names.

    Those of a video keep the brightness of its pictures comparable.

    Raises:
      UserError: There is no such preset.
    """
    values = PRESETS[pick_choice("preset", preset, PRESETS)]
    return values | {"output_range": "average"} if is_video else values


class FusionOptions(TypedDict, total=False):
    """The fields of `FusionSettings` as keywords, for type checkers and editors.

    Those that `methods.fuse` has parameters for are left out.
    """

    strategy: str
    strategy_module: str | os.PathLike | None
    window_radius: int
    output_range: OutputRange
    color: ColorMode
    palette: Palette
    precision: Precision
    memory_budget: float


class FuserOptions(FusionOptions, total=False):
    """All fields of `FusionSettings` as keywords, for type checkers and editors."""

    checkpoint: str | os.PathLike
    num_sources: int
