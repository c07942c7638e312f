"""A stand-in for PyTorch, of which the package calls `load` alone.

It reads files of the older form, as the authors' weights are in, with NumPy.
"""

import collections
import importlib.machinery
import pickle
import struct
import types

import numpy as np


def module(load=None) -> types.ModuleType:
    """Makes the module `torch`, with a function in the place of `load` if given."""
    made = types.ModuleType("torch")
    made.__spec__ = importlib.machinery.ModuleSpec("torch", None)

    def checked_load(path, *, map_location, weights_only):
        assert weights_only and map_location == "cpu"
        return (load or read)(path)

    made.load = checked_load
    return made


class _Unpickler(pickle.Unpickler):
    """Makes arrays whose values stand behind the pickle."""

    def __init__(self, file):
        super().__init__(file)
        self.storages = {}

    def persistent_load(self, saved):
        _, _, key, _, count, _ = saved
        return self.storages.setdefault(key, np.zeros(count, np.float32))

    def find_class(self, module, name):
        if name == "_rebuild_tensor_v2":
            return lambda storage, offset, size, *_: storage[offset:].reshape(size)
        return {"OrderedDict": collections.OrderedDict, "FloatStorage": None}[name]


def read(path) -> dict[str, np.ndarray]:
    """Reads the tensors of a file by name; they are contiguous float32."""
    with open(path, "rb") as file:
        for _ in range(3):  # What kind of file it is, its version, sizes of types.
            pickle.load(file)
        unpickler = _Unpickler(file)
        tensors = unpickler.load()
        for key in pickle.load(file):
            (count,) = struct.unpack("<q", file.read(8))
            unpickler.storages[key][:] = np.frombuffer(file.read(4 * count), "<f4")
    return tensors
