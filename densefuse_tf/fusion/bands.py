"""The geometry of the bands of rows in which a large image is computed.

A pixel of the result depends on its surroundings up to some distance, the margin. A
band of the result is therefore computed from rows of the image that go further by the
margin, unless the image ends before. A part that reaches the first or the last row of
the image is padded there as the whole image is.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple


class Cuts(NamedTuple):
    """Says at which ends a part is cut off from the rows of a larger image."""

    top: bool
    bottom: bool


WHOLE = Cuts(top=False, bottom=False)


class Band(NamedTuple):
    """Locates a band; each slice is one of rows.

    Attributes:
      outer: The part of the image from which the band is computed.
      cuts: At which ends `outer` is cut off. The margin there is not computed.
      inner: The place of the band in the image and in the result.
      where: The place of `inner` in what is computed from `outer`.
    """

    outer: slice
    cuts: Cuts
    inner: slice
    where: slice


def split(height: int, rows: int, margin: int) -> Iterator[Band]:
    """Cuts an image into as few bands as fit, of about equal height.

    Args:
      height: Height of the image, at least 2.
      rows: The largest height of a band's outer part. Bands are higher than that where
        the margins would otherwise take more than two thirds of them.
      margin: How far neighbours influence a pixel, at least 4 rows.

    Yields:
      Bands that cover each row once.
    """
    count = 1
    if height > rows:
        count = -(-height // max(rows - 2 * margin, margin))
    ends = [height * index // count for index in range(count + 1)]
    for start, end in itertools.pairwise(ends):
        outer = slice(max(start - margin, 0), min(end + margin, height))
        cuts = Cuts(outer.start > 0, outer.stop < height)
        first = outer.start + margin if cuts.top else 0
        yield Band(
            outer, cuts, slice(start, end), where=slice(start - first, end - first)
        )
