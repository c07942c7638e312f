"""CNN: a network that tells, patch by patch, which of the two images is in focus.

Infrared image A and visible image B, 0..255 / 255, pass the network of `cnn_network`.
Of its two outputs s1, s2 at a place (y, x) the softmax

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
  map above, and from no infrared-visible variant with pyramids.

  That program takes the softmax in single precision, where exp overflows for scores
  above 88; here p = 1 / (1 + exp(s1 - s2)) is computed in double precision.

  The authors' weights are free for research only and come with no right to pass them
  on; `commands.convert_weights` reads both of their .mat files. The default weights are
  this project's own, made by `densefuse_tf.commands.train_cnn`, and have its licence.
"""

import dataclasses
import functools
import math
from typing import ClassVar

import numpy as np
from scipy import ndimage
from scipy import special

from densefuse_tf.baselines import cnn_network
from densefuse_tf.baselines.method import check_not_constant
from densefuse_tf.baselines.method import check_pair
from densefuse_tf.baselines.method import method
from densefuse_tf.errors import UserError
from densefuse_tf.io import pixels
from densefuse_tf.io import weights


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
    pixels = sums.repeat(cnn_network.STRIDE, axis=0).repeat(cnn_network.STRIDE, axis=1)
    return pixels[: shape[0], : shape[1]]


def _spread(values: np.ndarray) -> np.ndarray:
    """Adds each value to the 8x8 cells from its own on; [h, w] -> [h + 7, w + 7]."""
    for axis in (0, 1):
        before = [(0, 0), (0, 0)]
        before[axis] = (cnn_network.SCORE_SIDE - 1, cnn_network.SCORE_SIDE - 1)
        windows = np.lib.stride_tricks.sliding_window_view(
            np.pad(values, before), cnn_network.SCORE_SIDE, axis=axis
        )
        values = windows.sum(axis=-1)
    return values


def remove_small_regions(decisions: np.ndarray, min_pixels: int) -> np.ndarray:
    """Removes 8-connected regions of fewer pixels: those of True, then of False."""
    for _ in range(2):
        regions, _ = ndimage.label(decisions, structure=np.ones((3, 3)))
        large = np.bincount(regions.ravel()) >= min_pixels
        large[0] = False
        decisions = ~large[regions]
    return decisions


def guided_filter(
    image: np.ndarray, guide: np.ndarray, radius: int, epsilon: float
) -> np.ndarray:
    """Smooths an image along the edges of the guide, which is in 0..1.

    The windows have 2 radius + 1 pixels a side and are cut at the border; `epsilon`
    says how much variance of the guide counts as an edge.
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
      checkpoint: Weights, an .npz file, which `commands.convert_weights` makes of one
        of the authors' .mat files; by default those that ship with this project.
      region_ratio: Regions of less than this share of the image are removed.
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
        """Fuses a pair of 15x15 or more; see `Method.fuse`."""
        return pixels.matlab_uint8(255 * self.raw(ir, vis))

    def raw(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Fuses a pair as `fuse` does; returns F as float64, 1 for white."""
        _, decisions = self.decide(ir, vis)
        first, second = ir / 255, vis / 255
        provisional = np.where(decisions, first, second)
        share = guided_filter(
            decisions.astype(np.float64), provisional, self._RADIUS, self._EPSILON
        )
        return first * share + second * (1 - share)

    def decide(self, ir: np.ndarray, vis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the focus map M, float64, and the decision map of steps 2 and 3."""
        check_pair(ir, vis, method="cnn", min_side=cnn_network.MIN_SIDE)
        check_not_constant(ir, vis, method="cnn")
        inputs = [
            (image / 255).astype(np.float32)[None, :, :, None] for image in (ir, vis)
        ]
        focus = focus_map(self._scores(*inputs)[0], ir.shape)
        min_pixels = math.ceil(self.region_ratio * ir.shape[0] * ir.shape[1])
        return focus, remove_small_regions(focus > 0.5, min_pixels)

    @functools.cached_property
    def _scores(self):
        """Returns what gives the scores of two images, [1, H, W, 1], by the network."""
        import tensorflow as tf

        from densefuse_tf.model import computing

        computing.check()
        model = cnn_network.network()
        path = self.checkpoint or weights.shipped("cnn.npz")
        tensors = cnn_network.read_weights(path)
        for name, variable in cnn_network.variables(model).items():
            variable.assign(tensors[name])
        image = tf.TensorSpec([1, None, None, 1])
        run = tf.function(
            lambda first, second: model([first, second], training=False),
            input_signature=[image, image],
            autograph=False,
        )

        def scores(first: np.ndarray, second: np.ndarray) -> np.ndarray:
            with computing.precisely():
                return np.asarray(run(first, second))

        return scores
