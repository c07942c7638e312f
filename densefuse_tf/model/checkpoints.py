"""Trained weights: the project's .keras files and the release's TensorFlow 1 ones.

Nothing in a checkpoint is executed or deserialised. A .keras file is read as data: its
configuration has to describe the architecture of `densefuse_tf.model.network` and
nothing else, and its tensors are copied into a network built here, after each one's
presence, shape and values were checked. TensorFlow 1 checkpoints hold tensors only.
"""

import json
import os
import pathlib
import re
import zipfile
from collections.abc import Iterator, Mapping

import keras
import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.model import hdf5
from densefuse_tf.model import network
from densefuse_tf.model import tensor_bundle
from densefuse_tf.training import recipes

SHORT_NAMES = tuple(recipes.SSIM_WEIGHTS)
# Where the shipped checkpoints are: installed with the package, or in a checkout.
_FOLDERS = (
    pathlib.Path(__file__).parents[1] / "trained",
    pathlib.Path(__file__).parents[2] / "checkpoints",
)

# The members of a .keras file, with the most bytes each may have. The network's own
# take 18 kB and 360 kB.
_MEMBERS = {
    "metadata.json": 100_000,
    "config.json": 1_000_000,
    "model.weights.h5": 10_000_000,
}
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MAX_FILE_BYTES = 2 * sum(_MEMBERS.values())
# What the configuration of the autoencoder consists of.
_CLASSES = {
    "Functional",
    "InputLayer",
    "ReflectionPadding",
    "Conv2D",
    "Concatenate",
    "TruncatedNormal",
    "Zeros",
    "DTypePolicy",
    "__keras_tensor__",
}
_PACKAGES = ("keras", "densefuse_tf")
_CONVOLUTION_SETTINGS = (
    "filters",
    "kernel_size",
    "strides",
    "padding",
    "data_format",
    "dilation_rate",
    "groups",
    "activation",
    "use_bias",
)

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
# What Adam keeps beside the weights; of no use here.
_RELEASE_OPTIMIZER = re.compile(r"(.+/Adam(_1)?|(.+/)?beta[12]_power)")
_RELEASE_FILE = re.compile(r"(.+)\.(index|meta|data-\d{5}-of-\d{5})")


def load_autoencoder(checkpoint: str | os.PathLike) -> keras.Model:
    """The autoencoder with the weights of a checkpoint.

    Args:
      checkpoint: A short name, one of `SHORT_NAMES`, for a model of this project; the
        path of a .keras file; or the prefix of a TensorFlow 1 checkpoint of the
        release.

    Returns:
      `network.autoencoder()` in float32 with these weights. Its layer "encoder" is the
      model that makes feature maps: load_autoencoder("1e2").get_layer("encoder") takes
      [batch, H, W, 1] in 0..255 and returns [batch, H, W, 64].

    Raises:
      UserError: No such checkpoint; a damaged file; a file that holds anything but
        this architecture; a tensor that is missing, unknown, wrongly shaped or not
        finite.
    """
    path = locate(checkpoint)
    model = network.autoencoder(dtype="float32")
    expected = {
        f"{name}/{kind}": variable
        for name in network.CONVOLUTIONS
        for kind, variable in _variables(model, name)
    }
    shapes = {name: tuple(variable.shape) for name, variable in expected.items()}
    if path.suffix == ".keras":
        tensors = _read_keras(path, shapes, model)
    else:
        tensors = _read_release(path, shapes)
    for name, variable in expected.items():
        variable.assign(tensors[name])
    return model


def save_autoencoder(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes the weights of an autoencoder as a .keras file, atomically.

    What is saved is a plain float32 `network.autoencoder()`: no optimizer, no compiled
    loss, no mixed precision of the training run goes along.

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
    """The .keras file or TensorFlow 1 prefix that `checkpoint` names, which exists.

    Raises:
      UserError: There is none.
    """
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
    try:
        if path.suffix == ".keras" and path.is_file():
            return path
        if path.suffix != ".keras" and _index(path).is_file():
            return path
        kind = "is a folder" if path.is_dir() else "no such checkpoint"
        if path.is_file():
            kind = "is not a checkpoint"
    except (OSError, ValueError):  # A name no file can have: too long, a NUL in it.
        kind = "no such checkpoint"
    raise UserError(
        f"{path}: {kind}: expected one of {', '.join(SHORT_NAMES)}, a .keras file or "
        "the prefix of a TensorFlow 1 checkpoint"
    )


def modified(path: pathlib.Path) -> int:
    """When the checkpoint at a path from `locate` was written, in nanoseconds."""
    return (path if path.suffix == ".keras" else _index(path)).stat().st_mtime_ns


def _index(prefix: pathlib.Path) -> pathlib.Path:
    return prefix.with_name(f"{prefix.name}.index")


def _variables(model: keras.Model, name: str):
    layer = network.convolution(model, name)
    return ("kernel", layer.kernel), ("bias", layer.bias)


def _read_keras(
    path: pathlib.Path, shapes: Mapping[str, tuple], model: keras.Model
) -> dict[str, np.ndarray]:
    """The tensors of a .keras file by name ("C1/kernel"), all checked."""
    try:
        size = path.stat().st_size
        if size > _MAX_FILE_BYTES:
            raise UserError(
                f"{path}: has {size} bytes: expected at most {_MAX_FILE_BYTES}"
            )
        with zipfile.ZipFile(path) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
            if sizes.keys() != _MEMBERS.keys():
                raise UserError(
                    f"{path}: holds {', '.join(sorted(sizes)) or 'nothing'}: expected "
                    f"the {', '.join(sorted(_MEMBERS))} of a .keras file"
                )
            for name, limit in _MEMBERS.items():
                if sizes[name] > limit:
                    raise UserError(
                        f"{path}: {name} has {sizes[name]} bytes: expected at most "
                        f"{limit}"
                    )
            config = json.loads(_member(archive, "config.json"))
            weights = _member(archive, "model.weights.h5")
        _check_config(path, config, model)
        names = dict(zip(shapes, _keras_names(), strict=True))
        called = {stored: name for name, stored in names.items()}
        return _read(path, hdf5.Store(weights), names, shapes, called)
    except UserError:
        raise
    except Exception as error:  # Whatever a mangled file makes zipfile and json raise.
        raise _damaged(path, error) from error


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member's bytes, no more than are allowed, whatever it says it has.

    Of the compressions a .keras file could have, bzip2 and LZMA unpack without limit.
    """
    if archive.getinfo(name).compress_type not in _COMPRESSIONS:
        raise ValueError(f"{name} is compressed by other than Deflate")
    with archive.open(name) as file:
        content = file.read(_MEMBERS[name])
        # The checksum is compared at the end.
        if file.read(1):
            raise ValueError(f"{name} has more bytes than it says")
    return content


def _check_config(path: pathlib.Path, config, model: keras.Model) -> None:
    """Refuses a configuration that is not the autoencoder's."""
    for part in _dicts(config):
        name = part.get("class_name")
        if name is None:
            continue
        module = str(part.get("module") or "keras")
        called = f"{module}.{name}"
        registered = part.get("registered_name")
        if registered not in (None, name, f"densefuse_tf>{name}"):
            called = registered
        elif name in _CLASSES and module.split(".")[0] in _PACKAGES:
            continue
        raise UserError(
            f"{path}: holds {called}: only the layers of the DenseFuse autoencoder are "
            "loaded, as densefuse_tf.model.checkpoints.save_autoencoder writes them"
        )
    found = _convolutions(config)
    expected = _convolutions(json.loads(model.to_json()))
    for name in expected.keys() | found.keys():
        if found.get(name) != expected.get(name):
            raise UserError(
                f"{path}: layer {name} is {found.get(name)}: expected "
                f"{expected.get(name)}"
            )


def _convolutions(config) -> dict[str, dict]:
    """What defines each convolution of a configuration, by layer name."""
    return {
        part["config"]["name"]: {
            setting: part["config"].get(setting) for setting in _CONVOLUTION_SETTINGS
        }
        for part in _dicts(config)
        if part.get("class_name") == "Conv2D"
    }


def _dicts(config) -> Iterator[dict]:
    """All dictionaries in a JSON value, outermost first."""
    if isinstance(config, dict):
        yield config
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _dicts(value)


def _keras_names() -> Iterator[str]:
    """Where Keras stores the tensors: kernel and bias of each convolution, in order."""
    encoder = 1 + len(network.DENSE_LAYERS)
    decoder = len(network.DECODER_LAYERS)
    for part, count in (("functional", encoder), ("functional_1", decoder)):
        for number in range(count):
            layer = f"conv2d_{number}" if number else "conv2d"
            for index in range(2):
                yield f"layers/{part}/layers/{layer}/vars/{index}"


def _read_release(
    prefix: pathlib.Path, shapes: Mapping[str, tuple]
) -> dict[str, np.ndarray]:
    """The tensors of a TensorFlow 1 checkpoint by name ("C1/kernel"), all checked."""
    names = {name: _release_name(name) for name in shapes}
    try:
        bundle = tensor_bundle.Bundle(prefix)
        for name in list(bundle.entries):
            if _RELEASE_OPTIMIZER.fullmatch(name):
                del bundle.entries[name]
        return _read(prefix, bundle, names, shapes, {})
    except UserError:
        raise
    except (OSError, ValueError) as error:
        raise _damaged(prefix, error) from error


def _release_name(name: str) -> str:
    layer, kind = name.split("/")
    return f"{_RELEASE_NAMES[layer]}/{kind}"


def _read(
    path: pathlib.Path,
    store: hdf5.Store | tensor_bundle.Bundle,
    names: Mapping[str, str],
    shapes: Mapping[str, tuple],
    called: Mapping[str, str],
) -> dict[str, np.ndarray]:
    """The tensors of a store, all checked: no more, no less, each as it has to be.

    Args:
      path: What an error calls the store.
      store: Where they are.
      names: Of each tensor, what it is called there ...
      shapes: ... and its shape.
      called: What an error calls it, by its name there, if not that.
    """
    entries = store.entries
    for name, stored in names.items():
        shown, shape = called.get(stored, stored), shapes[name]
        if stored not in entries:
            raise UserError(
                f"{path}: tensor {shown} is missing: expected it as {shape}"
            )
        entry = entries[stored]
        if entry.shape != shape:
            raise UserError(
                f"{path}: tensor {shown} has shape {entry.shape}: expected {shape}"
            )
        if not entry.is_float:
            raise UserError(f"{path}: tensor {shown} is {entry.dtype}: expected floats")
    for stored in entries.keys() - set(names.values()):
        raise UserError(f"{path}: tensor {stored} is not part of the network")
    tensors = {}
    for name, stored in names.items():
        with np.errstate(over="ignore"):
            tensors[name] = store.read(stored).astype(np.float32)
        if not np.isfinite(tensors[name]).all():
            shown = called.get(stored, stored)
            raise UserError(f"{path}: tensor {shown} holds NaN or infinity")
    return tensors


def _damaged(path: pathlib.Path, error: Exception) -> UserError:
    reason = str(error).partition("\n")[0][:200] or type(error).__name__
    return UserError(f"{path}: cannot be read as a checkpoint: {reason}")
