"""Evaluates fused video for evaluate.py."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from densefuse_tf.commands import progress
from densefuse_tf.errors import UserError

if TYPE_CHECKING:
    from densefuse_tf.evaluation.scoring import Evaluated
    from densefuse_tf.pipelines.surveying import Source


def open_sources(sources: Sequence[str]) -> "tuple[Source, ...]":
    """Opens the infrared, the visible and the fused sequence.

    Args:
      sources: A video file each, or a folder or pattern of frames.

    Raises:
      UserError: They differ in the number of frames, their size or rate, or one of them
        cannot be read.
    """
    from densefuse_tf.pipelines import surveying

    return surveying.open_sources(sources, progress=progress.frames)


def paths(opened: "Sequence[Source]") -> list[pathlib.Path]:
    """Returns the files that sources are read from."""
    from densefuse_tf.pipelines import surveying

    return [
        path
        for source in opened
        for path in (
            source.paths if isinstance(source, surveying.ImageFiles) else [source.path]
        )
    ]


def evaluate(
    opened: "Sequence[Source]",
    value_ranges: Mapping[str, Any],
    selection: Sequence[str],
    convention: str,
) -> "Iterator[Evaluated]":
    """Evaluates each frame of a fused sequence.

    Args:
      opened: From `open_sources`.
      value_ranges: The values of both sources that become 0 and 255, by the name of
        their flag; None leaves frames of 8 bits as they are.
      selection: The metrics.
      convention: One of `metrics.CONVENTIONS`.

    Raises:
      UserError: A frame cannot be read or evaluated, or has more than 8 bits and no
        range is given.
    """
    from densefuse_tf.evaluation import scoring
    from densefuse_tf.pipelines import surveying

    footage = surveying.survey(
        opened,
        value_ranges=(*value_ranges.values(), None),
        range_flags=(*(f"--{flag}=" for flag in value_ranges), "the value range "),
        # Frames turn grey as image files do, after their values are rounded.
        color="rgb",
        progress=progress.frames,
    )
    found = zip(
        opened, (*value_ranges, None), (*value_ranges.values(), None), strict=True
    )
    for (source, flag, given), used in zip(found, footage.value_ranges, strict=True):
        if given is None and used is not None:
            expected = f" or --{flag}" if flag else ""
            raise UserError(
                f"{source.path}: has frames of more than 8 bits: expected frames of 8 "
                f"bits, which the metrics are defined for{expected}"
            )
    with contextlib.closing(footage.frames()) as moments:
        results = scoring.evaluate_frames(
            moments,
            [source.path for source in opened],
            name=opened[-1].name,
            selection=selection,
            convention=convention,
        )
        yield from progress.frames(results, footage.count, "evaluating")
