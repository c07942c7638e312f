"""GTF: gradient transfer fusion by total variation minimization."""

import dataclasses
import math
from typing import Literal

import numpy as np
from scipy import sparse

from densefuse_tf.baselines.method import check_pair
from densefuse_tf.baselines.method import check_positive
from densefuse_tf.baselines.method import method
from densefuse_tf.io import pixels
from densefuse_tf.setting import pick_choice

# W where U is still S.
_FIRST_FIDELITY = 2 * 0.1**0.5
_BINS = 1000
_EPS = 2.0**-52
_MAX_CG_ITERATIONS = 500
_MAX_CG_RESTARTS = 5
# By how much each outer iteration reduces the residual of its linear system.
_REDUCTION = 5


@method("gtf")
@dataclasses.dataclass(frozen=True)
class GTF:
    """Transfers visible gradients to the infrared image (Ma et al., 2016).

    With the images in [0, 1] and S = infrared - visible, the fused image is
    U + visible, clipped to [0, 1], where U minimizes

      |U - S|_1 + lambda * sum sqrt((Dx U)^2 + (Dy U)^2);

    Dx and Dy are the differences to the next pixel of the row and the column, 0 at the
    last. The channels of a colour image are three such problems, or a joint one, whose
    sums go over the channels as well, inside the root for the gradients. The
    iteratively reweighted norm algorithm starts at U = S. Each iteration takes the
    weights

      W = sqrt(max(|U - S|, e_1) / 2), 2 sqrt(0.1) in the first iteration,
      R = 2 / sqrt(max((Dx U)^2 + (Dy U)^2, e_2))

    with thresholds e_1 and e_2 from the histograms of what they bound, substitutes
    U = W v, and solves by conjugate gradients, from the current U on,

      (1 + lambda W (Dx' R Dx + Dy' R Dy) W) v = S / W

    until the norm of the residual is a fifth of that at the start.

    Attributes:
      lambda_: Weight of the total variation, lambda; option `lambda`.
      iterations: Number of times that the weights are computed.
      channels: Whether the channels of a colour image are separate or a joint problem.

    Notes:
      Follows the authors' MATLAB code with its solver of B. Wohlberg and P. Rodriguez.
      The first residual is many times the right side's norm, so that a fifth of it
      would stop conjugate gradients at once; MATLAB's pcg bounds the relative
      tolerance to 1 - 2^-52, and so does this. The row of GTF in Table II was made
      with lambda = 4 except for pair 6 (2.5) and pairs 18 and 19 (2), and the images
      of pairs 1 to 5 were stored as JPEG of quality 75 before they were measured. The
      images that VIFB publishes under the name GTF were made with joint channels.

      The weights span so many orders of magnitude that conjugate gradients amplify
      rounding errors: two correct programs differ by up to 1e-3 (mean 1e-5) of the
      range of 0..1 after five iterations, and some 0.2 % of the pixels by one grey
      level.

      Where S is constant it is the minimum already, U = S, and the fused image is the
      infrared one; the code has 0/0 there.

    References:
      J. Ma, C. Chen, C. Li, J. Huang, "Infrared and visible image fusion via gradient
      transfer and total variation minimization", Information Fusion 31, 2016.
      https://doi.org/10.1016/j.inffus.2016.02.001

      P. Rodriguez, B. Wohlberg, "Efficient minimization method for a generalized total
      variation functional", IEEE Transactions on Image Processing 18(2), 2009.
      https://doi.org/10.1109/TIP.2008.2008420
    """

    lambda_: float = 4.0
    iterations: int = 5
    channels: Literal["separate", "joint"] = "separate"

    def __post_init__(self) -> None:
        check_positive("gtf", lambda_=self.lambda_, iterations=self.iterations)
        channels = pick_choice("channels", self.channels, ("separate", "joint"))
        object.__setattr__(self, "channels", channels)

    @property
    def takes_color(self) -> bool:
        """Whether `fuse` takes [H, W, 3]; see `Method`."""
        return self.channels == "joint"

    def raw(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Fuses a pair, of 2x2 or more, without rounding.

        The result is float64 on the scale of 0..1 with some values outside.
        """
        check_pair(ir, vis, method="gtf", min_side=2, takes_color=self.takes_color)
        # The difference of integers is exact, and constant if that of the images is.
        target = (ir.astype(np.float64) - vis) / 255
        planes = np.ascontiguousarray(np.moveaxis(np.atleast_3d(target), 2, 0))
        result = np.moveaxis(self._transfer(planes), 0, 2)
        return result.reshape(target.shape) + vis / 255

    def fuse(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Fuses a pair; see `Method.fuse`, and `raw` for the smallest images."""
        return pixels.matlab_uint8(255 * self.raw(ir, vis))

    def _transfer(self, target: np.ndarray) -> np.ndarray:
        """Returns U for S = target, [channels, H, W] float64."""
        result = target
        for _ in range(self.iterations):
            gradient = _squared_gradient(result)
            if not gradient.any():
                break
            distance = np.abs(result - target)
            if distance.any():
                bound = _threshold(distance, share=0.05, choose="next")
                fidelity = np.sqrt(np.maximum(distance, bound) / 2)
            else:
                fidelity = np.full(target.shape, _FIRST_FIDELITY)
            bound = _threshold(gradient, share=0.01, choose="nonzero")
            variation = 2 / np.sqrt(np.maximum(gradient, bound))
            matrix = self._matrix(fidelity, variation)
            solution = _solve(
                matrix, (target / fidelity).ravel(), (result / fidelity).ravel()
            )
            if solution is None:
                break
            result = fidelity * solution.reshape(target.shape)
        return result

    def _matrix(self, fidelity: np.ndarray, variation: np.ndarray) -> sparse.dia_array:
        """Returns 1 + lambda W (Dx' R Dx + Dy' R Dy) W for W and R.

        W is [channels, H, W] and R [H, W]. A pixel meets its neighbor in the row one
        place further, and its neighbor in the column a row's length further.
        """
        width = fidelity.shape[2]
        across = variation.copy()
        across[:, -1] = 0
        down = variation.copy()
        down[-1] = 0
        weight = fidelity.ravel()
        diagonal = np.zeros(weight.size)
        diagonals, offsets = [diagonal], [0]
        for coupling, step in ((across, 1), (down, width)):
            coupling = np.tile(coupling.ravel(), len(fidelity))
            diagonal += coupling
            diagonal[step:] += coupling[:-step]
            beside = -self.lambda_ * weight[:-step] * coupling[:-step] * weight[step:]
            diagonals += [beside, beside]
            offsets += [step, -step]
        diagonal *= self.lambda_ * weight * weight
        diagonal += 1
        return sparse.diags_array(diagonals, offsets=offsets)


def _squared_gradient(image: np.ndarray) -> np.ndarray:
    """Returns (Dx U)^2 + (Dy U)^2 at every pixel, summed over [channels, H, W]."""
    squares = np.zeros(image.shape)
    squares[:, :, :-1] += np.diff(image, axis=2) ** 2
    squares[:, :-1] += np.diff(image, axis=1) ** 2
    return squares.sum(axis=0)


def _threshold(
    values: np.ndarray, *, share: float, choose: Literal["next", "nonzero"]
) -> float:
    """Returns a value that about the given share of the values lie below.

    It is the center of a bin of their histogram, whose first and last center are the
    extremes. Of the first bin up to which there is more than the share, "next" takes
    the bin after it, and "nonzero" itself, or the next one if its center is 0.
    """
    centers = np.linspace(values.min(), values.max(), _BINS)
    edges = (centers[:-1] + centers[1:]) / 2
    # A value on an edge belongs to the lower bin.
    bins = np.searchsorted(edges, values.ravel(), side="left")
    shares = np.cumsum(np.bincount(bins, minlength=_BINS)) / values.size
    first = int(np.argmax(shares > share))
    if choose == "nonzero" and centers[first] > 0:
        return centers[first]
    return centers[min(first + 1, _BINS - 1)]


def _solve(
    matrix: sparse.dia_array, right: np.ndarray, start: np.ndarray
) -> np.ndarray | None:
    """Solves a linear system by conjugate gradients with the rules of MATLAB's pcg.

    The matrix is symmetric and positive definite, and the right side not 0. Returns
    where the norm of the residual first is a fifth of that of the start, or less than
    the right side's if that is smaller; where it is least, if it never is; None if that
    is the start.
    """
    norm = _norm(right)
    residual = right - matrix @ start
    length = _norm(residual)
    tolerance = np.clip(length / norm / _REDUCTION, _EPS, 1 - _EPS) * norm
    if length <= tolerance:
        return None
    solution = start.copy()
    best, least = None, length
    direction = residual.copy()
    restarts = 0
    for _ in range(_MAX_CG_ITERATIONS):
        product = matrix @ direction
        curvature = _dot(direction, product)
        if not curvature > 0:
            # The residual is 0 but for rounding errors.
            break
        step = length**2 / curvature
        solution += step * direction
        residual -= step * product
        previous, length = length, _norm(residual)
        if length <= tolerance:
            # The recurrence drifts away from the residual.
            residual = right - matrix @ solution
            length = _norm(residual)
            if length <= tolerance:
                return solution
            restarts += 1
        if length < least:
            best, least = solution.copy(), length
        if restarts > min(_MAX_CG_RESTARTS, right.size // 50):
            break
        direction *= (length / previous) ** 2
        direction += residual
    return best


def _norm(vector: np.ndarray) -> float:
    return math.sqrt(_dot(vector, vector))


def _dot(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the inner product of two vectors.

    A BLAS adds in an order that depends on its threads, and so would the fused image.
    """
    return float(np.sum(one * other))
