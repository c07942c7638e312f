"""JSRSD: the joint sparse representation of JSR, weighed by saliency.

All is as in `jsr` but the weights. At each place (i, j) of a patch, for s = 1
(infrared) and 2 (visible), the saliency of the unique part u_s is

    local:  d_s = 1/24 sum of |u_s(i,j) - u_s(p,q)|_2 / (1 + 2 sqrt((p-i)^2 + (q-j)^2))
            L_s = 1 - exp(-d_s)
    global: G_s = |u_s(i,j)|_1
    S_s = 0.4 L_s + 0.6 G_s,    w_s = S_s / max(S1, S2)

where the sum is over the other 24 places (p, q) of the 5x5 around (i, j). At places
that have no full 5x5, the two outermost rows and columns of places, w_s is that of JSR.
As G_s is mostly larger than L_s, so are the weights nearly everywhere.

References:
  C. H. Liu, Y. Qi, W. R. Ding: Infrared and visible image fusion method based on
  saliency detection in sparse domain. Infrared Physics & Technology 83, 2017.
  https://doi.org/10.1016/j.infrared.2017.04.018
"""

import dataclasses

import numpy as np

from densefuse_tf.baselines import jsr
from densefuse_tf.baselines import sparse_coding
from densefuse_tf.baselines.method import method
from densefuse_tf.compiling import compiled

_LOCAL_SHARE, _GLOBAL_SHARE = 0.4, 0.6
# The 5x5 around a place.
_RADIUS = 2


@method("jsrsd")
@dataclasses.dataclass(frozen=True)
class JSRSD(jsr.JSR):
    """Weighs what each image has alone by its saliency (Liu et al. 2017).

    The options are those of `jsr.JSR`.
    """

    _MARGIN = _RADIUS

    def _weigh(self, codes: jsr.Codes) -> np.ndarray:
        activities = codes.norms()
        inner = (slice(_RADIUS, -_RADIUS), slice(_RADIUS, -_RADIUS))
        saliency = _GLOBAL_SHARE * activities[inner]
        distances = _distances(codes)
        activities[inner] = saliency + _LOCAL_SHARE * (1 - np.exp(-distances))
        return jsr.relative(activities)


def _distances(codes: jsr.Codes) -> np.ndarray:
    """Returns d_1 and d_2 of the places with a full 5x5, [rows - 4, columns - 4, 2]."""
    rows, columns, _ = codes.atoms.shape
    inner = tuple(max(side - 2 * _RADIUS, 0) for side in (rows, columns))
    distances = np.empty((*inner, 2))
    _measure(codes.atoms, codes.coefficients, sparse_coding.ATOMS, _RADIUS, distances)
    return distances


@compiled
def _measure(atoms, coefficients, num_atoms, radius, distances):
    sparsity = atoms.shape[2]
    own = np.zeros(num_atoms)
    for row in range(distances.shape[0]):
        for column in range(distances.shape[1]):
            i, j = row + radius, column + radius
            for source in range(2):
                begin = (source + 1) * num_atoms
                end = begin + num_atoms
                square = 0.0
                for slot in range(sparsity):
                    if begin <= atoms[i, j, slot] < end:
                        value = coefficients[i, j, slot]
                        own[atoms[i, j, slot] - begin] = value
                        square += value * value
                total = 0.0
                for p in range(i - radius, i + radius + 1):
                    for q in range(j - radius, j + radius + 1):
                        if p == i and q == j:
                            continue
                        # Both are 0 at all other atoms.
                        distance = square
                        for slot in range(sparsity):
                            if begin <= atoms[p, q, slot] < end:
                                here = own[atoms[p, q, slot] - begin]
                                other = coefficients[p, q, slot]
                                distance += (here - other) ** 2 - here * here
                        # Rounding can make it negative.
                        distance = max(distance, 0.0)
                        away = np.sqrt(float((p - i) ** 2 + (q - j) ** 2))
                        total += np.sqrt(distance) / (1 + 2 * away)
                distances[row, column, source] = total / ((2 * radius + 1) ** 2 - 1)
                for slot in range(sparsity):
                    if begin <= atoms[i, j, slot] < end:
                        own[atoms[i, j, slot] - begin] = 0.0
