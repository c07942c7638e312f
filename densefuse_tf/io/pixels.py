"""Arrays of pixels: what an image may be, its range, its grey and its colour."""

from collections.abc import Iterator
from typing import Literal

import numpy as np

from densefuse_tf.errors import UserError

# The reflection padding of the network needs two pixels in each direction.
_MIN_SIDE = 2

# Rows are converted in bands of about this many pixels, to hold one band twice and
# not the image.
_BAND_PIXELS = 4_000_000


def check(image: np.ndarray, name: str) -> None:
    """Checks that an array is an image that can be fused.

    Args:
      image: [height, width] or [height, width, 3]; uint8, uint16 or a float type.
      name: What the message calls it.

    Raises:
      UserError: Another type, shape or dtype; smaller than 2x2; values that are NaN,
        infinite or beyond the range of float32.
    """
    if not isinstance(image, np.ndarray):
        raise UserError(
            f"{name}: is a {type(image).__name__}: expected a NumPy array [height, "
            "width] or [height, width, 3]"
        )
    require_shape(image, name)
    if image.dtype not in (np.uint8, np.uint16) and image.dtype.kind != "f":
        raise UserError(
            f"{name}: has values of type {image.dtype}: expected uint8, uint16 or "
            "float32"
        )
    require_size(*image.shape[:2], name)
    if image.dtype.kind == "f":
        # The extremes are NaN if any value is, and need no second array of the size.
        low, high = float(image.min()), float(image.max())
        limit = float(np.finfo(np.float32).max)
        if not (-limit <= low and high <= limit):
            raise UserError(
                f"{name}: has values that are NaN, infinite or beyond float32: "
                "expected finite ones only"
            )


def require_size(height: int, width: int, name: str) -> None:
    """Raises a UserError if an image is smaller than 2x2."""
    if min(height, width) < _MIN_SIDE:
        raise UserError(
            f"{name}: is {height}x{width} pixels (height x width): expected at least "
            f"{_MIN_SIDE}x{_MIN_SIDE}"
        )


def require_shape(image: np.ndarray, name: str) -> None:
    """Raises a UserError unless it is [height, width] or [height, width, 3]."""
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise UserError(
            f"{name}: is an array of shape {list(image.shape)}: expected [height, "
            "width] or [height, width, 3]"
        )


def to_pixel_range(
    image: np.ndarray,
    value_range: Literal["auto"] | tuple[float, float] | None = None,
) -> tuple[np.ndarray, tuple[float, float]]:
    """Brings pixel values to the 0..255 that the network takes.

    Args:
      image: An image as `images.read` returns it.
      value_range: The values that become 0 and 255; what lies outside is clipped.
        "auto" takes the image's own minimum and maximum, over all channels together;
        an image of one value becomes 0. None leaves uint8 as it is and means "auto"
        for every other dtype.

    Returns:
      float32 of the same shape in 0..255, and the values that became 0 and 255.

    Raises:
      UserError: `value_range` is neither; its first value must be the smaller one.
    """
    if value_range is None and image.dtype == np.uint8:
        return image.astype(np.float32), (0.0, 255.0)
    if value_range is None or value_range == "auto":
        low, high = float(image.min()), float(image.max())
        if low == high:
            return np.zeros(image.shape, np.float32), (low, high)
    else:
        try:
            low, high = (float(value) for value in value_range)
        except (TypeError, ValueError):
            low = high = np.nan
        if not (np.isfinite([low, high]).all() and low < high):
            raise UserError(
                f"value range {value_range!r}: expected auto, or two numbers of which "
                "the first is the smaller one"
            )
    scaled = np.empty(image.shape, np.float32)
    for rows in row_bands(image):
        # In double precision, for temperatures: 300.01 K and 300.02 K differ by few
        # ulp.
        band = (image[rows].astype(np.float64) - low) * (255.0 / (high - low))
        scaled[rows] = np.clip(band, 0.0, 255.0)
    return scaled, (low, high)


def gray(image: np.ndarray) -> np.ndarray:
    """The luma of ITU-R BT.601-2, L = 0.299 R + 0.587 G + 0.114 B.

    Args:
      image: [height, width], returned as it is, or [height, width, 3].

    Returns:
      [height, width]. Integers keep their dtype and equal Pillow's `convert("L")`,
      whose weights are multiples of 1/65536; floats become float32.
    """
    if image.ndim == 2:
        return image
    is_float = image.dtype.kind == "f"
    luma = np.empty(image.shape[:2], np.float32 if is_float else image.dtype)
    for rows in row_bands(image):
        if is_float:
            luma[rows] = image[rows].astype(np.float32) @ _YCBCR[0]
            continue
        red, green, blue = (image[rows, :, c].astype(np.uint32) for c in range(3))
        # The sum for 65535 and the half added to round still fit in 32 bits.
        luma[rows] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    return luma


def row_bands(image: np.ndarray) -> Iterator[slice]:
    """The rows of an image, some millions of pixels at a time.

    What is converted band by band needs room for a wider copy of a band, and not of
    the image.

    Args:
      image: [height, width] or [height, width, 3].

    Yields:
      Slices of rows, from top to bottom.
    """
    height, width = image.shape[:2]
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        yield slice(top, min(height, top + rows))


def rgb(image: np.ndarray) -> np.ndarray:
    """[height, width, 3]: the image as it is, or three times its one channel."""
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image


def is_color(image: np.ndarray) -> bool:
    """Whether an image is [height, width, 3] with channels that differ somewhere."""
    return image.ndim == 3 and bool((image != image[..., :1]).any())


# Rows: Y, Cb, Cr; columns: R, G, B; BT.601 with full range, as in JFIF.
_YCBCR = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.299 / 1.772, -0.587 / 1.772, 0.5],
        [0.5, -0.587 / 1.402, -0.114 / 1.402],
    ]
)
_RGB = np.linalg.inv(_YCBCR)
_CHROMA_ZERO = np.array([0.0, 128.0, 128.0])


def to_ycbcr(rgb: np.ndarray) -> np.ndarray:
    """RGB to Y, Cb, Cr: BT.601 with full range, as in JFIF.

    Args:
      rgb: [height, width, 3] in 0..255.

    Returns:
      float32 [height, width, 3]; Y in 0..255, Cb and Cr with 128 for no colour.
    """
    return (rgb @ _YCBCR.T + _CHROMA_ZERO).astype(np.float32)


def from_ycbcr(ycbcr: np.ndarray) -> np.ndarray:
    """Y, Cb, Cr to RGB, the inverse of `to_ycbcr`.

    Args:
      ycbcr: [height, width, 3] as `to_ycbcr` returns it.

    Returns:
      float32 [height, width, 3], not clipped: a luma that was changed can make values
      outside of 0..255.
    """
    return ((ycbcr - _CHROMA_ZERO) @ _RGB.T).astype(np.float32)
