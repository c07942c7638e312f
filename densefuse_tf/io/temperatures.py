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
# No sensor reaches the ends of 16 bits: of these so few pixels are enough.
_LARGEST, _EXTREME_PIXELS = 2**16 - 1, 3
# Interpolation mixes a border with so many pixels next to it; what is this share of the
# spread farther out than all others is no temperature.
_REACH, _EDGE, _MARGIN = 8, 3, 0.1
# Overshoot is larger, and along the border: in this share of what is near to it.
_OVERSHOT, _ALONG = 0.25, 0.005
# For a value at the corners of an image this share of the spread is far.
_NEAR = 0.25
# The most rows side by side that may be foreign though their values differ.
_MOST_ROWS = 8
# Rows that a message names, at most.
_SHOWN = 4
# The most pixels side by side that may be defects of the sensor.
_MOST_ALONE = 4
# A pixel is no lone one whose neighbours have this share of its height.
_SOFT = 0.06
# Of a sequence so few frames are those of a shutter; the contrast that a lens gives
# them is less than this share of the scene's.
_FEW, _LESS = 0.1, 0.75
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
    rules = (_rows, _columns, _shared_values, _single_pixels, _beside_border)
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
    So is one of a few frames of less contrast than the others have, as that of a lens
    that is warmer than the shutter, if no frame has values in between.

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
    empty += [index for index in _apart(frames, typical) if index not in empty]
    left_out = set(empty)
    seen = [one for index, one in enumerate(frames) if index not in left_out]
    inner = [one.inner for one in seen if one.inner is not None]
    whole = Judged(
        min(one.low for one in seen),
        max(one.high for one in seen),
        (min(low for low, _ in inner), max(high for _, high in inner)),
    )
    return whole, sorted(empty)


def _apart(frames: Sequence[Judged], typical: float) -> list[int]:
    """Finds a few frames whose values are apart from those of all others.

    Args:
      frames: All of them.
      typical: What their values spread over, as a rule.
    """
    order = sorted(range(len(frames)), key=lambda index: frames[index].low)
    groups: list[list[int]] = []
    high = -np.inf
    for index in order:
        if frames[index].low > high + typical:
            groups.append([])
        groups[-1].append(index)
        high = max(high, frames[index].high)
    largest = max(groups, key=len)
    few = max(1, _FEW * len(frames))
    return [
        index
        for group in groups
        if group is not largest and len(group) <= few < len(largest)
        for index in group
        if frames[index].spread < _LESS * typical
    ]


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
    low, high = _shared(values), _shared(values[::-1])
    if low and low == high:
        below, above = values < low[0], values > low[0]
        low, high = (low, []) if below.sum() < above.sum() else ([], high)
    for own in filter(None, (low, high, low + high)):
        start = int(np.searchsorted(values, low[0], "right")) if own[:1] == low else 0
        stop = int(np.searchsorted(values, high[0])) if own[-1:] == high else None
        rest = values[start:stop]
        borders = [one for one in own if _is_border(scene.data, one, [one] == low)]
        # Of a scene less than 15 % are mixed with a border.
        if not len(rest) or not _are_far(own, rest, 15 if borders else 5):
            continue
        where = scene.only(np.isin(scene.data, own))
        if borders:
            where |= _mixed(scene, where, own)
            rest = scene.without(where).values
        elif _has_soft_edge(scene, where, own, rest):
            continue
        # At the corners of an image it is a border even if it is near to the scene.
        share = _NEAR if all(_is_at_corners(scene.data, one) for one in own) else 1
        if len(rest) and _spread(rest) > 0 and _are_far(own, rest, 0, share):
            named = " and ".join(f"{value:g}" for value in own)
            return f"{_pixels(where)} of the value {named}", where
    return _NOTHING


def _beside_border(scene: _Scene) -> _Found:
    """Finds rows and columns that are no picture where a border hides them."""
    low = _shared(scene.values)
    if low and _is_border(scene.data, low[0], True):
        rest = scene.without(scene.data == low[0])
        if len(rest.values) and _are_far(low, rest.values, 25):
            for rule in (_rows, _columns):
                what, where = rule(rest)
                if where is not None:
                    return what, where
    return _NOTHING


def _shared(ordered: np.ndarray) -> list[float]:
    """Returns the first value that many pixels share, or nothing.

    Args:
      ordered: The values, up or down.
    """
    least = int(max(np.ceil(_SHARED * len(ordered)), _SHARED_PIXELS))
    if ordered.dtype == np.uint16 and ordered[0] in (0, _LARGEST):
        least = _EXTREME_PIXELS
    are_shared = ordered[least - 1 :] == ordered[: 1 - least]
    return [ordered[are_shared.argmax()]] if are_shared.any() else []


def _is_border(data: np.ndarray, value: float, is_lowest: bool) -> bool:
    """Returns whether a value means that the scene ends, and not how warm it is."""
    is_impossible = is_lowest and (value == 0 or value < _ABSOLUTE_ZERO)
    return is_impossible or _is_at_corners(data, value)


def _is_at_corners(data: np.ndarray, value: float) -> bool:
    corners = data[:: len(data) - 1, :: data.shape[1] - 1]
    return int((corners == value).sum()) > 2


def _mixed(scene: _Scene, border: np.ndarray, own: Sequence[float]) -> np.ndarray:
    """Finds the pixels near a border that interpolation has mixed with it.

    They lie outside of what all values farther from it are: on its own side where they
    hang together with it, and on both along it where cubic interpolation overshoots.
    """
    edge = np.ones_like(border)
    edge[_EDGE:-_EDGE, _EDGE:-_EDGE] = False
    # At the edge of a turned image a border may be thinner than a pixel.
    edge &= (border & edge).any()
    for reach in range(_REACH, 0, -1):
        near = scene.only((_dilated(border, reach) | edge) & ~border)
        values = scene.without(border | near).values
        # Holes all over an image are near to all of it.
        if 2 * len(values) > near.sum():
            break
    else:
        return np.zeros_like(border)
    if not _are_far(own, values, 0.1, _NEAR):
        return np.zeros_like(border)
    spread, data = _spread(values), scene.data.astype(np.float64)
    mixed = np.zeros_like(border)
    for sign, share in ((-1, 0.1), (1, 99.9)):
        beyond = sign * (data - _percentile(values, share))
        is_own_side = (beyond[border] > 0).any()
        beyond[~near] = 0
        outside = beyond > _MARGIN * spread
        if is_own_side:
            mixed |= _grown(border | (edge & outside), outside, reach) & outside
        # What is five pixels wide is an object.
        thin = outside & ~_grown(~_dilated(~outside, 2), outside, reach)
        if (thin & (beyond > _OVERSHOT * spread)).sum() > _ALONG * near.sum():
            mixed |= thin
    return mixed


def _grown(seeds: np.ndarray, inside: np.ndarray, steps: int) -> np.ndarray:
    """Adds what hangs together with seeds, as far as some pixels from them."""
    for _ in range(steps):
        seeds = seeds | (_dilated(seeds, 1) & inside)
    return seeds


def _has_soft_edge(
    scene: _Scene, where: np.ndarray, own: Sequence[float], rest: np.ndarray
) -> bool:
    """Returns whether values in between are around, as of a hot object that saturates.

    Args:
      scene: What is there.
      where: The pixels of the object.
      own: Their values.
      rest: All others in order.
    """
    spread = _spread(rest)
    around = scene.only(_dilated(where, 1) & ~where)
    between = around & scene.beyond(
        _percentile(rest, 1) - spread if own[0] < rest[0] else -np.inf,
        _percentile(rest, 99) + spread if own[-1] > rest[-1] else np.inf,
    )
    return 8 * int(between.sum()) > int(around.sum())


def _are_far(
    own: Sequence[float], rest: np.ndarray, margin: float, share: float = 1
) -> bool:
    """Returns whether each value is farther from all of `rest` than these spread.

    Args:
      own: The values.
      rest: Values in order.
      margin: The percents of the rest at either end that do not count.
      share: Of the spread that is enough.
    """
    ends = max(margin, 1)
    spread = share * (_percentile(rest, 100 - ends) - _percentile(rest, ends))
    low, high = _percentile(rest, margin), _percentile(rest, 100 - margin)
    return all(value < low - spread or value > high + spread for value in own)


def _single_pixels(scene: _Scene) -> _Found:
    """Finds pixels as far out, and up to four of them, around which nothing is."""
    values = scene.values
    spread = _spread(values)
    first, last = _percentile(values, 1) - spread, _percentile(values, 99) + spread
    if not spread > 0 or (first <= values[0] and values[-1] <= last):
        return _NOTHING
    far = scene.beyond(first, last)
    rows, columns = np.nonzero(far)
    beside = np.zeros(far.shape, int)
    beside[rows, columns] = _around(far, rows, columns, 1).sum(axis=0)
    own = beside[rows, columns]
    # Of a few pixels side by side each is beside all others, and beside nothing else.
    alike = _around(beside, rows, columns, 1).sum(axis=0) == own**2
    wider = _around(far, rows, columns, 2).sum(axis=0)
    chosen = alike & ((own <= 2) | ((own <= _MOST_ALONE) & (wider == own)))
    rows, columns = rows[chosen], columns[chosen]
    data = scene.floats
    height = data[rows, columns]
    data[rows, columns] = np.nan
    # What a lens brings to one pixel reaches those around it as well.
    near, wide = (_mean(_around(data, rows, columns, reach)) for reach in (1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
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
    parts = _parts(scene, low, high, margin)
    odd = np.isin(np.arange(len(scene.data)), list(parts))
    if not odd.any() or odd.all():
        return _NOTHING
    data = scene.floats
    steps = _steps(data[~odd][:: max(1, len(data) // 100)])
    edges = np.flatnonzero(np.diff(np.pad(odd, 1).astype(int)))
    where = np.zeros(scene.data.shape, bool)
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        left = min(parts[row][0] for row in range(first, end))
        right = max(parts[row][1] for row in range(first, end))
        if _is_no_picture(data[:, left:right], first, end, steps):
            where[first:end, left:right] = True
    found = np.flatnonzero(where.any(axis=1)).tolist()
    if not found:
        return _NOTHING
    names = ", ".join(str(row) for row in found[:_SHOWN])
    names += ", ..." if len(found) > _SHOWN else ""
    return f"{what}{'s' * (len(found) > 1)} {names}", scene.only(where)


def _parts(
    scene: _Scene, low: float, high: float, margin: float
) -> dict[int, tuple[int, int]]:
    """Finds rows, or a fourth of them and more, that are far out for the larger part.

    Returns:
      The first column and the one after the last, by row.
    """
    far = scene.beyond(low - margin, high + margin)
    width = far.shape[1]
    there = np.full(len(far), width) if scene.left is None else scene.left.sum(axis=1)
    parts = {}
    for row in np.flatnonzero((2 * far.sum(axis=1) > there) & (there > 0)).tolist():
        parts[row] = _without_ends(np.flatnonzero(far[row]), width)
    # A part of a row is more often one of the scene: it has to be farther out.
    far = scene.beyond(low - 2 * margin, high + 2 * margin)
    for row in np.flatnonzero(8 * far.sum(axis=1) > width).tolist():
        columns = np.flatnonzero(far[row])
        gaps = np.flatnonzero(8 * np.diff(columns) > width)
        columns = max(np.split(columns, gaps + 1), key=len)
        length = columns[-1] + 1 - columns[0]
        if row not in parts and 4 * length > width and 2 * len(columns) > length:
            parts[row] = _without_ends(columns, width)
    return parts


def _without_ends(columns: np.ndarray, width: int) -> tuple[int, int]:
    """Returns where columns begin and end: a short rest at an end belongs to them."""
    first, end = int(columns[0]), int(columns[-1]) + 1
    return (
        first if 8 * first > width else 0,
        end if 8 * (width - end) > width else width,
    )


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
    if len(band) <= inside:
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


def _dilated(where: np.ndarray, reach: int) -> np.ndarray:
    """Adds the pixels of the square around each, `reach` in each direction."""
    for _ in range(reach):
        padded = np.pad(where, 1)
        rows = padded[:-2] | padded[1:-1] | padded[2:]
        where = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
    return where


def _percentile(ordered: np.ndarray, share: float) -> float:
    return float(ordered[round(share / 100 * (len(ordered) - 1))])


def _spread(ordered: np.ndarray) -> float:
    return _percentile(ordered, 99) - _percentile(ordered, 1)


def _pixels(where: np.ndarray) -> str:
    count = int(where.sum())
    return f"{count} pixel{'' if count == 1 else 's'}"
