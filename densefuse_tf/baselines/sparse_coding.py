"""Patches, and their sparse codes by orthogonal matching pursuit.

A patch is 7x7 pixels and becomes a vector of 49, column by column: element 7 b + a is
the pixel in row a and column b. Its mean is left in. A dictionary D is [49, 256] with
columns, the atoms, of norm 1.

References:
  R. Rubinstein, M. Zibulevsky, M. Elad: Efficient implementation of the K-SVD algorithm
  using batch orthogonal matching pursuit. Technion CS-2008-08.
"""

import numpy as np

from densefuse_tf.compiling import compiled

PATCH = 7
PATCH_PIXELS = PATCH * PATCH
ATOMS = 256
SPARSITY = 16
# No atom that correlates less with the residual, squared, is taken.
_MIN_CORRELATION = 1e-14
# Nor one of which less, squared, is outside the span of those taken.
_MIN_NEW = 1e-14
# By which share the squared correlation of a later atom has to be larger.
_TIE = 1e-9


def patches(image: np.ndarray, stride: int = 1) -> np.ndarray:
    """Returns the patches of an image [H, W], row by row, as vectors [n, 49]."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (PATCH, PATCH))
    windows = windows[::stride, ::stride]
    return windows.transpose(0, 1, 3, 2).reshape(-1, PATCH_PIXELS)


def pursue(correlations: np.ndarray, gram: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes signals by orthogonal matching pursuit, with up to 16 atoms each.

    Each step takes the atom whose correlation with the residual is largest in square,
    and computes the coefficients of all atoms taken by least squares. The atoms are
    scanned in order, and a later one replaces the best so far only if its square is
    larger by more than a share of 1e-9: of atoms that tie but for rounding, the first
    is taken. A signal's pursuit ends early when the best square is below 1e-14 or the
    atom adds nothing to the span of those taken.

    Args:
      correlations: The correlation of each signal with each atom, [n, K] float64.
      gram: The correlation of each atom with each, [K, K] float64; 1 on the diagonal.

    Returns:
      The atoms in the order in which they were taken, [n, 16] int16, -1 for none, and
      their coefficients, [n, 16] float64, 0 for none.
    """
    atoms = np.full((len(correlations), SPARSITY), -1, np.int16)
    coefficients = np.zeros((len(correlations), SPARSITY))
    _pursue(
        np.ascontiguousarray(correlations),
        np.ascontiguousarray(gram),
        atoms,
        coefficients,
    )
    return atoms, coefficients


@compiled
def _pursue(correlations, gram, atoms, coefficients):
    num_signals, num_atoms = correlations.shape
    sparsity = atoms.shape[1]
    # Lower triangle: the Cholesky factor of the Gram matrix of the atoms taken.
    factor = np.empty((sparsity, sparsity))
    solution = np.empty(sparsity)
    residual = np.empty(num_atoms)
    taken = np.empty(num_atoms, np.bool_)
    for signal in range(num_signals):
        taken[:] = False
        residual[:] = correlations[signal]
        for step in range(sparsity):
            best = 0
            largest = residual[0] * residual[0]
            limit = largest * (1 + _TIE)
            for atom in range(1, num_atoms):
                square = residual[atom] * residual[atom]
                if square > limit:
                    best = atom
                    largest = square
                    limit = largest * (1 + _TIE)
            # Written so that NaN ends the pursuit.
            if taken[best] or not largest >= _MIN_CORRELATION:
                break
            rest = 1.0
            for i in range(step):
                value = gram[best, atoms[signal, i]]
                for k in range(i):
                    value -= factor[i, k] * factor[step, k]
                value /= factor[i, i]
                factor[step, i] = value
                rest -= value * value
            if rest <= _MIN_NEW:
                break
            factor[step, step] = np.sqrt(rest)
            taken[best] = True
            atoms[signal, step] = best
            # Solves L L' c = the correlations of the atoms taken.
            for i in range(step + 1):
                value = correlations[signal, atoms[signal, i]]
                for k in range(i):
                    value -= factor[i, k] * solution[k]
                solution[i] = value / factor[i, i]
            for i in range(step, -1, -1):
                value = solution[i]
                for k in range(i + 1, step + 1):
                    value -= factor[k, i] * solution[k]
                solution[i] = value / factor[i, i]
            residual[:] = correlations[signal]
            for i in range(step + 1):
                coefficients[signal, i] = solution[i]
                coefficient = solution[i]
                row = gram[atoms[signal, i]]
                for atom in range(num_atoms):
                    residual[atom] -= coefficient * row[atom]
