"""What a run is asked for: its request and settings, which need no other package."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from densefuse_tf import registration
from densefuse_tf import startup
from densefuse_tf.errors import UserError
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import formats
from densefuse_tf.pipelines.running import RunnerOptions
from densefuse_tf.registration import choices
from densefuse_tf.setting import check_values
from densefuse_tf.setting import explained
from densefuse_tf.setting import setting

if TYPE_CHECKING:
    from densefuse_tf.fusion.methods import AnySettings

# The names of the two sources of a pair, in their order.
KINDS = ("infrared", "visible")
# Stands where visible images do for the photographs in the files of the infrared ones.
EMBEDDED = "embedded"
# The panel shows at most so many pairs, the first ones.
PANEL_ROWS = 8


@explained
@dataclasses.dataclass(frozen=True)
class FileOptions:
    """Says how source images are read and results are written.

    Attributes:
      value_ranges: For each source the value range, as `pixels.to_pixel_range` takes
        it; by default None for each.
      infrared: Whether the first source is an infrared image, whose colours are not
        those of the scene, and of a radiometric JPEG the temperatures.
      embedded: Whether the second source is the photograph in the radiometric JPEG that
        is the first one.
      range_flags: For each source what a warning calls the user's choice of its range;
        by default the value range.
    """

    value_ranges: tuple | None = None
    range_flags: tuple[str, ...] | None = None
    infrared: bool = False
    embedded: bool = False
    max_pixels: int = setting(
        formats.MAX_PIXELS,
        "The largest image that is read, in pixels.",
        lower_bound=1,
    )
    save_raw: bool = setting(
        False,
        "Also write the decoder's output, float32, as NAME.npy: with addition the sum "
        "over the sources, about 0..255 times their number.",
    )
    scale: bool = setting(
        False,
        "With --color=thermal: draw a bar of the palette beside each result, with the "
        "infrared values of its colours; degrees Celsius where they are known.",
    )
    overwrite: bool = setting(
        True,
        "Replace results that exist, each once the new one is whole; --nooverwrite "
        "refuses a run that would replace any, before it starts.",
    )
    skip_existing: bool = setting(
        False,
        "Fuse only what has no result yet, so that the same command finishes what a "
        "run that was cut off left; a result is there only when it is whole. A video "
        "that is there is left as it is.",
    )

    def __post_init__(self):
        """Raises a UserError where two settings contradict each other."""
        if self.skip_existing and not self.overwrite:
            raise UserError("skip_existing does not go with nooverwrite: expected one")

    def ranges(self, num_sources: int) -> tuple:
        """Returns the value range of each source."""
        return self.value_ranges or (None,) * num_sources


@explained
@dataclasses.dataclass(frozen=True)
class RegistrationSettings:
    """Says whether and how the two sources of a pair are registered before the fusion.

    By default they are not. They are if one of `register`, `transform` and `points` is
    given.
    """

    register: Literal["each", "once"] | None = setting(
        None,
        "Register the infrared and the visible image first; their sizes may differ. "
        "each: every pair by itself; once: the cameras are fixed to each other, the "
        "transform is the median of those of the first pairs or frames. Without a "
        "value once for a video, else each. See docs/registration.md.",
        choices=("each", "once"),
        bare="auto",
    )
    register_to: Literal["visible", "infrared"] = setting(
        "visible",
        "The image that stays as it is; the other one is laid over it.",
        choices=("visible", "infrared"),
    )
    register_model: registration.Model | None = setting(
        None, choices.MODELS_HELP, choices=choices.MODELS
    )
    guess: str | os.PathLike | None = setting(
        None,
        "With --register: search around the transform in this file, which need be "
        "nearly right only: --save_transform or densefuse-register wrote it.",
    )
    transform: str | os.PathLike | None = setting(
        None,
        "Instead of --register: apply the transform in this file, which "
        "--save_transform or densefuse-register wrote.",
    )
    points: str | os.PathLike | None = setting(
        None,
        "Instead of --register: fit one transform for all pairs to four or more "
        "points picked by hand, a CSV file with x and y in the image that stays, then "
        "x and y in the other one, a row each.",
    )
    save_transform: str | os.PathLike | None = setting(
        None,
        "Also write the transform to this file, as JSON; of one pair, or of all with "
        "--register=once.",
    )
    uncovered: Literal["crop", "visible", "infrared", "black"] = setting(
        "crop",
        "What becomes of pixels that only the image that stays has: crop, the result "
        "is cut to the area that both share; visible or infrared, the result has full "
        "size and shows that image alone there; black, the other image is black there.",
        choices=("crop", "visible", "infrared", "black"),
    )
    checkerboard: str | os.PathLike | None = setting(
        None,
        "Also write a picture of the first pair's or frame's aligned sources in turn, "
        "in squares: aligned edges go on across them.",
    )

    @property
    def is_on(self) -> bool:
        """Returns whether pairs are registered."""
        return (self.register, self.transform, self.points) != (None, None, None)

    @property
    def inputs(self) -> list[str | os.PathLike]:
        """Returns the files that are read besides the sources."""
        given = (self.transform, self.points, self.guess)
        return [path for path in given if path is not None]

    @property
    def outputs(self) -> dict[str, str | os.PathLike]:
        """Returns the files that are written besides the results, by what they are."""
        given = {"transform": self.save_transform, "checkerboard": self.checkerboard}
        return {what: path for what, path in given.items() if path is not None}

    def fixed_first(self, pair: Sequence) -> tuple:
        """Returns (fixed, moving) for what belongs to (infrared, visible), and back."""
        infrared, visible = pair
        if self.register_to == "visible":
            return visible, infrared
        return infrared, visible

    def __post_init__(self):
        """Raises a UserError where two settings contradict each other."""
        check_values(self)
        for field in dataclasses.fields(self):
            is_given = getattr(self, field.name) != field.default
            if is_given and not self.is_on and field.name != "checkerboard":
                raise UserError(
                    f"{field.name} goes with register, transform or points: expected "
                    "one of them"
                )
        given = [
            name
            for name in ("transform", "points", "register")
            if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise UserError(f"{given[1]} does not go with {given[0]}: expected one")
        if self.guess is not None and self.register is None:
            raise UserError(f"guess does not go with {given[0]}: expected register")
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
        _check_image_name("checkerboard", self.checkerboard)


def _check_image_name(name: str, path: str | os.PathLike | None) -> None:
    """Refuses a file for a picture that is not named as an image."""
    if path is not None and pathlib.Path(path).suffix.lower() not in formats.WRITTEN:
        raise UserError(f"--{name}={path}: expected {', '.join(formats.WRITTEN)}")


@explained
@dataclasses.dataclass(frozen=True)
class RunOptions(RunnerOptions):
    """Says what a run over many pairs runs on, and what it writes beside results."""

    panel: str | os.PathLike | None = setting(
        None,
        "Also write one picture of sources and results side by side (of "
        f"the first {PANEL_ROWS} pairs).",
    )
    report: str | os.PathLike | None = setting(
        None,
        "Also write a CSV file of the pairs that could not be fused, a row each: "
        "output, source_1, source_2, ..., error; a header alone if there are none. "
        "With --runner by default fuse_report.csv in the folder of the results.",
    )

    def __post_init__(self):
        """Raises a UserError for names of other files, and options without a runner."""
        super().__post_init__()
        _check_image_name("panel", self.panel)
        report = self.report
        if report is not None and pathlib.Path(report).suffix.lower() != ".csv":
            raise UserError(f"--report={report}: expected a name that ends in .csv")


_DENSEFUSE = FusionSettings()


@dataclasses.dataclass(frozen=True)
class FusionRequest:
    """Says what is fused, how, and where the result goes: image pairs or a sequence.

    Attributes:
      sources: For each kind of source a file, a folder or a pattern; of a sequence a
        video, or a folder or a pattern of frames.
      output: A file or a folder.
      settings: Says how images are fused, of as many sources.
      options: Says how images are read and written.
      registration: Says whether and how the sources are aligned first.
      run: Says what a run over pairs runs on and writes beside the results.
      names: The name of each kind of source, for a panel; by default infrared and
        visible of two, else source 1, ...
      fps: Frames per second of a sequence of images that becomes a video, as text: 25,
        29.97 or 30000/1001.
    """

    sources: Sequence[str | os.PathLike]
    output: str | os.PathLike
    settings: "AnySettings" = _DENSEFUSE
    options: FileOptions = FileOptions()
    registration: RegistrationSettings = RegistrationSettings()
    run: RunOptions = RunOptions()
    names: Sequence[str] = ()
    fps: str | None = None

    def __post_init__(self):
        """Refuses another number of sources than is asked for.

        Raises:
          UserError: The settings are for another one; two are expected to be aligned.
        """
        count = len(self.sources)
        if self.options.scale and self.settings.color != "thermal":
            raise UserError("--scale goes with --color=thermal")
        if self.options.embedded:
            self._set_defaults_of_photographs()
        if self.registration.is_on and count != 2:
            raise UserError(
                f"{count} kinds of sources are given: expected two, infrared and "
                "visible, to register them"
            )
        if self.settings.num_sources != count:
            raise UserError(
                f"num_sources is {self.settings.num_sources}: expected {count}, the "
                "kinds of sources that are given"
            )
        if not self.names:
            names = KINDS
            if count != len(KINDS):
                names = tuple(f"source {i + 1}" for i in range(count))
            object.__setattr__(self, "names", names)

    def _set_defaults_of_photographs(self) -> None:
        """Chooses what images of two lenses need: a registration, and one's colours."""
        if not self.registration.is_on:
            each = dataclasses.replace(self.registration, register="each")
            object.__setattr__(self, "registration", each)
        if self.settings.color == "auto":
            luma = dataclasses.replace(self.settings, color="luma")
            object.__setattr__(self, "settings", luma)

    def fuser(self):
        """Builds what fuses."""
        # Evaluating videos takes `RegistrationSettings` from here, and fuses nothing.
        from densefuse_tf.fusion import methods

        if self.settings.needs_tensorflow:
            startup.import_tensorflow()
        return methods.build(self.settings)
