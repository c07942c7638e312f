"""The network of the method CNN: its layers, and its weights in every layout.

The branch, which both images pass, with zero padding throughout:

| layer | kernel | in  | out | then                                       |
|-------|--------|-----|-----|--------------------------------------------|
| conv1 | 3x3    | 1   | 64  | ReLU                                       |
| conv2 | 3x3    | 64  | 128 | ReLU, max pooling 2x2 with stride 2        |
| conv3 | 3x3    | 128 | 256 | ReLU                                       |

The 256 maps of the first image and then those of the second pass one layer `score`,
8x8, 512 -> 2, without padding, bias or activation.

References:
  Y. Liu, X. Chen, H. Peng, Z. Wang: Multi-focus image fusion with a deep convolutional
  neural network. Information Fusion 36, 2017. https://doi.org/10.1016/j.inffus.2016.12.001

Notes:
  In the authors' multi-focus program `score` is two linear layers, 8x8, 512 -> 256 and
  1x1, 256 -> 2, without an activation between them; they make one layer, and
  `from_matlab` multiplies them.
"""

import math
import os
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.io import weights

if TYPE_CHECKING:
    import keras

_BRANCH = (("conv1", 1, 64), ("conv2", 64, 128), ("conv3", 128, 256))
# Each tensor of the network, kernels as [row, column, in, out].
SHAPES: Mapping[str, tuple[int, ...]] = {
    **{
        f"{name}/{kind}": shape
        for name, inputs, outputs in _BRANCH
        for kind, shape in (("kernel", (3, 3, inputs, outputs)), ("bias", (outputs,)))
    },
    "score/kernel": (8, 8, 512, 2),
}
# What the published .npz layout and both .mat files hold beside them.
_UNUSED = "score/bias_unused"
# Side of the block of pixels of one score, and the pixels between two blocks.
BLOCK = 16
STRIDE = 2
SCORE_SIDE = BLOCK // STRIDE
# An odd side is pooled to its half, rounded up: 15 pixels make the 8 of one score.
MIN_SIDE = BLOCK - 1
_WHAT = "weights of the CNN"
# Whatever the program's keras.json and dtype policy say.
_LAYER: dict[str, Any] = {"data_format": "channels_last", "dtype": "float32"}
# The largest file of weights there is, with the two linear layers, has 34 MB.
_MAX_FILE_BYTES = 100_000_000


def branch() -> "keras.Model":
    """Builds the branch, from [batch, H, W, 1] in 0..1 to [batch, ⌈H/2⌉, ⌈W/2⌉, 256].

    Pooling a map of odd size as "same" leaves out what is beyond the border; the
    authors append zeros there, which never win after ReLU.
    """
    import keras

    image = keras.Input((None, None, 1), name="image", dtype="float32")
    maps = image
    for name, _, filters in _BRANCH:
        if name == "conv3":
            maps = keras.layers.MaxPooling2D(name="pool", padding="same", **_LAYER)(
                maps
            )
        maps = keras.layers.Conv2D(
            filters, 3, padding="same", activation="relu", name=name, **_LAYER
        )(maps)
    return keras.Model(image, maps, name="branch")


def network() -> "keras.Model":
    """Builds the network, from images A and B to the scores.

    It takes two [batch, H, W, 1] in 0..1, H and W at least 15, and returns
    [batch, ⌈H/2⌉ - 7, ⌈W/2⌉ - 7, 2]; its layers are "branch" and "score".
    """
    import keras

    images = [
        keras.Input((None, None, 1), name=name, dtype="float32")
        for name in ("first", "second")
    ]
    shared = branch()
    maps = [shared(image) for image in images]
    maps = keras.layers.Concatenate(name="maps", dtype="float32")(maps)
    score = keras.layers.Conv2D(2, SCORE_SIDE, use_bias=False, name="score", **_LAYER)
    return keras.Model(images, score(maps), name="cnn")


def variables(model: "keras.Model") -> dict[str, "keras.Variable"]:
    """Returns the variables of `network()` by the names of `SHAPES`."""
    shared = model.get_layer("branch")
    layers = {name: shared.get_layer(name) for name, _, _ in _BRANCH}
    layers["score"] = model.get_layer("score")
    found = {}
    for tensor in SHAPES:
        name, _, kind = tensor.partition("/")
        found[tensor] = getattr(layers[name], kind)
    return found


def read_weights(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the weights of the network.

    Args:
      path: An .npz file with the tensors of `SHAPES`.

    Returns:
      The tensors of `SHAPES`, float32.

    Raises:
      UserError: The file is missing or damaged, or a tensor is missing, unknown,
        wrongly shaped, no number or not finite.
    """
    path = pathlib.Path(path)
    arrays = weights.read_arrays(path, what=_WHAT, max_bytes=_MAX_FILE_BYTES)
    arrays.pop(_UNUSED, None)
    weights.check_arrays(path, arrays, SHAPES, what=_WHAT)
    return {name: np.asarray(arrays[name], np.float32) for name in SHAPES}


def from_matlab(
    path: str | os.PathLike, arrays: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Brings the weights of an authors' .mat file into the layout of `SHAPES`.

    The file is that of the infrared-visible program, or of the multi-focus program with
    its two linear layers. A kernel of side n is w[in, n * column + row, out]. MATLAB's
    conv2 flips a kernel and the authors' program flips it before, so that it is used as
    it is.
    """
    shapes = {
        "weights_b1_1": (9, 64),
        "weights_b1_2": (64, 9, 128),
        "weights_b1_3": (128, 9, 256),
        "weights_output": (512, 64, 2),
        "biases_b1_1": (64, 1),
        "biases_b1_2": (128, 1),
        "biases_b1_3": (256, 1),
    }
    two_layers = "weights_feature" in arrays
    if two_layers:
        shapes["weights_feature"] = (512, 64, 256)
        shapes["weights_output"] = (256, 1, 2)
    arrays = {
        name: array
        for name, array in arrays.items()
        if name not in ("biases_output", "biases_feature")
    }
    # MATLAB, and with it a .mat file, has no trailing axes of one element.
    weights.check_arrays(path, arrays, shapes, what=_WHAT)
    tensors = {}
    for number, (name, inputs, outputs) in enumerate(_BRANCH, start=1):
        held = arrays[f"weights_b1_{number}"].reshape(inputs, 9, outputs)
        tensors[f"{name}/kernel"] = _kernel(held)
        tensors[f"{name}/bias"] = arrays[f"biases_b1_{number}"].ravel()
    score = arrays["weights_output"]
    if two_layers:
        feature = arrays["weights_feature"].astype(np.float64)
        score = feature @ score[:, 0].astype(np.float64)
    tensors["score/kernel"] = _kernel(score)
    return tensors


def _kernel(held: np.ndarray) -> np.ndarray:
    """Returns [in, n * column + row, out] as [row, column, in, out]."""
    inputs, patch, outputs = held.shape
    side = math.isqrt(patch)
    return held.reshape(inputs, side, side, outputs).transpose(2, 1, 0, 3)


def check_writable(path: str | os.PathLike) -> None:
    """Refuses a path at which `write_weights` cannot write."""
    if pathlib.Path(path).suffix != ".npz":
        raise UserError(f"{path}: weights of the CNN are saved as .npz")
    files.check_replaceable(path)


def write_weights(path: str | os.PathLike, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes the tensors of `SHAPES` as an .npz file, whole or not at all."""
    check_writable(path)
    arrays: dict[str, Any] = {
        name: np.asarray(tensors[name], np.float32) for name in SHAPES
    }
    with files.replacing(path) as temporary:
        np.savez_compressed(temporary, **arrays)
