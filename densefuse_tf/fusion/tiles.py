"""Where to cut an image into tiles that are computed one by one: geometry alone.

What surrounds a pixel decides what becomes of it, up to some distance: the margin. A
tile is therefore computed from a larger part of the image, and what the cut edges of
that part spoil is thrown away. At the image's own borders nothing is cut and nothing is
spoiled: there a part ends where the image ends, and is padded as the whole image is.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

# The least side of a tile, in pixels: reflection takes two.
MIN_SIZE = 2


class Tile(NamedTuple):
    """A tile; each attribute is (rows, columns), two slices.

    Attributes:
      outer: The part of the image that the tile is computed from.
      inner: The part of the image that the tile is: its place in the result.
      where: Where `inner` lies in what is computed from `outer`.
    """

    outer: tuple[slice, slice]
    inner: tuple[slice, slice]
    where: tuple[slice, slice]


def split(height: int, width: int, size: int, margin: int) -> Iterator[Tile]:
    """Cuts an image into tiles, row by row.

    The tiles are as equal as they can be, so that none is left over narrow, and their
    outer parts all have one size, for which the graph's operations are prepared once.

    Args:
      height: Of the image, at least 2.
      width: Of the image, at least 2.
      size: The largest side of a tile, at least `MIN_SIZE`. (With a size of 2, one
        tile of an odd number of pixels has a side of 3.)
      margin: How far around a tile its outer part reaches, where the image does; it
        may reach further.

    Yields:
      Tiles that cover each pixel once.
    """
    columns = _cuts(width, size, margin)
    for row in _cuts(height, size, margin):
        for column in columns:
            yield Tile(*zip(row, column, strict=True))


def _cuts(length: int, size: int, margin: int) -> list[tuple[slice, slice, slice]]:
    """(outer, inner, where) along one axis."""
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
