"""Search for where a transform may be: all scales, rotations and shifts at small size.

For each scale and rotation the moving image's orientation field is correlated with the
fixed one's at every shift by FFT. What lies outside of the turned image is masked, so
that its border makes no edges.
"""

import dataclasses

import numpy as np

from densefuse_tf.registration import correlation
from densefuse_tf.registration import fields
from densefuse_tf.registration import transforms

_PER_ROTATION = 3
# Candidates differ by this share of the diagonal at the corners at least.
_DISTINCT = 0.03


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A transform that may be right.

    Attributes:
      matrix: From the fixed to the moving image, at full size.
      score: Normalised product of the fields, -1..1.
    """

    matrix: np.ndarray
    score: float


def candidates(
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    shapes: tuple[tuple[int, int], tuple[int, int]],
    pixels: int,
    scales: np.ndarray,
    rotations: np.ndarray,
    overlap: float,
    count: int,
) -> list[Candidate]:
    """Finds similarities under which the orientation fields match best.

    Args:
      fixed, moving: Images, [h, w] float32, shrunk to a few times `pixels`.
      shapes: Heights and widths of both at full size.
      pixels: Height times width at which the fixed image is searched.
      scales: Pixels of the moving image, at full size, for one of the fixed image.
      rotations: Degrees.
      overlap: The share of the smaller image that both cover at least.
      count: How many distinct ones to return.

    Returns:
      The best first.
    """
    own = fields.level(fields.shrink(fixed, pixels), shapes[0])
    spectra = correlation.Spectra(fields.view(own, np.eye(3), own.shape, 0))
    found = []
    # Levels keep the aspect ratio but for rounding.
    factor = np.sqrt(np.prod(own.shape) / np.prod(shapes[0]))
    for scale in scales:
        shape = tuple(max(8, round(side * factor / scale)) for side in shapes[1])
        other = fields.level(fields.resize(moving, shape), shapes[1])
        size = canvas(shape, np.radians(rotations))
        for rotation in rotations:
            rotated = turn(shape, size, np.radians(rotation))
            turned = correlation.Spectra(fields.view(other, rotated, size, 0))
            scores = correlation.correlate(spectra, turned, overlap)
            for score, dx, dy in correlation.peaks(scores, own.shape, _PER_ROTATION):
                shift = np.array([[1, 0, -dx], [0, 1, -dy], [0, 0, 1]])
                matrix = np.linalg.inv(other.matrix) @ rotated @ shift @ own.matrix
                found.append(Candidate(matrix, score))
    found.sort(key=lambda candidate: -candidate.score)
    return distinct(found, shapes[0], count)


def distinct(
    found: list[Candidate], shape: tuple[int, int], count: int
) -> list[Candidate]:
    """Keeps the first of those that nearly agree.

    Args:
      found: The preferred ones first.
      shape: Height and width of the fixed image.
      count: How many to keep at most.
    """
    limit = _DISTINCT * np.hypot(*shape)
    kept: list[Candidate] = []
    for candidate in found:
        if len(kept) == count:
            break
        if all(
            transforms.distance(candidate.matrix, other.matrix, shape) > limit
            for other in kept
        ):
            kept.append(candidate)
    return kept


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
