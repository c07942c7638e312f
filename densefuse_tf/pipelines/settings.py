"""Settings of reading, aligning and writing; importing them needs no other package."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from densefuse_tf.errors import UserError
from densefuse_tf.io import formats


@dataclasses.dataclass(frozen=True)
class FileOptions:
    """Says how source images are read and results are written.

    Attributes:
      value_ranges: For each source the value range, as `pixels.to_pixel_range` takes
        it; by default None for each.
      range_flags: For each source what a warning calls the user's choice of its range;
        by default the value range.
      max_pixels: The largest image that is read, in pixels.
      save_raw: Whether the decoder's output is written as well.
      overwrite: Whether results that exist are replaced.
      skip_existing: Whether only pairs without a result are fused.
    """

    value_ranges: tuple | None = None
    range_flags: tuple[str, ...] | None = None
    max_pixels: int = dataclasses.field(
        default=formats.MAX_PIXELS,
        metadata={
            "help": "The largest image that is read, in pixels.",
            "lower_bound": 1,
        },
    )
    save_raw: bool = dataclasses.field(
        default=False,
        metadata={
            "help": "Also write the decoder's output, float32, as NAME.npy: with "
            "addition the sum over the sources, about 0..255 times their number."
        },
    )

    overwrite: bool = dataclasses.field(
        default=True,
        metadata={
            "help": "Replace results that exist, each once the new one is whole; "
            "--nooverwrite refuses a run that would replace any, before it starts."
        },
    )
    skip_existing: bool = dataclasses.field(
        default=False,
        metadata={
            "help": "Fuse only what has no result yet, so that the same command "
            "finishes what a run that was cut off left; a result is there only when it "
            "is whole. A video that is there is left as it is."
        },
    )

    def __post_init__(self):
        """Refuses settings that contradict each other.

        Raises:
          UserError: There are two.
        """
        if self.skip_existing and not self.overwrite:
            raise UserError("skip_existing does not go with nooverwrite: expected one")

    def ranges(self, num_sources: int) -> tuple:
        """Returns the value range of each source."""
        return self.value_ranges or (None,) * num_sources


@dataclasses.dataclass(frozen=True)
class RegistrationSettings:
    """Says whether and how the two sources of a pair are registered before the fusion.

    By default they are not. They are if one of `register`, `transform` and `points` is
    given. The description of each field is its `metadata["help"]`.
    """

    register: str | None = dataclasses.field(
        default=None,
        metadata={
            "help": "Register the infrared and the visible image first; their sizes "
            "may differ. each: every pair by itself; once: the cameras are fixed to "
            "each other, the transform is the median of those of the first pairs or "
            "frames. Without a value once for a video, else each. See "
            "docs/registration.md.",
            "choices": ("each", "once"),
            "bare": "auto",
        },
    )
    register_to: str = dataclasses.field(
        default="visible",
        metadata={
            "help": "The image that stays as it is; the other one is laid over it.",
            "choices": ("visible", "infrared"),
        },
    )
    register_model: str | None = dataclasses.field(
        default=None,
        metadata={
            "help": "What the transform may do: translation, shift; similarity, scale "
            "and turn as well; affine, the default, shear as well; homography, "
            "perspective.",
            "choices": ("translation", "similarity", "affine", "homography"),
        },
    )
    transform: str | os.PathLike | None = dataclasses.field(
        default=None,
        metadata={
            "help": "Instead of --register: apply the transform in this file, which "
            "--save_transform or densefuse-register wrote."
        },
    )
    points: str | os.PathLike | None = dataclasses.field(
        default=None,
        metadata={
            "help": "Instead of --register: fit one transform for all pairs to four or "
            "more points picked by hand, a CSV file with x and y in the image that "
            "stays, then x and y in the other one, a row each."
        },
    )
    save_transform: str | os.PathLike | None = dataclasses.field(
        default=None,
        metadata={
            "help": "Also write the transform to this file, as JSON; of one pair, or "
            "of all with --register=once."
        },
    )
    uncovered: str = dataclasses.field(
        default="crop",
        metadata={
            "help": "What becomes of pixels that only the image that stays has: crop, "
            "the result is cut to the area that both share; visible or infrared, the "
            "result has full size and shows that image alone there; black, the other "
            "image is black there.",
            "choices": ("crop", "visible", "infrared", "black"),
        },
    )
    checkerboard: str | os.PathLike | None = dataclasses.field(
        default=None,
        metadata={
            "help": "Also write a picture of the first pair's or frame's aligned "
            "sources in turn, in squares: aligned edges go on across them."
        },
    )

    @property
    def is_on(self) -> bool:
        """Returns whether pairs are registered."""
        return (self.register, self.transform, self.points) != (None, None, None)

    def fixed_first(self, pair: Sequence) -> tuple:
        """Returns (fixed, moving) for what belongs to (infrared, visible), and back."""
        infrared, visible = pair
        if self.register_to == "visible":
            return visible, infrared
        return infrared, visible

    def __post_init__(self):
        """Refuses settings that contradict each other.

        Raises:
          UserError: There are two.
        """
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            choices = (*field.metadata.get("choices", ()), field.default)
            if field.metadata.get("choices") and value not in choices:
                expected = ", ".join(field.metadata["choices"])
                raise UserError(
                    f"{field.name} is {value!r}: expected one of {expected}"
                )
            if not self.is_on and value != field.default:
                if field.name != "checkerboard":
                    raise UserError(
                        f"{field.name} goes with register, transform or points: "
                        "expected one of them"
                    )
        given = [
            name
            for name in ("transform", "points", "register")
            if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise UserError(f"{given[1]} does not go with {given[0]}: expected one")
        if self.transform is not None:
            for name in ("register_model", "save_transform"):
                if getattr(self, name) is not None:
                    raise UserError(f"{name} does not go with transform")
        if self.uncovered in ("visible", "infrared"):
            if self.uncovered != self.register_to:
                raise UserError(
                    f"uncovered is {self.uncovered!r}, the image that is moved and "
                    f"does not reach there: expected {self.register_to}, black or crop"
                )
        path = self.save_transform
        if path is not None and pathlib.Path(path).suffix.lower() != ".json":
            raise UserError(
                f"save_transform is {os.fspath(path)}: expected a name that ends in "
                ".json"
            )
