"""The area that two registered images share, as a rectangle."""

import dataclasses

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.registration.registration import Registration
from densefuse_tf.registration.warping import covered

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
