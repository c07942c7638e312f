"""CNN: a network that tells, patch by patch, which of the two images is in focus.

Infrared image A and visible image B, 0..255 / 255. Both pass the same branch, zero
padding throughout:

| layer | kernel | in  | out | then                                       |
|-------|--------|-----|-----|--------------------------------------------|
| conv1 | 3x3    | 1   | 64  | ReLU                                       |
| conv2 | 3x3    | 64  | 128 | ReLU, max pooling 2x2 with stride 2        |
| conv3 | 3x3    | 128 | 256 | ReLU                                       |

The 256 maps of A and then those of B pass one layer `score`, 8x8, 512 -> 2, without
padding, bias or activation. Of its two outputs s1, s2 at a place (y, x) the softmax

    p = 1 - exp(s1) / (exp(s1) + exp(s2))

is near 1 where A is in focus; it stands for the block of 16x16 pixels at (2y, 2x), cut
at the border of the image. Then:

1. focus map: M = the mean of p over all blocks that contain a pixel;
2. D = 1 where M > 0.5, else 0;
3. regions of D, 8-connected, of fewer than ceil(0.01 H W) pixels are removed, first
   those of ones, then those of zeros;
4. a guided filter of radius 8 pixels with epsilon = 0.1 smooths D into Q, the guide
   being the provisional result I = A D + B (1 - D) in 0..1; its windows of 17x17 are
   cut at the border;
5. F = A Q + B (1 - Q).

References:
  Y. Liu, X. Chen, H. Peng, Z. Wang: Multi-focus image fusion with a deep convolutional
  neural network. Information Fusion 36, 2017. https://doi.org/10.1016/j.inffus.2016.12.001
  Guided filter: K. He, J. Sun, X. Tang: Guided image filtering. IEEE TPAMI 35(6), 2013.
  https://doi.org/10.1109/TPAMI.2012.213

Notes:
  The row CNN of Table II comes from the authors' multi-focus program, with the decision
  map above, and from no infrared-visible variant with pyramids. In that program `score`
  is two linear layers, 8x8, 512 -> 256 and 1x1, 256 -> 2, without an activation between
  them; they make one layer, and `read_weights` multiplies them.

  That program takes the softmax in single precision, where exp overflows for scores
  above 88; here p = 1 / (1 + exp(s1 - s2)) is computed in double precision.

  The authors' weights are free for research only and come with no right to pass them
  on; `checkpoint` reads both of their .mat files. The default weights are this
  project's own, made by `densefuse_tf.commands.train_cnn`, and have its licence.
"""

import dataclasses
import functools
import math
import os
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy import ndimage
from scipy import special

from densefuse_tf.baselines import shipped
from densefuse_tf.baselines.method import check_not_constant
from densefuse_tf.baselines.method import check_pair
from densefuse_tf.baselines.method import method
from densefuse_tf.baselines.method import to_uint8
from densefuse_tf.errors import UserError
from densefuse_tf.io import files

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
_STRIDE = 2
_SCORE_SIDE = BLOCK // _STRIDE
# An odd side is pooled to its half, rounded up: 15 pixels make the 8 of one score.
_MIN_SIDE = BLOCK - 1
_SHIPPED = "cnn.npz"
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
            maps = keras.layers.MaxPooling2D(padding="same", name="pool")(maps)
        maps = keras.layers.Conv2D(
            filters, 3, padding="same", activation="relu", name=name
        )(maps)
    return keras.Model(image, maps, name="branch")


def network() -> "keras.Model":
    """Builds the network, from images A and B to the scores.

    Returns:
      A float32 model from two images [batch, H, W, 1] in 0..1, H and W at least 15, to
      [batch, ⌈H/2⌉ - 7, ⌈W/2⌉ - 7, 2]; its layers are "branch" and "score".
    """
    import keras

    images = [keras.Input((None, None, 1), name=name) for name in ("first", "second")]
    shared = branch()
    maps = keras.layers.Concatenate(name="maps")([shared(image) for image in images])
    score = keras.layers.Conv2D(2, _SCORE_SIDE, use_bias=False, name="score")
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
      path: An .npz file with the tensors of `SHAPES`, or one of the authors' .mat
        files: of the infrared-visible program, or of the multi-focus program with its
        two linear layers.

    Returns:
      The tensors of `SHAPES`, float32.

    Raises:
      UserError: The file is missing or damaged, or a tensor is missing, unknown,
        wrongly shaped, no number or not finite.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise UserError(f"{path}: {what}: expected weights of the CNN, .npz or .mat")
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise UserError(
            f"{path}: has {path.stat().st_size} bytes: weights of the CNN have at most "
            f"{_MAX_FILE_BYTES}"
        )
    try:
        arrays = _arrays(path)
    except Exception as error:  # A damaged file raises anything in its reader.
        raise UserError(
            f"{path}: cannot be read as weights of the CNN: expected an .npz or .mat "
            "file of numbers"
        ) from error
    if "weights_b1_1" in arrays:
        tensors = _from_matlab(path, arrays)
    else:
        arrays.pop(_UNUSED, None)
        _check(path, arrays, SHAPES)
        tensors = arrays
    return {name: np.asarray(tensors[name], np.float32) for name in SHAPES}


def _arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads all arrays of a file; what it is, its first bytes say."""
    with open(path, "rb") as file:
        is_zip = file.read(2) == b"PK"
    if is_zip:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    from scipy import io

    arrays = io.loadmat(path, appendmat=False)
    return {name: array for name, array in arrays.items() if name[:2] != "__"}


def _from_matlab(
    path: pathlib.Path, arrays: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Brings the authors' layout into that of `SHAPES`.

    A kernel of side n is w[in, n * column + row, out]. MATLAB's conv2 flips a kernel
    and the authors' program flips it before, so that it is used as it is.
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
    for name in ("biases_output", "biases_feature"):
        arrays.pop(name, None)
    # MATLAB, and with it a .mat file, has no trailing axes of one element.
    _check(path, arrays, shapes)
    tensors = {}
    for number, (name, inputs, outputs) in enumerate(_BRANCH, start=1):
        weights = arrays[f"weights_b1_{number}"].reshape(inputs, 9, outputs)
        tensors[f"{name}/kernel"] = _kernel(weights)
        tensors[f"{name}/bias"] = arrays[f"biases_b1_{number}"].ravel()
    weights = arrays["weights_output"]
    if two_layers:
        feature = arrays["weights_feature"].astype(np.float64)
        weights = feature @ weights[:, 0].astype(np.float64)
    tensors["score/kernel"] = _kernel(weights)
    return tensors


def _kernel(weights: np.ndarray) -> np.ndarray:
    """[in, n * column + row, out] -> [row, column, in, out]."""
    inputs, patch, outputs = weights.shape
    side = math.isqrt(patch)
    return weights.reshape(inputs, side, side, outputs).transpose(2, 1, 0, 3)


def _check(
    path: pathlib.Path,
    arrays: Mapping[str, np.ndarray],
    shapes: Mapping[str, tuple[int, ...]],
) -> None:
    """Raises a UserError unless `arrays` are those of `shapes`, all finite."""
    for name, shape in shapes.items():
        if name not in arrays:
            raise UserError(
                f"{path}: holds no {name}: expected the weights of the CNN, with it as "
                f"{shape}"
            )
        array = arrays[name]
        if array.shape != shape:
            raise UserError(
                f"{path}: {name} has shape {array.shape}: expected {shape}, for the CNN"
            )
        if array.dtype.kind != "f":
            raise UserError(f"{path}: {name} is {array.dtype}: expected floats")
        if not np.isfinite(array).all():
            raise UserError(f"{path}: {name} holds NaN or infinity")
    unknown = sorted(arrays.keys() - shapes.keys())
    if unknown:
        raise UserError(f"{path}: {unknown[0]} is not part of the CNN")


def check_writable(path: str | os.PathLike) -> None:
    """Refuses a path at which `write_weights` cannot write.

    Raises:
      UserError: Another suffix than .npz, a folder or a read-only file.
    """
    if pathlib.Path(path).suffix != ".npz":
        raise UserError(f"{path}: weights of the CNN are saved as .npz")
    files.check_replaceable(path)


def write_weights(path: str | os.PathLike, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes weights as an .npz file that `read_weights` reads, whole or not at all.

    Args:
      path: The file; its name ends in .npz.
      tensors: The tensors of `SHAPES`.

    Raises:
      UserError: The file has another suffix or cannot be written.
    """
    check_writable(path)
    arrays: dict[str, Any] = {
        name: np.asarray(tensors[name], np.float32) for name in SHAPES
    }
    with files.replacing(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def focus_map(scores: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Spreads the scores over the pixels (steps 4 and 5 of the published program).

    Args:
      scores: [⌈H/2⌉ - 7, ⌈W/2⌉ - 7, 2].
      shape: H and W.

    Returns:
      M, [H, W] float64 in 0..1: near 1 where the first image is in focus.
    """
    scores = scores.astype(np.float64)
    first_in_focus = special.expit(scores[..., 1] - scores[..., 0])
    # The blocks begin at even pixels and end before even ones: pixels share their
    # blocks in squares of 2x2, and a block is 8x8 of those.
    sums = _spread(first_in_focus) / _spread(np.ones_like(first_in_focus))
    pixels = sums.repeat(_STRIDE, axis=0).repeat(_STRIDE, axis=1)
    return pixels[: shape[0], : shape[1]]


def _spread(values: np.ndarray) -> np.ndarray:
    """Adds each value to the 8x8 cells from its own on; [h, w] -> [h + 7, w + 7]."""
    for axis in (0, 1):
        before = [(0, 0), (0, 0)]
        before[axis] = (_SCORE_SIDE - 1, _SCORE_SIDE - 1)
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(values, before), _SCORE_SIDE, axis=axis
        )
        values = windows.sum(axis=-1)
    return values


def remove_small_regions(decisions: np.ndarray, min_pixels: int) -> np.ndarray:
    """Removes 8-connected regions of fewer pixels: those of True, then of False.

    Args:
      decisions: [H, W] bool.
      min_pixels: The size that stays.

    Returns:
      [H, W] bool.
    """
    for _ in range(2):
        regions, _ = ndimage.label(decisions, structure=np.ones((3, 3)))
        large = np.bincount(regions.ravel()) >= min_pixels
        large[0] = False
        decisions = ~large[regions]
    return decisions


def guided_filter(
    image: np.ndarray, guide: np.ndarray, radius: int, epsilon: float
) -> np.ndarray:
    """Smooths an image along the edges of another one.

    Args:
      image: [H, W] float64.
      guide: Same shape, in 0..1.
      radius: The windows have 2 radius + 1 pixels a side, cut at the border.
      epsilon: How much variance of the guide counts as an edge.

    Returns:
      Q, [H, W] float64, not clipped.
    """
    guide_mean, image_mean = _box_mean(guide, radius), _box_mean(image, radius)
    covariance = _box_mean(guide * image, radius) - guide_mean * image_mean
    variance = _box_mean(guide * guide, radius) - guide_mean * guide_mean
    slope = covariance / (variance + epsilon)
    offset = image_mean - slope * guide_mean
    return _box_mean(slope, radius) * guide + _box_mean(offset, radius)


def _box_mean(image: np.ndarray, radius: int) -> np.ndarray:
    """Returns the mean over each window, of its pixels that are inside the image."""
    for axis, size in enumerate(image.shape):
        sums = np.cumsum(image, axis=axis)
        sums = np.insert(sums, 0, 0.0, axis=axis)
        places = np.arange(size)
        ends = np.minimum(places + radius + 1, size)
        starts = np.maximum(places - radius, 0)
        counts = np.expand_dims(ends - starts, 1 - axis)
        image = (sums.take(ends, axis=axis) - sums.take(starts, axis=axis)) / counts
    return image


@method("cnn")
@dataclasses.dataclass(frozen=True)
class CNN:
    """Decides by a network which image is in focus (Liu et al. 2017).

    Attributes:
      checkpoint: Weights: an .npz file or one of the authors' .mat files; by default
        those that ship with this project.
      region_ratio: Regions of less than this share of the image are removed.

    Raises:
      UserError: The ratio is not in 0..1.
    """

    needs_tensorflow: ClassVar[bool] = True
    checkpoint: str | None = None
    region_ratio: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.region_ratio <= 1:
            raise UserError(
                f"option region_ratio of method cnn is {self.region_ratio}: expected a "
                "number in 0..1"
            )

    _RADIUS = 8
    _EPSILON = 0.1

    def prepare(self) -> None:
        """Reads the weights; see `Method`."""
        _ = self._scores

    def fuse(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Fuses a pair; see `Method.fuse`.

        Args:
          ir: Infrared image, [H, W] uint8, H and W at least 15.
          vis: Visible image, same shape and dtype.

        Returns:
          [H, W] uint8.

        Raises:
          UserError: The images cannot be fused, or the weights not be read.
        """
        return to_uint8(255 * self.raw(ir, vis))

    def raw(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Fuses a pair as `fuse` does; returns F as float64, 1 for white."""
        _, decisions = self.decide(ir, vis)
        first, second = ir / 255, vis / 255
        provisional = np.where(decisions, first, second)
        weights = guided_filter(
            decisions.astype(np.float64), provisional, self._RADIUS, self._EPSILON
        )
        return first * weights + second * (1 - weights)

    def decide(self, ir: np.ndarray, vis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Finds where the first image is in focus.

        Returns:
          The focus map M, [H, W] float64 in 0..1, and the decision map after the
          removal of small regions, [H, W] bool.
        """
        check_pair(ir, vis, method="cnn", min_side=_MIN_SIDE)
        check_not_constant(ir, vis, method="cnn")
        inputs = [
            (image / 255).astype(np.float32)[None, :, :, None] for image in (ir, vis)
        ]
        scores = np.asarray(self._scores(*inputs))[0]
        focus = focus_map(scores, ir.shape)
        min_pixels = math.ceil(self.region_ratio * ir.shape[0] * ir.shape[1])
        return focus, remove_small_regions(focus > 0.5, min_pixels)

    @functools.cached_property
    def _scores(self):
        """The network with its weights, as a TensorFlow function of two images."""
        import tensorflow as tf

        model = network()
        tensors = read_weights(self.checkpoint or shipped.locate(_SHIPPED))
        for name, variable in variables(model).items():
            variable.assign(tensors[name])
        image = tf.TensorSpec([1, None, None, 1])
        return tf.function(
            lambda first, second: model([first, second], training=False),
            input_signature=[image, image],
        )
