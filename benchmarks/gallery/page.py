"""Fuses the scenes of the gallery, scores the results, and lays out the page."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image
from skimage import metrics as compare

from benchmarks.gallery.problems import Problem
from benchmarks.gallery.problems import Scene
from densefuse_tf import metrics
from densefuse_tf.fusion import methods
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import panels
from densefuse_tf.io import pixels
from densefuse_tf.model import strategies

# Columns, and pixels of the width of an image in them: results are judged by eye,
# differences only show where they are.
_SHOWN = (2, 620)
_DIFFERENCES = (4, 256)
# What the differences to the truth are multiplied by to be seen.
_GAIN = 4

_INTRODUCTION = """\
# Gallery

This page shows what each strategy makes of infrared and visible images, and of two
other fusion problems which the paper's conclusion names. The DenseFuse results are
those of the shipped model of lambda = 100, which was trained on photographs alone.
The other methods are {methods}, as `--method` runs them;
they fuse three sources two at a time. jsr and jsrsd, which train a dictionary for
minutes, are left out.

`r` is `--window_radius`. The [metrics](metrics.md) are those of the grey images. More
is better (↑), and the best value of a column is bold. *The truth* is the photograph
that the sources were made of. *MEF-SSIM* is that of Ma, Zeng and Wang
(doi:10.1109/TIP.2015.2442920), by `densefuse_tf.metrics.mef_ssim`. Photographs of 384
pixels are shown enlarged to 620.

`python -m benchmarks.gallery.make` makes this page and its pictures anew, in minutes.
"""

_CLOSING = """\
## What is missing

No medical pair, and no infrared and visible pair in colour, could be had under terms
that let it be shown here. Folders of your own make a page of your own. Their images are
matched by name, and each flag can be left out:

    python -m benchmarks.gallery.make --output=own/gallery.md --noexamples \\
        --infrared_visible=IR,VIS --multi_focus=NEAR,FAR --multi_exposure=LOW,MID,HIGH
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """Holds one image of a scene, its scores and whether it is one of the sources."""

    name: str
    image: np.ndarray
    scores: Mapping[str, float]
    is_source: bool = False


def rows(problem: Problem, scene: Scene, method_names: Sequence[str]) -> list[Row]:
    """Fuses a scene with everything that the problem compares.

    Args:
      problem: What is compared, and the metrics.
      scene: The source images.
      method_names: Other methods, as `--method` names them.

    Returns:
      The sources, the results of the strategies and those of the methods.

    Raises:
      UserError: The images cannot be fused.
    """
    count = len(scene.sources)
    found = [
        Row(caption, image, _scores(problem, scene, image), is_source=True)
        for caption, image in zip(scene.captions, scene.sources, strict=True)
    ]
    for settings in problem.settings:
        fuser = methods.build(dataclasses.replace(settings, num_sources=count))
        image = fuser.fuse(scene.sources).image
        found.append(Row(label(settings), image, _scores(problem, scene, image)))
    for name in method_names:
        # The settings of a problem differ in the strategy alone.
        color = problem.settings[0].color
        fuser = methods.build(methods.MethodSettings(name, color=color))
        image = scene.sources[0]
        for source in scene.sources[1:]:
            image = fuser.fuse([image, source]).image
        found.append(Row(name, image, _scores(problem, scene, image)))
    return found


def label(settings: FusionSettings) -> str:
    """Returns a strategy's name, with the radius of its window where it has one."""
    if strategies.get(settings.strategy).takes_window_radius:
        return f"{settings.strategy}, r = {settings.window_radius}"
    return settings.strategy


def _scores(problem: Problem, scene: Scene, image: np.ndarray) -> dict[str, float]:
    sources = [_grey(source) for source in scene.sources]
    fused = _grey(image)
    scores = {}
    for name in problem.metrics:
        score = _score(name, sources, fused, scene.truth)
        if score is not None:
            scores[name] = score
    return scores


def _score(
    name: str,
    sources: Sequence[np.ndarray],
    fused: np.ndarray,
    truth: np.ndarray | None,
) -> float | None:
    """Computes one metric, or None where it is not defined for the scene."""
    if name == "MEF-SSIM":
        return metrics.mef_ssim(sources, fused)
    if name in _TO_THE_TRUTH:
        return None if truth is None else _TO_THE_TRUTH[name](_grey(truth), fused)
    if len(sources) != 2:
        return None
    first, second = sources
    return metrics.METRICS[name](first, second, fused)


_TO_THE_TRUTH: Mapping[str, Callable[..., float]] = {
    "PSNR to the truth": functools.partial(
        compare.peak_signal_noise_ratio, data_range=255
    ),
    "SSIM to the truth": functools.partial(
        compare.structural_similarity, data_range=255
    ),
}


def _grey(image: np.ndarray) -> np.ndarray:
    return pixels.to_uint8(pixels.gray(image))


def picture(scene: Scene, found: Sequence[Row]) -> np.ndarray:
    """Puts the sources, the truth and the results into one picture.

    Returns:
      uint8 [H, W, 3], or [H, W] where all images are grey.
    """
    first = [(row.name, row.image) for row in found if row.is_source]
    if scene.truth is not None:
        first.append(("truth", scene.truth))
    results = [(row.name, row.image) for row in found if not row.is_source]
    return _panel(_SHOWN, first, results)


def differences(scene: Scene, found: Sequence[Row]) -> np.ndarray:
    """Shows how far each result is from the truth, grey by grey, dark on white.

    Returns:
      uint8 [H, W]: 255 less four times the absolute difference.
    """
    assert scene.truth is not None
    truth = _grey(scene.truth).astype(int)
    shown: list[tuple[str, np.ndarray]] = []
    for row in found:
        if not row.is_source:
            away = np.abs(_grey(row.image).astype(int) - truth)
            shade = 255 - np.minimum(_GAIN * away, 255)
            shown.append((row.name, shade.astype(np.uint8)))
    return _panel(_DIFFERENCES, shown)


def _panel(
    layout: tuple[int, int], *groups: Sequence[tuple[str, np.ndarray]]
) -> np.ndarray:
    columns, width = layout
    lines = [
        [(caption, _resized(image, width)) for caption, image in group[start:end]]
        for group in groups
        for start in range(0, len(group), columns)
        for end in [start + columns]
    ]
    return pixels.without_equal_channels(panels.panel(lines))


def _resized(image: np.ndarray, width: int) -> np.ndarray:
    size = (width, round(image.shape[0] * width / image.shape[1]))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def table(problem: Problem, found: Sequence[Row]) -> str:
    """Lays out the scores as a Markdown table; the best of each column is bold."""
    scored = [row for row in found if problem.scores_sources or not row.is_source]
    names = [name for name in problem.metrics if name in scored[0].scores]
    best = {
        name: max(row.scores[name] for row in scored if not row.is_source)
        for name in names
    }
    lines = ["|  | " + " | ".join(f"{name} ↑" for name in names) + " |"]
    lines.append("|---|" + "---|" * len(names))
    for row in scored:
        cells = []
        for name in names:
            text = f"{row.scores[name]:.{2 if name.startswith('PSNR') else 4}f}"
            is_best = row.scores[name] == best[name] and not row.is_source
            cells.append(f"**{text}**" if is_best else text)
        title = f"source: {row.name}" if row.is_source else f"`{row.name}`"
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def introduction(method_names: Sequence[str]) -> str:
    """Returns the beginning of the page of the examples."""
    *others, last = method_names
    return _INTRODUCTION.format(methods=f"{', '.join(others)} and {last}")


def closing() -> str:
    """Returns the end of the page of the examples."""
    return _CLOSING
