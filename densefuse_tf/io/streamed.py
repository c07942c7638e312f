"""Sequences of any length that are made anew each time, and are never held whole."""

import heapq
import itertools
import marshal
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any, Generic, TypeVar, overload

from densefuse_tf.errors import UserError
from densefuse_tf.io import files

_Item = TypeVar("_Item")

# What is sorted at a time, in memory; fewer items than that go to no file.
_RUN = 50_000
# What is read at a time of each of the sorted parts.
_BLOCK = 500
# The bytes in which a block has its own length before it.
_SIZE = 8


class Streamed(Sequence[_Item], Generic[_Item]):
    """A sequence that makes its items while somebody iterates.

    Any number of iterations may go on in one thread. An index costs as much as an
    iteration up to it: what is asked for by index is one of the first items.
    """

    def __init__(self, start: Callable[[], Iterator[_Item]], count: int):
        """Takes what makes the items.

        Args:
          start: Starts an iteration; always over the same items.
          count: How many there are.
        """
        self._start = start
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[_Item]:
        return self._start()

    @overload
    def __getitem__(self, index: int) -> _Item: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[_Item]: ...

    def __getitem__(self, index):
        if isinstance(index, slice):
            return list(itertools.islice(self, *index.indices(self._count)))
        place = range(self._count)[index]
        return next(itertools.islice(self, place, None))


class Made(Streamed[_Item]):
    """Items that are made of plain ones, as paths are of texts.

    Attributes:
      plain: The plain ones, which take far less time to go through.
    """

    def __init__(self, make: Callable[[Any], _Item], plain: Sequence[Any]):
        """Takes what makes an item, and of what."""
        super().__init__(lambda: map(make, plain), len(plain))
        self.plain = plain


def in_order(items: Iterable[str], key: Callable[[str], Any]) -> Streamed[str]:
    """Sorts texts, which go to a temporary file where there are very many.

    Args:
      items: The texts, which are taken once.
      key: What they are ordered by: a text, a number or a tuple of these.

    Returns:
      The same texts in order; those of one key in the order of the texts.

    Raises:
      UserError: The temporary folder cannot be written.
    """
    keyed = ((key(item), item) for item in items)
    first = sorted(itertools.islice(keyed, _RUN))
    count = 0
    if len(first) < _RUN:
        return Streamed(lambda: (item for _, item in first), len(first))
    try:
        with files.temporary_file() as parts:
            places, start = [], 0
            while first:
                end = _write_blocks(parts, first)
                places.append((start, end))
                count, start = count + len(first), end
                first = sorted(itertools.islice(keyed, _RUN))
            # Without a name, and gone with the last iteration.
            merged = files.temporary_file()
            sorted_parts = (
                itertools.chain.from_iterable(_blocks(parts, *place))
                for place in places
            )
            size = _write_blocks(
                merged, (item for _, item in heapq.merge(*sorted_parts))
            )
    except OSError as error:
        raise UserError(
            f"{tempfile.gettempdir()}: the list of the files cannot be written there: "
            f"{error.strerror or error}; give one with room by TMPDIR"
        ) from error

    def whole() -> Iterator[str]:
        return itertools.chain.from_iterable(_blocks(merged, 0, size))

    return Streamed(whole, count)


def _blocks(file: IO[bytes], start: int, end: int) -> Iterator[list]:
    """Reads lists from a file that others may read in turn."""
    while start < end:
        file.seek(start)
        size = int.from_bytes(file.read(_SIZE), "big")
        # marshal.load would ask the file for a few bytes at a time.
        block = marshal.loads(file.read(size))
        start += _SIZE + size
        yield block


def _write_blocks(file: IO[bytes], items: Iterable) -> int:
    """Writes items as lists and returns the size of the file."""
    items = iter(items)
    while block := list(itertools.islice(items, _BLOCK)):
        dumped = marshal.dumps(block)
        file.write(len(dumped).to_bytes(_SIZE, "big"))
        file.write(dumped)
    return file.tell()
