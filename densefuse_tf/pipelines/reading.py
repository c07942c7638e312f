"""Reads the source images of a pair and brings them to 0..255."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from absl import logging

from densefuse_tf import registration
from densefuse_tf.errors import UserError
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.io import radiometric
from densefuse_tf.pipelines.settings import FileOptions

if TYPE_CHECKING:
    from densefuse_tf.registration import Registration

# Warns of a radiometric JPEG where the package that reads it is missing.
LACKS_READER = (
    "%s: has temperatures inside, and what a viewer shows is fused: "
    "pip install '.[flir]' in a checkout adds what reads them"
)


class Values(NamedTuple):
    """Says which infrared values became 0 and 255, and whether they are degrees C."""

    low: float = 0
    high: float = 255
    are_celsius: bool = False


# Of an image in 8 bits.
AS_THEY_ARE = Values()
_CELSIUS = Values(are_celsius=True)


@dataclasses.dataclass(frozen=True)
class Read:
    """Holds the sources of a pair, infrared first.

    Attributes:
      sources: [H, W] or [H, W, 3]; as they are stored, or uint8 or float32 in 0..255.
      names: What errors call them.
      values: Of the first source, once it is in 0..255.
      guess: Nearly how the visible image lies over the infrared one, if the file says.
      lacks_reader: Whether a package is missing that reads temperatures.
      unread: Why temperatures are not read; "" where there are none or they are.
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
    infrared, lacks_reader, unread = [], False, ""
    if options.infrared and (maker := radiometric.maker(paths[0])):
        lacks_reader = maker == "FLIR" and not radiometric.can_read()
        try:
            if not lacks_reader:
                found = radiometric.read(paths[0], max_pixels=limit)
                infrared.append(found.celsius)
        except UserError as error:
            unread = str(error)
    others = [
        images.read(path, max_pixels=limit, masked=True)
        for path in paths[len(infrared) :]
    ]
    values = _CELSIUS if infrared else AS_THEY_ARE
    return Read((*infrared, *others), names, values, None, lacks_reader, unread)


def read(paths: Sequence[pathlib.Path], options: FileOptions) -> Read:
    """Reads the sources of a pair and brings them to 0..255; see `stored`."""
    found = stored(paths, options)
    if found.unread:
        logging.warning("%s; what a viewer shows of it is fused", found.unread)
    sources, values = [], found.values
    count = len(paths)
    ranges = options.ranges(count)
    flags = options.range_flags or ("the value range ",) * count
    for index, (image, name, value_range, flag) in enumerate(
        zip(found.sources, found.names, ranges, flags, strict=True)
    ):
        # 8-bit images stay as they are, unless a range is asked for.
        if image.dtype != np.uint8 or value_range is not None:
            if said := pixels.outside(image, value_range):
                logging.warning("%s: %s", name, said)
            judged = pixels.judge(image, value_range)
            if judged.found:
                logging.warning(pixels.LEFT_OUT, name, judged.found, flag)
            if judged.has_outliers:
                logging.warning(
                    "%s: its extremes %g and %g, which become 0 and 255, are far from "
                    "almost all of its values, so that the contrast is low: "
                    "%s1%%,99%% leaves such dead or hot pixels out",
                    *(name, judged.low, judged.high, flag),
                )
            image = pixels.scale(image, judged)
            unit = " degrees Celsius" * (index == 0 and values.are_celsius)
            logging.info(
                "%s: %g..%g%s brought to 0..255", name, judged.low, judged.high, unit
            )
            if index == 0:
                values = values._replace(low=judged.low, high=judged.high)
        sources.append(image)
    return dataclasses.replace(found, sources=tuple(sources), values=values)
