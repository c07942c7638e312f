r"""Measures how the metrics agree with MATLAB and writes the tables of docs/metrics.md.

    python benchmarks/metrics_table.py
    python benchmarks/metrics_table.py --shared=../shared --document=docs/metrics.md

The values of MATLAB and the images they belong to are read from the folders
reference_metrics and published of --shared and from what lies beside them. What stands
between the markers of the document is replaced; the rest stays as it is.
"""

import json
import math
import pathlib
import re
import sys
from collections.abc import Iterator

import measuring  # noqa: F401
import numpy as np
from absl import flags

from densefuse_tf import metrics
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.io import images
from densefuse_tf.io import pixels

_FLAGS = flags.FlagValues()
_SHARED = flags.DEFINE_string(
    "shared", "../shared", "Folder with the values of MATLAB.", flag_values=_FLAGS
)
_DOCUMENT = flags.DEFINE_string(
    "document", "docs/metrics.md", "Markdown file to write into.", flag_values=_FLAGS
)
# Names in the files of values that differ from those of the tables.
_RENAMED = {
    "SSIMa": "SSIM_a",
    "EN": "En",
    "Avg_gradient": "AG",
    "Cross_entropy": "CE",
    "Edge_intensity": "EI",
    "Entropy": "En",
    "Mutinf": "MI",
    "Psnr": "PSNR",
    "Qcb": "Q_CB",
    "Qcv": "Q_CV",
    "Rmse": "RMSE",
    "Spatial_frequency": "SF",
    "Ssim": "SSIM",
    "Variance": "SD",
}
_MATLAB, _OCTAVE = "MATLAB", "Octave"
_INDEPENDENT = "other code"
# Its differences are relative, since it prints five digits.
_VIFB = "VIFB, relative"
# The source that says most, where there are several.
_PREFERRED = (_MATLAB, _OCTAVE, _INDEPENDENT, _VIFB)
Differences = dict[str, dict[str, list[float]]]


def main() -> None:
    shared, document = pathlib.Path(_SHARED.value), pathlib.Path(_DOCUMENT.value)
    if not (shared / "reference_metrics").is_dir():
        raise UserError(f"{shared}: has no folder reference_metrics: give --shared")
    text = document.read_text(encoding="utf-8")
    text = replaced(text, "metrics", metrics_table(differences(shared)))
    text = replaced(text, "published", published_table(shared))
    with files.replacing(document) as temporary:
        temporary.write_text(text, encoding="utf-8")


def differences(shared: pathlib.Path) -> Differences:
    """Differences to the reference values, by metric and kind of source."""
    found: Differences = {}
    for triplet, kind, convention, published in references(shared):
        expected = {_RENAMED.get(name, name): v for name, v in published.items()}
        names = [name for name in metrics.METRICS if name in expected]
        values = metrics.evaluate(*triplet, metrics=names, convention=convention)
        for name, value in values.items():
            kinds = found.setdefault(name, {})
            difference = abs(value - expected[name])
            if kind == _VIFB:
                difference /= expected[name]
            kinds.setdefault(kind, []).append(difference)
    return found


def references(
    shared: pathlib.Path,
) -> Iterator[tuple[list[np.ndarray], str, str, dict[str, float]]]:
    """Yields images, the kind of source, the convention and the values of metrics."""
    folder = shared / "reference_metrics"
    toolkit = read(folder / "toolkit.json")
    for name, expected in read(folder / "expected.json").items():
        triplet = [
            gray(folder / name / f"{part}.png")
            for part in ("infrared", "visible", "fused")
        ]
        kind = _MATLAB if name in toolkit else _OCTAVE
        yield triplet, kind, "intended", expected
        yield triplet, _INDEPENDENT, "intended", expected["independent_implementation"]
        if name in toolkit:
            yield triplet, kind, "toolkit", toolkit[name]
    for method, numbers in read(folder / "authors.json").items():
        for number, expected in numbers.items():
            triplet = [
                gray(shared / path)
                for path in (
                    f"tno/IR{number}.png",
                    f"tno/VIS{number}.png",
                    f"methods/{method}/fused{number}.png",
                )
            ]
            yield triplet, _MATLAB, "authors", expected
    folder = shared / "published" / "toolkit"
    for name, expected in read(folder / "values.json")["images"].items():
        triplet = [gray(folder / part / name) for part in ("ir", "vis", "densefuse")]
        yield triplet, _MATLAB, "toolkit", expected
    folder = shared / "published" / "vifb"
    for name, expected in read(folder / "values.json")["values"].items():
        pair, method = name.split("/")
        triplet = [
            images.read(folder / part / f"{pair}.jpg") for part in ("ir", "vis", method)
        ]
        yield triplet, _VIFB, "vifb", expected


def read(path: pathlib.Path) -> dict:
    values = json.loads(path.read_text(encoding="utf-8"))
    return {key: value for key, value in values.items() if key != "source"}


def gray(path: pathlib.Path) -> np.ndarray:
    return pixels.gray(images.read(path))


def metrics_table(found: Differences) -> str:
    """One row for each metric."""
    rows = [
        [
            "metric",
            "definition",
            "range",
            "paper",
            "conventions of its own",
            "largest difference to MATLAB",
        ]
    ]
    for metric in metrics.METRICS.values():
        paper, _, doi = metric.reference.partition(", doi:")
        rows.append(
            [
                f"{metric.name} {metric.arrow}<br>{metric.title}",
                metric.formula.replace("|", r"\|"),
                " to ".join(map(number, metric.range)),
                f"[{paper}](https://doi.org/{doi})",
                ", ".join(metric.conventions[1:]) or "none",
                agreement(found.get(metric.name, {})),
            ]
        )
    return table(rows)


def agreement(kinds: dict[str, list[float]]) -> str:
    for kind in _PREFERRED:
        if kind in kinds:
            count, largest = len(kinds[kind]), max(kinds[kind])
            of = "" if kind == _MATLAB else f" ({kind})"
            return f"{f'{largest:.0e}' if largest else '0'}, {count} images{of}"
    return "no values published"


def published_table(shared: pathlib.Path) -> str:
    """The published values beside the intended ones of the same images."""
    folder = shared / "reference_metrics"
    toolkit = read(folder / "toolkit.json")
    rows = [["metric", *(name.removeprefix("matlab_") for name in toolkit)]]
    triplets = [
        [
            gray(folder / name / f"{part}.png")
            for part in ("infrared", "visible", "fused")
        ]
        for name in toolkit
    ]
    for name, metric in metrics.METRICS.items():
        if "toolkit" in metric.conventions:
            rows.append(
                [
                    name,
                    *(
                        f"{toolkit[key][name]:.4f} / {metric(*triplet):.4f}"
                        for key, triplet in zip(toolkit, triplets, strict=True)
                    ),
                ]
            )
    return table(rows)


def number(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.4g}"


def table(rows: list[list[str]]) -> str:
    header, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([header, "|" + "---|" * len(rows[0]), *body])


def replaced(text: str, name: str, content: str) -> str:
    """The text with the content between its markers `name` replaced."""
    start, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise UserError(f"{_DOCUMENT.value}: expected one {start} ... {end}")
    return pattern.sub(lambda _: f"{start}\n{content}\n{end}", text)


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
