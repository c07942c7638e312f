"""Writes TensorFlow 1 checkpoints, and indexes of them that are whole but wrong."""

import os
import pathlib
import struct
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import tensor_bundle_pb2

from densefuse_tf.model import network
from densefuse_tf.model import tensor_bundle

# What an index maps: the name of a tensor to its entry, b"" to the header.
Table = dict[bytes, bytes]


def save(tensors: Mapping[str, np.ndarray], prefix: str | os.PathLike) -> None:
    """Writes a checkpoint as TensorFlow does."""
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )


def rewrite(prefix: str | os.PathLike, change: Callable[[Table], None]) -> None:
    """Changes what an index maps, in place; its checksums are right again."""
    path = pathlib.Path(f"{prefix}.index")
    table = dict(tensor_bundle._table(path.read_bytes()))
    change(table)
    path.write_bytes(_encoded(table))


def entry(name: str, *, dims=None, unknown_rank=False, slices=(), **fields):
    """A change of what an index says of a tensor."""

    def change(table: Table) -> None:
        message = tensor_bundle_pb2.BundleEntryProto.FromString(table[name.encode()])
        if dims is not None:
            del message.shape.dim[:]
            for size in dims:
                message.shape.dim.add(size=size)
        message.shape.unknown_rank = unknown_rank
        for start, length in slices:
            message.slices.add().extent.add(start=start, length=length)
        _set(message, fields)
        table[name.encode()] = message.SerializeToString()

    return change


def header(**fields):
    """A change of the header."""

    def change(table: Table) -> None:
        message = tensor_bundle_pb2.BundleHeaderProto.FromString(table[b""])
        _set(message, fields)
        table[b""] = message.SerializeToString()

    return change


def _set(message, fields) -> None:
    for name, value in fields.items():
        setattr(message, name, value)


def _encoded(table: Table) -> bytes:
    data = bytearray()

    def put(items) -> bytes:
        """Adds a block; returns its place."""
        block = bytearray()
        for key, value in items:
            for number in (0, len(key), len(value)):
                block += _varint(number)
            block += key + value
        # One restart point, at the start.
        block += struct.pack("<IIB", 0, 1, 0)
        place = _varint(len(data)) + _varint(len(block) - 1)
        data.extend(block + struct.pack("<I", tensor_bundle._masked_crc32c(block)))
        return place

    items = sorted(table.items())
    index = [(items[-1][0] if items else b"", put(items))]
    footer = put([]) + put(index)
    return bytes(data + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57))


def _varint(number: int) -> bytes:
    groups = []
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def release_tensors(model):
    """The weights of an autoencoder under the release's names."""
    names = dict(
        zip(
            network.CONVOLUTIONS,
            ["encoder/conv1_1"]
            + [f"encoder/dense_block_conv{i}" for i in (1, 2, 3)]
            + [f"decoder/conv2_{i}" for i in (1, 2, 3, 4)],
            strict=True,
        )
    )
    tensors = {}
    for name, released in names.items():
        layer = network.convolution(model, name)
        tensors[f"{released}/kernel"] = layer.kernel.numpy()
        tensors[f"{released}/bias"] = layer.bias.numpy()
    return tensors
