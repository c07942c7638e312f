"""The models of a transform, and distances between transforms.

A transform takes pixel coordinates (x, y) of the fixed image to those of the moving
one. Inside the package it is a 3x3 matrix over (x, y, 1).
"""

from collections.abc import Sequence

import numpy as np
from skimage import transform

from densefuse_tf.registration.choices import MODELS
from densefuse_tf.registration.choices import Model
from densefuse_tf.setting import pick_choice

_CLASSES = {
    "translation": transform.EuclideanTransform,
    "similarity": transform.SimilarityTransform,
    "affine": transform.AffineTransform,
    "homography": transform.ProjectiveTransform,
}

# Matrices that span the directions in which a transform of a model can change: shifts,
# scale and rotation, two shears, perspective. A model has those up to its number.
_DIRECTIONS = np.array(
    [
        [[0, 0, 1], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 1], [0, 0, 0]],
        [[1, 0, 0], [0, 1, 0], [0, 0, 0]],
        [[0, -1, 0], [1, 0, 0], [0, 0, 0]],
        [[1, 0, 0], [0, -1, 0], [0, 0, 0]],
        [[0, 1, 0], [1, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0], [1, 0, 0]],
        [[0, 0, 0], [0, 0, 0], [0, 1, 0]],
    ],
    np.float64,
)
_PARAMETERS = {"translation": 2, "similarity": 4, "affine": 6, "homography": 8}


def pick_model(model: str) -> Model:
    """Returns the model that is meant, or raises a UserError."""
    return pick_choice("model", model, MODELS)


def is_regular(matrix: np.ndarray) -> bool:
    """Returns whether a matrix is that of a transform: 3x3, finite and invertible."""
    return (
        matrix.shape == (3, 3)
        and bool(np.isfinite(matrix).all())
        and bool(matrix[2, 2] != 0 and np.linalg.det(matrix) != 0)
    )


def directions(model: str) -> np.ndarray:
    """Returns the directions in which a transform can change, [parameters, 3, 3]."""
    return _DIRECTIONS[: _PARAMETERS[model]]


def of_matrix(matrix: np.ndarray, model: str) -> transform.ProjectiveTransform:
    """Returns scikit-image's transform of a model for a matrix."""
    return _CLASSES[model](matrix=matrix / matrix[2, 2])


def fit(source: np.ndarray, target: np.ndarray, model: str) -> np.ndarray | None:
    """Fits a transform to points by least squares.

    Args:
      source, target: [n, 2] points (x, y).
      model: One of `MODELS`.

    Returns:
      The matrix that takes `source` to `target`, or None where points determine none.
    """
    if model == "translation":
        matrix = np.eye(3)
        matrix[:2, 2] = (target - source).mean(axis=0)
        return matrix
    cls = _CLASSES[model]
    if hasattr(cls, "from_estimate"):
        found = cls.from_estimate(source, target)
        done = bool(found)
    else:
        # scikit-image before 0.26, the last one for Python 3.10.
        found = cls()
        done = found.estimate(source, target)
    if not done or not np.isfinite(found.params).all():
        return None
    return found.params / found.params[2, 2]


def corners(shape: Sequence[int]) -> np.ndarray:
    """Returns the coordinates (x, y) of the four outermost pixels, [4, 2]."""
    bottom, right = shape[0] - 1, shape[1] - 1
    return np.array([[0, 0], [right, 0], [right, bottom], [0, bottom]], np.float64)


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Applies a transform to points (x, y), [n, 2]."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return mapped[:, :2] / mapped[:, 2:]


def scale(matrix: np.ndarray, shape: Sequence[int]) -> float:
    """Returns how many pixels of the moving image one of the fixed image is, on mean.

    Args:
      matrix: From the fixed to the moving image.
      shape: Height and width of the fixed image.
    """
    places = apply(matrix, corners(shape))
    # The area of the quadrilateral, from its diagonals.
    (ax, ay), (bx, by) = places[2] - places[0], places[3] - places[1]
    area = abs(ax * by - ay * bx) / 2
    return float(np.sqrt(area / np.prod(np.array(shape) - 1)))


def rotation(matrix: np.ndarray, shape: Sequence[int]) -> float:
    """Returns the angle in degrees by which the middle row is turned, from x to y."""
    height, width = shape
    ends = np.array([[0, (height - 1) / 2], [width - 1, (height - 1) / 2]])
    x, y = np.diff(apply(matrix, ends), axis=0)[0]
    return float(np.degrees(np.arctan2(y, x)))


def distance(
    one: np.ndarray, other: np.ndarray, places: Sequence[int] | np.ndarray
) -> float:
    """Computes how far two transforms differ.

    Args:
      one, other: Matrices from the fixed to the moving image.
      places: Points of the fixed image, [n, 2], or its height and width for its
        corners.

    Returns:
      The root mean square over the points, in pixels of the fixed image; infinity where
      a transform sends a point to infinity.
    """
    points = places if isinstance(places, np.ndarray) else corners(places)
    with np.errstate(all="ignore"):
        try:
            back = apply(np.linalg.inv(other) @ one, points)
        except np.linalg.LinAlgError:
            return float("inf")
        square = ((back - points) ** 2).sum(axis=1).mean()
    return float(np.sqrt(square)) if np.isfinite(square) else float("inf")
