"""The geometry of the tiles in which a large image is computed.

A pixel of the result depends on its surroundings up to some distance, the margin. A
tile is therefore computed from a part of the image that is larger by the margin, and
the pixels near the cut edges of that part are thrown away. A part that reaches a border
of the image ends there and is padded as the whole image is.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

# The least side of a tile, in pixels: reflection takes two.
MIN_SIZE = 2


class Tile(NamedTuple):
    """Locates a tile; each attribute is (rows, columns), two slices.

    Attributes:
      outer: The part of the image from which the tile is computed.
      inner: The place of the tile in the image and in the result.
      where: The place of `inner` in what is computed from `outer`.
    """

    outer: tuple[slice, slice]
    inner: tuple[slice, slice]
    where: tuple[slice, slice]


def split(height: int, width: int, size: int, margin: int) -> Iterator[Tile]:
    """Cuts an image into tiles, row by row.

    The tiles are as equal as possible, so that no narrow one is left over, and their
    outer parts all have one size, for which the graph's operations are prepared once.

    Args:
      height: Height of the image, at least 2.
      width: Width of the image, at least 2.
      size: The largest side of a tile, at least `MIN_SIZE`. (With a size of 2, one
        tile of an odd number of pixels has a side of 3.)
      margin: The least distance from a tile to the edge of its outer part, unless
        the image ends before.

    Yields:
      Tiles that cover each pixel once.
    """
    columns = _cuts(width, size, margin)
    for row in _cuts(height, size, margin):
        for column in columns:
            yield Tile(*zip(row, column, strict=True))


def _cuts(length: int, size: int, margin: int) -> list[tuple[slice, slice, slice]]:
    """Returns (outer, inner, where) along one axis for each cut."""
    count = min(-(-length // size), length // MIN_SIZE)
    ends = [length * index // count for index in range(count + 1)]
    largest = max(end - start for start, end in itertools.pairwise(ends))
    reach = min(length, largest + 2 * margin)
    cuts = []
    for start, end in itertools.pairwise(ends):
        first = min(max(start - margin, 0), length - reach)
        cuts.append(
            (
                slice(first, first + reach),
                slice(start, end),
                slice(start - first, end - first),
            )
        )
    return cuts
