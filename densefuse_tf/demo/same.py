"""Writes down how to get the page's result without the page."""

import json
import shlex
from collections.abc import Sequence

from densefuse_tf.demo.request import DENSEFUSE
from densefuse_tf.demo.request import Request
from densefuse_tf.io import pixels

# Beside the sources, where it takes the place of none.
OUTPUT = "out/fused.png"


def file_names(request: Request) -> tuple[str, str]:
    """Names the sources as the lines do: in ir/ and vis/ if both have one name."""
    ir, vis = request.ir.name, request.vis.name
    return (f"ir/{ir}", f"vis/{vis}") if ir == vis else (ir, vis)


def command(request: Request) -> str:
    """Returns the command line, for a shell in the folder of the images."""
    ir, vis = file_names(request)
    arguments = [f"--ir={ir}", f"--vis={vis}", f"--output={OUTPUT}"]
    if request.method == DENSEFUSE:
        arguments += [
            f"--strategy={request.strategy}",
            f"--checkpoint={request.checkpoint}",
            f"--output_range={request.output_range}",
        ]
    else:
        arguments.append(f"--method={request.method}")
    arguments.append(f"--color={request.color}")
    for name, text in (("ir", request.ir_range), ("vis", request.vis_range)):
        if text:
            arguments.append(f"--{name}_range={text}")
    if request.register:
        arguments.append("--register=each")
    return " \\\n    ".join(["densefuse-fuse", *map(shlex.quote, arguments)])


def program(request: Request, are_scaled: Sequence[bool]) -> str:
    """Returns the lines of Python, for an interpreter in the folder of the images.

    Args:
      request: What was fused.
      are_scaled: For each source whether its values were brought to 0..255, which 8-bit
        images without a range are not.
    """
    imports = ["from densefuse_tf.io import images"]
    if any(are_scaled):
        imports.append("from densefuse_tf.io import pixels")
    body = [
        f"{name} = images.read({_quoted(file)})"
        for name, file in zip(_NAMES, file_names(request), strict=True)
    ]
    for name, value_range, is_scaled in zip(
        _NAMES, request.value_ranges, are_scaled, strict=True
    ):
        if is_scaled:
            given = "" if value_range is None else f", {_literal(value_range)}"
            body.append(f"{name}, _ = pixels.to_pixel_range({name}{given})")
    pair = f"[{', '.join(_NAMES)}]"
    names = f"[{', '.join(map(_quoted, _NAMES))}]"
    if request.register:
        imports.append("from densefuse_tf.pipelines.aligning import Aligner")
        imports.append(
            "from densefuse_tf.pipelines.settings import RegistrationSettings"
        )
        body.append('aligner = Aligner(RegistrationSettings(register="each"))')
        body.append(f"({', '.join(_NAMES)}), _ = aligner.align({pair}, {names})")
    if request.method == DENSEFUSE:
        imports.insert(0, "from densefuse_tf import Fuser, FusionSettings")
        body += [
            "settings = FusionSettings(",
            f"    {_quoted(request.checkpoint)},",
            f"    strategy={_quoted(request.strategy)},",
            f"    output_range={_quoted(request.output_range)},",
            f"    color={_quoted(request.color)},",
            ")",
        ]
        fuser = "Fuser(settings)"
    else:
        imports.append(
            "from densefuse_tf.fusion.methods import MethodFuser, MethodSettings"
        )
        method, color = _quoted(request.method), _quoted(request.color)
        body.append(f"settings = MethodSettings({method}, color={color})")
        fuser = "MethodFuser(settings)"
    scaled = ", are_scaled=True" if any(are_scaled) else ""
    body.append(f"fused = {fuser}.fuse({pair}{scaled}).image")
    body.append(f"images.write({_quoted(OUTPUT)}, fused)")
    return "\n".join([*imports, "", *body, ""])


_NAMES = ("infrared", "visible")


def _literal(value_range: pixels.ValueRange) -> str:
    if isinstance(value_range, pixels.Percentiles):
        return f"pixels.Percentiles({value_range.low}, {value_range.high})"
    return _quoted(value_range) if isinstance(value_range, str) else repr(value_range)


def _quoted(text: str) -> str:
    """Writes a text in double quotes."""
    return json.dumps(text, ensure_ascii=False)
