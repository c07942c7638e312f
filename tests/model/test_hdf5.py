"""The reader of HDF5 against the HDF5 library, and what it refuses."""

import io

import h5py
import numpy as np
import pytest

from densefuse_tf.model import hdf5

TENSORS = {
    "layers/a/vars/0": np.arange(6, dtype=np.float32).reshape(1, 2, 3),
    "layers/a/vars/1": np.arange(5, dtype=np.float64),
    "layers/b/vars/0": np.float16([[1.5]]),
    "optimizer/rate": np.float32(7),
}


def written(fill, **settings) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w", **settings) as store:
        fill(store)
    return file.getvalue()


def fill(store):
    for name, values in TENSORS.items():
        store[name] = values
    store["layers"].attrs["name"] = "as Keras does it"


def test_reads_what_the_library_wrote():
    store = hdf5.Store(written(fill))
    assert store.entries.keys() == TENSORS.keys()
    for name, values in TENSORS.items():
        assert store.entries[name].shape == np.shape(values)
        read = store.read(name)
        np.testing.assert_array_equal(read, values)
        assert read.dtype == values.dtype


def test_reads_a_group_of_many_and_an_object_of_many_messages():
    """Trees of two levels, and headers that go on in other places."""

    def many(store):
        for number in range(700):
            store[f"{number:03}"] = np.float32([number])
            store[f"{number:03}"].attrs["note"] = "x" * 500
            store[f"{number:03}"].attrs["more"] = "y" * 500

    store = hdf5.Store(written(many))
    assert len(store.entries) == 700
    for number in range(700):
        assert store.read(f"{number:03}") == [number]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.arange(3), "int64"),
        (np.uint8([1]), "int8"),
        (np.array([1.0], ">f4"), "float32"),
        (np.array([b"abc"]), "string24"),
        (np.complex64([1]), "compound64"),
    ],
)
def test_tells_what_is_not_a_float(values, dtype):
    store = hdf5.Store(written(lambda store: store.update({"a": values})))
    assert not store.entries["a"].is_float
    assert store.entries["a"].dtype == dtype
    with pytest.raises(ValueError, match="not stored in one piece"):
        store.read("a")


def test_a_ring_of_groups_ends():
    def ring(store):
        store["a/b/0"] = np.float32([1])
        store["a/b/a"] = store["a"]
        store["root"] = store["/"]

    assert hdf5.Store(written(ring)).entries.keys() == {"a/b/0"}


def test_refuses_a_newer_kind():
    with pytest.raises(ValueError, match="of the kind that Keras writes"):
        hdf5.Store(written(fill, libver="latest"))


def test_damaged_files_end_in_tensors_or_in_a_value_error():
    whole = written(fill)
    generator = np.random.default_rng(0)
    outcomes = set()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(generator.integers(8))
        other = int(generator.integers(len(whole) - 8))
        damaged[other : other + 8] = generator.choice(
            [b"\xff" * 8, b"\0" * 8, whole[place : place + 8].ljust(8, b"\0")]
        ).ljust(8, b"\0")
        try:
            store = hdf5.Store(bytes(damaged))
            for name, entry in store.entries.items():
                if entry.is_float:
                    assert store.read(name).shape == entry.shape
            outcomes.add("read")
        except ValueError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize("length", (0, 8, 95, 96, 500, 2000))
def test_refuses_a_part_of_a_file(length):
    with pytest.raises(ValueError, match="the weights"):
        store = hdf5.Store(written(fill)[:length])
        for name in store.entries:
            store.read(name)
