"""The dictionaries of JSR and JSRSD: read from a file or trained by K-SVD.

Approximate K-SVD finds 256 atoms with which the patches of both images at stride 3,
infrared first, are coded with 16 atoms each. It starts from 256 random patches, divided
by their norms. Each of 50 iterations

1. codes all samples by orthogonal matching pursuit;
2. improves the atoms in random order: with E, the samples that use the atom minus what
   the other atoms make of them, and g, its coefficients, the atom becomes E g' / |E g'|
   and g its correlation with E. An atom that no sample uses becomes, of 5000 random
   samples, the one with the largest error;
3. cleans: an atom that was not replaced so, but is used by fewer than 4 samples or has
   a squared correlation above 0.99^2 with another one, becomes the sample with the
   largest error.

Each sample replaces at most one atom in an iteration. As patches keep their mean, many
atoms are nearly constant and alike, and the dictionary of a smooth pair is full of
patches as they are.

References:
  R. Rubinstein, M. Zibulevsky, M. Elad: Efficient implementation of the K-SVD algorithm
  using batch orthogonal matching pursuit. Technion CS-2008-08.

Notes:
  The residuals of all samples are kept up to date while the atoms change, where the
  published program computes them anew for each atom.
"""

import hashlib
import itertools
import os
import pathlib
from collections.abc import Mapping

import numpy as np
import tqdm

from densefuse_tf.baselines import sparse_coding
from densefuse_tf.compiling import compiled
from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.io import weights
from densefuse_tf.io.ordered_map import cores
from densefuse_tf.io.ordered_map import ordered_map

SHAPE = (sparse_coding.PATCH_PIXELS, sparse_coding.ATOMS)
ITERATIONS = 50
_STRIDE = 3
# No sample with a smaller squared norm is an atom at the beginning.
_MIN_ENERGY = 1e-6
_MAX_CANDIDATES = 5000
_MAX_COHERENCE = 0.99
_MIN_USES = 4
# A smaller coefficient is no use.
_MIN_COEFFICIENT = 1e-7
# How far the norm of an atom may be from 1.
_NORM_TOLERANCE = 1e-6
_WHAT = "a dictionary, .npy or .npz"
_MAX_FILE_BYTES = 10_000_000
# Samples that one thread codes at a time.
_CHUNK = 4096


def read(path: str | os.PathLike) -> np.ndarray:
    """Reads a dictionary.

    Args:
      path: An .npy file of [49, 256], or an .npz file with one named D.

    Returns:
      [49, 256] float64, columns of norm 1.

    Raises:
      UserError: The file is missing or damaged, or holds anything else.
    """
    arrays = weights.read_arrays(path, what=_WHAT, max_bytes=_MAX_FILE_BYTES)
    return of_arrays(path, arrays)


def of_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the dictionary among the arrays of a file; see `read`.

    Args:
      path: The file, for messages.
      arrays: By name; that of the dictionary is D, or "" in an .npy file.
    """
    # A converted file may hold others beside it.
    held = {name: array for name, array in arrays.items() if name in ("", "D")}
    name = "" if "" in held else "D"
    weights.check_arrays(path, held, {name: SHAPE}, what=_WHAT)
    dictionary = np.ascontiguousarray(held[name], np.float64)
    # Numbers of a damaged file may be too large for their squares.
    with np.errstate(over="ignore"):
        norms = np.linalg.norm(dictionary, axis=0)
    if np.abs(norms - 1).max() > _NORM_TOLERANCE:
        worst = norms[np.abs(norms - 1).argmax()]
        raise UserError(
            f"{path}: has a column of norm {worst:.6g}: expected 1 for every column"
        )
    return dictionary


def trained(
    ir: np.ndarray,
    vis: np.ndarray,
    *,
    seed: int,
    iterations: int = ITERATIONS,
    cache: str | os.PathLike | None = None,
) -> np.ndarray:
    """Trains a dictionary for a pair, or reads the one that was trained before.

    Args:
      ir: Infrared image, [H, W] uint8, H and W at least 7.
      vis: Visible image, same shape and dtype.
      seed: Decides the first atoms, the order of the atoms and the candidates.
      iterations: Length of the training.
      cache: Folder that keeps the dictionaries; None for none.

    Returns:
      [49, 256] float64, columns of norm 1.

    Raises:
      UserError: The pair has fewer patches than a dictionary has atoms, or the cache
        cannot be read or written.
    """
    if cache is None:
        return _train(ir, vis, seed, iterations)
    made_of = hashlib.sha256(f"{ir.shape} {seed} {iterations}".encode())
    for image in (ir, vis):
        made_of.update(image.tobytes())
    path = pathlib.Path(cache) / f"dictionary_{made_of.hexdigest()[:16]}.npy"
    if path.exists():
        return read(path)
    # A folder that cannot be written says so before the minutes of a training.
    with files.replacing(path) as temporary:
        dictionary = _train(ir, vis, seed, iterations)
        np.save(temporary, dictionary)
    return dictionary


def _train(ir: np.ndarray, vis: np.ndarray, seed: int, iterations: int) -> np.ndarray:
    samples = np.concatenate(
        [sparse_coding.patches(image / 255, _STRIDE) for image in (ir, vis)]
    )
    energies = np.einsum("ij,ij->i", samples, samples)
    usable = np.flatnonzero(energies > _MIN_ENERGY)
    if len(usable) < sparse_coding.ATOMS:
        raise UserError(
            f"the images are {ir.shape[0]}x{ir.shape[1]} and have {len(usable)} "
            "patches that are not black: training a dictionary expects at least "
            f"{sparse_coding.ATOMS}; use larger images, or give a dictionary as "
            "dictionary=FILE"
        )
    random = np.random.default_rng(seed)
    first = random.choice(usable, sparse_coding.ATOMS, replace=False)
    # Atoms are rows here: each then lies in one piece.
    atoms = samples[first] / np.sqrt(energies[first])[:, None]
    for _ in tqdm.trange(
        iterations, desc="K-SVD", unit="it", dynamic_ncols=True, disable=None
    ):
        _iterate(samples, atoms, random)
    return np.ascontiguousarray(atoms.T)


def _iterate(
    samples: np.ndarray, atoms: np.ndarray, random: np.random.Generator
) -> None:
    """Improves the atoms, [256, 49], in place by one iteration."""
    chosen, coefficients = _code(samples, atoms)
    residuals = np.empty_like(samples)
    _subtract(samples, chosen, coefficients, atoms, residuals)
    uses = _uses(chosen)
    free = np.ones(len(samples), bool)
    replaced = np.zeros(len(atoms), bool)
    for atom in random.permutation(len(atoms)).tolist():
        if len(uses[atom]):
            _improve(atom, uses[atom], atoms, coefficients, residuals)
            continue
        candidates = np.flatnonzero(free)
        if len(candidates) > _MAX_CANDIDATES:
            candidates = random.choice(candidates, _MAX_CANDIDATES, replace=False)
        errors = np.square(residuals[candidates]).sum(axis=1)
        replaced[atom] = _replace(atoms, atom, samples, candidates, errors, free)
    errors = np.square(residuals).sum(axis=1)
    counts = np.bincount(
        chosen[np.abs(coefficients) > _MIN_COEFFICIENT], minlength=len(atoms)
    )
    for atom in np.flatnonzero(~replaced).tolist():
        coherence = np.square(atoms @ atoms[atom])
        coherence[atom] = 0.0
        if coherence.max() > _MAX_COHERENCE**2 or counts[atom] < _MIN_USES:
            candidates = np.flatnonzero(free)
            _replace(atoms, atom, samples, candidates, errors[candidates], free)


def _code(samples: np.ndarray, atoms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the atoms and coefficients of all samples; see `sparse_coding.pursue`."""
    gram = atoms @ atoms.T

    def code(start: int) -> tuple[np.ndarray, np.ndarray]:
        return sparse_coding.pursue(samples[start : start + _CHUNK] @ atoms.T, gram)

    starts = range(0, len(samples), _CHUNK)
    parts = ordered_map(code, starts, workers=cores())
    chosen, coefficients = zip(*parts, strict=True)
    return np.concatenate(chosen), np.concatenate(coefficients)


@compiled
def _subtract(samples, chosen, coefficients, atoms, residuals):
    """residuals = samples - what their codes make of them."""
    for sample in range(len(samples)):
        residuals[sample] = samples[sample]
        for slot in range(chosen.shape[1]):
            atom = chosen[sample, slot]
            if atom < 0:
                break
            for pixel in range(samples.shape[1]):
                residuals[sample, pixel] -= (
                    coefficients[sample, slot] * atoms[atom, pixel]
                )


def _uses(chosen: np.ndarray) -> list[np.ndarray]:
    """Returns, for each atom, the flat indices of `chosen` at which it stands."""
    flat = chosen.ravel()
    order = np.argsort(flat, kind="stable")
    bounds = np.searchsorted(flat[order], np.arange(sparse_coding.ATOMS + 1))
    return [order[start:stop] for start, stop in itertools.pairwise(bounds)]


@compiled
def _improve(atom, uses, atoms, coefficients, residuals):
    """Does step 2 for an atom and the coefficients of the samples that use it."""
    sparsity = coefficients.shape[1]
    pixels = atoms.shape[1]
    improved = np.zeros(pixels)
    for use in uses:
        sample, slot = use // sparsity, use % sparsity
        coefficient = coefficients[sample, slot]
        for pixel in range(pixels):
            # What the other atoms leave of the sample: a column of E.
            residuals[sample, pixel] += coefficient * atoms[atom, pixel]
            improved[pixel] += coefficient * residuals[sample, pixel]
    norm = np.sqrt((improved * improved).sum())
    if norm > 0:
        for pixel in range(pixels):
            atoms[atom, pixel] = improved[pixel] / norm
    for use in uses:
        sample, slot = use // sparsity, use % sparsity
        coefficient = 0.0
        for pixel in range(pixels):
            coefficient += atoms[atom, pixel] * residuals[sample, pixel]
        coefficients[sample, slot] = coefficient
        for pixel in range(pixels):
            residuals[sample, pixel] -= coefficient * atoms[atom, pixel]


def _replace(
    atoms: np.ndarray,
    atom: int,
    samples: np.ndarray,
    candidates: np.ndarray,
    errors: np.ndarray,
    free: np.ndarray,
) -> bool:
    """Makes an atom of the candidate with the largest error, which is free no more.

    Returns whether it did: there may be no candidate left, or a black one only.
    """
    if not len(candidates):
        return False
    sample = candidates[errors.argmax()]
    norm = np.linalg.norm(samples[sample])
    if norm == 0:
        return False
    atoms[atom] = samples[sample] / norm
    free[sample] = False
    return True
