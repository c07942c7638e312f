"""Checks arrays of pixels and converts their range, grey and colour."""

import dataclasses
import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from densefuse_tf import naming
from densefuse_tf.errors import REGISTER_FIRST
from densefuse_tf.errors import UserError
from densefuse_tf.io import temperatures

# The reflection padding of the network needs two pixels in each direction.
_MIN_SIDE = 2

# An image in false colours has more than this share of its largest value between its
# channels.
_COLOR_NOISE = 0.03
# An image is all of one kind where this share of its pixels is; the rest are objects.
_NEARLY_ALL = 0.999

# Rows are converted in bands of about this many pixels, to hold one band twice and
# not the image.
_BAND_PIXELS = 4_000_000

# What a warning calls the choice of a range that nobody has made.
UNCHOSEN = "the value range "
# Warns of what `temperatures` finds: a name, what it is, and the flag of the range.
LEFT_OUT = (
    "%s: no temperatures, left out of the automatic value range and black: %s; "
    "%sLOW,HIGH sets a range by hand"
)


@dataclasses.dataclass(frozen=True)
class Percentiles:
    """A value range given by percentiles of an image's own values, each in 0..100."""

    low: float
    high: float


ValueRange = Literal["auto"] | tuple[float, float] | Percentiles


def check(image: np.ndarray, name: str, *, any_values: bool = False) -> None:
    """Refuses what is no image that can be fused.

    Args:
      image: [height, width] or [height, width, 3], at least 2x2; uint8, uint16 or a
        float type with values that are finite in float32.
      name: What the message calls it.
      any_values: Whether floats may be NaN or infinite, but not all.
    """
    if not isinstance(image, np.ndarray):
        raise UserError(
            f"{name}: is a {type(image).__name__}: expected a NumPy array [height, "
            "width] or [height, width, 3]"
        )
    require_shape(image, name)
    kind = image.dtype.newbyteorder("=")
    if kind not in (np.uint8, np.uint16) and kind.kind != "f":
        raise UserError(
            f"{name}: has values of type {image.dtype}: expected uint8, uint16 or "
            "float32"
        )
    height, width = image.shape[:2]
    require_size(height, width, name)
    if image.dtype.kind == "f":
        if any_values and np.isfinite(image).any():
            return
        # The extremes are NaN if any value is, and need no second array of the size.
        low, high = float(image.min()), float(image.max())
        limit = float(np.finfo(np.float32).max)
        if not (-limit <= low and high <= limit):
            raise UserError(
                f"{name}: has values that are NaN, infinite or beyond float32: "
                "expected finite ones only"
            )


def native(image: np.ndarray) -> np.ndarray:
    """Returns the same values in the byte order of this machine."""
    return image.astype(image.dtype.newbyteorder("="), copy=False)


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


def require_same_size(
    sizes: Sequence[tuple[int, int]], names: Sequence[object]
) -> None:
    """Raises a UserError if the source images of a pair differ in (height, width)."""
    for size, name in zip(sizes, names, strict=True):
        if size != sizes[0]:
            first, other = (f"{height}x{width}" for height, width in (sizes[0], size))
            raise UserError(
                f"{names[0]} is {first} and {name} is {other}: the source images of a "
                f"pair must have the same size; {REGISTER_FIRST}"
            )


def require_bytes_scale(image: np.ndarray, name: str) -> None:
    """Refuses an image of floats in 0..1, not all 0: it would look black in 0..255."""
    if image.dtype.kind == "f" and image.min() >= 0 and 0 < image.max() <= 1:
        raise UserError(
            f"{name}: 0..1 found, 0..255 expected: multiply by 255, or call "
            "densefuse_tf.io.pixels.to_pixel_range"
        )


def parse_range(text: str) -> ValueRange:
    """Reads a value range that a user has typed.

    Args:
      text: "auto"; two numbers, "7000,9000"; or two percentiles, "1%,99%".

    Returns:
      A value range as `to_pixel_range` takes it.
    """
    parts = [part.strip() for part in text.split(",")]
    if naming.find(text, ["auto"]):
        return "auto"
    are_percentiles = all(part.endswith("%") for part in parts)
    try:
        low, high = (float(part[:-1] if are_percentiles else part) for part in parts)
    except ValueError:
        raise _wrong_range(text) from None
    value_range = Percentiles(low, high) if are_percentiles else (low, high)
    _require_range(value_range, text)
    return value_range


def to_pixel_range(
    image: np.ndarray, value_range: ValueRange | None = None
) -> tuple[np.ndarray, tuple[float, float]]:
    """Brings pixel values to the 0..255 that the network takes.

    Args:
      image: An image as `images.read` returns it.
      value_range: The values that become 0 and 255; what lies outside is clipped.
        "auto" takes the lowest and the highest of the image's own values, and leaves
        out what is no temperature, see `temperatures.judge`. `Percentiles` takes its
        own percentiles. Both do so over all channels together; where both are the same
        value, the image becomes 0. None leaves uint8 as it is and means "auto" for
        every other dtype.

    Returns:
      float32 of the same shape in 0..255, and the values that became 0 and 255. What
      has no value or, with "auto", is no temperature becomes 0.
    """
    judged = judge(image, value_range)
    return scale(image, judged), (judged.low, judged.high)


def judge(
    image: np.ndarray, value_range: ValueRange | None = None
) -> temperatures.Judged:
    """Decides which values become 0 and 255, and which pixels are left out of that.

    Args:
      image: See `to_pixel_range`.
      value_range: See `to_pixel_range`.

    Returns:
      What `scale` takes.
    """
    if isinstance(value_range, str):
        value_range = parse_range(value_range)
    if image.dtype == np.uint8 and value_range is None:
        return temperatures.Judged(0.0, 255.0)
    if value_range is None or value_range == "auto":
        if image.dtype == np.uint8:
            return temperatures.judge_bytes(image)
        return temperatures.judge(image)
    _require_range(value_range, value_range)
    foreign = temperatures.without_value(image)
    if isinstance(value_range, Percentiles):
        values = np.ma.getdata(image)
        if foreign is not None:
            values = values[~foreign]
        # A value of the image each, so that no type is too narrow for what lies
        # between.
        low, high = map(
            float,
            np.percentile(
                values, [value_range.low, value_range.high], method="nearest"
            ),
        )
    else:
        low, high = map(float, value_range)
    return temperatures.Judged(low, high, foreign=foreign)


def outside(image: np.ndarray, value_range: ValueRange | None) -> str:
    """Says what is wrong where a range makes (nearly) all of an image black, or white.

    Args:
      image: See `to_pixel_range`.
      value_range: The values that would become 0 and 255.

    Returns:
      The values found, what they become, and the range, for a message; or "", as for
      each range that is found from the image.
    """
    if not isinstance(value_range, tuple):
        return ""
    data = np.ma.getdata(image)
    for where, what in ((data <= value_range[0], 0), (data >= value_range[1], 255)):
        if where.mean() >= _NEARLY_ALL:
            values = data[np.isfinite(data)] if data.dtype.kind == "f" else data
            low, high = (f"{value:g}" for value in value_range)
            return (
                f"its values of {values.min():g} to {values.max():g} become {what} "
                f"with the value range {low},{high}"
            )
    return ""


def scale(image: np.ndarray, judged: temperatures.Judged) -> np.ndarray:
    """Returns float32 in 0..255 where a range of values has been decided on.

    Args:
      image: See `to_pixel_range`.
      judged: From `judge`; or with another range, that of a sequence.
    """
    low, high = judged.low, judged.high
    data = np.ma.getdata(image)
    if low == high:
        return np.zeros(data.shape, np.float32)
    scaled = np.empty(data.shape, np.float32)
    for rows in row_bands(data):
        # In double precision, for temperatures: 300.01 K and 300.02 K differ by few
        # ulp.
        band = (data[rows].astype(np.float64) - low) * (255.0 / (high - low))
        scaled[rows] = np.clip(band, 0.0, 255.0)
    if judged.foreign is not None:
        scaled[judged.foreign] = 0
    return scaled


def _require_range(value_range: Any, shown: object) -> None:
    """Raises a UserError that shows the range, unless it can be used."""
    least, most = -np.inf, np.inf
    if isinstance(value_range, Percentiles):
        least, most = 0, 100
        value_range = (value_range.low, value_range.high)
    try:
        low, high = map(float, value_range)
    except (TypeError, ValueError):
        raise _wrong_range(shown) from None
    if not (np.isfinite([low, high]).all() and least <= low < high <= most):
        raise _wrong_range(shown)


def _wrong_range(shown: object) -> UserError:
    return UserError(
        f"value range {shown!r}: expected auto, or two numbers or two percentiles of "
        "which the first is the smaller one: 7000,9000 or 1%,99%"
        + naming.did_you_mean(shown, ["auto"])
    )


def gray(image: np.ndarray) -> np.ndarray:
    """Returns the luma of ITU-R BT.601-2, L = 0.299 R + 0.587 G + 0.114 B.

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


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Rounds pixels to 8 bits, halves to the even neighbour.

    Args:
      values: In 0..255; what lies outside becomes 0 or 255.

    Returns:
      uint8 of the same shape.
    """
    if values.dtype == np.uint8:
        return values
    rounded = np.rint(values)
    return np.clip(rounded, 0, 255, out=rounded).astype(np.uint8)


def as_bytes(image: np.ndarray, value_range: ValueRange | None = None) -> np.ndarray:
    """Brings an image to 8 bits by a range of its values, as `to_pixel_range` takes it.

    Without one, an image of 8 bits is returned as it is.
    """
    if image.dtype == np.uint8 and value_range is None:
        return image
    return to_uint8(to_pixel_range(image, value_range)[0])


def matlab_uint8(values: np.ndarray) -> np.ndarray:
    """Rounds grey values to 8 bits as MATLAB's uint8 does: halves away from 0.

    What lies outside of 0..255 becomes 0 or 255; no value is NaN.
    """
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


def row_bands(image: np.ndarray) -> Iterator[slice]:
    """Yields the rows of an image, some millions of pixels at a time.

    What is converted band by band needs room for a wider copy of a band, and not of
    the image.
    """
    height, width = image.shape[:2]
    rows = max(1, _BAND_PIXELS // width)
    for top in range(0, height, rows):
        yield slice(top, min(height, top + rows))


def rgb(image: np.ndarray) -> np.ndarray:
    """Returns the image as it is, or its one channel three times."""
    return np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image


def is_color(image: np.ndarray) -> bool:
    """Returns whether an image has three channels that differ somewhere."""
    return image.ndim == 3 and bool((image != image[..., :1]).any())


def false_colors_warning(
    name: str | os.PathLike, color: str, *, looks_swapped: bool = False
) -> str:
    """Returns the warning of an infrared image in colour.

    Args:
      name: What it calls the image.
      color: As in `FusionSettings`.
      looks_swapped: Whether the visible image beside it has no colour.
    """
    what, advice = (
        ("whose luma is fused", "")
        if color in ("luma", "gray", "thermal")
        else (
            "which are fused as if they were seen",
            "; --color=luma keeps the colours of the visible image alone",
        )
    )
    if looks_swapped:
        advice += (
            "; the visible image is grey: swap --ir and --vis if they are the wrong "
            "way round"
        )
    return (
        f"{name}: an infrared image in false colours, {what}: expected grey, white hot "
        f"for instance, or the temperatures of a radiometric file{advice}"
    )


def is_in_false_colors(image: np.ndarray) -> bool:
    """Returns whether an infrared image has more colour than the noise of JPEG."""
    if image.ndim == 2:
        return False
    some = image[::4, ::4].astype(np.float32)
    return float(np.ptp(some, axis=2).mean()) > _COLOR_NOISE * float(some.max())


def without_equal_channels(image: np.ndarray) -> np.ndarray:
    """Returns [height, width] where all channels are the same, else the image."""
    return image if is_color(image) or image.ndim == 2 else image[..., 0]


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
    """Converts RGB to Y, Cb, Cr: BT.601 with full range, as in JFIF.

    Args:
      rgb: [height, width, 3] in 0..255.

    Returns:
      float32 [height, width, 3]; Y in 0..255, Cb and Cr with 128 for no colour.
    """
    return (rgb @ _YCBCR.T + _CHROMA_ZERO).astype(np.float32)


def from_ycbcr(ycbcr: np.ndarray) -> np.ndarray:
    """Converts Y, Cb, Cr to RGB, the inverse of `to_ycbcr`.

    Args:
      ycbcr: [height, width, 3] as `to_ycbcr` returns it.

    Returns:
      float32 [height, width, 3], not clipped: a luma that was changed can make values
      outside of 0..255.
    """
    return ((ycbcr - _CHROMA_ZERO) @ _RGB.T).astype(np.float32)
