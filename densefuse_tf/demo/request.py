"""What the page asks for."""

import dataclasses
import pathlib

from densefuse_tf.errors import UserError
from densefuse_tf.fusion.methods import MethodSettings
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import pixels
from densefuse_tf.pipelines.settings import RegistrationSettings

# The name of DenseFuse among the methods.
DENSEFUSE = "densefuse"


@dataclasses.dataclass(frozen=True)
class Request:
    """Says what is fused and how.

    Attributes:
      ir: The file of the infrared image.
      vis: The file of the visible image.
      method: DENSEFUSE, or the name of a method in `densefuse_tf.baselines`.
      strategy: As in `FusionSettings`, like the next three.
      checkpoint: A short name.
      output_range: "minmax" or "average".
      color: "auto", "gray", "rgb" or "luma".
      ir_range: The infrared values that become 0 and 255, as `pixels.parse_range` reads
        them; empty for the default, which leaves 8-bit images as they are.
      vis_range: The same for the visible image.
      register: Whether the infrared image is registered to the visible one first.
    """

    ir: pathlib.Path
    vis: pathlib.Path
    method: str = DENSEFUSE
    strategy: str = FusionSettings.strategy
    checkpoint: str = str(FusionSettings.checkpoint)
    output_range: str = FusionSettings.output_range
    color: str = FusionSettings.color
    ir_range: str = ""
    vis_range: str = ""
    register: bool = False

    @property
    def fusion(self) -> FusionSettings | MethodSettings:
        """Returns the settings of the fusion.

        Raises:
          UserError: There is no such color or output range.
        """
        if self.method != DENSEFUSE:
            return MethodSettings(self.method, color=self.color)
        return FusionSettings(
            self.checkpoint,
            strategy=self.strategy,
            output_range=self.output_range,
            color=self.color,
        )

    @property
    def value_ranges(self) -> tuple[pixels.ValueRange | None, ...]:
        """Returns the value range of each source.

        Raises:
          UserError: A text is no range.
        """
        ranges: list[pixels.ValueRange | None] = []
        for kind, text in (("infrared", self.ir_range), ("visible", self.vis_range)):
            try:
                ranges.append(pixels.parse_range(text) if text.strip() else None)
            except UserError as error:
                raise UserError(f"{kind} image: {error}") from error
        return tuple(ranges)

    @property
    def registration(self) -> RegistrationSettings:
        """Returns the settings of the registration."""
        return RegistrationSettings(register="each" if self.register else None)

    def described(self) -> dict[str, object]:
        """Returns what has an effect, for a file: names of files without folders."""
        values: dict[str, object] = {"infrared": self.ir.name, "visible": self.vis.name}
        of_densefuse = ("strategy", "checkpoint", "output_range")
        for field in dataclasses.fields(self)[2:]:
            if self.method == DENSEFUSE or field.name not in of_densefuse:
                values[field.name] = getattr(self, field.name)
        return values
