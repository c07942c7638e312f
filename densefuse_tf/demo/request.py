"""What the page asks for, and how to have it without the page."""

import dataclasses
import json
import pathlib
import shlex
from collections.abc import Sequence

from densefuse_tf.errors import UserError
from densefuse_tf.fusion import methods
from densefuse_tf.fusion.settings import ColorMode
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.fusion.settings import OutputRange
from densefuse_tf.fusion.settings import Palette
from densefuse_tf.io import formats
from densefuse_tf.io import pixels
from densefuse_tf.pipelines.settings import EMBEDDED
from densefuse_tf.pipelines.settings import KINDS
from densefuse_tf.pipelines.settings import FileOptions
from densefuse_tf.pipelines.settings import FusionRequest
from densefuse_tf.pipelines.settings import RegistrationSettings

# Beside the sources, where it takes the place of none.
OUTPUT = "out/fused.png"
# What the page calls the value range of an image.
RANGE = "{} values that become 0 and 255"
# What a method has that fuses feature maps.
_OF_MAPS = ("strategy", "checkpoint", "output_range", "precision")


@dataclasses.dataclass(frozen=True)
class Request:
    """Says what is fused and how.

    Attributes:
      ir: The file of the infrared image.
      vis: The file of the visible image; None for the photograph in the infrared one.
      method: One of `methods.list_methods()`.
      strategy: As in `FusionSettings`.
      checkpoint: A short name.
      output_range: "minmax", "average" or "clip".
      color: "auto", "gray", "rgb", "luma" or "thermal".
      ir_range: The infrared values that become 0 and 255, as `pixels.parse_range` reads
        them; empty for the default, which leaves 8-bit images as they are.
      vis_range: The same for the visible image.
      register: Whether the infrared image is registered to the visible one first.
      precision: As in `FusionSettings`, like the next one.
      palette: The colours of "thermal".
      scale: Whether a bar of these stands beside the result.
    """

    ir: pathlib.Path
    vis: pathlib.Path | None
    method: str = FusionSettings.method
    strategy: str = FusionSettings.strategy
    checkpoint: str = str(FusionSettings.checkpoint)
    output_range: OutputRange = FusionSettings.output_range
    color: ColorMode = FusionSettings.color
    ir_range: str = ""
    vis_range: str = ""
    register: bool = False
    precision: str = FusionSettings.precision
    palette: Palette = FusionSettings.palette
    scale: bool = False

    @property
    def files(self) -> tuple[pathlib.Path, ...]:
        """Returns the files that were given."""
        return (self.ir,) if self.vis is None else (self.ir, self.vis)

    @property
    def fuses_maps(self) -> bool:
        """Whether the method fuses feature maps with a strategy."""
        return methods.settings_class(self.method).fuses_maps

    @property
    def options(self) -> dict[str, str]:
        """Returns what is asked of the method, for `methods.settings`."""
        names = _OF_MAPS if self.fuses_maps else ()
        return {name: getattr(self, name) for name in names}

    @property
    def value_ranges(self) -> tuple[pixels.ValueRange | None, ...]:
        """Returns the value range of each source."""
        ranges: list[pixels.ValueRange | None] = []
        for kind, text in zip(KINDS, (self.ir_range, self.vis_range), strict=True):
            try:
                ranges.append(pixels.parse_range(text) if text.strip() else None)
            except UserError as error:
                raise UserError(f"{kind} image: {error}") from error
        return tuple(ranges)

    @property
    def has_scale(self) -> bool:
        """Whether a bar stands beside the result, which thermal colours alone have."""
        return self.scale and self.color == "thermal"

    def run(
        self, output: pathlib.Path, max_pixels: int = formats.MAX_PIXELS
    ) -> FusionRequest:
        """Returns the run that fuses the pair."""
        return FusionRequest(
            (self.ir, self.files[-1]),
            output,
            methods.settings(
                self.method, self.options, color=self.color, palette=self.palette
            ),
            FileOptions(
                value_ranges=self.value_ranges,
                range_flags=tuple(
                    f'"{RANGE.format(kind.capitalize())}" = ' for kind in KINDS
                ),
                infrared=True,
                embedded=self.vis is None,
                max_pixels=max_pixels,
                scale=self.has_scale,
            ),
            RegistrationSettings(register="each" if self.register else None),
        )

    def described(self) -> dict[str, object]:
        """Returns what has an effect, for a file: names of files without folders."""
        visible = EMBEDDED if self.vis is None else self.vis.name
        values: dict[str, object] = {"infrared": self.ir.name, "visible": visible}
        for field in dataclasses.fields(self)[2:]:
            if self.fuses_maps or field.name not in _OF_MAPS:
                values[field.name] = getattr(self, field.name)
        return values

    def file_names(self) -> tuple[str, str]:
        """Names the sources as the lines do: in ir/ and vis/ if both have one name."""
        if self.vis is None:
            return self.ir.name, EMBEDDED
        ir, vis = self.ir.name, self.vis.name
        return (f"ir/{ir}", f"vis/{vis}") if ir == vis else (ir, vis)

    def command(self) -> str:
        """Returns the command line, for a shell in the folder of the images."""
        ir, vis = self.file_names()
        arguments = [f"--ir={ir}", f"--vis={vis}", f"--output={OUTPUT}"]
        if self.method != Request.method:
            arguments.append(f"--method={self.method}")
        arguments += [f"--{name}={value}" for name, value in self.options.items()]
        arguments.append(f"--color={self.color}")
        for name, text in (("ir", self.ir_range), ("vis", self.vis_range)):
            if text:
                arguments.append(f"--{name}_range={text}")
        if self.color == "thermal":
            arguments += [f"--palette={self.palette}", *["--scale"] * self.scale]
        if self.register:
            arguments.append("--register=each")
        return " \\\n    ".join(["densefuse-fuse", *map(shlex.quote, arguments)])

    def program(self, are_scaled: Sequence[bool]) -> str:
        """Returns the lines of Python, for an interpreter in the folder of the images.

        For each source `are_scaled` says whether its values were brought to 0..255,
        which 8-bit images without a range are not. The lines fuse arrays, which do not
        do where more than pixels is read or written; `program_of_run` does.
        """
        imports = ["from densefuse_tf.io import images"]
        if any(are_scaled):
            imports.append("from densefuse_tf.io import pixels")
        body = [
            f"{name} = images.read({_quoted(file)})"
            for name, file in zip(KINDS, self.file_names(), strict=True)
        ]
        for name, value_range, is_scaled in zip(
            KINDS, self.value_ranges, are_scaled, strict=True
        ):
            if is_scaled:
                given = "" if value_range is None else f", {_literal(value_range)}"
                body.append(f"{name}, _ = pixels.to_pixel_range({name}{given})")
        pair = f"[{', '.join(KINDS)}]"
        names = f"[{', '.join(map(_quoted, KINDS))}]"
        if self.register:
            imports.append("from densefuse_tf.pipelines.aligning import Aligner")
            imports.append(
                "from densefuse_tf.pipelines.settings import RegistrationSettings"
            )
            body.append('aligner = Aligner(RegistrationSettings(register="each"))')
            body.append(f"({', '.join(KINDS)}), _ = aligner.align({pair}, {names})")
        imports.insert(0, "from densefuse_tf.fusion import methods")
        body += self._settings()
        scaled = ", are_scaled=True" if any(are_scaled) else ""
        body.append(f"fused = methods.build(settings).fuse({pair}{scaled}).image")
        body.append(f"images.write({_quoted(OUTPUT)}, fused)")
        return "\n".join([*imports, "", *body, ""])

    def program_of_run(self) -> str:
        """Returns lines of Python that do what the command does, from file to file."""
        ir, vis = self.file_names()
        sources = (ir, ir if self.vis is None else vis)
        ranges = ", ".join(
            "None" if given is None else _literal(given) for given in self.value_ranges
        )
        options = ["infrared=True", f"value_ranges=({ranges})"]
        options += ["embedded=True"] * (self.vis is None)
        options += ["scale=True"] * self.has_scale
        imports = [
            "from densefuse_tf.fusion import methods",
            *["from densefuse_tf.io import pixels"] * ("pixels." in ranges),
            "from densefuse_tf.pipelines import folder",
            "from densefuse_tf.pipelines.settings import FileOptions",
            "from densefuse_tf.pipelines.settings import FusionRequest",
        ]
        request = [
            f"({', '.join(map(_quoted, sources))})",
            _quoted(OUTPUT),
            "settings",
            f"FileOptions({', '.join(options)})",
        ]
        if self.register:
            imports.append(
                "from densefuse_tf.pipelines.settings import RegistrationSettings"
            )
            request.append('RegistrationSettings(register="each")')
        body = [*self._settings(), "request = FusionRequest("]
        body += [*(f"    {each}," for each in request), ")", "folder.fuse(request)"]
        return "\n".join([*imports, "", *body, ""])

    def _settings(self) -> list[str]:
        palette = [f"    palette={_quoted(self.palette)},"] * (self.color == "thermal")
        return [
            "settings = methods.settings(",
            f"    {_quoted(self.method)},",
            f"    {json.dumps(self.options)},",
            f"    color={_quoted(self.color)},",
            *palette,
            ")",
        ]


def _literal(value_range: pixels.ValueRange) -> str:
    if isinstance(value_range, pixels.Percentiles):
        return f"pixels.Percentiles({value_range.low}, {value_range.high})"
    return _quoted(value_range) if isinstance(value_range, str) else repr(value_range)


def _quoted(text: str) -> str:
    """Writes a text in double quotes."""
    return json.dumps(text, ensure_ascii=False)
