"""A quick look at whether the sources of a pair lie over each other.

As `register` does, it compares the directions of edges (see `fields`), at small size
and for few shifts and rotations. It is made to cost little beside a fusion: NumPy
alone, since to import the SciPy and the Numba of `fields` and `correlation` takes
longer than the check, and the part of the first image from which no shift leads out of
the second one, so that neither a padding nor a mask is needed.
"""

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.io import pixels

# What a warning says of images that look misaligned.
FOUND = "the images match better when one of them is shifted or turned"
# The longer side is brought to about this many pixels.
_SIDE = 150
# The Gaussian whose derivatives are taken, of sigma 1 in pixels of the small images.
_TAPS = np.arange(-4, 5)
_GAUSSIAN = np.exp(-(_TAPS**2) / 2) / np.exp(-(_TAPS**2) / 2).sum()
# Rotations that are tried, in degrees, beside none.
_ROTATIONS = (-3.0, 3.0)
# In pixels of the images: shifts up to the first count as aligned, as pairs of the TNO
# set are off by this much; those up to the second are looked at.
_ALIGNED, _FARTHEST = 6.5, 36.0
# By how many standard deviations of the scores another place must match better than
# the aligned one, and better than the mean of all.
_CLEARLY, _DISTINCTLY = 0.3, 3.0


def looks_misaligned(one: np.ndarray, other: np.ndarray) -> bool:
    """Says whether two images match better when one of them is moved a little.

    It takes a few milliseconds and is meant for a warning: images that are shifted by
    10 pixels or turned by 3 degrees are found most of the time, and what looks aligned
    need not be. Images without a common content give no warning, and neither do images
    that are too narrow, or too large (a side of 5,476 pixels), for such shifts.

    Args:
      one, other: Images of the same height and width, as `images.read` returns them.

    Returns:
      Whether a shift by more than 6.5 and up to 36 pixels, or a rotation by 3 degrees,
      makes the directions of edges match clearly better than a smaller shift.

    Raises:
      UserError: The images differ in size, or one is no image.
    """
    for image, name in ((one, "the first image"), (other, "the second image")):
        pixels.check(image, name)
    if one.shape[:2] != other.shape[:2]:
        raise UserError(
            f"images of {one.shape[0]}x{one.shape[1]} and "
            f"{other.shape[0]}x{other.shape[1]}: expected one size"
        )
    factor = max(1, round(max(one.shape[:2]) / _SIDE))
    first, second = (_shrunk(image, factor) for image in (one, other))
    farthest = int(_FARTHEST / factor)
    margins = _margins(first.shape, farthest)
    shifts = np.arange(-farthest, farthest + 1)
    distance = factor * np.hypot(shifts[:, None], shifts)
    near, looked_at = distance <= _ALIGNED, distance <= _FARTHEST
    # There must be shifts to look at, and room for them: images so large that a pixel
    # of the small ones is more than the farthest shift have none.
    if not farthest or min(first.shape) <= 2 * max(margins):
        return False
    views = [second, *(_turned(second, degrees) for degrees in _ROTATIONS)]
    scores = _scores(_field(first), np.stack([*map(_field, views)]), margins, shifts)
    aligned = scores[0, near].max()
    elsewhere = max(scores[0, looked_at & ~near].max(), scores[1:, looked_at].max())
    everywhere = scores[:, looked_at]
    spread = everywhere.std()
    return bool(
        elsewhere > aligned + _CLEARLY * spread
        and elsewhere > everywhere.mean() + _DISTINCTLY * spread
    )


def _scores(
    field: np.ndarray, others: np.ndarray, margins: tuple[int, int], shifts: np.ndarray
) -> np.ndarray:
    """Computes the normalised products of a field's inner part with other fields.

    Args:
      field: What `_field` returns, [h, w].
      others: Fields of the same size, [n, h, w].
      margins: Rows and columns that are left out of `field` at each end.
      shifts: How far the inner part is moved over the others, in y and in x; no shift
        exceeds a margin.

    Returns:
      [n, shifts, shifts]; 0 where the inner part or what lies under it is flat.
    """
    inside = tuple(
        slice(margin, side - margin)
        for margin, side in zip(margins, field.shape, strict=True)
    )
    inner = np.zeros_like(field)
    inner[inside] = field[inside]
    # The real part of conj(a) b is the scalar product of the two vectors.
    products = np.fft.ifft2(np.fft.fft2(inner).conj() * np.fft.fft2(others)).real
    # The energy under the shifted inner part, from sums over rectangles.
    sums = _energy(others).cumsum(axis=1).cumsum(axis=2)
    sums = np.pad(sums, ((0, 0), (1, 0), (1, 0)))
    top, left = (part.start + shifts for part in inside)
    bottom, right = (part.stop + shifts for part in inside)

    def sums_at(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        return sums[:, rows[:, None], columns]

    energy = (
        sums_at(bottom, right)
        - sums_at(top, right)
        - sums_at(bottom, left)
        + sums_at(top, left)
    )
    # Where there is next to no energy, rounding would make any score.
    least = 1e-3 * field.size
    energies = np.maximum(energy, least) * max(_energy(inner).sum(), least)
    return products[:, shifts[:, None], shifts] / np.sqrt(energies)


def _shrunk(image: np.ndarray, factor: int) -> np.ndarray:
    """Sums blocks of pixels, in grey, which is quicker than an exact resizing."""
    height, width = (side // factor * factor for side in image.shape[:2])
    total = np.zeros((height // factor, width // factor), np.float32)
    for row in range(factor):
        for column in range(factor):
            total += pixels.gray(image[row:height:factor, column:width:factor])
    return total


def _margins(shape: tuple[int, int], farthest: int) -> tuple[int, int]:
    """Rows and columns beyond which no rotation and shift together lead outside."""
    height, width = shape
    sine = np.sin(np.radians(max(_ROTATIONS)))
    return (
        farthest + int(np.ceil(sine * width / 2)) + 2,
        farthest + int(np.ceil(sine * height / 2)) + 2,
    )


def _field(image: np.ndarray) -> np.ndarray:
    """Computes the orientation field as complex numbers: a square doubles the angle."""
    # Less a value of its own, an image of one value has no rounding errors for edges.
    padded = np.pad(image - image[0, 0], _TAPS[-1], mode="symmetric")
    smooth, slope = _GAUSSIAN, _TAPS * _GAUSSIAN
    gradient = _filtered(padded, smooth, slope).astype(np.complex64)
    gradient.imag = _filtered(padded, slope, smooth)
    square = _energy(gradient)
    strength = float(np.sqrt(square).mean())
    if strength == 0:
        return gradient
    return gradient**2 / (np.sqrt(square * (square + strength**2)) + 1e-20)


def _filtered(
    padded: np.ndarray, along_rows: np.ndarray, along_columns: np.ndarray
) -> np.ndarray:
    """Correlates with a kernel along each axis; the padding goes."""
    height, width = (side - len(_TAPS) + 1 for side in padded.shape)
    rows = np.zeros((height, padded.shape[1]), np.float32)
    for tap, weight in enumerate(along_rows):
        rows += np.float32(weight) * padded[tap : tap + height]
    found = np.zeros((height, width), np.float32)
    for tap, weight in enumerate(along_columns):
        found += np.float32(weight) * rows[:, tap : tap + width]
    return found


def _energy(field: np.ndarray) -> np.ndarray:
    return field.real**2 + field.imag**2


def _turned(image: np.ndarray, degrees: float) -> np.ndarray:
    """Turns an image about its centre, bilinearly; its border is continued."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    y, x = (np.arange(side) - (side - 1) / 2 for side in image.shape)
    height, width = image.shape
    rows = cos * y[:, None] + sin * x + (height - 1) / 2
    columns = cos * x - sin * y[:, None] + (width - 1) / 2
    rows, columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
    top = np.minimum(rows.astype(int), height - 2)
    left = np.minimum(columns.astype(int), width - 2)
    down, right = (rows - top).astype(np.float32), (columns - left).astype(np.float32)
    upper, lower = image[top, left], image[top + 1, left]
    upper = upper + (image[top, left + 1] - upper) * right
    lower = lower + (image[top + 1, left + 1] - lower) * right
    return upper + (lower - upper) * down
