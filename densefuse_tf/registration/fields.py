"""The orientation of edges as a vector field that ignores the sign of the contrast.

A hot object is bright in the infrared image and may be dark in the visible one, so the
gradients of the two are parallel or opposite. Twice the angle is the same for both:
with the gradient's direction phi and magnitude m, a pixel has the vector

    m / sqrt(m^2 + s^2) (cos 2 phi, sin 2 phi),

s the mean magnitude of the image: length near 1 at edges, near 0 in flat regions.
"""

import dataclasses

import numpy as np
from scipy import ndimage
from skimage import transform

from densefuse_tf.compiling import compiled

# Sigma, in pixels of the level, of the Gaussian whose derivatives are the gradient.
_SIGMA = 1.0
# The outermost pixels of a level, whose gradients see the border of the image.
_BORDER = 3


@dataclasses.dataclass(frozen=True)
class Level:
    """A copy of an image at a size at which it is compared, and its gradients.

    Attributes:
      image_shape: Height and width of the image.
      matrix: Takes pixel coordinates (x, y, 1) of the image to those of the copy,
        which may show a part of the image.
      gx, gy: Derivatives to the right and downwards, [h, w] float32.
      strength: Mean magnitude of the gradient: what is much weaker counts as flat.
    """

    image_shape: tuple[int, int]
    matrix: np.ndarray
    gx: np.ndarray
    gy: np.ndarray
    strength: float

    @property
    def shape(self) -> tuple[int, int]:
        return self.gx.shape


def shrink(image: np.ndarray, pixels: int) -> np.ndarray:
    """Resizes an image to about a number of pixels; one with fewer stays as it is."""
    factor = min(1.0, (pixels / image.size) ** 0.5)
    height, width = (max(1, round(side * factor)) for side in image.shape)
    return resize(image, (height, width))


def resize(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resizes an image, smoothed before where it becomes smaller."""
    if image.shape == shape:
        return image
    resized = transform.resize(
        image, shape, order=1, mode="reflect", anti_aliasing=True, preserve_range=True
    )
    return resized.astype(np.float32)


def level(
    image: np.ndarray, shape: tuple[int, int], matrix: np.ndarray | None = None
) -> Level:
    """Computes the gradients of a copy of an image.

    Args:
      image: The copy, [h, w] float32.
      shape: Height and width of the image it was made of.
      matrix: Takes the image's coordinates to those of the copy; by default, the copy
        shows the whole image.
    """
    if matrix is None:
        matrix = resizing(shape, image.shape)
    gx = ndimage.gaussian_filter(image, _SIGMA, order=(0, 1))
    gy = ndimage.gaussian_filter(image, _SIGMA, order=(1, 0))
    strength = float(np.hypot(gx, gy).mean())
    return Level(shape, matrix, gx, gy, strength)


def part(
    image: np.ndarray, shape: tuple[int, int], box: np.ndarray, factor: float
) -> Level:
    """Computes the level of a part of an image.

    Args:
      image: A copy of the image, [h, w] float32, smaller or of its size.
      shape: Height and width of the image itself.
      box: (left, top) and (right, bottom) of the part, in pixels of the image.
      factor: Pixels of the level for one of the image.
    """
    sides = np.array(image.shape[::-1]) / shape[::-1]
    left, top = np.floor(box[0] * sides).astype(int)
    right, bottom = np.ceil(box[1] * sides).astype(int)
    cut = image[top:bottom, left:right]
    size = (cut.shape[::-1] / sides * factor).round().astype(int)
    resized = resize(cut, tuple(size[::-1].clip(8)))
    shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]])
    return level(
        resized,
        shape,
        resizing(cut.shape, resized.shape) @ shift @ resizing(shape, image.shape),
    )


def resizing(shape: tuple[int, int], new_shape: tuple[int, int]) -> np.ndarray:
    """Returns the matrix that takes coordinates of an image to those of its copy.

    The centre of the pixel at the top left is (0, 0) in both, so their corners differ.
    """
    sy, sx = new_shape[0] / shape[0], new_shape[1] / shape[1]
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])


def view(
    level: Level, matrix: np.ndarray, shape: tuple[int, int], smoothing: float
) -> np.ndarray:
    """Computes an image's field as it looks on another image's grid.

    Gradients are interpolated and turned with the image, by the derivative of the
    transform, before the angle is doubled.

    Args:
      level: The image.
      matrix: 3x3; takes coordinates (x, y, 1) of the grid to those of the level.
      shape: Height and width of the grid.
      smoothing: Standard deviation of a Gaussian over the field, in pixels; 0 for
        none. It widens the reach of a refinement.

    Returns:
      [h, w, 3] float32: the two components, and 1 where the grid's pixel lies in the
      image and off its border, else 0; where it is 0, so are the components.
    """
    field = np.empty((*shape, 3), np.float32)
    _sample(level.gx, level.gy, level.strength, matrix, _BORDER, field)
    if smoothing:
        for k in range(2):
            smooth = ndimage.gaussian_filter(
                field[..., k], smoothing, mode="constant", truncate=3
            )
            field[..., k] = smooth * field[..., 2]
    return field


@compiled
def _sample(gx, gy, strength, matrix, border, field):
    height, width = gx.shape
    a, b, c = matrix[0]
    d, e, f = matrix[1]
    p, q, r = matrix[2]
    for y in range(field.shape[0]):
        for x in range(field.shape[1]):
            w = p * x + q * y + r
            u = (a * x + b * y + c) / w
            v = (d * x + e * y + f) / w
            inside = (
                w > 0
                and border <= u < width - 1 - border
                and border <= v < height - 1 - border
            )
            if not inside:
                field[y, x] = 0
                continue
            left, top = int(u), int(v)
            right, below = np.float32(u - left), np.float32(v - top)
            one = np.float32(1)
            w00 = (one - right) * (one - below)
            w01 = right * (one - below)
            w10 = (one - right) * below
            w11 = right * below
            gu = (
                gx[top, left] * w00
                + gx[top, left + 1] * w01
                + gx[top + 1, left] * w10
                + gx[top + 1, left + 1] * w11
            )
            gv = (
                gy[top, left] * w00
                + gy[top, left + 1] * w01
                + gy[top + 1, left] * w10
                + gy[top + 1, left + 1] * w11
            )
            # The chain rule: the derivatives of (u, v) with respect to (x, y).
            ux, uy = (a - u * p) / w, (b - u * q) / w
            vx, vy = (d - v * p) / w, (e - v * q) / w
            nx = ux * gu + vx * gv
            ny = uy * gu + vy * gv
            square = nx * nx + ny * ny
            flat = strength * strength * abs(ux * vy - uy * vx)
            length = np.sqrt(square * (square + flat)) + 1e-20
            field[y, x, 0] = (nx * nx - ny * ny) / length
            field[y, x, 1] = 2 * nx * ny / length
            field[y, x, 2] = 1
