"""Trained weights: the project's .keras files and the release's TensorFlow 1 ones.

Keras and TensorFlow read the tensors into a network that is built here. Nothing else in
a file is looked at, and no object in it is deserialised: layers, functions and losses
that a .keras file describes are never made.
"""

import glob
import os
import pathlib
import re
import warnings
import zipfile

import h5py
import keras
import numpy as np
import tensorflow as tf

from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.model import lambdas
from densefuse_tf.model import network

SHORT_NAMES = tuple(lambdas.SSIM_WEIGHTS)
# Where the shipped checkpoints are: installed with the package, or in a checkout.
_FOLDERS = (
    pathlib.Path(__file__).parents[1] / "trained",
    pathlib.Path(__file__).parents[2] / "checkpoints",
)
# The network's own files have 0.4 MB, those of the release with Adam's slots 0.9 MB.
_MAX_BYTES = 20_000_000

# The release's name of each convolution.
_RELEASE_NAMES = {
    "C1": "encoder/conv1_1",
    "DC1": "encoder/dense_block_conv1",
    "DC2": "encoder/dense_block_conv2",
    "DC3": "encoder/dense_block_conv3",
    "C2": "decoder/conv2_1",
    "C3": "decoder/conv2_2",
    "C4": "decoder/conv2_3",
    "C5": "decoder/conv2_4",
}
# Adam keeps these beside the weights; they are of no use here.
_RELEASE_OPTIMIZER = re.compile(r"(.+/Adam(_1)?|(.+/)?beta[12]_power)")
_RELEASE_FILE = re.compile(r"(.+)\.(index|meta|data-\d{5}-of-\d{5})")


def load_autoencoder(checkpoint: str | os.PathLike) -> keras.Model:
    """Builds the autoencoder with the weights of a checkpoint.

    Args:
      checkpoint: A short name, one of `SHORT_NAMES`, for a model of this project; the
        path of a .keras file; or the prefix of a TensorFlow 1 checkpoint of the
        release.

    Returns:
      `network.autoencoder()` in float32 with these weights. Its layer "encoder" is the
      model that makes feature maps: load_autoencoder("1e2").get_layer("encoder") takes
      [batch, H, W, 1] in 0..255 and returns [batch, H, W, 64].

    Raises:
      UserError: There is no such checkpoint; its file is damaged or has more than 20
        MB; a tensor is missing, unknown, wrongly shaped or not finite.
    """
    path = locate(checkpoint)
    model = network.autoencoder(dtype="float32")
    try:
        with warnings.catch_warnings():
            # Keras warns of what it refuses afterwards, NumPy of infinity.
            warnings.simplefilter("ignore")
            if path.suffix == ".keras":
                _load_keras(path, model)
            else:
                _load_release(path, model)
    except UserError:
        raise
    except Exception as error:  # A damaged file can make the libraries raise any.
        raise UserError(
            f"{path}: cannot be read as a checkpoint: {_reason(error)}: expected the "
            "weights of the DenseFuse autoencoder"
        ) from error
    for weight in model.weights:
        if not np.isfinite(weight.numpy()).all():
            raise UserError(
                f"{path}: tensor {weight.path} holds NaN or infinity: expected finite "
                "weights"
            )
    return model


def save_autoencoder(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes the weights of an autoencoder as a .keras file, atomically.

    The file holds a plain float32 `network.autoencoder()`, which Keras alone can load.
    Optimizer, compiled loss and mixed precision of the training run are left out.

    Args:
      model: What `network.autoencoder` returned, of any dtype policy.
      path: A name that ends in .keras.

    Raises:
      UserError: Another suffix, or the file cannot be written.
    """
    path = pathlib.Path(path)
    if path.suffix != ".keras":
        raise UserError(f"{path}: a checkpoint is saved as .keras")
    plain = network.autoencoder(dtype="float32")
    plain.set_weights(model.get_weights())
    with files.replacing(path) as temporary:
        plain.save(temporary)


def locate(checkpoint: str | os.PathLike) -> pathlib.Path:
    """Finds the .keras file or TensorFlow 1 prefix that `checkpoint` names.

    Raises:
      UserError: There is none.
    """
    expected = (
        f"expected one of {', '.join(SHORT_NAMES)}, a .keras file or the prefix of a "
        "TensorFlow 1 checkpoint"
    )
    if not isinstance(checkpoint, str | os.PathLike):
        raise UserError(
            f"checkpoint is {checkpoint!r} ({type(checkpoint).__name__}): {expected}"
        )
    if str(checkpoint) in SHORT_NAMES:
        names = [folder / f"densefuse_{checkpoint}.keras" for folder in _FOLDERS]
        for path in names:
            if path.is_file():
                return path
        raise UserError(
            f"checkpoint {checkpoint}: its file {names[-1]} is missing: expected it "
            "there; any other checkpoint can be given by its path"
        )
    path = pathlib.Path(checkpoint)
    part = _RELEASE_FILE.fullmatch(str(path))
    if part:
        raise UserError(
            f"{path} is one file of a TensorFlow 1 checkpoint: give its prefix, "
            f"{part[1]}"
        )
    if os.path.isfile(path if path.suffix == ".keras" else _index(path)):
        return path
    kind = "is not a checkpoint" if os.path.exists(path) else "no such checkpoint"
    raise UserError(f"{path}: {kind}: {expected}")


def modified(path: pathlib.Path) -> int:
    """Returns when the checkpoint at a path from `locate` was written, in ns."""
    return (path if path.suffix == ".keras" else _index(path)).stat().st_mtime_ns


def _index(prefix: pathlib.Path) -> pathlib.Path:
    return prefix.with_name(f"{prefix.name}.index")


def _load_keras(path: pathlib.Path, model: keras.Model) -> None:
    _check_size(path, path.stat().st_size)
    with zipfile.ZipFile(path) as archive:
        _check_size(path, sum(member.file_size for member in archive.infolist()))
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
    if sum(sizes) > network.NUM_PARAMETERS:
        raise UserError(
            f"{path}: holds {sum(sizes)} numbers: expected the "
            f"{network.NUM_PARAMETERS} of the DenseFuse autoencoder"
        )
    model.load_weights(path)


def _load_release(prefix: pathlib.Path, model: keras.Model) -> None:
    data = prefix.parent.glob(f"{glob.escape(prefix.name)}.data-*")
    _check_size(prefix, sum(part.stat().st_size for part in [_index(prefix), *data]))
    reader = tf.train.load_checkpoint(str(prefix))
    shapes = reader.get_variable_to_shape_map()
    unknown = {name for name in shapes if not _RELEASE_OPTIMIZER.fullmatch(name)}
    for layer, released in _RELEASE_NAMES.items():
        convolution = network.convolution(model, layer)
        for variable in (convolution.kernel, convolution.bias):
            name = f"{released}/{variable.name}"
            tensor, expected = f"{prefix}: tensor {name}", tuple(variable.shape)
            if name not in shapes:
                raise UserError(f"{tensor} is missing: expected it as {expected}")
            found = tuple(shapes[name])
            if found != expected:
                raise UserError(f"{tensor} has shape {found}: expected {expected}")
            variable.assign(reader.get_tensor(name))
            unknown.remove(name)
    for name in sorted(unknown):
        raise UserError(
            f"{prefix}: holds tensor {name}: expected those of the network alone"
        )


def _check_size(path: pathlib.Path, size: int) -> None:
    if size > _MAX_BYTES:
        raise UserError(f"{path}: has {size} bytes: expected at most {_MAX_BYTES}")


def _reason(error: Exception) -> str:
    """Shortens what a library says: Keras's second paragraph tells what is wrong."""
    paragraphs = [" ".join(part.split()) for part in str(error).split("\n\n")]
    line = paragraphs[min(1, len(paragraphs) - 1)]
    return line.rstrip(".")[:300] or type(error).__name__
