"""Tells temperatures from what else a thermal image of more than 8 bits holds.

Cameras write telemetry into rows of an image, sensors have dead rows and hot pixels,
rectified images have borders, and rasters a value for no data. Such pixels are foreign:
they have no part in a range of values that is found automatically. A hot or a cold
object stays, however far its values are from all others: it has an edge of values in
between, and is neither a single pixel nor a row of the image.
"""

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

# A value may be foreign that this share of the pixels have, and so many pixels.
_SHARED, _SHARED_PIXELS = 0.001, 8
# Interpolation mixes a border with so many pixels next to it. Those are mixed that are
# lower than the rest by this share of its spread.
_REACH, _MARGIN = 3, 0.1
# The most rows side by side that may be foreign though their values differ.
_MOST_ROWS = 8
# Rows that a message names, at most.
_SHOWN = 4
# A pixel is no lone one whose neighbours have this share of its height.
_SOFT = 0.06
# In degrees Celsius nothing is colder.
_ABSOLUTE_ZERO = -273.15


@dataclasses.dataclass(frozen=True)
class Judged:
    """Says which pixels of an image are temperatures, and what these are.

    Attributes:
      low: The lowest temperature; 0 where there is none.
      high: The highest one.
      inner: The 0.1th and the 99.9th percentile, outside of which may be single dead
        or hot pixels.
      spread: From the 1st percentile to the 99th.
      foreign: [height, width] bool, True for what is no temperature; None where all
        pixels are.
      found: What is foreign, in words; "" where nothing is.
    """

    low: float
    high: float
    inner: tuple[float, float] | None = None
    spread: float = 0.0
    foreign: np.ndarray | None = None
    found: str = ""

    @property
    def has_outliers(self) -> bool:
        """Returns whether the inner range is less than half as wide as the whole."""
        low, high = self.inner or (self.low, self.high)
        return high - low < 0.5 * (self.high - self.low)


def without_value(image: np.ndarray) -> np.ndarray | None:
    """Finds the pixels of which the file itself says that they have no value.

    Args:
      image: [height, width] or [height, width, 3], with a mask if it is a masked array.

    Returns:
      [height, width] bool, where the mask is True or a value is not finite; None where
      each pixel has a value.
    """
    data = np.ma.getdata(image)
    has_all = data.dtype.kind != "f" or np.isfinite([data.min(), data.max()]).all()
    if has_all and not np.ma.is_masked(image):
        return None
    foreign = np.ma.getmaskarray(image) | ~np.isfinite(data)
    return np.asarray(foreign.any(axis=2) if foreign.ndim == 3 else foreign)


def judge(image: np.ndarray) -> Judged:
    """Finds the temperatures of an image.

    Args:
      image: [height, width] uint16 or a float type; or [height, width, 3], of which
        only pixels without a value are left out, since colour is no temperature.

    Returns:
      Their range, and which pixels are foreign.
    """
    scene = _Scene(np.ma.getdata(image))
    found = []
    foreign = without_value(image)
    if foreign is not None:
        found.append(f"{_pixels(foreign)} without a value")
        scene = scene.without(foreign)
    # Rows go first: of their values a single one may be shared, and would go alone.
    rules = (_rows, _columns, _shared_values, _single_pixels)
    named = -1
    # What one rule leaves out may have hidden from another what that looks for.
    while scene.data.ndim == 2 and named < len(found):
        named = len(found)
        for rule in rules:
            what, where = rule(scene) if len(scene.values) else _NOTHING
            if where is not None:
                found.append(what)
                scene = scene.without(where)
    left_out = None if scene.left is None else ~scene.left
    return dataclasses.replace(
        _judged(scene.values), foreign=left_out, found=", ".join(found)
    )


def judge_bytes(image: np.ndarray) -> Judged:
    """Returns the range of an image of 8 bits, all of whose values count."""
    return _judged(np.sort(image, axis=None, kind="stable"))


def _judged(values: np.ndarray) -> Judged:
    """Describes values that are in order; none at all count as zeros."""
    values = values if len(values) else np.zeros(1)
    return Judged(
        low=float(values[0]),
        high=float(values[-1]),
        inner=(_percentile(values, 0.1), _percentile(values, 99.9)),
        spread=_spread(values),
    )


def is_flat(spread, typical: float):
    """Returns whether frames have next to no contrast beside typical spreads."""
    return 4 * spread <= typical


def together(frames: Sequence[Judged]) -> tuple[Judged, list[int]]:
    """Puts the ranges of the frames of a sequence together.

    A frame is empty, as one of a closed shutter is, that has one value alone; or next
    to no contrast, and values farther from those of all other frames than these spread.

    Args:
      frames: One or more.

    Returns:
      The range of all frames that are not empty, and the places of those that are.
    """
    spreads = np.array([one.spread for one in frames])
    typical = float(np.median(spreads))
    are_flat = is_flat(spreads, typical)
    scene = [one for one, flat in zip(frames, are_flat, strict=True) if not flat]
    scene = scene or list(frames)
    low, high = min(one.low for one in scene), max(one.high for one in scene)
    empty = []
    for index in np.flatnonzero(are_flat).tolist():
        one = frames[index]
        margin = typical if one.low < one.high else 0.0
        if one.low > high + margin or one.high < low - margin:
            empty.append(index)
    left_out = set(empty)
    seen = [one for index, one in enumerate(frames) if index not in left_out]
    inner = [one.inner for one in seen if one.inner is not None]
    whole = Judged(
        min(one.low for one in seen),
        max(one.high for one in seen),
        (min(low for low, _ in inner), max(high for _, high in inner)),
    )
    return whole, empty


class _Scene:
    """Holds the pixels of an image that are not known to be foreign.

    Attributes:
      data: The image.
      left: Where they are; None for everywhere.
      values: Their values in order.
    """

    def __init__(self, data: np.ndarray, left: np.ndarray | None = None):
        self.data = data
        self.left = left
        # NumPy sorts 16 bits fastest by its stable sort.
        kind: Any = "stable" if data.dtype.itemsize == 2 else None
        values = data if left is None else data[left]
        self.values = np.sort(values, axis=None, kind=kind)

    @property
    def turned(self) -> "_Scene":
        """Returns the scene with columns for rows."""
        turned = copy.copy(self)
        turned.data = self.data.T
        turned.left = None if self.left is None else self.left.T
        return turned

    @property
    def floats(self) -> np.ndarray:
        """Returns the image as float64, NaN where a pixel is foreign."""
        data = self.data.astype(np.float64)
        if self.left is not None:
            data[~self.left] = np.nan
        return data

    def without(self, where: np.ndarray) -> "_Scene":
        return _Scene(self.data, self.only(~where))

    def only(self, where: np.ndarray) -> np.ndarray:
        """Returns where a pixel that is not foreign is True."""
        return where if self.left is None else where & self.left

    def beyond(self, low: float, high: float) -> np.ndarray:
        """Returns where the values are that are lower or higher."""
        return self.only((self.data < low) | (self.data > high))


_Found = tuple[str, np.ndarray | None]
_NOTHING: _Found = ("", None)


def _shared_values(scene: _Scene) -> _Found:
    """Finds a value that many pixels share, farther from all others than these spread.

    It is the lowest or the highest one. Both may be foreign, and hide one another.
    """
    values = scene.values
    low, high = values[0], values[-1]
    first, last = np.searchsorted(values, low, "right"), np.searchsorted(values, high)
    least = max(_SHARED * len(values), _SHARED_PIXELS)
    own_low = [low] if first >= least else []
    own_high = [high] if len(values) - last >= least else []
    for own in filter(None, (own_low, own_high, own_low + own_high)):
        where = scene.only(np.isin(scene.data, own))
        is_impossible = low in own and (low == 0 or low < _ABSOLUTE_ZERO)
        if is_impossible and _is_at_edge(where):
            where |= _mixed(scene, where)
            rest = scene.without(where).values
            # A hot object that saturates says nothing of how far the scene spreads.
            rest = rest[: np.searchsorted(rest, high)] if own_high else rest
        else:
            rest = values[first if low in own else 0 : last if high in own else None]
            if not len(rest) or not _are_far(own, rest, 5):
                continue
            spread = _spread(rest)
            # What lies around it: the scene, or values in between.
            around = scene.only(_dilated(where) & ~where)
            between = around & scene.beyond(
                _percentile(rest, 1) - spread if low in own else -np.inf,
                _percentile(rest, 99) + spread if high in own else np.inf,
            )
            if is_impossible:
                where |= between
                rest = scene.without(where).values
            elif 8 * between.sum() > around.sum():
                # The edge of a hot object that saturates.
                continue
        if len(rest) and _are_far(own, rest, 0):
            named = " and ".join(f"{value:g}" for value in own)
            return f"{_pixels(where)} of the value {named}", where
    return _NOTHING


def _is_at_edge(where: np.ndarray) -> bool:
    """Returns whether pixels reach the edge of the image, as a border does."""
    return bool(where[[0, -1]].any() or where[:, [0, -1]].any())


def _mixed(scene: _Scene, border: np.ndarray) -> np.ndarray:
    """Finds the pixels that interpolation has mixed with a border of the lowest value.

    They hang together with it, are lower than all that is farther from it, and near to
    it or to the edge of the image, along which a border may be thinner than a pixel.
    """
    near = np.ones_like(border)
    near[_REACH:-_REACH, _REACH:-_REACH] = False
    grown = border
    for _ in range(_REACH):
        grown = _dilated(grown)
    near = scene.only((near | grown) & ~border)
    rest = scene.without(border | near).values
    # Holes all over an image are near to all of it.
    if 2 * len(rest) <= near.sum():
        return np.zeros_like(border)
    lower = near & (scene.data < _percentile(rest, 0.1) - _MARGIN * _spread(rest))
    return _reached(_dilated(border) & lower, lower)


def _reached(start: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Returns the pixels that hang together with those of `start` in `allowed`."""
    height, width = start.shape[0] + 2, start.shape[1] + 2
    reached, allowed = np.pad(start, 1).ravel(), np.pad(allowed, 1).ravel()
    beside = [down + right for down in (-width, 0, width) for right in (-1, 0, 1)]
    front = np.flatnonzero(reached)
    while front.size:
        around = np.unique(front[:, None] + beside)
        front = around[allowed[around] & ~reached[around]]
        reached[front] = True
    return reached.reshape(height, width)[1:-1, 1:-1]


def _are_far(own: Sequence[float], rest: np.ndarray, margin: float) -> bool:
    """Returns whether each value is farther from all of `rest` than these spread.

    Args:
      own: Values lower or higher than all of the rest.
      rest: Values in order.
      margin: The percents of the rest at either end that do not count.
    """
    spread = _spread(rest)
    ends = _percentile(rest, margin), _percentile(rest, 100 - margin)
    return spread > 0 and all(
        min(abs(float(value) - end) for end in ends) > spread for value in own
    )


def _single_pixels(scene: _Scene) -> _Found:
    """Finds pixels as far out, and pairs of them, around which nothing stands out."""
    values = scene.values
    spread = _spread(values)
    first, last = _percentile(values, 1) - spread, _percentile(values, 99) + spread
    if not spread > 0 or (first <= values[0] and values[-1] <= last):
        return _NOTHING
    far = scene.beyond(first, last)
    rows, columns = np.nonzero(far)
    beside = np.zeros(far.shape, int)
    beside[rows, columns] = _around(far, rows, columns, 1).sum(axis=0)
    # A pair is two pixels, beside each of which is the other.
    pairs = _around(beside, rows, columns, 1).sum(axis=0) == 4
    own = beside[rows, columns]
    chosen = (own == 1) | ((own == 2) & pairs)
    rows, columns = rows[chosen], columns[chosen]
    data = scene.floats
    height = data[rows, columns]
    data[rows, columns] = np.nan
    # What a lens brings to one pixel reaches those around it as well.
    near, wide = (_mean(_around(data, rows, columns, reach)) for reach in (1, 2))
    chosen = (near - wide) / (height - wide) <= _SOFT
    alone = np.zeros_like(far)
    alone[rows[chosen], columns[chosen]] = True
    rest = scene.without(alone).values
    spread = _spread(rest)
    where = alone & scene.beyond(float(rest[0]) - spread, float(rest[-1]) + spread)
    if not where.any():
        return _NOTHING
    return f"{_pixels(where)} alone", where


def _around(
    image: np.ndarray, rows: np.ndarray, columns: np.ndarray, reach: int
) -> np.ndarray:
    """Returns the square of pixels around each place, [pixels, places]."""
    outside = np.nan if image.dtype.kind == "f" else 0
    padded = np.pad(image, reach, constant_values=outside)
    side = range(2 * reach + 1)
    return np.stack(
        [padded[rows + down, columns + right] for down in side for right in side]
    )


def _mean(values: np.ndarray) -> np.ndarray:
    """Returns the mean over the first axis of what is not NaN, 0 where all is."""
    count = (~np.isnan(values)).sum(axis=0)
    return np.nansum(values, axis=0) / np.maximum(count, 1)


def _rows(scene: _Scene, what: str = "row") -> _Found:
    """Finds rows that are no picture, such as telemetry, and dead ones."""
    low, high = (_percentile(scene.values, share) for share in (10, 90))
    margin = 1.5 * (high - low)
    if not margin > 0:
        return _NOTHING
    first, last = float(scene.values[0]), float(scene.values[-1])
    if first >= low - margin and last <= high + margin:
        return _NOTHING
    far = scene.beyond(low - margin, high + margin)
    there = np.full(len(far), far.shape[1]) if scene.left is None else scene.left.sum(1)
    odd = (2 * far.sum(axis=1) > there) & (there > 0)
    if not odd.any() or odd.all():
        return _NOTHING
    data = scene.floats
    steps = _steps(data[~odd][:: max(1, len(data) // 100)])
    edges = np.flatnonzero(np.diff(np.pad(odd, 1).astype(int)))
    found = [
        row
        for first, end in zip(edges[::2], edges[1::2], strict=True)
        if _is_no_picture(data, first, end, steps)
        for row in range(first, end)
    ]
    if not found:
        return _NOTHING
    where = np.zeros(far.shape, bool)
    where[found] = True
    names = ", ".join(str(row) for row in found[:_SHOWN])
    names += ", ..." if len(found) > _SHOWN else ""
    return f"{what}{'s' * (len(found) > 1)} {names}", scene.only(where)


def _columns(scene: _Scene) -> _Found:
    what, where = _rows(scene.turned, "column")
    return what, None if where is None else where.T


def _is_no_picture(data: np.ndarray, first: int, end: int, steps: float) -> bool:
    """Returns whether rows far out have neither an edge nor the looks of an object.

    Args:
      data: The image, NaN where a pixel is foreign.
      first: The first of the rows.
      end: The row after the last one.
      steps: What neighbours in a row of the scene differ by.
    """
    if end - first > _MOST_ROWS:
        return False
    band = data[first:end]
    inside = 0
    for near, next_row, row in ((first - 1, first - 2, 0), (end, end + 1, -1)):
        if not 0 <= near < len(data) or np.isnan(data[near]).all():
            continue
        inside += 1
        jump = _median(band[row] - data[near])
        if 2 * jump < max(_median(one - data[near]) for one in band):
            return False
        if 0 <= next_row < len(data):
            if _median(data[next_row] - data[near]) > 0.1 * jump:
                return False
    if inside == 2 and len(band) <= 2:
        return True
    # A hot object may come into view at an edge; telemetry is rough, or all zeros.
    is_flat = _median(band - np.nanmedian(band, axis=1, keepdims=True)) == 0
    return bool(is_flat or _steps(band) > 4 * steps)


def _steps(rows: np.ndarray) -> float:
    return _median(np.diff(rows, axis=1))


def _median(values: np.ndarray) -> float:
    """Returns the median size of values, 0 if all are NaN."""
    sizes = np.abs(values[~np.isnan(values)])
    return float(np.median(sizes)) if sizes.size else 0.0


def _dilated(where: np.ndarray) -> np.ndarray:
    """Adds the eight neighbours of each pixel."""
    padded = np.pad(where, 1)
    rows = padded[:-2] | padded[1:-1] | padded[2:]
    return rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]


def _percentile(ordered: np.ndarray, share: float) -> float:
    return float(ordered[round(share / 100 * (len(ordered) - 1))])


def _spread(ordered: np.ndarray) -> float:
    return _percentile(ordered, 99) - _percentile(ordered, 1)


def _pixels(where: np.ndarray) -> str:
    count = int(where.sum())
    return f"{count} pixel{'' if count == 1 else 's'}"
