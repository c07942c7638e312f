"""Fuses what two cameras show, while it happens."""

import os
from collections.abc import Generator, Iterable
from typing import Any

import numpy as np
from absl import logging

from densefuse_tf.cameras.pairing import NAMES
from densefuse_tf.cameras.pairing import Counts
from densefuse_tf.cameras.pairing import pairs
from densefuse_tf.cameras.ranges import SteadyRange
from densefuse_tf.cameras.settings import USUAL
from densefuse_tf.cameras.settings import pick_rate
from densefuse_tf.errors import UserError
from densefuse_tf.fusion import methods
from densefuse_tf.fusion.channels import ChannelFuser
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import pixels
from densefuse_tf.pipelines import aligning
from densefuse_tf.pipelines.settings import RegistrationSettings

# A run ends with the mistake that is in each of so many pairs, the first ones.
_HOPELESS = 10


def live(
    ir: Iterable[tuple[float, np.ndarray]],
    vis: Iterable[tuple[float, np.ndarray]],
    *,
    fuser: ChannelFuser | None = None,
    rate: str | float = "vis",
    max_skew: float = 0.1,
    range_memory: float = 2.0,
    ranges: Iterable[pixels.ValueRange | None] = (None, None),
    transform: str | os.PathLike | RegistrationSettings | None = None,
    counts: Counts | None = None,
) -> Generator[tuple[float, np.ndarray], None, None]:
    """Fuses the newest frames of two cameras, again and again, until one ends.

    A thread for each camera keeps only its newest frame. A frame that cannot be fused,
    a shutter's for instance, is left out, and the log says why.

    Args:
      ir: Gives (time in seconds, infrared frame), and may wait for each. Frames are
        [height, width] or [height, width, 3], uint8, uint16 or float.
      vis: The visible camera, by the same clock.
      fuser: What fuses; by default DenseFuse with preset="camera" and
        output_range="average".
      rate: A picture is made with each "ir" or "vis" frame, or so many times a second.
      max_skew: Frames that are more seconds apart are not fused.
      range_memory: How long a value range takes to follow the scene, in seconds; 0 for
        the range of each frame by itself.
      ranges: The value range of each camera, as `pixels.to_pixel_range` takes it; two
        numbers hold for all frames.
      transform: The file that densefuse-register wrote, or more about the alignment;
        without it all frames need one size.
      counts: Counts dropped, unpaired and failed frames, and delays, during the run.

    Yields:
      The time of the frame with which a picture is made; and the picture, uint8
      [height, width] or [height, width, 3].

    Raises:
      UserError: None of the first pairs can be fused, or the rate is no rate; what a
        source raises is raised as well.
    """
    rate = pick_rate("rate", rate)
    if fuser is None:
        fuser = methods.kept(FusionSettings(**USUAL))
    if not isinstance(transform, RegistrationSettings):
        transform = RegistrationSettings(transform=transform)
    aligner = aligning.prepare(transform, ()) if transform.is_on else None
    steady = [
        SteadyRange(name, given, range_memory)
        for name, given in zip(NAMES, ranges, strict=True)
    ]
    counts = counts or Counts()
    made, was_wrong = 0, False
    for moment, times, frames in pairs((ir, vis), rate, max_skew, counts):
        try:
            scaled: Any = [
                one.scale(frame, time, has_shutter=one is steady[0])
                for one, frame, time in zip(steady, frames, times, strict=True)
            ]
            if fuser.color == "luma":
                scaled[0] = pixels.gray(scaled[0])
            if aligner is not None:
                scaled, _ = aligner.align(scaled, NAMES)
            image = fuser.fuse(scaled, names=NAMES, are_scaled=True).image
        except UserError as error:
            counts.failed += 1
            if not made and counts.failed >= _HOPELESS:
                raise
            if not was_wrong:
                logging.warning("a frame is left out: %s", error)
            was_wrong = True
            continue
        made, was_wrong = made + 1, False
        yield moment, image
