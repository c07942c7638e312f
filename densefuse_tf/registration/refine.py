"""Refinement of a transform: the fields' normalised product is maximised.

The product of the orientation fields of both images over the pixels they share, divided
by the root of the product of their energies, is a normalised gradient field measure
(Haber and Modersitzki) for directions whose sign does not matter. Its maximum is
climbed as in the enhanced correlation coefficient method (Evangelidis and Psarakis): a
Gauss-Newton step on the difference of the two normalised fields, damped as Levenberg
and Marquardt do, lengthened as long as that helps.

References:
  E. Haber, J. Modersitzki, "Intensity gradient based registration and fusion of
  multi-modal images," Methods of Information in Medicine, 2007,
  doi:10.1160/ME9046.
  G. D. Evangelidis, E. Z. Psarakis, "Parametric image alignment using enhanced
  correlation coefficient maximization," IEEE TPAMI, 2008,
  doi:10.1109/TPAMI.2008.113.
"""

import numpy as np

from densefuse_tf.compiling import compiled
from densefuse_tf.registration import correlation
from densefuse_tf.registration import fields
from densefuse_tf.registration import transforms

_MAX_STEPS = 25
# A step that moves no corner by this many pixels of the level ends the climb.
_SMALL_STEP = 0.02
_DAMPING, _MAX_DAMPING = 1e-3, 1e4
_MAX_LENGTH = 16


class Refiner:
    """Refines transforms between two levels.

    Transforms are matrices between the images' full sizes, so that a model keeps its
    form: levels may be resized by slightly different factors in x and y. The fields
    are smoothed by `smoothing` pixels of the level, and the images must share the part
    `overlap` of the smaller one.
    """

    def __init__(
        self,
        fixed: fields.Level,
        moving: fields.Level,
        *,
        smoothing: float,
        overlap: float,
    ):
        self._fixed, self._moving = fixed, moving
        self._smoothing, self._overlap = smoothing, overlap
        self._field = fields.view(fixed, np.eye(3), fixed.shape, smoothing)
        height, width = fixed.shape
        half = max(height, width) / 2
        # From full coordinates of the fixed image to about -1..1.
        to_unit = np.array(
            [
                [1 / half, 0, -(width - 1) / (2 * half)],
                [0, 1 / half, -(height - 1) / (2 * half)],
                [0, 0, 1],
            ]
        )
        self._half = half
        scale = fixed.matrix[0, 0] / fixed.matrix[1, 1]
        self._stretch = np.diag([1.0, scale, 1.0])
        self._to_unit = self._stretch @ to_unit @ fixed.matrix
        self._from_unit = np.linalg.inv(self._to_unit)
        self._from_fixed = np.linalg.inv(fixed.matrix)

    def run(self, matrix: np.ndarray, model: str) -> tuple[np.ndarray, float]:
        """Climbs to the nearest maximum from a transform of the model.

        Returns:
          The matrix there and its score, -1 where the images share too little.
        """
        directions = transforms.directions(model)
        damping = _DAMPING
        field, sums, score = self._look(matrix)
        if score <= -1:
            return matrix, score
        for _ in range(_MAX_STEPS):
            hessian, slope = self._equations(field, sums, score, directions)
            best = None
            while best is None and damping < _MAX_DAMPING:
                damped = hessian + damping * np.diag(hessian.diagonal() + 1e-12)
                step = np.linalg.solve(damped, slope)
                length = 1
                while length <= _MAX_LENGTH:
                    change = np.eye(3) + np.tensordot(length * step, directions, 1)
                    candidate = matrix @ self._from_unit @ change @ self._to_unit
                    candidate /= candidate[2, 2]
                    seen = self._look(candidate)
                    if seen[2] <= (score if best is None else best[0][2]):
                        break
                    best = seen, candidate, length
                    length *= 2
                if best is None:
                    damping = max(damping, 1e-2) * 8
            if best is None:
                break
            (field, sums, score), matrix, length = best
            damping = max(damping / 8, 1e-4)
            if np.abs(step).sum() * length * self._half < _SMALL_STEP:
                break
        return matrix, score

    def score(self, matrix: np.ndarray) -> float:
        """Returns a transform's score, -1 where the images share too little."""
        return self._look(matrix)[2]

    def distinctness(self, matrix: np.ndarray) -> float:
        """Measures how far a transform stands out; see `correlation.distinctness`."""
        return correlation.distinctness(self._field, self._look(matrix)[0])

    def _look(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """Computes the moving image's field under a transform, sums and the score."""
        between = self._moving.matrix @ matrix @ self._from_fixed
        shape = self._fixed.shape
        field = fields.view(self._moving, between, shape, self._smoothing)
        sums = _sums(self._field, field)
        shared, own, other, product = sums
        size = abs(np.linalg.det(between[:2, :2]))
        smaller = min(_whole(self._fixed), _whole(self._moving) / size)
        if shared < self._overlap * smaller or own <= 0 or other <= 0:
            return field, sums, -1.0
        return field, sums, float(product / np.sqrt(own * other))

    def _equations(self, field, sums, score, directions):
        """Returns the matrix and right-hand side of a Gauss-Newton step."""
        _, own, other, _ = sums
        square, with_own, with_other = _derivatives(
            self._field, field, directions, self._half, self._stretch[1, 1]
        )
        hessian = (square - np.outer(with_other, with_other) / other) / other
        slope = (with_own / np.sqrt(own) - score * with_other / np.sqrt(other)) / (
            np.sqrt(other)
        )
        return hessian, slope


def _whole(level: fields.Level) -> float:
    """Counts the pixels that the image has at the level's size."""
    scale = level.matrix[0, 0] * level.matrix[1, 1]
    return np.prod(level.image_shape) * scale


@compiled
def _sums(fixed, moving):
    """Sums over the pixels both cover: their number, both energies and the product."""
    sums = np.zeros(4)
    for y in range(fixed.shape[0]):
        for x in range(fixed.shape[1]):
            if fixed[y, x, 2] * moving[y, x, 2] == 0:
                continue
            f0, f1 = fixed[y, x, 0], fixed[y, x, 1]
            m0, m1 = moving[y, x, 0], moving[y, x, 1]
            sums[0] += 1
            sums[1] += f0 * f0 + f1 * f1
            sums[2] += m0 * m0 + m1 * m1
            sums[3] += f0 * m0 + f1 * m1
    return sums


@compiled
def _derivatives(fixed, moving, directions, half, stretch):
    """Products of the moving field's derivatives by the parameters.

    Those with each other are [k, k], those with the fixed and the moving field [k].
    """
    height, width = fixed.shape[:2]
    count = len(directions)
    square = np.zeros((count, count))
    with_fixed = np.zeros(count)
    with_moving = np.zeros(count)
    d0 = np.zeros(count)
    d1 = np.zeros(count)
    for y in range(1, height - 1):
        unit_y = (y - (height - 1) / 2) / half * stretch
        for x in range(1, width - 1):
            inside = (
                fixed[y, x, 2]
                * moving[y, x, 2]
                * moving[y, x - 1, 2]
                * moving[y, x + 1, 2]
                * moving[y - 1, x, 2]
                * moving[y + 1, x, 2]
            )
            if inside == 0:
                continue
            unit_x = (x - (width - 1) / 2) / half
            x0 = (moving[y, x + 1, 0] - moving[y, x - 1, 0]) / 2 * half
            x1 = (moving[y, x + 1, 1] - moving[y, x - 1, 1]) / 2 * half
            y0 = (moving[y + 1, x, 0] - moving[y - 1, x, 0]) / 2 * half / stretch
            y1 = (moving[y + 1, x, 1] - moving[y - 1, x, 1]) / 2 * half / stretch
            for i in range(count):
                g = directions[i]
                bend = g[2, 0] * unit_x + g[2, 1] * unit_y
                u = g[0, 0] * unit_x + g[0, 1] * unit_y + g[0, 2] - unit_x * bend
                v = g[1, 0] * unit_x + g[1, 1] * unit_y + g[1, 2] - unit_y * bend
                d0[i] = x0 * u + y0 * v
                d1[i] = x1 * u + y1 * v
                with_fixed[i] += d0[i] * fixed[y, x, 0] + d1[i] * fixed[y, x, 1]
                with_moving[i] += d0[i] * moving[y, x, 0] + d1[i] * moving[y, x, 1]
                for j in range(i + 1):
                    square[i, j] += d0[i] * d0[j] + d1[i] * d1[j]
    for i in range(count):
        for j in range(i):
            square[j, i] = square[i, j]
    return square, with_fixed, with_moving
