"""Reads TensorFlow checkpoints, PREFIX.index and PREFIX.data-*, as data.

TensorFlow's own reader trusts the index: one with a dimension of -1 or with an unknown
dtype ends the process, with no exception to catch. Here whatever is wrong raises
ValueError, and nothing is allocated by what a file merely says.

The format: the index is a sorted table of LevelDB's making, which maps the name of a
tensor to a BundleEntryProto, and "" to the BundleHeaderProto; the data files hold the
bytes of the tensors. Blocks and tensors have checksums, CRC-32C in LevelDB's masking.
"""

import dataclasses
import functools
import os
import pathlib
import struct
from collections.abc import Iterator

import numpy as np
from google.protobuf.message import DecodeError
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import tensor_bundle_pb2

# The release's index has 1,872 bytes.
_MAX_INDEX_BYTES = 200_000
_MAX_NAME_BYTES = 1000
# The end of a table: the places of two blocks, padded to 40 bytes, and a magic number.
_FOOTER_BYTES = 48
_MAGIC = 0xDB4775248B80FB57
# After each block: how it is compressed, 0 for not, and its checksum.
_TRAILER_BYTES = 5
_FLOATS = {"half": "<f2", "float": "<f4", "double": "<f8"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """What the index says of a tensor.

    Attributes:
      shape: Its shape.
      dtype: Its type: half, float and double can be read.
      message: All of it.
    """

    shape: tuple[int, ...]
    dtype: str
    message: tensor_bundle_pb2.BundleEntryProto

    @property
    def is_float(self) -> bool:
        """Whether it can be read."""
        return self.dtype in _FLOATS


class Bundle:
    """The tensors of a checkpoint.

    Attributes:
      entries: By name.
    """

    def __init__(self, prefix: str | os.PathLike):
        """Reads the index.

        Args:
          prefix: The common start of the names of the files.

        Raises:
          OSError: There is no index, or it cannot be read.
          ValueError: It is damaged.
        """
        self._prefix = os.fspath(prefix)
        with open(f"{self._prefix}.index", "rb") as file:
            index = file.read(_MAX_INDEX_BYTES + 1)
        if len(index) > _MAX_INDEX_BYTES:
            raise ValueError(f"its index has more than {_MAX_INDEX_BYTES} bytes")
        try:
            table = dict(_table(index))
            header = tensor_bundle_pb2.BundleHeaderProto.FromString(table.pop(b"", b""))
            self.entries = {
                name.decode(): _entry(value) for name, value in table.items()
            }
        except (IndexError, struct.error, DecodeError) as error:
            raise ValueError("its index is cut off or damaged") from error
        if header.num_shards < 1 or header.endianness != header.LITTLE:
            raise ValueError("its index has no header, or not a little-endian one")
        self._num_shards = header.num_shards

    def read(self, name: str) -> np.ndarray:
        """A tensor; it must be one of floats.

        Raises:
          OSError: The file with it is missing or cannot be read.
          ValueError: The file is cut off or damaged, or the tensor is none of floats.
        """
        entry, message = self.entries[name], self.entries[name].message
        if not entry.is_float or message.slices:
            raise ValueError(f"tensor {name} is not one of floats, in one piece")
        dtype = np.dtype(_FLOATS[entry.dtype])
        size = int(np.prod(entry.shape, dtype=object)) * dtype.itemsize
        if message.size != size or message.offset < 0:
            raise ValueError(f"tensor {name} has {message.size} bytes, not {size}")
        if not 0 <= message.shard_id < self._num_shards:
            raise ValueError(f"tensor {name} is in file {message.shard_id}")
        path = pathlib.Path(
            f"{self._prefix}.data-{message.shard_id:05d}-of-{self._num_shards:05d}"
        )
        # Opening a named pipe would wait for its other end.
        if path.exists() and not path.is_file():
            raise ValueError(f"{path.name} is not a regular file")
        with open(path, "rb") as file:
            if message.offset + size > os.fstat(file.fileno()).st_size:
                raise ValueError(f"{path.name} is cut off")
            file.seek(message.offset)
            content = file.read(size)
        if _masked_crc32c(content) != message.crc32c:
            raise ValueError(f"tensor {name} has a wrong checksum")
        return np.frombuffer(content, dtype).reshape(entry.shape)


def _entry(value: bytes) -> Entry:
    message = tensor_bundle_pb2.BundleEntryProto.FromString(value)
    shape = tuple(dim.size for dim in message.shape.dim)
    if message.shape.unknown_rank or any(size < 0 for size in shape):
        raise ValueError(f"a tensor has the shape {shape}")
    # DT_FLOAT is float; a number without a name is a ValueError.
    dtype = types_pb2.DataType.Name(message.dtype).removeprefix("DT_").lower()
    return Entry(shape, dtype, message)


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a table."""
    footer = data[-_FOOTER_BYTES:]
    if struct.unpack_from("<Q", footer, _FOOTER_BYTES - 8) != (_MAGIC,):
        raise ValueError("its index does not end as one")
    _, place = _place(footer, 0)
    index, _ = _place(footer, place)
    end = 0
    for _, value in _block(data, *index):
        (offset, size), _ = _place(value, 0)
        # One after the other: so that none can be named over and over.
        if offset < end:
            raise ValueError("its index has blocks that overlap")
        end = offset + size
        yield from _block(data, offset, size)


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a block; a key is told by what it adds to the last one."""
    end = offset + size
    if end + _TRAILER_BYTES > len(data):
        raise ValueError("its index is cut off")
    content = data[offset : end + 1]
    compression, checksum = struct.unpack_from("<BI", data, end)
    if compression or _masked_crc32c(content) != checksum:
        raise ValueError("its index is compressed or has a wrong checksum")
    (num_restarts,) = struct.unpack_from("<I", content, size - 4)
    end = size - 4 - 4 * num_restarts
    place, key = 0, b""
    while place < end:
        shared, place = _varint(content, place)
        added, place = _varint(content, place)
        length, place = _varint(content, place)
        if shared + added > _MAX_NAME_BYTES or place + added + length > end:
            raise ValueError("its index has a wrong length in it")
        key = key[:shared] + content[place : place + added]
        place += added
        yield key, content[place : place + length]
        place += length


def _place(data: bytes, start: int) -> tuple[tuple[int, int], int]:
    """(offset, size) of a block, and where that ends."""
    offset, start = _varint(data, start)
    size, start = _varint(data, start)
    return (offset, size), start


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """A number in groups of seven bits, and where it ends."""
    number = 0
    for shift in range(0, 64, 7):
        byte = data[start]
        start += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, start
    raise ValueError("its index has a wrong number in it")


def _masked_crc32c(data: bytes) -> int:
    table = _crc32c_table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@functools.cache
def _crc32c_table() -> tuple[int, ...]:
    """Of Castagnoli's polynomial, its bits reversed."""
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)
