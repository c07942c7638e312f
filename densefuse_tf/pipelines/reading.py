"""Reads the source images of a pair and brings them to 0..255."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from absl import logging

from densefuse_tf import registration
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.io import radiometric
from densefuse_tf.io import telling
from densefuse_tf.pipelines.settings import FileOptions

if TYPE_CHECKING:
    from densefuse_tf.io.temperatures import Judged
    from densefuse_tf.registration import Registration


class Values(NamedTuple):
    """Says which infrared values became 0 and 255, and whether they are degrees C."""

    low: float = 0
    high: float = 255
    are_celsius: bool = False


# The value range of an image in 8 bits.
AS_THEY_ARE = Values()
_CELSIUS = Values(are_celsius=True)


@dataclasses.dataclass(frozen=True)
class Read:
    """Holds the sources of a pair, infrared first.

    Attributes:
      sources: [H, W] or [H, W, 3]; as they are stored, or uint8 or float32 in 0..255.
      names: What errors call them.
      values: Which values of the first source became 0 and 255, and their unit.
      guess: Nearly how the visible image lies over the infrared one, if the file says.
      lacks_reader: Whether a package is missing that reads temperatures.
      unread: Warns of temperatures that are not read for another reason, or "".
    """

    sources: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    values: Values = AS_THEY_ARE
    guess: "Registration | None" = None
    lacks_reader: bool = False
    unread: str = ""


def stored(paths: Sequence[pathlib.Path], options: FileOptions) -> Read:
    """Reads the sources of a pair as they are stored, temperatures in degrees Celsius.

    Raises:
      UserError: A file cannot be read, or lacks the photograph that is asked for.
    """
    names, limit = tuple(map(str, paths)), options.max_pixels
    if options.embedded:
        celsius, photograph, placing = radiometric.read_pair(paths[0], max_pixels=limit)
        guess = registration.placed(placing, photograph.shape[:2], celsius.shape)
        names = names[0], f"the photograph in {names[1]}"
        return Read((celsius, photograph), names, _CELSIUS, guess)
    first = None
    if options.infrared:
        first = radiometric.read_infrared(paths[0], max_pixels=limit)
    shown = [
        images.read(path, max_pixels=limit, masked=True)
        for path in paths[0 if first is None else 1 :]
    ]
    if first is None:
        return Read(tuple(shown), names)
    return Read(
        (first.image, *shown),
        names,
        _CELSIUS if first.are_celsius else AS_THEY_ARE,
        lacks_reader=first.lacks_reader,
        unread="" if first.lacks_reader else first.warning,
    )


def read(
    paths: Sequence[pathlib.Path], options: FileOptions, *, tell: bool = True
) -> Read:
    """Reads the sources of a pair and brings them to 0..255; see `stored`.

    Args:
      paths: The files.
      options: Says how they are read.
      tell: Whether the log says what is done to their values.
    """
    found = stored(paths, options)
    if found.unread and tell:
        name = found.names[0]
        telling.warning("%s: %s", name, found.unread.removeprefix(f"{name}: "))
    sources, values = [], found.values
    count = len(paths)
    ranges = options.ranges(count)
    flags = options.range_flags or (pixels.UNCHOSEN,) * count
    for index, (image, name, value_range, flag) in enumerate(
        zip(found.sources, found.names, ranges, flags, strict=True)
    ):
        # 8-bit images stay as they are, unless a range is asked for.
        if image.dtype != np.uint8 or value_range is not None:
            judged = pixels.judge(image, value_range)
            if tell:
                unit = " degrees Celsius" * (index == 0 and values.are_celsius)
                _tell(name, pixels.outside(image, value_range), judged, flag, unit)
            image = pixels.scale(image, judged)
            if index == 0:
                values = values._replace(low=judged.low, high=judged.high)
        sources.append(image)
    return dataclasses.replace(found, sources=tuple(sources), values=values)


def _tell(name: str, outside: str, judged: "Judged", flag: str, unit: str) -> None:
    """Says what becomes 0 and 255, and what looks wrong with it."""
    if outside:
        telling.warning("%s: %s", name, outside)
    if judged.found:
        telling.warning(pixels.LEFT_OUT, name, judged.found, flag)
    if judged.has_outliers:
        telling.warning(
            "%s: its extremes %g and %g, which become 0 and 255, are far from almost "
            "all of its values, so that the contrast is low: %s1%%,99%% leaves such "
            "dead or hot pixels out",
            *(name, judged.low, judged.high, flag),
        )
    logging.info("%s: %g..%g%s brought to 0..255", name, judged.low, judged.high, unit)
