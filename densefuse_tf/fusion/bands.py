"""The geometry of the bands of rows in which a large image is computed.

The encoder and the strategy see some rows of the image beyond those that they are
computed for, the margin, unless the image ends before; those rows are computed in two
bands. A part that reaches the first or the last row of the image is padded there as
the whole image is. The decoder goes on where it ended in the band before: it lags
behind by the rows that it cannot know before the next band, and computes none twice.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

# Two bands then have five new rows or more each. The decoder needs that many, since
# each of its four layers lags behind by a row.
_LOWEST = 10


class Cuts(NamedTuple):
    """Says at which ends a part is cut off from the rows of a larger image."""

    top: bool
    bottom: bool


WHOLE = Cuts(top=False, bottom=False)


class Band(NamedTuple):
    """Locates a band; each slice is one of rows.

    Attributes:
      outer: The part of the image from which the band is computed.
      cuts: At which ends `outer` is cut off.
      inner: The rows of the result that are known after the band and not before.
    """

    outer: slice
    cuts: Cuts
    inner: slice


def split(height: int, rows: int, *, margin: int, lag: int = 0) -> Iterator[Band]:
    """Cuts an image into as few bands as fit, of equal height but for the last.

    Args:
      height: Height of the image, at least 2.
      rows: The largest height of a band's outer part. Bands are higher than that where
        the margins would otherwise take more than half of them.
      margin: How many rows beyond a band are needed to compute it.
      lag: By how many rows the result lags behind, 4 at most.

    Yields:
      Bands that cover each row of the result once, from the top to the bottom.
    """
    highest = max(rows - 2 * margin, 2 * margin, _LOWEST)
    # The first and the last band have a margin less, and as many rows more. All outer
    # parts are equal in height but the last, which is lower: another height would not
    # fit into the memory that the part before it leaves, be it only by a row.
    shared = max(height - 2 * margin, 1)
    count = -(-shared // highest)
    new = -(-shared // count)
    ends = [0, *range(margin + new, height - margin, new), height]
    for start, end in itertools.pairwise(ends):
        outer = slice(max(start - margin, 0), min(end + margin, height))
        cuts = Cuts(start > 0, end < height)
        first = start - lag if cuts.top else 0
        yield Band(outer, cuts, slice(first, end - lag if cuts.bottom else height))
