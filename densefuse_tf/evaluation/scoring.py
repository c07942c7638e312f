"""Evaluates image files and frames, several pairs side by side, without TensorFlow."""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from densefuse_tf import metrics
from densefuse_tf.errors import UserError
from densefuse_tf.io import finding
from densefuse_tf.io import formats
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.io.ordered_map import cores
from densefuse_tf.io.ordered_map import ordered_map

# An evaluation takes about 240 bytes for each pixel of the pair; this many pixels are
# in work at a time, or one pair if it is larger, so that memory stays near 1 GB.
MAX_PIXELS_AT_ONCE = 4_000_000


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """Holds the metrics of one fused image.

    Attributes:
      pair: The name of the pair: that of the fused image, without its suffix.
      values: The metrics by name, in the order in which they were asked for.
      colored: Those of the three files that were turned to grey first.
    """

    pair: str
    values: dict[str, float]
    colored: tuple[pathlib.Path, ...] = ()


def read_8_bits(
    path: str | os.PathLike,
    value_range: pixels.ValueRange | None = None,
    flag: str = "",
) -> np.ndarray:
    """Reads an image for the metrics, which are defined for 8-bit ones.

    Args:
      path: The file; see `images.read`.
      value_range: The values that become 0 and 255, as `pixels.to_pixel_range` takes
        them; None leaves an 8-bit image as it is.
      flag: What gives a range on the command line, for the error.

    Returns:
      [H, W] or [H, W, 3] uint8.

    Raises:
      UserError: The file has more than 8 bits and no range is given: how they become 8
        decides the entropy, so it is not chosen here.
    """
    image = images.read(path, masked=value_range is not None)
    if value_range is not None:
        image = pixels.as_bytes(image, value_range)
    if image.dtype != np.uint8:
        raise UserError(
            f"{os.fspath(path)}: has {image.dtype} values: expected an 8-bit image, "
            f"which the metrics are defined for{flag and f', or {flag}'}"
        )
    return image


def read_gray(path: str | os.PathLike) -> tuple[np.ndarray, bool]:
    """Reads an image as `read_8_bits` does, in grey.

    Returns:
      [H, W] uint8, and whether the file is in colour, of which this is the luma.
    """
    image = read_8_bits(path)
    return pixels.gray(image), pixels.is_color(image)


def evaluate_files(
    triplets: Sequence[tuple[pathlib.Path, ...]],
    *,
    value_ranges: Sequence[pixels.ValueRange | None] = (None, None),
    workers: int | None = None,
    selection: str | Iterable[str] = "paper",
    convention: metrics.Convention = "intended",
) -> Iterator[Evaluated]:
    """Evaluates fused image files, several at a time.

    Args:
      triplets: Infrared, visible and fused image of each pair, as `finding.pair`
        matches three sources.
      value_ranges: How the sources become 8-bit images; see `read_8_bits`.
      workers: The number of pairs evaluated at a time; by default one for each core.
      selection: The metrics, as `metrics.select` takes them.
      convention: One of `metrics.CONVENTIONS`.

    Yields:
      The results in the order of `triplets`. Colour images are turned to grey, except
      under the convention "vifb".
    """
    name_of = names(triplets)

    def read(triplet: tuple[pathlib.Path, ...]) -> _Scene:
        ranges, flags = (*value_ranges, None), ("--ir_range", "--vis_range", "")
        images = [
            read_8_bits(*each) for each in zip(triplet, ranges, flags, strict=True)
        ]
        return _scene(name_of(triplet), str(triplet[-1]), images, triplet, convention)

    return _evaluate_scenes(map(read, triplets), workers, selection, convention)


def names(
    triplets: Iterable[tuple[pathlib.Path, ...]],
) -> Callable[[tuple[pathlib.Path, ...]], str]:
    """Returns what names pairs: by the fused image, with its folder if it has to be."""
    if finding.recur(triplet[-1].stem for triplet in triplets):
        return lambda triplet: str(triplet[-1])
    return lambda triplet: triplet[-1].stem


@dataclasses.dataclass(frozen=True)
class Evaluating:
    """Evaluates files on a cluster: a `jobs.Job` on infrared, visible and fused image.

    It says the values of each pair and which of its three files are in colour, or why
    the pair cannot be evaluated. The fields are what `evaluate_files` takes.
    """

    value_ranges: Sequence[pixels.ValueRange | None]
    selection: Sequence[str]
    convention: metrics.Convention

    def prepare(self) -> None:
        """Makes nothing: there is no model."""

    def do(
        self, prepared: None, items: Sequence[Sequence[str]]
    ) -> Iterator[str | tuple[list[float], list[int]]]:
        """Evaluates the pairs one after the other."""
        for item in items:
            triplet = tuple(map(pathlib.Path, item))
            try:
                (result,) = evaluate_files(
                    [triplet],
                    value_ranges=self.value_ranges,
                    workers=1,
                    selection=self.selection,
                    convention=self.convention,
                )
            except UserError as error:
                if isinstance(error.__cause__, MemoryError):
                    raise error.__cause__ from None
                yield str(error)
            else:
                colored = [triplet.index(path) for path in result.colored]
                yield list(result.values.values()), colored


def evaluate_frames(
    moments: Iterable[tuple[np.ndarray, ...]],
    paths: Sequence[pathlib.Path],
    *,
    name: Callable[[int], str],
    workers: int | None = None,
    selection: str | Iterable[str] = "paper",
    convention: metrics.Convention = "intended",
) -> Iterator[Evaluated]:
    """Evaluates the frames of a fused sequence, several at a time.

    Args:
      moments: Infrared, visible and fused frame of each moment, [H, W] or [H, W, 3],
        uint8 or float32 in 0..255, which is rounded. No more of them are held than are
        in work.
      paths: Where the three sequences are, for `Evaluated.colored`.
      name: Returns what an error calls the fused frame of an index.
      workers: As `evaluate_files` takes it, like the next two.
      selection: The metrics.
      convention: Their convention.

    Yields:
      The results in the order of the moments; the pairs are named "1", "2", ... Colour
      frames are turned to grey, except under the convention "vifb".
    """

    def scene(numbered: tuple[int, tuple[np.ndarray, ...]]) -> _Scene:
        index, frames = numbered
        levels = list(map(pixels.to_uint8, frames))
        return _scene(str(index + 1), name(index), levels, paths, convention)

    return _evaluate_scenes(
        map(scene, enumerate(moments)), workers, selection, convention
    )


@dataclasses.dataclass(frozen=True)
class _Scene:
    """Holds three images for the metrics, and what results and errors call them."""

    pair: str
    name: str
    images: tuple[np.ndarray, ...]
    colored: tuple[pathlib.Path, ...]


def _scene(
    pair: str,
    name: str,
    images: Sequence[np.ndarray],
    paths: Sequence[pathlib.Path],
    convention: metrics.Convention,
) -> _Scene:
    """Makes a scene of 8-bit images; only VIFB evaluates colour as it is."""
    if convention == "vifb":
        return _Scene(pair, name, tuple(images), ())
    colored = tuple(itertools.compress(paths, map(pixels.is_color, images)))
    return _Scene(pair, name, tuple(map(pixels.gray, images)), colored)


def _evaluate_scenes(
    scenes: Iterable[_Scene],
    workers: int | None,
    selection: str | Iterable[str],
    convention: metrics.Convention,
) -> Iterator[Evaluated]:
    names = metrics.select(selection)

    def work(scene: _Scene) -> Evaluated:
        values = evaluate(
            *scene.images, name=scene.name, selection=names, convention=convention
        )
        return Evaluated(scene.pair, values, scene.colored)

    return ordered_map(
        work,
        scenes,
        workers=workers or cores(),
        cost=lambda scene: scene.images[-1].size,
        most_cost=MAX_PIXELS_AT_ONCE,
    )


def evaluate(
    ir: np.ndarray,
    vis: np.ndarray,
    fused: np.ndarray,
    *,
    name: str,
    selection: str | Iterable[str] = "paper",
    convention: metrics.Convention = "intended",
) -> dict[str, float]:
    """Computes metrics as `metrics.evaluate` does; an error begins with the name."""
    try:
        return metrics.evaluate(
            ir, vis, fused, metrics=selection, convention=convention
        )
    except UserError as error:
        raise UserError(f"{name}: {error}") from error


def mean(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Averages each metric over one pair or more; see `average`."""
    rows = list(rows)
    return {name: average([row[name] for row in rows]) for name in rows[0]}


def average(values: Iterable[float]) -> float:
    """Averages the values that are defined, not NaN; NaN if none is, inf if one is."""
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def find_methods(
    methods_dir: str | os.PathLike, *, with_videos: bool = False
) -> dict[str, pathlib.Path]:
    """Finds the sub-folders of fused images, one for each method, by their names.

    Where `with_videos` is true a video in the folder is a method's as well.
    """
    folder = existing_folder(methods_dir)
    found = {
        entry.name: entry
        for entry in sorted(folder.iterdir())
        if (entry.is_dir() or (with_videos and formats.is_video(entry)))
        and not entry.name.startswith(".")
    }
    if not found:
        what = "sub-folder and no video" if with_videos else "sub-folder"
        raise UserError(
            f"{folder}: has no {what}: expected one for each method, with its "
            "fused images"
        )
    return found


def existing_folder(path: str | os.PathLike) -> pathlib.Path:
    """Returns the path of a folder, which has to be there."""
    folder = pathlib.Path(path)
    if not folder.is_dir():
        kind = "is not a folder" if folder.exists() else "no such folder"
        raise UserError(f"{folder}: {kind}")
    return folder
