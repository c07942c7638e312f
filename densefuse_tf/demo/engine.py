"""Computes what the page shows; it needs no Gradio."""

import contextlib
import dataclasses
import logging
import pathlib
import re
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

import densefuse_tf
from densefuse_tf import metrics
from densefuse_tf.demo.request import Request
from densefuse_tf.errors import REGISTER_FIRST
from densefuse_tf.errors import UserError
from densefuse_tf.evaluation import scoring
from densefuse_tf.fusion.channels import ChannelFuser
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.io import texts
from densefuse_tf.pipelines import aligning
from densefuse_tf.pipelines import pairs
from densefuse_tf.pipelines.planning import Pair
from densefuse_tf.pipelines.settings import KINDS
from densefuse_tf.pipelines.settings import FusionRequest
from densefuse_tf.registration import misalignment

if TYPE_CHECKING:
    from densefuse_tf.demo.maps import MapMaker

# Pictures for the screen are reduced to this side; the result itself never is.
_MAX_SHOWN = 1280
# What the page calls the setting, for errors that it solves.
REGISTER = "Register the infrared image to the visible one first"
# What the library calls flags, and what the page has in their place.
_WORDS = {
    REGISTER_FIRST: f'tick "{REGISTER}"',
    "--color=": "Colour ",
    "--ir and --vis": "the two images",
}
_MISALIGNED = f'{misalignment.FOUND}: tick "{REGISTER}"'


@dataclasses.dataclass(frozen=True)
class Answer:
    """Holds the result of a request.

    Attributes:
      request: What was asked for.
      image: The fused image, uint8.
      sources: What was fused, in 0..255 and aligned if that was asked for.
      fused_file: The fused image as a PNG file.
      settings_file: The settings as a JSON file.
      compared: For each source the PNG files of a slider, of one size: its picture and
        the fused one.
      command: The command line that does the same.
      program: The lines of Python that do the same.
      seconds: The time that reading, aligning, fusing and writing took.
      warnings: What the library warned of.
    """

    request: Request
    image: np.ndarray
    sources: tuple[np.ndarray, ...]
    fused_file: pathlib.Path
    settings_file: pathlib.Path
    compared: tuple[tuple[pathlib.Path, pathlib.Path], ...]
    command: str
    program: str
    seconds: float
    warnings: tuple[str, ...]


class Engine:
    """Answers requests, one at a time, and keeps the models that it has loaded."""

    def __init__(self, max_pixels: int):
        """Sets the size of the largest image that is read, in pixels."""
        self.max_pixels = max_pixels
        self._fusers: dict[tuple[str | None, ...], ChannelFuser] = {}
        self._map_makers: dict[str, MapMaker] = {}

    def preview(self, path: pathlib.Path) -> np.ndarray:
        """Returns a picture of a source image, which may have more than 8 bits."""
        with _named({path: path.name}):
            _check_is_here(path)
            image = images.read(path, max_pixels=self.max_pixels)
        return _shown(pixels.as_bytes(image))

    def fuse(self, request: Request, folder: pathlib.Path) -> Answer:
        """Fuses a pair and writes the files of the answer into a folder."""
        start = time.monotonic()
        run = request.run(folder / "fused.png", self.max_pixels)
        pair = Pair((request.ir, request.files[-1]), folder / "fused.png")
        aligner = None
        if run.registration.is_on:
            aligner = aligning.prepare(run.registration, ())
        names = {
            path: f"{kind} image {path.name}"
            for kind, path in zip(KINDS, request.files, strict=False)
        }
        with _warnings(names) as warnings, _named(names):
            for path in pair.sources:
                _check_is_here(path)
            fuser = self._fuser(request, run)
            (result,) = pairs.fuse_pairs(fuser, [pair], run.options, aligner=aligner)
            if result.error is not None:
                raise result.error
            if result.looks_misaligned:
                warnings.append(_MISALIGNED)
            if said := result.warning(run.settings.color):
                warnings.append(_renamed(said, names))
        # There is one unless there is an error.
        image = np.asarray(result.image)
        command = request.command()
        reads_more = result.values.are_celsius or result.is_in_false_colors
        if reads_more or request.has_scale:
            program = request.program_of_run()
        else:
            program = request.program(
                [source.dtype != np.uint8 for source in result.sources]
            )
        seconds = time.monotonic() - start
        return Answer(
            request,
            image,
            result.sources,
            pair.output,
            _write_settings(folder / "settings.json", request, command, program),
            _write_compared(
                pair.output, image, result.sources, has_scale=request.has_scale
            ),
            command,
            program,
            seconds,
            tuple(warnings),
        )

    def maps(self, answer: Answer, folder: pathlib.Path) -> list[pathlib.Path]:
        """Draws the activity level maps and the l1-norm's weights of the sources.

        Both activity level maps have one scale, which ends at the greatest value.

        Returns:
          PNG files in the folder: both activity level maps, infrared first, then both
          maps of weights. None where the method fuses no feature maps.
        """
        if not answer.request.fuses_maps:
            return []
        # Imports TensorFlow, which some other methods do without.
        from densefuse_tf.demo import maps

        checkpoint = answer.request.checkpoint
        if checkpoint not in self._map_makers:
            self._map_makers[checkpoint] = maps.MapMaker(checkpoint)
        found = self._map_makers[checkpoint].compute(answer.sources)
        greatest = float(found.activities.max())
        activities, weights = (map(_shown, each) for each in found)
        pictures = [maps.activity_picture(each, greatest) for each in activities]
        pictures += [maps.weight_picture(each) for each in weights]
        paths = [
            folder / f"{what}_{kind}.png"
            for what in ("activity", "weight")
            for kind in KINDS
        ]
        for path, picture in zip(paths, pictures, strict=True):
            images.write(path, picture)
        return paths

    def _fuser(self, request: Request, run: FusionRequest) -> ChannelFuser:
        """Returns what fuses, loaded once for each method, strategy and checkpoint."""
        options = request.options
        key = (
            request.method,
            *map(options.get, ("strategy", "checkpoint", "precision")),
        )
        if key not in self._fusers:
            self._fusers[key] = run.fuser()
        return self._fusers[key].with_output(
            color=run.settings.color,
            output_range=request.output_range,
            palette=run.settings.palette,
        )


def evaluate(answer: Answer) -> dict[str, float]:
    """Computes all metrics that images of this size have, of the luma.

    There are none of an image that takes more memory than fusing it; see
    `scoring.MAX_PIXELS_AT_ONCE`.
    """
    height, width = answer.image.shape[:2]
    if height * width > scoring.MAX_PIXELS_AT_ONCE:
        return {}
    size = min(height, width)
    names = [n for n in metrics.METRICS if metrics.METRICS[n].smallest <= size]
    ir, vis, fused = (
        pixels.to_uint8(pixels.gray(image)) for image in (*answer.sources, answer.image)
    )
    return metrics.evaluate(ir, vis, fused, metrics=names)


def _shown(image: np.ndarray) -> np.ndarray:
    """Reduces an image of 8 bits or a map of floats that is larger than a screen."""
    if max(image.shape[:2]) <= _MAX_SHOWN:
        return image
    picture = Image.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((_MAX_SHOWN, _MAX_SHOWN))
    return np.asarray(picture)


def _write_compared(
    fused: pathlib.Path,
    image: np.ndarray,
    sources: Sequence[np.ndarray],
    *,
    has_scale: bool,
) -> tuple[tuple[pathlib.Path, pathlib.Path], ...]:
    """Writes the pictures of the sliders, beside the file of the fused image."""
    shown = _shown(image)
    if shown is not image or has_scale:
        fused = fused.with_stem("fused_small")
        images.write(fused, shown)
    compared = []
    for kind, source in zip(KINDS, sources, strict=True):
        path = fused.with_name(f"{kind}.png")
        images.write(path, _shown(pixels.to_uint8(source)))
        compared.append((path, fused))
    return tuple(compared)


def _write_settings(
    path: pathlib.Path, request: Request, command: str, program: str
) -> pathlib.Path:
    content = {
        "densefuse_tf": densefuse_tf.__version__,
        **request.described(),
        "command": command,
        "python": program,
    }
    texts.write_json(path, content)
    return path


@contextlib.contextmanager
def _named(names: dict[pathlib.Path, str]) -> Iterator[None]:
    """Calls files in errors what the user calls them: uploads lie somewhere else."""
    try:
        yield
    except UserError as error:
        raise UserError(_renamed(str(error), names)) from error


def _renamed(text: str, names: dict[pathlib.Path, str]) -> str:
    """Says a line of the library as the page says it.

    Its sizes are width x height, and what settings of the page solve names these.
    """
    known = {str(path): name for path, name in names.items()}
    parts = re.split(f"({'|'.join(map(re.escape, known))})", text)
    for index, part in enumerate(parts):
        if part in known:
            parts[index] = known[part]
            continue
        part = re.sub(r"\b(\d+)x(\d+)\b", r"\2x\1", part)
        for flag, setting in _WORDS.items():
            part = part.replace(flag, setting)
        parts[index] = part
    return "".join(parts)


def _check_is_here(path: pathlib.Path) -> None:
    if not path.is_file():
        raise UserError(
            f"{path}: is no longer here: the page keeps a file for an hour, and for "
            "less where many come: choose it again"
        )


@contextlib.contextmanager
def _warnings(names: dict[pathlib.Path, str]) -> Iterator[list[str]]:
    """Collects what the library warns of."""
    found: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(_renamed(record.getMessage(), names))

    collector = Collector(logging.WARNING)
    logger = logging.getLogger("absl")
    logger.addHandler(collector)
    try:
        yield found
    finally:
        logger.removeHandler(collector)
