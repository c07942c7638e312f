"""Reads and writes the trained weights of all networks.

Keras and TensorFlow read tensors into a network that is built by the caller. Nothing
else in a file is looked at, and no object in it is deserialised: layers, functions and
losses that a .keras file describes are never made.
"""

import glob
import math
import os
import pathlib
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING

import numpy as np

from densefuse_tf import extras
from densefuse_tf.errors import UserError
from densefuse_tf.io import files

if TYPE_CHECKING:
    import keras

# Where the shipped files are: installed with the package, or in a checkout.
FOLDERS = (
    pathlib.Path(__file__).parents[1] / "trained",
    pathlib.Path(__file__).parents[2] / "checkpoints",
)
# The file of the weights in the folder of a training run.
RUN_FILE = "model.keras"
# Adam keeps these in a TensorFlow 1 checkpoint beside the weights.
_OPTIMIZER = re.compile(r"(.+/Adam(_1)?|(.+/)?beta[12]_power)")
# How files of PyTorch are named.
PYTORCH_SUFFIXES = (".model", ".pt", ".pth")
_RELEASE_FILE = re.compile(r"(.+)\.(index|meta|data-\d{5}-of-\d{5})")


def shipped(name: str) -> pathlib.Path:
    """Returns the path of a file of weights that ships with the project."""
    paths = [folder / name for folder in FOLDERS]
    for path in paths:
        if path.is_file():
            return path
    raise UserError(
        f"{paths[-1]} is missing: expected the weights that ship with the project "
        "there; any other checkpoint can be given by its path"
    )


def find(
    checkpoint: str | os.PathLike, expected: str, *, pytorch: bool = False
) -> pathlib.Path:
    """Returns the path of a .keras file or the prefix of a TensorFlow 1 checkpoint.

    Args:
      checkpoint: The file or the prefix.
      expected: What the error says was expected.
      pytorch: Whether a file of PyTorch is accepted as well.
    """
    path = pathlib.Path(checkpoint)
    part = _RELEASE_FILE.fullmatch(str(path))
    if part:
        raise UserError(
            f"{path} is one file of a TensorFlow 1 checkpoint: give its prefix, "
            f"{part[1]}"
        )
    try:
        is_known = pytorch or path.suffix not in PYTORCH_SUFFIXES
        if is_known and main_file(path).is_file():
            return path
        kind = "is a folder" if path.is_dir() else "no such checkpoint"
        if (path / RUN_FILE).is_file():
            expected += f"; did you mean {path / RUN_FILE}?"
        if path.is_file():
            kind = "is not a checkpoint"
    except (OSError, ValueError):  # A name no file can have: too long, a NUL in it.
        kind = "no such checkpoint"
    raise UserError(f"{path}: {kind}: {expected}")


def main_file(checkpoint: pathlib.Path) -> pathlib.Path:
    """Returns the file itself, or the index of a TensorFlow 1 checkpoint."""
    if checkpoint.suffix in (".keras", *PYTORCH_SUFFIXES):
        return checkpoint
    return _index(checkpoint)


def release_files(prefix: pathlib.Path) -> list[pathlib.Path]:
    """Returns the index of a TensorFlow 1 checkpoint, and its data that are there."""
    data = prefix.parent.glob(f"{glob.escape(prefix.name)}.data-*")
    return [_index(prefix), *sorted(data)]


def _index(prefix: pathlib.Path) -> pathlib.Path:
    return prefix.with_name(f"{prefix.name}.index")


def load(
    path: pathlib.Path,
    model: "keras.Model",
    released: Mapping[str, "keras.Variable"],
    *,
    what: str,
    max_bytes: int,
) -> None:
    """Reads the weights of a checkpoint into a model.

    Args:
      path: A .keras file of the same network, or the prefix of a TensorFlow 1
        checkpoint, as `find` returns it.
      model: The network. After an error its weights are undefined.
      released: The variables of the model by their names in the TensorFlow 1
        checkpoint. Other tensors than these and those of Adam are refused there.
      what: What the checkpoint is of: "the DenseFuse autoencoder".
      max_bytes: The largest checkpoint that is read.

    Raises:
      UserError: A file is damaged or too large; a tensor is missing, unknown, wrongly
        shaped or not finite.
    """
    try:
        with warnings.catch_warnings():
            # Keras warns of what it refuses afterwards, NumPy of infinity.
            warnings.simplefilter("ignore")
            if path.suffix == ".keras":
                _load_keras(path, model, what, max_bytes)
            else:
                _load_tensorflow1(path, released, max_bytes)
    except UserError:
        raise
    except Exception as error:  # A damaged file can make the libraries raise any.
        raise UserError(
            f"{path}: cannot be read as a checkpoint: {_reason(error)}: expected the "
            f"weights of {what}"
        ) from error
    for weight in model.weights:
        if not np.isfinite(weight.numpy()).all():
            raise UserError(
                f"{path}: tensor {weight.path} holds NaN or infinity: expected finite "
                "weights"
            )


def _load_keras(
    path: pathlib.Path, model: "keras.Model", what: str, max_bytes: int
) -> None:
    import h5py

    _check_size(path, path.stat().st_size, max_bytes)
    with zipfile.ZipFile(path) as archive:
        _check_unpacked(path, archive, max_bytes)
        # Keras does not compare all checksums.
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"{damaged} is damaged")
        with archive.open("model.weights.h5") as file, h5py.File(file) as store:
            sizes: list[int] = []
            store.visititems(
                lambda _, item: sizes.append(getattr(item, "size", 0) or 0)
            )
    # Keras refuses what is missing, and overlooks layers that it does not expect.
    if sum(sizes) > model.count_params():
        raise UserError(
            f"{path}: holds {sum(sizes)} numbers: expected the {model.count_params()} "
            f"of {what}"
        )
    model.load_weights(path)


def _load_tensorflow1(
    prefix: pathlib.Path, released: Mapping[str, "keras.Variable"], max_bytes: int
) -> None:
    import tensorflow as tf

    parts = release_files(prefix)
    for part in parts:
        # TensorFlow would wait for a named pipe.
        if not part.is_file():
            raise UserError(f"{part}: expected a file")
    _check_size(prefix, sum(part.stat().st_size for part in parts), max_bytes)
    reader = tf.train.load_checkpoint(str(prefix))
    shapes = reader.get_variable_to_shape_map()
    dtypes = reader.get_variable_to_dtype_map()
    for name, variable in released.items():
        tensor, expected = f"{prefix}: tensor {name}", tuple(variable.shape)
        if name not in shapes:
            raise UserError(f"{tensor} is missing: expected it as {expected}")
        found = tuple(shapes[name])
        if found != expected:
            raise UserError(f"{tensor} has shape {found}: expected {expected}")
        if not dtypes[name].is_floating:
            raise UserError(f"{tensor} is {dtypes[name].name}: expected floats")
        variable.assign(reader.get_tensor(name))
    for name in sorted(shapes.keys() - released.keys()):
        if not _OPTIMIZER.fullmatch(name):
            raise UserError(
                f"{prefix}: holds tensor {name}: expected those of the network alone"
            )


def _check_size(path: pathlib.Path, size: int, most: int) -> None:
    if size > most:
        raise UserError(f"{path}: has {size} bytes: expected at most {most}")


def _check_unpacked(path: pathlib.Path, archive: zipfile.ZipFile, most: int) -> None:
    unpacked = sum(member.file_size for member in archive.infolist())
    _check_size(path, unpacked, most)


def _reason(error: Exception) -> str:
    """Shortens what a library says to its essential line.

    Keras writes paragraphs: how many layers failed, what one of them says, which they
    are.
    """
    paragraphs = [" ".join(part.split()) for part in str(error).split("\n\n")]
    line = paragraphs[min(1, len(paragraphs) - 1)]
    return line.rstrip(".")[:300] or type(error).__name__


def save(
    model: "keras.Model",
    path: str | os.PathLike,
    build: Callable[..., "keras.Model"],
) -> None:
    """Writes the weights of a model as a .keras file, whole or not at all.

    The file holds a plain float32 network, which Keras alone can load. Optimizer,
    compiled loss and mixed precision of the training run are left out.

    Args:
      model: What `build` returned, of any dtype policy.
      path: A name that ends in .keras.
      build: Builds the network, of a keyword `dtype`.
    """
    path = pathlib.Path(path)
    if path.suffix != ".keras":
        raise UserError(f"{path}: a checkpoint is saved as .keras")
    plain = build(dtype="float32")
    plain.set_weights(model.get_weights())
    with files.replacing(path) as temporary:
        plain.save(temporary)


def read_arrays(
    path: str | os.PathLike, *, what: str, max_bytes: int
) -> dict[str, np.ndarray]:
    """Reads all arrays of an .npz or .npy file, as its first bytes say.

    Args:
      path: The file.
      what: What it holds, for the message: "weights of the CNN".
      max_bytes: The largest file that is read, also where it is packed.

    Returns:
      The arrays by name; the one of an .npy file has the name "".
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such file: expected {what}")
    try:
        with files.open_to_read(path, what) as file:
            _check_size(path, os.fstat(file.fileno()).st_size, max_bytes)
            start = file.read(6)
            if start == b"MATLAB":
                raise UserError(
                    f"{path}: is a MATLAB file: expected an .npz file, which python "
                    "-m densefuse_tf.commands.convert_weights makes of it"
                )
            file.seek(0)
            if not start.startswith(b"PK"):
                _check_array(file, path.stat().st_size)
                file.seek(0)
                return {"": np.load(file, allow_pickle=False)}
            with zipfile.ZipFile(file) as archive:
                _check_unpacked(path, archive, max_bytes)
                for member in archive.infolist():
                    with archive.open(member) as array:
                        _check_array(array, member.file_size)
            file.seek(0)
            with np.load(file, allow_pickle=False) as held:
                return dict(held)
    except UserError:
        raise
    except Exception as error:  # A damaged file raises anything in its reader.
        raise UserError(f"{path}: cannot be read as {what}") from error


def _check_array(file: IO[bytes], size: int) -> None:
    """Refuses what NumPy would make room for and then not find in the file.

    NumPy believes the header of an array, and returns what has none as it is.
    """
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, _, dtype = read(file)
    if math.prod(shape) * dtype.itemsize > size:
        raise ValueError("the array is larger than its file")


def read_pytorch(
    path: pathlib.Path, *, what: str, max_bytes: int
) -> dict[str, np.ndarray]:
    """Reads the tensors of a PyTorch file by name, and makes no other object of it.

    Args:
      path: The file.
      what: What it holds, for the message: "the weights of DeepFuse".
      max_bytes: The largest file that is read, also where it is packed.

    Raises:
      UserError: PyTorch is not installed, or the file is damaged or too large.
    """
    extras.require("torch", f"{path}, a file of PyTorch,")
    import torch

    _check_size(path, path.stat().st_size, max_bytes)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                _check_unpacked(path, archive, max_bytes)
        with warnings.catch_warnings():
            # PyTorch warns of what it refuses afterwards.
            warnings.simplefilter("ignore")
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        return {name: np.asarray(tensor) for name, tensor in tensors.items()}
    except UserError:
        raise
    except Exception as error:  # A damaged file can make PyTorch raise any.
        raise UserError(f"{path}: cannot be read: expected {what}") from error


def check_arrays(
    path: str | os.PathLike,
    arrays: Mapping[str, np.ndarray],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    what: str,
) -> None:
    """Refuses arrays that are missing, unknown, wrongly shaped or no finite floats.

    Args:
      path: The file, for messages.
      arrays: What `read_arrays` returned.
      shapes: The shape of each array that is expected.
      what: What is expected, for the message: "weights of the CNN".
    """
    for name, shape in shapes.items():
        if name not in arrays:
            raise UserError(
                f"{path}: holds no {name or 'array'}: expected {what}, with it as "
                f"{shape}"
            )
        array, tensor = arrays[name], f"{path}: {name}" if name else str(path)
        if array.shape != shape:
            raise UserError(
                f"{tensor} has shape {array.shape}: expected {shape}, for {what}"
            )
        if array.dtype.kind != "f":
            raise UserError(f"{tensor} is {array.dtype}: expected floats")
        if not np.isfinite(array).all():
            raise UserError(f"{tensor} holds NaN or infinity")
    unknown = sorted(arrays.keys() - shapes.keys())
    if unknown:
        raise UserError(f"{path}: {unknown[0]} does not belong to {what}")
