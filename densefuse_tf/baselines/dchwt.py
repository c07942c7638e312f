"""DCHWT: fusion in a harmonic wavelet transform made of cosine transforms."""

import dataclasses
import math

import numpy as np
from scipy import fft
from scipy import ndimage

from densefuse_tf.baselines.method import check_pair
from densefuse_tf.baselines.method import check_positive
from densefuse_tf.baselines.method import method
from densefuse_tf.io import pixels

# Coefficients of 8-bit images are up to 255 sqrt(H W), so significances below this are
# rounding errors, of constant images.
_NO_SIGNIFICANCE = 1e-9


@method("dchwt")
@dataclasses.dataclass(frozen=True)
class DCHWT:
    """Fuses in the cosine harmonic wavelet transform (Shreyamsha Kumar, 2013).

    The transform cuts the cosine spectrum of an image (DCT-II, orthonormal, [H, W])
    into blocks and transforms each one back by itself. With h = floor(H / 2^levels)
    and w likewise, the approximation is the block [0:h, 0:w], and the level of h x w
    blocks, the coarsest, has the blocks V = [0:h, w:2w], H = [h:2h, 0:w] and
    D = [h:2h, w:2w]; in each finer level, h and w are twice those before. The
    significance of a detail W at (p, q) is

      of all levels but the finest: |W(p, q)| + sum of |W'| over its descendants W',
        the 2x2 block at (2p, 2q) of the next finer level, theirs, and so on;
      of the finest level: the mean of W^2 over the 3x3 window, reflected about the
        outermost coefficients at the border;
      of the approximation: S_V + S_H + S_D of the coarsest level.

    Each coefficient of the fused image is (W_A S_A + W_B S_B) / (S_A + S_B).

    Attributes:
      levels: Number of levels.

    Notes:
      Up to 2^levels - 1 rows and columns of the highest frequencies do not fit into
      blocks and are lost. As the code that made the published images does, this one
      transforms back to 2^levels h rows and 2^levels w columns, rounds to 8 bits,
      enlarges that with MATLAB's bicubic imresize, which rounds after each dimension,
      and leaves the grey values multiplied by sqrt(H W / (4^levels h w)), 1.02 for
      a pair of 247x359. For a pair whose sides are multiples of 2^levels nothing is
      lost or enlarged. Two of the 21 published images differ from this one's, in a
      single pixel by one grey level: these pixels are exact ties of the imresize.
      Where both significances are 0 (constant images), the code has 0/0, and the mean
      is taken here.

    References:
      B. K. Shreyamsha Kumar, "Multifocus and multispectral image fusion based on pixel
      significance using discrete cosine harmonic wavelet transform", Signal, Image and
      Video Processing 7, 2013. https://doi.org/10.1007/s11760-012-0361-x
    """

    levels: int = 3

    def __post_init__(self) -> None:
        check_positive("dchwt", levels=self.levels)

    def raw(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Fuses a pair, of 2^levels pixels a side or more, and does not enlarge it.

        The result is float64 on the scale of 0..255 with some values outside; its sides
        are those of the images, rounded down to multiples of 2^levels.
        """
        check_pair(ir, vis, method="dchwt", min_side=2**self.levels)
        approximation_ir, details_ir = _analyze(ir, self.levels)
        approximation_vis, details_vis = _analyze(vis, self.levels)
        significance_ir = _significance(details_ir)
        significance_vis = _significance(details_vis)
        approximation = _weighted(
            approximation_ir,
            approximation_vis,
            significance_ir[0].sum(axis=0),
            significance_vis[0].sum(axis=0),
        )
        details = [
            _weighted(*level)
            for level in zip(
                details_ir, details_vis, significance_ir, significance_vis, strict=True
            )
        ]
        return _synthesize(approximation, details)

    def fuse(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Fuses a pair; see `Method.fuse`, and `raw` for the smallest images."""
        return _imresize(pixels.matlab_uint8(self.raw(ir, vis)), ir.shape)


def _analyze(image: np.ndarray, levels: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Returns the approximation, [h, w], and the details V, H, D, [3, h, w] a level.

    The coarsest level comes first.
    """
    spectrum = fft.dctn(image.astype(np.float64), norm="ortho")
    height, width = (side >> levels for side in image.shape)
    approximation = fft.idctn(spectrum[:height, :width], norm="ortho")
    details = []
    for level in range(levels):
        h, w = height << level, width << level
        blocks = np.stack(
            [
                spectrum[:h, w : 2 * w],
                spectrum[h : 2 * h, :w],
                spectrum[h : 2 * h, w : 2 * w],
            ]
        )
        details.append(fft.idctn(blocks, axes=(1, 2), norm="ortho"))
    return approximation, details


def _synthesize(approximation: np.ndarray, details: list[np.ndarray]) -> np.ndarray:
    """Returns the image that has these coefficients, those that were lost being 0."""
    spectrum = fft.dctn(approximation, norm="ortho")
    for level in details:
        v, h, d = fft.dctn(level, axes=(1, 2), norm="ortho")
        spectrum = np.block([[spectrum, v], [h, d]])
    return fft.idctn(spectrum, norm="ortho")


def _significance(details: list[np.ndarray]) -> list[np.ndarray]:
    """Returns the significance of each detail, in arrays of the same shapes."""
    squares = details[-1] ** 2
    for axis in (1, 2):
        # A running sum would leave rounding errors of large squares in small sums.
        squares = ndimage.correlate1d(squares, np.ones(3), axis=axis, mode="mirror")
    significance = [squares / 9]
    tree = np.abs(details[-1])
    for level in details[-2::-1]:
        descendants = tree[:, ::2] + tree[:, 1::2]
        descendants = descendants[:, :, ::2] + descendants[:, :, 1::2]
        tree = np.abs(level) + descendants
        significance.insert(0, tree)
    return significance


def _weighted(
    a: np.ndarray, b: np.ndarray, weight_a: np.ndarray, weight_b: np.ndarray
) -> np.ndarray:
    """Returns the mean of two arrays with weights, of which both may be 0."""
    total = weight_a + weight_b
    mean = (a + b) / 2
    np.divide(
        a * weight_a + b * weight_b, total, out=mean, where=total > _NO_SIGNIFICANCE
    )
    return mean


def _imresize(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Enlarges an image, uint8, as MATLAB's bicubic imresize does."""
    scales = [new / old for new, old in zip(shape, image.shape, strict=True)]
    # The dimension that is enlarged less comes first, and the rows if both are alike.
    for axis in sorted((0, 1), key=lambda axis: scales[axis]):
        if shape[axis] != image.shape[axis]:
            places, weights = _taps(image.shape[axis], shape[axis])
            total = np.zeros(())
            for place, weight in zip(places, weights, strict=True):
                # In this order, without fused multiply-add: weights are rational, so
                # some sums are halves, which the last bit of the rounding decides.
                weight = weight[:, None] if axis == 0 else weight
                total = total + weight * image.take(place, axis=axis)
            image = pixels.matlab_uint8(total)
    return image


def _taps(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the places and weights of the six taps of each pixel, both [6, new].

    Coordinates count from 1 as in MATLAB, so that they are rounded alike.
    """
    scale = new / old
    center = np.arange(1, new + 1) / scale + 0.5 * (1 - 1 / scale)
    taps = np.floor(center - 2) + np.arange(6)[:, None]
    weights = _cubic(np.abs(center - taps))
    weights /= sum(weights)
    # The image is mirrored at its border, with the outermost pixels repeated.
    places = (taps.astype(np.intp) - 1) % (2 * old)
    return np.minimum(places, 2 * old - 1 - places), weights


def _cubic(t: np.ndarray) -> np.ndarray:
    """Returns the cubic convolution kernel (a = -1/2) at distances of t >= 0."""
    # The power of the C library, rounded like MATLAB's; NumPy's may be vectorized.
    cube = np.vectorize(math.pow)(t, 3.0)
    near = 1.5 * cube - 2.5 * t**2 + 1
    far = -0.5 * cube + 2.5 * t**2 - 4 * t + 2
    return np.where(t <= 1, near, np.where(t <= 2, far, 0.0))
