"""Normalised correlation of two orientation fields at every shift, by FFT."""

import numpy as np
from scipy import fft
from scipy import ndimage

# Shifts that `distinctness` compares with: shares of the diagonal and of each side.
_NEAR, _FAR = 0.015, 0.12


class Spectra:
    """The Fourier transforms of a field of `fields.view`, its mask and its energy."""

    def __init__(self, field: np.ndarray):
        self.shape = field.shape[:2]
        self.area = float(field[..., 2].sum())
        energy = field[..., 0] ** 2 + field[..., 1] ** 2
        self._planes = np.stack([*np.moveaxis(field, 2, 0), energy])
        self._padded: tuple[int, int] | None = None

    def padded(self, shape: tuple[int, int]) -> np.ndarray:
        """Returns the spectra of both components, the mask and the energy.

        Those of the last shape are kept: many fields are correlated with one.
        """
        if shape != self._padded:
            self._padded = shape
            self._spectra = fft.rfft2(self._planes, shape)
        return self._spectra


def correlate(fixed: Spectra, moving: Spectra, overlap: float) -> np.ndarray:
    """Computes the score of every shift of one field over another.

    The score is the sum of the products of both fields, divided by the root of the
    product of their energies, each over the pixels that both cover: -1 to 1.

    Returns:
      [H, W] float32 for the shift (dy, dx) = its index, counted from the end where it
      is negative; -1 where less than the share `overlap` of the smaller one is covered.
    """
    height, width = (
        fft.next_fast_len(int(f + m - overlap * min(f, m)) + 1, real=True)
        for f, m in zip(fixed.shape, moving.shape, strict=True)
    )
    shape = height, width
    fx, fy, f_mask, f_energy = fixed.padded(shape)
    mx, my, m_mask, m_energy = moving.padded(shape).conj()
    products = np.stack(
        [fx * mx + fy * my, f_mask * m_mask, f_energy * m_mask, f_mask * m_energy]
    )
    product, area, energy, other = fft.irfft2(products, shape)
    # Where there is next to no energy, rounding would make any score.
    least = 1e-3 * float(area.max(initial=1))
    score = product / np.sqrt(np.maximum(energy, least) * np.maximum(other, least))
    score[area < overlap * min(fixed.area, moving.area)] = -1
    return score


def peaks(
    score: np.ndarray, shape: tuple[int, int], count: int
) -> list[tuple[float, int, int]]:
    """Finds the highest local maxima of what `correlate` returns.

    Args:
      score: [H, W].
      shape: Height and width of the fixed field.
      count: How many at most.

    Returns:
      (score, dx, dy), the best first, all above 0.
    """
    highest = ndimage.maximum_filter(score, 5, mode="wrap")
    places = np.flatnonzero((score == highest) & (score > 0))
    places = places[np.argsort(-score.flat[places], kind="stable")[:count]]
    found = []
    for place in places:
        # No shift to the right or down leaves the fixed field.
        dy, dx = (
            int(d) - (side if d >= own else 0)
            for d, side, own in zip(
                np.unravel_index(place, score.shape), score.shape, shape, strict=True
            )
        )
        found.append((float(score.flat[place]), dx, dy))
    return found


def distinctness(fixed: np.ndarray, moving: np.ndarray) -> float:
    """Measures how far the place of two fields on one grid stands out around it.

    Returns:
      The score without a shift, less the mean of the scores of shifts by more than
      1.5 % of the diagonal and up to 12 % of each side, in standard deviations of
      these; 0 where there is nothing to compare with.
    """
    height, width = fixed.shape[:2]
    score = correlate(Spectra(fixed), Spectra(moving), 0.2)
    rows, columns = (int(side * _FAR) for side in (height, width))
    near = np.hypot(height, width) * _NEAR
    dy, dx = np.mgrid[-rows : rows + 1, -columns : columns + 1]
    around = score[dy, dx][np.hypot(dy, dx) > near]
    around = around[around > -1]
    if not around.size or around.std() == 0:
        return 0.0
    return float((score[0, 0] - around.mean()) / around.std())
