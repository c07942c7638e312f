"""Trained weights: the project's .keras files, and those of the authors' programs."""

import os
import pathlib

import keras
import numpy as np

from densefuse_tf import lambdas
from densefuse_tf.errors import UserError
from densefuse_tf.io import weights
from densefuse_tf.model import computing
from densefuse_tf.model import network

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
# The name of each convolution in the authors' PyTorch program, and how many layers of
# the dense block it takes the maps of. There they come in the order in which they are
# made, here the newest first.
_PYTORCH_NAMES = {
    "C1": ("conv1", 1),
    "DC1": ("DB1.denseblock.0.dense_conv", 1),
    "DC2": ("DB1.denseblock.1.dense_conv", 2),
    "DC3": ("DB1.denseblock.2.dense_conv", 3),
    "C2": ("conv2", 4),
    "C3": ("conv3", 1),
    "C4": ("conv4", 1),
    "C5": ("conv5", 1),
}


def load_autoencoder(checkpoint: str | os.PathLike) -> keras.Model:
    """Builds the autoencoder with the weights of a checkpoint.

    Args:
      checkpoint: A short name, one of `lambdas.SHORT_NAMES`, or its lambda in other
        digits, as "100", for a model of this project; the path of a .keras file; the
        prefix of a TensorFlow 1 checkpoint of the release; or, where PyTorch is
        installed, the path of weights of the authors' PyTorch program,
        densefuse_gray.model.

    Returns:
      `network.autoencoder()` in float32 with these weights. Its layer "encoder" is the
      model that makes feature maps: load_autoencoder("1e2").get_layer("encoder") takes
      [batch, H, W, 1] in 0..255 and returns [batch, H, W, 64].

    Raises:
      UserError: There is no such checkpoint; its file is damaged or has more than 20
        MB; a tensor is missing, unknown, wrongly shaped or not finite.
    """
    computing.check()
    path = locate(checkpoint)
    model = network.autoencoder(dtype="float32")
    if path.suffix in weights.PYTORCH_SUFFIXES:
        _load_pytorch(path, model)
        return model
    released = {
        f"{name}/{variable.name}": variable
        for layer, name in _RELEASE_NAMES.items()
        for variable in network.convolution_layer(model, layer).weights
    }
    weights.load(
        path,
        model,
        released,
        what="the DenseFuse autoencoder",
        max_bytes=_MAX_BYTES,
    )
    return model


def _load_pytorch(path: pathlib.Path, model: keras.Model) -> None:
    what = "the weights of the authors' PyTorch program"
    arrays = weights.read_pytorch(path, what=what, max_bytes=_MAX_BYTES)
    layers = {
        f"{name}.conv2d": (network.convolution_layer(model, layer), parts)
        for layer, (name, parts) in _PYTORCH_NAMES.items()
    }
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (layer, _) in layers.items():
        height, width, inputs, filters = layer.kernel.shape
        shapes[f"{name}.weight"] = (filters, inputs, height, width)
        shapes[f"{name}.bias"] = tuple(layer.bias.shape)
    weights.check_arrays(path, arrays, shapes, what=what)
    for name, (layer, parts) in layers.items():
        kernel = arrays[f"{name}.weight"].transpose(2, 3, 1, 0)
        newest_first = np.split(kernel, parts, axis=2)[::-1]
        layer.kernel.assign(np.concatenate(newest_first, axis=2))
        layer.bias.assign(arrays[f"{name}.bias"])


def locate(checkpoint: str | os.PathLike) -> pathlib.Path:
    """Finds the file or the TensorFlow 1 prefix that `checkpoint` names.

    Raises:
      UserError: There is none.
    """
    name = lambdas.short_name(checkpoint)
    is_text = isinstance(checkpoint, str | os.PathLike)
    if is_text and name is not None:
        return weights.shipped(lambdas.file_name(name))
    expected = (
        f"expected one of {', '.join(lambdas.SHORT_NAMES)}, a .keras file, the prefix "
        "of a TensorFlow 1 checkpoint or the authors' densefuse_gray.model"
        + lambdas.did_you_mean(checkpoint)
    )
    if is_text:
        return weights.find(checkpoint, expected, pytorch=True)
    if name is not None:
        expected = f'expected the text "{name}" for this lambda'
    raise UserError(
        f"checkpoint is {checkpoint!r} ({type(checkpoint).__name__}): {expected}"
    )


def modified(path: pathlib.Path) -> int:
    """Returns when the checkpoint at a path from `locate` was written, in ns."""
    return weights.main_file(path).stat().st_mtime_ns
