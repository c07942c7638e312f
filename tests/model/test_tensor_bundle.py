"""The reader of TensorFlow's checkpoints against TensorFlow's own, and what it refuses.

The damaged indexes are whole but for one thing, checksums included: what an attacker
writes, and not what a bad disk does. Several of them make TensorFlow's reader end the
process.
"""

import os
import pathlib

import numpy as np
import pytest
import tensor_bundles
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from densefuse_tf.model import tensor_bundle

TENSORS = {
    "a/kernel": np.arange(6, dtype=np.float32).reshape(1, 2, 3),
    "a/kernel/Adam": np.float64([[1, 2]]),
    "b": np.float32(7),
    "empty": np.zeros((0, 3), np.float16),
    "whole": np.arange(4),
}


@pytest.fixture
def prefix(tmp_path) -> pathlib.Path:
    tensor_bundles.save(TENSORS, tmp_path / "model.ckpt")
    return tmp_path / "model.ckpt"


def test_reads_what_tensorflow_wrote(prefix):
    bundle = tensor_bundle.Bundle(prefix)
    assert bundle.entries.keys() == TENSORS.keys()
    for name, values in TENSORS.items():
        assert bundle.entries[name].shape == values.shape
        if name != "whole":
            read = bundle.read(name)
            np.testing.assert_array_equal(read, values)
            assert read.dtype == values.dtype
    assert not bundle.entries["whole"].is_float
    assert bundle.entries["whole"].dtype == "int64"


def test_reads_an_index_of_many_blocks_and_several_files(tmp_path):
    """Long names, for TensorFlow cuts blocks at 256 kB of index."""
    parts = []
    for part in range(3):
        names = [f"{part}/{'x' * 700}/{number:03}" for number in range(80)]
        values = np.random.default_rng(part).normal(size=(80, 2)).astype(np.float32)
        tensor_bundles.save(dict(zip(names, values, strict=True)), tmp_path / f"{part}")
        parts.append(str(tmp_path / f"{part}"))
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=parts, destination_prefix=str(tmp_path / "all")
    )
    assert len(list(tmp_path.glob("all.data*"))) == 3
    bundle = tensor_bundle.Bundle(tmp_path / "all")
    reader = tf.train.load_checkpoint(str(tmp_path / "all"))
    assert len(bundle.entries) == 240
    for name in bundle.entries:
        np.testing.assert_array_equal(bundle.read(name), reader.get_tensor(name))


def test_a_rewritten_index_is_read_by_both(prefix):
    """So the helper that damages indexes writes whole ones."""
    tensor_bundles.rewrite(prefix, lambda table: None)
    name = "a/kernel"
    np.testing.assert_array_equal(
        tensor_bundle.Bundle(prefix).read(name),
        tf.train.load_checkpoint(str(prefix)).get_tensor(name),
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dims": [-1, 6]}, "has the shape"),
        ({"dims": [2**62, 2**62]}, "bytes, not"),
        ({"dims": [1] * 300}, "24 bytes, not 4"),
        ({"unknown_rank": True}, "has the shape"),
        ({"dtype": 999}, "999"),
        ({"dtype": 0}, "not one of floats"),
        ({"dtype": types_pb2.DT_STRING}, "not one of floats"),
        ({"dtype": types_pb2.DT_FLOAT_REF}, "not one of floats"),
        ({"dtype": types_pb2.DT_HALF}, "24 bytes, not 12"),
        ({"size": 2**40}, "bytes, not 24"),
        ({"size": -1}, "bytes, not 24"),
        ({"offset": 2**60}, "is cut off"),
        ({"offset": -8}, "bytes, not 24"),
        ({"offset": 4}, "a/kernel has a wrong checksum"),
        ({"shard_id": 1}, "is in file 1"),
        ({"shard_id": -1}, "is in file -1"),
        ({"slices": [(0, 1)]}, "in one piece"),
        ({"crc32c": 5}, "a/kernel has a wrong checksum"),
    ],
    ids=str,
)
def test_refuses_what_the_index_says_of_a_tensor(prefix, changes, message):
    tensor_bundles.rewrite(prefix, tensor_bundles.entry("a/kernel", **changes))
    with pytest.raises(ValueError, match=message):
        tensor_bundle.Bundle(prefix).read("a/kernel")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_shards": 0}, "has no header"),
        ({"num_shards": -3}, "has no header"),
        ({"endianness": 1}, "has no header, or not a little-endian one"),
        ({"num_shards": 2**30}, "No such file"),
    ],
    ids=str,
)
def test_refuses_what_the_header_says(prefix, changes, message):
    tensor_bundles.rewrite(prefix, tensor_bundles.header(**changes))
    with pytest.raises((ValueError, OSError), match=message):
        tensor_bundle.Bundle(prefix).read("a/kernel")


def test_refuses_an_index_of_garbage(prefix):
    def garbage(table):
        table.update(dict.fromkeys(table, b"\xff" * 20))

    tensor_bundles.rewrite(prefix, garbage)
    with pytest.raises(ValueError, match="cut off or damaged"):
        tensor_bundle.Bundle(prefix)


def test_refuses_an_index_that_is_too_large(prefix):
    with open(f"{prefix}.index", "ab") as file:
        file.write(bytes(200_000))
    with pytest.raises(ValueError, match="more than 200000 bytes"):
        tensor_bundle.Bundle(prefix)


def test_refuses_every_flipped_bit_and_every_length(prefix):
    """Of the index; what no checksum covers is what no reader looks at."""
    path = pathlib.Path(f"{prefix}.index")
    whole = path.read_bytes()
    expected = {n: e.message for n, e in tensor_bundle.Bundle(prefix).entries.items()}
    for place in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            entries = tensor_bundle.Bundle(prefix).entries
        except ValueError:
            continue
        assert {name: entry.message for name, entry in entries.items()} == expected
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError):
            tensor_bundle.Bundle(prefix)


@pytest.mark.parametrize("damage", ["missing", "short", "pipe", "bit"])
def test_refuses_a_damaged_file_of_tensors(prefix, damage):
    path = pathlib.Path(f"{prefix}.data-00000-of-00001")
    content = bytearray(path.read_bytes())
    path.unlink()
    if damage == "short":
        path.write_bytes(content[:20])
    elif damage == "pipe":
        os.mkfifo(path)
    elif damage == "bit":
        content[5] ^= 1
        path.write_bytes(content)
    bundle = tensor_bundle.Bundle(prefix)
    with pytest.raises((OSError, ValueError), match="No such|cut off|regular|checksum"):
        bundle.read("a/kernel")
