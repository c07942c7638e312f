"""Search for where a transform may be: all scales, rotations and shifts at small size.

Of two images, the one that shows less is turned and shifted over the other one, which
is resized to each scale: so all scales compare the same number of pixels. Orientation
fields are correlated at every shift by FFT. What lies outside of the turned image is
masked, so that its border makes no edges.

A score says little by itself: straight edges or few pixels give high scores at wrong
places. What ranks places is by how many standard deviations a score exceeds the mean
of all shifts at its scale and rotation.
"""

import dataclasses
import functools

import numpy as np

from densefuse_tf.registration import correlation
from densefuse_tf.registration import fields
from densefuse_tf.registration import transforms

# Places that are kept of one scale and rotation, and how far they lie apart in pixels.
_PER_ROTATION, _APART = 3, 2
# Candidates differ by this share of the diagonal of an image at its corners at least.
_DISTINCT = 0.03
# So many of the places that the search finds are compared.
_MOST = 150

Shapes = tuple[tuple[int, int], tuple[int, int]]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A transform that may be right.

    Attributes:
      matrix: From the fixed to the moving image, at full size.
      confidence: How far the place stands out where it is now; see `confidence`.
      searched: The confidence of the place that the search found.
    """

    matrix: np.ndarray
    confidence: float
    searched: float

    @functools.cached_property
    def inverse(self) -> np.ndarray:
        """The matrix from the moving to the fixed image."""
        return np.linalg.inv(self.matrix)


def confidence(distinctness: float, score: float) -> float:
    """Ranks places: how far a score stands out, times the root of the score."""
    return distinctness * max(score, 0.0) ** 0.5


def candidates(
    inner: np.ndarray,
    outer: np.ndarray,
    *,
    shapes: Shapes,
    pixels: int,
    scales: np.ndarray,
    rotations: np.ndarray,
    overlap: float,
    guess: np.ndarray | None,
    reach: float,
) -> list[Candidate]:
    """Finds similarities under which the orientation fields match best.

    Args:
      inner, outer: Images, [h, w] float32; the outer one shows more.
      shapes: Heights and widths of both at full size.
      pixels: Height times width at which the inner image is compared.
      scales: Pixels of the outer image for one of the inner image, at full size.
      rotations: Degrees.
      overlap: The share of the smaller image that both cover at least.
      guess: A transform from the inner to the outer image, or None. The inner image's
        centre lies as far from where it takes it as the share `reach` of the inner
        image's sides at most.

    Returns:
      Transforms from the inner to the outer image, in no order.
    """
    own = fields.level(fields.shrink(inner, pixels), shapes[0])
    size = canvas(own.shape, np.radians(rotations))
    turned = []
    for rotation in rotations:
        matrix = turn(own.shape, size, -np.radians(rotation))
        field = fields.view(own, matrix, size, 0)
        turned.append((np.linalg.inv(matrix) @ own.matrix, field))
    # Levels keep the aspect ratio but for rounding.
    factor = np.sqrt(np.prod(own.shape) / np.prod(shapes[0]))
    ends = np.array(shapes[1][::-1])
    box = np.stack([0 * ends, ends])
    found = []
    for scale in scales:
        if guess is not None:
            middle = (np.array([shapes[0][::-1]]) - 1) / 2
            expected = transforms.apply(guess, middle)
            # Places around those that are looked at tell how far these stand out.
            half = scale * (0.5 + 2 * reach) * np.array(shapes[0][::-1])
            box = (expected + np.outer([-1, 1], half)).clip(0, ends)
            if np.diff(box, axis=0).min() < 1:
                continue
        other = fields.part(outer, shapes[1], box, factor / scale)
        ground = correlation.Ground(fields.view(other, np.eye(3), other.shape, 0))
        for matrix, field in turned:
            scores = ground.correlate(field, overlap)
            looked_at = scores[scores > -1]
            if not looked_at.size or looked_at.std() == 0:
                continue
            mean, deviation = float(looked_at.mean()), float(looked_at.std())
            if guess is not None:
                at = transforms.apply(other.matrix, expected)[0]
                at = at - (np.array(size[::-1]) - 1) / 2
                far = reach * np.array(own.shape[::-1])
                _keep_near(scores, other.shape, at, far)
            for score, dx, dy in correlation.peaks(
                scores, other.shape, _APART, _PER_ROTATION
            ):
                shift = np.array([[1, 0, dx], [0, 1, dy], [0, 0, 1]])
                whole = np.linalg.inv(other.matrix) @ shift @ matrix
                rank = confidence((score - mean) / deviation, score)
                found.append(Candidate(whole, rank, rank))
    return found


def _keep_near(
    scores: np.ndarray, shape: tuple[int, int], at: np.ndarray, reach: np.ndarray
) -> None:
    """Leaves out shifts that differ from `at`, (x, y), by more than `reach`."""
    for axis in (0, 1):
        shifts = np.arange(scores.shape[axis])
        shifts = np.where(shifts < shape[axis], shifts, shifts - scores.shape[axis])
        far = np.abs(shifts - at[1 - axis]) > reach[1 - axis]
        np.moveaxis(scores, axis, 0)[far] = -1


def distinct(found: list[Candidate], shapes: Shapes, count: int) -> list[Candidate]:
    """Keeps the best candidates, of those that nearly agree only the best one.

    What is kept takes over the highest `searched` of those that agree with it.

    Args:
      found: In any order; the best `_MOST` count.
      shapes: Heights and widths of the fixed and the moving image.
      count: How many to keep at most.
    """
    kept: list[Candidate] = []
    for one in sorted(found, key=lambda one: -one.confidence)[:_MOST]:
        for index, other in enumerate(kept):
            if not _differ(one, other, shapes):
                searched = max(one.searched, other.searched)
                kept[index] = dataclasses.replace(other, searched=searched)
                break
        else:
            if len(kept) < count:
                kept.append(one)
    return kept


def _differ(one: Candidate, other: Candidate, shapes: Shapes) -> bool:
    """Returns whether they are apart as one of the two images sees it."""
    return _far(one.matrix, other.matrix, shapes[0]) or _far(
        one.inverse, other.inverse, shapes[1]
    )


def _far(one: np.ndarray, other: np.ndarray, shape: tuple[int, int]) -> bool:
    return transforms.distance(one, other, shape) > _DISTINCT * np.hypot(*shape)


def canvas(shape: tuple[int, int], angles: np.ndarray) -> tuple[int, int]:
    """Returns the size that holds an image turned by any of the angles."""
    cos, sin = np.abs(np.cos(angles)), np.abs(np.sin(angles))
    height, width = shape
    return (
        int(np.ceil((height * cos + width * sin).max())),
        int(np.ceil((width * cos + height * sin).max())),
    )


def turn(shape: tuple[int, int], canvas: tuple[int, int], angle: float) -> np.ndarray:
    """Returns the rotation about the centre that takes a canvas to the image."""
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    centre = np.array([(canvas[1] - 1) / 2, (canvas[0] - 1) / 2])
    turn[:2, 2] = [(shape[1] - 1) / 2, (shape[0] - 1) / 2] - turn[:2, :2] @ centre
    return turn
