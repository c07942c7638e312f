"""The value range of a camera's frames, which changes slowly; frames of a shutter."""

import collections
import dataclasses
import math

import numpy as np
from absl import logging

from densefuse_tf.errors import UserError
from densefuse_tf.io import pixels
from densefuse_tf.io import temperatures

# A frame changes what is shown by no more of 255 levels, where the scene is the same.
_STEP = 1.5
# The scene is another one where this share of it is out of range; or where it spreads
# so many times farther than the range: a step is a share of that, which may be 0.
_ANOTHER, _FARTHER = 0.5, 10
_SOME = (slice(None, None, 4), slice(None, None, 4))


class SteadyRange:
    """Brings the frames of one camera to 0..255 so that their brightness is steady."""

    def __init__(self, name: str, given: pixels.ValueRange | None, memory: float):
        """Takes what errors call a frame, its value range, and how long it is kept."""
        self._name, self._given, self._memory = name, given, memory
        self._range: np.ndarray | None = None
        self._time, self._has_warned = 0.0, False
        # Times and spreads of the frames that were not flat.
        self._recent: collections.deque[tuple[float, float]] = collections.deque()

    def scale(self, frame: np.ndarray, time: float, has_shutter: bool) -> np.ndarray:
        """Returns a frame in 0..255, uint8 or float32.

        Raises:
          UserError: It is no image, or it has next to no contrast beside those before,
            and there is a shutter.
        """
        pixels.check(frame, self._name, any_values=True)
        frame, given = pixels.native(frame), self._given
        if has_shutter:
            self._refuse_flat(frame, time)
        if isinstance(given, tuple):
            said = "" if self._has_warned else pixels.outside(frame, given)
            if said:
                logging.warning("%s: %s", self._name, said)
                self._has_warned = True
            return pixels.to_pixel_range(frame, given)[0]
        if given is None and frame.dtype == np.uint8:
            return frame
        judged = pixels.judge(frame, given or "auto")
        low, high = self._follow(frame, judged, time)
        return pixels.scale(frame, dataclasses.replace(judged, low=low, high=high))

    def _refuse_flat(self, frame: np.ndarray, time: float) -> None:
        spread = _spread(frame)
        while self._recent and self._recent[0][0] < time - self._memory:
            self._recent.popleft()
        typical = float(np.median([each for _, each in self._recent] or [0]))
        if typical > 0 and temperatures.is_flat(spread, typical):
            raise UserError(f"{self._name}: no contrast: a shutter seems to be closed")
        self._recent.append((time, spread))

    def _follow(self, frame, judged, time: float) -> list[float]:
        """Moves the range towards that of a frame, by a share and a step at most."""
        own = np.array([judged.low, judged.high])
        elapsed, self._time = max(0.0, time - self._time), time
        if self._range is not None and self._memory:
            some = np.ma.getdata(frame)[_SOME]
            low, high = self._range
            is_another = ((some < low) | (some > high)).mean() >= _ANOTHER
            if not is_another and _spread(frame) < _FARTHER * (high - low):
                most = _STEP / 255 * (high - low)
                share = 1 - math.exp(-elapsed / self._memory)
                own = self._range + np.clip(share * (own - self._range), -most, most)
        self._range = own
        return own.tolist()


def _spread(frame: np.ndarray) -> float:
    # Whether a hot object is there does not matter: its values are not looked at.
    return float(np.ptp(np.nanpercentile(np.ma.getdata(frame)[_SOME], [10, 90])))
