"""A quick look at whether the sources of a pair lie over each other."""

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.io import pixels
from densefuse_tf.registration import correlation
from densefuse_tf.registration import levels
from densefuse_tf.registration import orientation
from densefuse_tf.registration import search

# The longer side is brought to about this many pixels.
_SIDE = 200
_SMOOTHING = 0.7
# Rotations that are tried, in degrees, and the overlap of shifts that are.
_ROTATIONS = (-3.0, 0.0, 3.0)
_OVERLAP = 0.8
# In pixels of the images: shifts up to the first count as aligned, as pairs of the TNO
# set are off by this much; those up to the second are looked at.
_ALIGNED, _FARTHEST = 6.5, 36.0
# By how many standard deviations another place must match better.
_CLEARLY = 0.3


def looks_misaligned(one: np.ndarray, other: np.ndarray) -> bool:
    """Says whether two images match better when one of them is moved a little.

    It takes a few milliseconds and is meant for a warning: images that are shifted by
    10 pixels or turned by 3 degrees are found most of the time, and what looks aligned
    need not be. Images without a common content give no warning.

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
    small = [_shrunk(image, factor) for image in (one, other)]
    shape = small[0].shape
    # There must be room for the shifts that are looked at.
    if min(shape) * factor < 2 * _FARTHEST:
        return False
    first, second = (levels.level(image, shape) for image in small)
    if first.strength == 0 or second.strength == 0:
        return False
    fixed = correlation.Spectra(orientation.view(first, np.eye(3), shape, _SMOOTHING))
    canvas = search.canvas(shape, np.radians(_ROTATIONS))
    aligned, elsewhere, scores = -1.0, -1.0, []
    for rotation in _ROTATIONS:
        turn = search.turn(shape, canvas, np.radians(rotation))
        turned = orientation.view(second, turn, canvas, _SMOOTHING)
        score = correlation.correlate(fixed, correlation.Spectra(turned), _OVERLAP)
        distance = factor * _distances(score.shape, shape, canvas)
        near = (distance <= _ALIGNED) & (rotation == 0)
        looked_at = (score > -1) & (distance <= _FARTHEST)
        aligned = max(aligned, float(score[near].max(initial=-1)))
        elsewhere = max(elsewhere, float(score[looked_at & ~near].max(initial=-1)))
        scores.append(score[looked_at])
    spread = float(np.concatenate(scores).std())
    return elsewhere > aligned + _CLEARLY * spread


def _shrunk(image: np.ndarray, factor: int) -> np.ndarray:
    """The sums of blocks of pixels, in grey: quicker than an exact resizing."""
    height, width = (side // factor * factor for side in image.shape[:2])
    blocks = [
        pixels.gray(image[row:height:factor, column:width:factor])
        for row in range(factor)
        for column in range(factor)
    ]
    total = np.zeros(blocks[0].shape, np.float32)
    for block in blocks:
        total += block
    return total


def _distances(
    padded: tuple[int, int], shape: tuple[int, int], canvas: tuple[int, int]
) -> np.ndarray:
    """How far each shift of `correlation.correlate` moves the turned image's centre."""
    squares = []
    for size, own, other in zip(padded, shape, canvas, strict=True):
        shifts = np.arange(size)
        shifts = np.where(shifts >= own, shifts - size, shifts)
        squares.append((shifts + (other - own) / 2) ** 2)
    return np.sqrt(squares[0][:, None] + squares[1])
