"""JSR: fusion by a joint sparse representation of the two images.

The patches x1 (infrared, 0..255 / 255) and x2 (visible) of each place, 7x7 pixels, are
coded together over a dictionary D of 256 atoms,

    [x1]   [D/sqrt(2)  D  0] [c ]
    [x2] ~ [D/sqrt(2)  0  D] [u1]
                             [u2]

by orthogonal matching pursuit with 16 atoms of the 768 (see `sparse_coding.pursue`): c
is what the images have in common, u1 and u2 what each has alone. With n_s = |u_s|_1 and
w_s = n_s / max(n1, n2) the fused patch is

    D (c / sqrt(2) + w1 u1 + w2 u2).

The fused image begins as zeros; place by place, row by row, its window becomes the mean
of itself and the fused patch. So the last of the K patches over a pixel has the weight
1/2, the one before 1/4, and so on, 1 - 2^-K together: the image is darker at its
border, and the corner pixels have half their value.

The dictionary is trained from the pair (see `dictionaries`) or given.

References:
  N. Yu, T. Qiu, F. Bi, A. Wang: Image features extraction and fusion based on joint
  sparse representation. IEEE Journal of Selected Topics in Signal Processing 5(5),
  2011. https://doi.org/10.1109/JSTSP.2011.2112332

Notes:
  Once a common atom is taken, its copies for the infrared and the visible image have
  the same correlation with the residual, up to its sign, and rounding decides in the
  published program which is taken. The joint reconstruction is the same; the fused
  image is not. Here the atoms are scanned common, infrared, visible, and a later one
  has to be better by a share of 1e-9, so that such ties go to the infrared image.

  The published script leaves out the 1 / sqrt(2) of the common part. The row of Table
  II has it: without it, every metric is 5-16 % off.
"""

import dataclasses
import math
from typing import ClassVar

import numpy as np

from densefuse_tf.baselines import dictionaries
from densefuse_tf.baselines import sparse_coding
from densefuse_tf.baselines.method import check_not_constant
from densefuse_tf.baselines.method import check_pair
from densefuse_tf.baselines.method import method
from densefuse_tf.compiling import compiled
from densefuse_tf.errors import UserError
from densefuse_tf.io import pixels
from densefuse_tf.io.ordered_map import cores
from densefuse_tf.io.ordered_map import ordered_map

# Most places of a band, which a thread codes and fuses, and of a chunk of it, whose
# correlations are in memory at once: 25 MB.
_BAND_PLACES = 32_768
_CHUNK_PLACES = 4096


@dataclasses.dataclass(frozen=True)
class Codes:
    """The joint sparse codes of the patches at some rows of places.

    Attributes:
      atoms: [rows, columns, 16] int16, in the order in which they were taken: 0..255
        common, 256..511 infrared, 512..767 visible; -1 for none.
      coefficients: Same shape, float64; 0 for none.
    """

    atoms: np.ndarray
    coefficients: np.ndarray

    def norms(self) -> np.ndarray:
        """Returns |u1|_1 and |u2|_1 of each place, [rows, columns, 2]."""
        blocks = self.atoms // sparse_coding.ATOMS
        return np.stack(
            [
                np.abs(np.where(blocks == block, self.coefficients, 0)).sum(axis=-1)
                for block in (1, 2)
            ],
            axis=-1,
        )


def relative(activities: np.ndarray) -> np.ndarray:
    """Returns activities, [..., 2], divided by the larger of the two; 0 for 0."""
    largest = activities.max(axis=-1, keepdims=True)
    return activities / np.where(largest > 0, largest, 1)


@method("jsr")
@dataclasses.dataclass(frozen=True)
class JSR:
    """Codes both images sparsely, together and apart (Yu et al. 2011).

    Attributes:
      dictionary: File with the dictionary, .npy or .npz, which
        `commands.convert_weights` makes of the authors' .mat; by default one is trained
        from the pair, which takes minutes.
      seed: Decides what is random in the training.
      iterations: Length of the training.
      cache: Folder that keeps what was trained.
    """

    takes_minutes: ClassVar[bool] = True

    dictionary: str | None = None
    seed: int = 0
    iterations: int = dictionaries.ITERATIONS
    cache: str | None = None

    def __post_init__(self) -> None:
        for option, least in (("seed", 0), ("iterations", 1)):
            if getattr(self, option) < least:
                raise UserError(
                    f"option {option} of method {self._name} is "
                    f"{getattr(self, option)}: expected {least} or more"
                )

    @property
    def _name(self) -> str:
        return type(self).__name__.lower()

    # Rows and columns around a place of which `_weigh` needs the codes.
    _MARGIN = 0

    def prepare(self) -> None:
        """Reads the dictionary if one is given; see `Method`."""
        if self.dictionary is not None:
            dictionaries.read(self.dictionary)

    def fuse(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Fuses a pair of 7x7 or more; see `Method.fuse`.

        Raises:
          UserError: The pair has too few patches to train a dictionary.
        """
        return pixels.matlab_uint8(255 * self.raw(ir, vis))

    def raw(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Fuses a pair as `fuse` does; returns float64, 1 for white, not clipped."""
        check_pair(ir, vis, method=self._name, min_side=sparse_coding.PATCH)
        check_not_constant(ir, vis, method=self._name)
        if self.dictionary is None:
            dictionary = dictionaries.trained(
                ir, vis, seed=self.seed, iterations=self.iterations, cache=self.cache
            )
        else:
            dictionary = dictionaries.read(self.dictionary)
        rows, columns = (side - sparse_coding.PATCH + 1 for side in ir.shape)
        gram = _joint_gram(dictionary)
        threads = cores()
        # As many bands for each thread, so that none waits at the end.
        rounds = math.ceil(rows * columns / (threads * _BAND_PLACES))
        band = math.ceil(rows / (threads * rounds))

        def fuse_band(start: int) -> np.ndarray:
            stop = min(start + band, rows)
            first = max(start - self._MARGIN, 0)
            last = min(stop + self._MARGIN, rows)
            lines = slice(first, last + sparse_coding.PATCH - 1)
            codes = _code(ir[lines] / 255, vis[lines] / 255, dictionary, gram)
            weights = self._weigh(codes)
            own = slice(start - first, stop - first)
            return _fused_patches(
                Codes(codes.atoms[own], codes.coefficients[own]),
                weights[own],
                dictionary,
            )

        fused = np.zeros(ir.shape)
        starts = range(0, rows, band)
        bands = ordered_map(fuse_band, starts, workers=threads)
        for start, patches in zip(starts, bands, strict=True):
            _halve(fused[start:], patches)
        return fused

    def _weigh(self, codes: Codes) -> np.ndarray:
        """Returns w1 and w2 of each place, [rows, columns, 2]."""
        return relative(codes.norms())


def _joint_gram(dictionary: np.ndarray) -> np.ndarray:
    """Returns the inner products of the joint atoms, [768, 768]."""
    gram = dictionary.T @ dictionary
    half, none = gram / math.sqrt(2), np.zeros_like(gram)
    return np.block([[gram, half, half], [half, gram, none], [half, none, gram]])


def _code(
    ir: np.ndarray, vis: np.ndarray, dictionary: np.ndarray, gram: np.ndarray
) -> Codes:
    """Codes all patches of two images in 0..1."""
    signals = [sparse_coding.patches(image) for image in (ir, vis)]
    parts = []
    for start in range(0, len(signals[0]), _CHUNK_PLACES):
        first, second = (x[start : start + _CHUNK_PLACES] @ dictionary for x in signals)
        common = (first + second) / math.sqrt(2)
        correlations = np.concatenate([common, first, second], axis=1)
        parts.append(sparse_coding.pursue(correlations, gram))
    shape = (len(ir) - sparse_coding.PATCH + 1, -1, sparse_coding.SPARSITY)
    atoms, coefficients = (
        np.concatenate(p).reshape(shape) for p in zip(*parts, strict=True)
    )
    return Codes(atoms, coefficients)


def _fused_patches(
    codes: Codes, weights: np.ndarray, dictionary: np.ndarray
) -> np.ndarray:
    """Returns D (c / sqrt(2) + w1 u1 + w2 u2), [rows, columns, 49]."""
    rows, columns, _ = codes.atoms.shape
    fused = np.empty((rows, columns, sparse_coding.PATCH_PIXELS))
    transposed = np.ascontiguousarray(dictionary.T)
    _add_atoms(codes.atoms, codes.coefficients, weights, transposed, fused)
    return fused


@compiled
def _add_atoms(atoms, coefficients, weights, dictionary, fused):
    rows, columns, sparsity = atoms.shape
    num_atoms, pixels = dictionary.shape
    for row in range(rows):
        for column in range(columns):
            patch = fused[row, column]
            patch[:] = 0
            for slot in range(sparsity):
                atom = atoms[row, column, slot]
                if atom < 0:
                    break
                block = atom // num_atoms
                if block == 0:
                    weight = 1 / np.sqrt(2.0)
                else:
                    weight = weights[row, column, block - 1]
                value = weight * coefficients[row, column, slot]
                for pixel in range(pixels):
                    patch[pixel] += value * dictionary[atom - block * num_atoms, pixel]


@compiled
def _halve(image, patches):
    """Halves each window of the image and half a fused patch, in order, in place."""
    rows, columns, pixels = patches.shape
    side = int(np.sqrt(pixels))
    for row in range(rows):
        for column in range(columns):
            for b in range(side):
                for a in range(side):
                    value = (
                        image[row + a, column + b] + patches[row, column, side * b + a]
                    )
                    image[row + a, column + b] = value / 2
