"""Registration by points that are picked by hand."""

import os
from collections.abc import Sequence

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.io import texts
from densefuse_tf.registration import transforms
from densefuse_tf.registration.choices import Model
from densefuse_tf.registration.registration import Registration

_LEAST = 4
# Smaller spread, as a share of the larger one, of points that lie on a line.
_LINE = 0.01
_COLUMNS = "fixed_x,fixed_y,moving_x,moving_y"
_EXPECTED = f"a CSV file of points, {_COLUMNS}"


def from_points(
    fixed: np.ndarray,
    moving: np.ndarray,
    *,
    shapes: tuple[tuple[int, int], tuple[int, int]],
    model: Model = "affine",
    name: str = "the points",
) -> Registration:
    """Fits a transform to pairs of points by least squares.

    Args:
      fixed, moving: [n, 2] coordinates (x, y) of the same n >= 4 places in both images;
        the centre of the pixel at the top left is (0, 0).
      shapes: Heights and widths of the fixed and of the moving image.
      model: One of `MODELS`.
      name: What messages call the points.

    Returns:
      An accepted registration; `consistency` is the root mean square distance of the
      transformed points from those picked, in pixels of the moving image.

    Raises:
      UserError: There are fewer than four points, they are not finite, lie on a line or
        fit no transform of the model; or the model is unknown.
    """
    model = transforms.pick_model(model)
    fixed, moving = (np.asarray(points, np.float64) for points in (fixed, moving))
    if not fixed.shape == moving.shape == (*fixed.shape[:1], 2):
        raise UserError(
            f"{name}: arrays of shapes {list(fixed.shape)} and "
            f"{list(moving.shape)}: expected [n, 2] twice"
        )
    if len(fixed) < _LEAST:
        raise UserError(f"{name}: {len(fixed)} given: expected {_LEAST} or more")
    for points, which in ((fixed, "fixed"), (moving, "moving")):
        if not np.isfinite(points).all():
            raise UserError(
                f"{name}: a coordinate in the {which} image is not a finite number"
            )
        spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
        if spread[1] <= _LINE * spread[0]:
            raise UserError(
                f"{name}: lie on a line in the {which} image: expected points spread "
                "over its width and height"
            )
    matrix = transforms.fit(fixed, moving, model)
    ends = transforms.corners(shapes[0])
    depths = np.zeros(1) if matrix is None else ends @ matrix[2, :2] + matrix[2, 2]
    if matrix is None or depths.min() <= 0 or abs(np.linalg.det(matrix)) < 1e-9:
        raise UserError(
            f"{name}: no {model} fits them: expected four points of which no three "
            "lie on a line, each near its partner"
        )
    error = transforms.apply(matrix, fixed) - moving
    return Registration(
        transforms.of_matrix(matrix, model),
        model,
        *shapes,
        consistency=float(np.sqrt((error**2).sum(axis=1).mean())),
    )


def read_points(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Reads pairs of points from a CSV file.

    Each row has x and y in the fixed image, then x and y in the moving one. A first row
    of names is skipped.

    Returns:
      [n, 2] and [n, 2] float64.

    Raises:
      UserError: The file cannot be read, or a row has no four numbers.
    """
    name = os.fspath(path)
    points = []
    for number, row in enumerate(texts.read_rows(path, _EXPECTED), 1):
        if not any(cell.strip() for cell in row):
            continue
        numbers = _numbers(row)
        if number == 1 and not any(_numbers([cell]) for cell in row):
            continue
        if numbers is None or len(numbers) != 4:
            raise UserError(
                f"{name}: row {number} is {','.join(row)[:80]!r}: expected four "
                f"numbers, {_COLUMNS}"
            )
        points.append(numbers)
    pairs = np.array(points, np.float64).reshape(-1, 4)
    return pairs[:, :2], pairs[:, 2:]


def _numbers(row: Sequence[str]) -> list[float] | None:
    try:
        return [float(cell) for cell in row]
    except ValueError:
        return None
