"""Pairs of images, aligned by a registration and ready to be fused."""

import dataclasses

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.io import pixels
from densefuse_tf.registration.choices import UNCOVERED
from densefuse_tf.registration.choices import Uncovered
from densefuse_tf.registration.registration import Registration
from densefuse_tf.registration.warping import covered
from densefuse_tf.registration.warping import warp_matrix
from densefuse_tf.setting import pick_choice

# As many rows are tried as upper and lower edges.
_MAX_EDGES = 1024


@dataclasses.dataclass(frozen=True)
class Rectangle:
    """Rows top..bottom - 1 and columns left..right - 1 of the fixed image."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """What cuts the rectangle out of an image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def warp(
    image: np.ndarray,
    registration: Registration,
    shape: tuple[int, int] | None = None,
    *,
    fill: float = 0,
) -> np.ndarray:
    """Lays a moving image over the fixed one.

    Args:
      image: [H, W] or [H, W, 3] of the moving image's size, any dtype.
      registration: From `register`, `from_points`, `combine` or `load`.
      shape: Height and width of the result, by default the fixed image's.
      fill: The value of pixels that the moving image does not cover.

    Returns:
      [h, w] or [h, w, 3] of the same dtype, interpolated by cubic polynomials.

    Raises:
      UserError: The image has another size than the one that was registered.
    """
    _check_size(image, registration.moving_shape, "moving")
    return warp_matrix(
        image, registration.matrix, shape or registration.fixed_shape, fill
    )


class Alignment:
    """Aligns pairs of one size: the same registration for every pair or frame.

    Args:
      registration: From `register`, `from_points`, `combine` or `load`.
      uncovered: What becomes of the pixels that the moving image does not cover:
        "crop" cuts both images to the largest rectangle without such pixels, "black"
        keeps the fixed image's size and makes them 0, "fixed" keeps the size and
        shows the fixed image there: its grey values between its minimum and maximum
        become those between the moving image's.

    Raises:
      UserError: `uncovered` has another value; or, with "crop", the images do not
        overlap.
    """

    def __init__(self, registration: Registration, *, uncovered: Uncovered = "crop"):
        uncovered = pick_choice("uncovered", uncovered, UNCOVERED)
        if not isinstance(registration, Registration):
            raise UserError(
                f"Alignment: a {type(registration).__name__} is given: expected what "
                "registration.register, from_points, combine or load returns"
            )
        self.registration = registration
        self.area = common_area(registration) if uncovered == "crop" else None
        self._covered = None
        if uncovered == "fixed":
            self._covered = covered(
                registration.matrix, registration.fixed_shape, registration.moving_shape
            )

    def align(
        self, fixed: np.ndarray, moving: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Aligns a pair.

        Args:
          fixed, moving: [H, W] or [H, W, 3] of the sizes that were registered.

        Returns:
          The fixed image, cropped where asked for, and the moving one on its grid: the
          same height and width, each with its own channels and dtype.

        Raises:
          UserError: An image has another size.
        """
        _check_size(fixed, self.registration.fixed_shape, "fixed")
        _check_size(moving, self.registration.moving_shape, "moving")
        if self.area is not None:
            shift = np.array([[1, 0, self.area.left], [0, 1, self.area.top], [0, 0, 1]])
            aligned = warp_matrix(
                moving, self.registration.matrix @ shift, self.area.shape, fill=0
            )
            return fixed[self.area.slices], aligned
        aligned = warp(moving, self.registration)
        if self._covered is not None and not self._covered.all():
            outside = ~self._covered
            aligned[outside] = _like(fixed, moving)[outside]
        return fixed, aligned


def common_area(registration: Registration) -> Rectangle:
    """Finds the largest upright rectangle of pixels that both images cover.

    The pixels of the fixed image that the moving one covers form a convex set, so a
    rectangle lies in it if its upper and its lower row do. All pairs of rows are
    compared; of images higher than 1024 pixels, every second, third, ... row.

    Raises:
      UserError: There is none of 2x2 pixels at least.
    """
    mask = covered(
        registration.matrix, registration.fixed_shape, registration.moving_shape
    )
    height, width = mask.shape
    step = -(-height // _MAX_EDGES)
    rows = np.flatnonzero(mask.any(axis=1))
    # The last covered row is tried in any case.
    rows = np.unique(np.append(rows[::step], rows[-1:]))
    left = mask[rows].argmax(axis=1)
    right = width - mask[rows, ::-1].argmax(axis=1)
    best, area = None, 0
    for index, top in enumerate(rows):
        widths = np.minimum(right[index], right[index:]) - np.maximum(
            left[index], left[index:]
        )
        heights = rows[index:] - top + 1
        areas = np.where((widths > 1) & (heights > 1), widths * heights, 0)
        last = int(areas.argmax())
        if areas[last] > area:
            area = int(areas[last])
            best = Rectangle(
                int(top),
                int(max(left[index], left[index + last])),
                int(rows[index + last]) + 1,
                int(min(right[index], right[index + last])),
            )
    if best is None:
        raise UserError(
            "the registered images do not overlap: expected a transform under which "
            "they share an area of 2x2 pixels or more"
        )
    return best


def checkerboard(one: np.ndarray, other: np.ndarray, squares: int = 8) -> np.ndarray:
    """Shows two images in turn, in squares: edges that go on across them are aligned.

    Args:
      one, other: Images of the same height and width; each is shown between its
        minimum and maximum.
      squares: How many along the longer side.

    Returns:
      uint8 [H, W], or [H, W, 3] if one of them has colour.
    """
    shown = [pixels.to_pixel_range(image, "auto")[0] for image in (one, other)]
    if any(image.ndim == 3 for image in shown):
        shown = [pixels.rgb(image) for image in shown]
    height, width = one.shape[:2]
    side = -(-max(height, width) // squares)
    y, x = np.ogrid[:height, :width]
    odd = (y // side + x // side) % 2 == 1
    shown[0][odd] = shown[1][odd]
    return pixels.to_uint8(shown[0])


def _like(fixed: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Gives the fixed image the range, dtype and channels of the moving one."""
    gray = pixels.to_pixel_range(pixels.gray(fixed), "auto")[0] / np.float32(255)
    low, high = float(moving.min()), float(moving.max())
    values = low + gray.astype(np.float64) * (high - low)
    if moving.dtype.kind != "f":
        values = np.rint(values)
    values = values.astype(moving.dtype)
    return values if moving.ndim == 2 else pixels.rgb(values)


def _check_size(image: np.ndarray, shape: tuple[int, int], which: str) -> None:
    if image.shape[:2] != shape:
        raise UserError(
            f"the {which} image is {image.shape[0]}x{image.shape[1]} pixels (height x "
            f"width): expected {shape[0]}x{shape[1]}, as it was registered"
        )
