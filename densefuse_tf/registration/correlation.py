"""Normalised correlation of two orientation fields at every shift, by FFT."""

import numpy as np
from scipy import fft

from densefuse_tf.compiling import compiled

# Shifts that `distinctness` compares with: shares of the diagonal and of each side.
_NEAR, _FAR = 0.015, 0.12


class Ground:
    """A field over which others are shifted.

    Args:
      field: [H, W, 3] as `fields.view` returns it, of an image on its own grid: its
        mask is a rectangle.
    """

    def __init__(self, field: np.ndarray):
        self.shape = field.shape[:2]
        rows, columns = np.nonzero(field[..., 2])
        self._area = len(rows)
        # A small image may have no pixel off its border.
        self._sides = np.array(
            [
                (axis.min(initial=side), axis.max(initial=-1) + 1)
                for axis, side in zip((rows, columns), self.shape, strict=True)
            ]
        )
        self._planes = np.stack([field[..., 0], field[..., 1], _energy(field)])
        self._padded: tuple[int, int] | None = None

    def correlate(self, field: np.ndarray, overlap: float) -> np.ndarray:
        """Computes the score of every shift of another field over this one.

        The score is the sum of the products of both fields, divided by the root of the
        product of their energies, each over the pixels that both cover: -1 to 1.

        Args:
          field: [h, w, 3].
          overlap: The share of the smaller field that both must cover.

        Returns:
          [rows, columns] float32 for the shift (dy, dx) = its index, counted from the
          end where it is negative; -1 where the fields cover less than `overlap`.
        """
        height, width = (
            fft.next_fast_len(int(g + f - overlap * min(g, f)) + 1, real=True)
            for g, f in zip(self.shape, field.shape, strict=False)
        )
        shape = height, width
        if shape != self._padded:
            # Many fields are shifted over one.
            self._padded, self._spectra = shape, fft.rfft2(self._planes, shape)
        gx, gy, g_energy = self._spectra
        fx, fy, f_mask = fft.rfft2(np.moveaxis(field, 2, 0), shape).conj()
        products = fft.irfft2(np.stack([gx * fx + gy * fy, g_energy * f_mask]), shape)
        sums = np.zeros((2, field.shape[0] + 1, field.shape[1] + 1))
        sums[:, 1:, 1:] = np.stack([_energy(field), field[..., 2]])
        sums = sums.cumsum(axis=1).cumsum(axis=2)
        least = overlap * min(self._area, sums[1, -1, -1])
        return _scores(*products, sums, self._sides, self.shape, least)


def _energy(field: np.ndarray) -> np.ndarray:
    return field[..., 0] ** 2 + field[..., 1] ** 2


@compiled
def _scores(product, energy, sums, sides, shape, least):
    """Computes scores of sums of products and of the ground's energy under the field.

    The energy and the area of the field over the ground's rectangle come from `sums`
    over rectangles; an area below `least` is too small.
    """
    height, width = product.shape
    h, w = sums.shape[1] - 1, sums.shape[2] - 1
    # Where there is next to no energy, rounding would make any score.
    floor = 1e-3 * sums[1, h, w]
    scores = np.empty_like(product)
    for row in range(height):
        dy = row if row < shape[0] else row - height
        top = min(max(sides[0, 0] - dy, 0), h)
        bottom = max(min(max(sides[0, 1] - dy, 0), h), top)
        for column in range(width):
            dx = column if column < shape[1] else column - width
            left = min(max(sides[1, 0] - dx, 0), w)
            right = max(min(max(sides[1, 1] - dx, 0), w), left)
            area = (
                sums[1, bottom, right]
                - sums[1, top, right]
                - sums[1, bottom, left]
                + sums[1, top, left]
            )
            if area < least:
                scores[row, column] = -1
                continue
            own = (
                sums[0, bottom, right]
                - sums[0, top, right]
                - sums[0, bottom, left]
                + sums[0, top, left]
            )
            energies = max(own, floor) * max(energy[row, column], floor)
            scores[row, column] = product[row, column] / np.sqrt(energies)
    return scores


def peaks(
    scores: np.ndarray, shape: tuple[int, int], apart: int, count: int
) -> list[tuple[float, int, int]]:
    """Finds the highest scores of what `Ground.correlate` returns.

    Args:
      scores: Is changed.
      shape: Height and width of the ground.
      apart: By how many pixels in x or y they differ at least.
      count: How many at most.

    Returns:
      (score, dx, dy), the best first, all above 0.
    """
    found = []
    for _ in range(count):
        place = np.unravel_index(scores.argmax(), scores.shape)
        score = float(scores[place])
        if score <= 0:
            break
        rows, columns = (
            np.arange(at - apart, at + apart + 1) % side
            for at, side in zip(place, scores.shape, strict=True)
        )
        scores[rows[:, None], columns] = -1
        # No shift to the right or down leaves the ground.
        dy, dx = (
            int(at) - (side if at >= own else 0)
            for at, side, own in zip(place, scores.shape, shape, strict=True)
        )
        found.append((score, dx, dy))
    return found


def distinctness(fixed: np.ndarray, moving: np.ndarray) -> float:
    """Measures how far the place of two fields on one grid stands out around it.

    Returns:
      The score without a shift, less the mean of the scores of shifts by more than
      1.5 % of the diagonal and up to 12 % of each side, in standard deviations of
      these; 0 where there is nothing to compare with.
    """
    height, width = fixed.shape[:2]
    score = Ground(fixed).correlate(moving, 0.2)
    rows, columns = (int(side * _FAR) for side in (height, width))
    near = np.hypot(height, width) * _NEAR
    dy, dx = np.mgrid[-rows : rows + 1, -columns : columns + 1]
    around = score[dy, dx][np.hypot(dy, dx) > near]
    around = around[around > -1]
    if not around.size or around.std() == 0:
        return 0.0
    return float((score[0, 0] - around.mean()) / around.std())
