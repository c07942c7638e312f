"""Reads the tensors of an HDF5 file, as Keras writes them, as data.

The HDF5 library trusts what it reads: a file with a few wrong bytes has it search for
ever, or fill the memory, and it cannot be interrupted. Here whatever is wrong raises
ValueError, after a limited number of steps.

What is read is the layout that the library writes unless it is told to use newer ones
(superblock 0; HDF5 File Format Specification 3.0, chapters II, III.A, III.C, III.D and
IV): groups with symbol tables, and data sets of little-endian floats in one piece.
Links to other files or names are not followed.
"""

import dataclasses
import struct
from collections.abc import Iterator

import numpy as np

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Version 0 of the superblock and its parts, with offsets and lengths of 8 bytes.
_SUPERBLOCK = _SIGNATURE + bytes([0, 0, 0, 0, 0, 8, 8, 0])
_ROOT = 64
_UNDEFINED = 2**64 - 1

# Types of the messages that make up an object.
_DATASPACE, _DATATYPE, _EXTERNAL, _LAYOUT, _FILTERS = 1, 3, 7, 8, 11
_CONTINUATION, _SYMBOL_TABLE = 16, 17
_SHARED = 2
_CONTIGUOUS = 1

# IEEE 754, as a datatype message has it: little-endian, with the leading bit implied.
_FLOATS = {
    bytes.fromhex(message): np.dtype(name)
    for message, name in (
        ("11200f00 02000000 0000 1000 0a 05 00 0a 0f000000", "<f2"),
        ("11201f00 04000000 0000 2000 17 08 00 17 7f000000", "<f4"),
        ("11203f00 08000000 0000 4000 34 0b 00 34 ff030000", "<f8"),
    )
}
_CLASSES = ("int", "float", "time", "string", "bitfield", "opaque", "compound")
# Objects, messages and links looked at; the autoencoder's file takes some 900.
_MAX_STEPS = 50_000
_MAX_DEPTH = 20
_MAX_NAME_BYTES = 200


@dataclasses.dataclass(frozen=True)
class Entry:
    """What the file says of a tensor.

    Attributes:
      shape: Its shape.
      dtype: Its type, for people.
      type: Its type; None for others than floats of 16, 32 and 64 bits.
      place: Where its values are, from and to; None if not in the file in one piece.
    """

    shape: tuple[int, ...]
    dtype: str
    type: np.dtype | None
    place: tuple[int, int] | None

    @property
    def is_float(self) -> bool:
        """Whether it is one of floats."""
        return self.type is not None


class Store:
    """The tensors of an HDF5 file.

    Attributes:
      entries: By path, "layers/conv2d/vars/0".
    """

    def __init__(self, data: bytes):
        """Finds the tensors.

        Args:
          data: The file.

        Raises:
          ValueError: It is none of the layout described above, or damaged.
        """
        self._data = data
        self._steps = 0
        self._seen: set[int] = set()
        if data[: len(_SUPERBLOCK)] != _SUPERBLOCK:
            raise ValueError(
                "the weights are not in HDF5 of the kind that Keras writes"
            )
        (root,) = self._unpack("<Q", _ROOT)
        self.entries = dict(self._object("", root, 0))

    def read(self, name: str) -> np.ndarray:
        """A tensor; it must be one of floats.

        Raises:
          ValueError: It is not, or not stored in one piece, or cut off.
        """
        entry = self.entries[name]
        if entry.type is None or entry.place is None:
            raise ValueError(f"tensor {name} is not stored in one piece")
        start, size = entry.place
        expected = int(np.prod(entry.shape, dtype=object)) * entry.type.itemsize
        if size != expected:
            raise ValueError(f"tensor {name} has {size} bytes, not {expected}")
        return np.frombuffer(self._bytes(start, size), entry.type).reshape(entry.shape)

    def _object(
        self, path: str, address: int, depth: int
    ) -> Iterator[tuple[str, Entry]]:
        """The tensors in a group; or the data set itself, under its path."""
        # A path to each is enough, and rings have no end.
        if address in self._seen:
            return
        self._seen.add(address)
        messages = dict(self._messages(address))
        if depth > _MAX_DEPTH:
            raise ValueError("the weights are nested too deep")
        if _SYMBOL_TABLE in messages:
            tree, heap = _unpack("<QQ", messages[_SYMBOL_TABLE])
            names = self._heap(heap)
            for name_offset, child in self._links(tree, depth):
                if child == _UNDEFINED:  # A soft link.
                    continue
                name = self._name(names + name_offset)
                inner = f"{path}/{name}" if path else name
                yield from self._object(inner, child, depth + 1)
        elif _DATATYPE in messages:
            yield path, _entry(messages)
        else:
            raise ValueError(f"the weights have {path or 'a root'} of an unknown kind")

    def _messages(self, address: int) -> Iterator[tuple[int, bytes]]:
        """Type and content of an object's messages."""
        version, _, count, _, size = self._unpack("<BBHII", address)
        if version != 1:
            raise ValueError(
                "the weights are in a newer kind of HDF5 than Keras writes"
            )
        blocks = [(address + 16, size)]
        while blocks:
            place, size = blocks.pop(0)
            end = place + size
            while place + 8 <= end and count:
                kind, length, flags = self._unpack("<HHB", place)
                content = self._bytes(place + 8, length)
                place += 8 + length
                count -= 1
                if flags & _SHARED:
                    raise ValueError("the weights have messages that are shared")
                if kind == _CONTINUATION:
                    blocks.append(_unpack("<QQ", content))
                yield kind, content

    def _links(self, tree: int, depth: int) -> Iterator[tuple[int, int]]:
        """Offset of the name, and address, of what a group holds."""
        if depth > _MAX_DEPTH:
            raise ValueError("the weights have a group that is nested too deep")
        signature, kind, level, count = self._unpack("<4sBBH", tree)
        if signature != b"TREE" or kind != 0:
            raise ValueError("the weights have a damaged group")
        for index in range(count):
            (child,) = self._unpack("<Q", tree + 32 + 16 * index)
            if level:
                yield from self._links(child, depth + 1)
                continue
            signature, _, symbols = self._unpack("<4sHH", child)
            if signature != b"SNOD":
                raise ValueError("the weights have a damaged group")
            for symbol in range(symbols):
                yield self._unpack("<QQ", child + 8 + 40 * symbol)

    def _heap(self, address: int) -> int:
        """Where the names of a group are."""
        signature, _, _, _, start = self._unpack("<4sIQQQ", address)
        if signature != b"HEAP":
            raise ValueError("the weights have a damaged group")
        return start

    def _name(self, start: int) -> str:
        content = self._data[start : start + _MAX_NAME_BYTES]
        name, end, _ = content.partition(b"\0")
        if not end:
            raise ValueError("the weights have a name that does not end")
        return name.decode()

    def _unpack(self, form: str, start: int) -> tuple:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise ValueError("the weights have too many parts")
        return struct.unpack(form, self._bytes(start, struct.calcsize(form)))

    def _bytes(self, start: int, size: int) -> bytes:
        if start + size > len(self._data):
            raise ValueError("the weights are cut off or damaged")
        return self._data[start : start + size]


def _entry(messages: dict[int, bytes]) -> Entry:
    """What the messages of a data set say."""
    kind = messages[_DATATYPE]
    (first, _, size) = _unpack("<B3sI", kind)
    name = f"{_CLASSES[first & 15]}{8 * size}" if first & 15 < 7 else "unknown"
    place = None
    if _LAYOUT in messages and not messages.keys() & {_EXTERNAL, _FILTERS}:
        version, layout = _unpack("<BB", messages[_LAYOUT])
        if version in (3, 4) and layout == _CONTIGUOUS:
            place = _unpack("<QQ", messages[_LAYOUT][2:])
    return Entry(
        _shape(messages.get(_DATASPACE, b"")), name, _FLOATS.get(kind[:20]), place
    )


def _shape(message: bytes) -> tuple[int, ...]:
    version, rank = _unpack("<BB", message)
    if version not in (1, 2):
        raise ValueError("the weights have a tensor whose shape cannot be read")
    return _unpack(f"<{rank}Q", message[8 if version == 1 else 4 :])


def _unpack(form: str, message: bytes) -> tuple:
    try:
        return struct.unpack_from(form, message)
    except struct.error as error:
        raise ValueError("the weights have a part that is cut off") from error
