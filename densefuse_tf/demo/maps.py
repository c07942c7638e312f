"""Pictures of what the fusion layer sees: activity level maps and l1-norm weights.

References:
  H. Li, X.-J. Wu, "DenseFuse: A Fusion Approach to Infrared and Visible Images", IEEE
  Transactions on Image Processing 28(5), 2019. https://doi.org/10.1109/TIP.2018.2887342
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from densefuse_tf.fusion import bands
from densefuse_tf.fusion import fuser
from densefuse_tf.fusion import inference
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import palettes
from densefuse_tf.io import pixels
from densefuse_tf.model import activity
from densefuse_tf.model import network

_RADIUS = FusionSettings.window_radius
_MARGIN = network.ENCODER_RADIUS + _RADIUS
_NUM_SOURCES = 2
# RGB from the least to the greatest value, at equal distances.
_ACTIVITY_COLORS = (
    (0, 0, 4),
    (81, 18, 124),
    (183, 55, 121),
    (252, 137, 97),
    (252, 253, 191),
)
_WEIGHT_COLORS = ((33, 102, 172), (247, 247, 247), (178, 24, 43))


class Maps(NamedTuple):
    """Holds one map for each source, [H, W] float32.

    Attributes:
      activities: The activity level maps C^_i (Eq. 6), at least 0.
      weights: The l1-norm's weights w_i (Eq. 7), in 0..1.
    """

    activities: np.ndarray
    weights: np.ndarray


class MapMaker:
    """Computes the maps of pairs with the encoder of one checkpoint."""

    def __init__(self, checkpoint: str):
        """Loads the checkpoint."""
        fusion = inference.InferenceGraph(FusionSettings(checkpoint))
        image = tf.TensorSpec([1, None, None, 1], tf.float32)

        @tf.function(input_signature=[image] * _NUM_SOURCES, autograph=False)
        def run(*sources):
            features = [tf.concat(fusion.encode(source), -1) for source in sources]
            maps = [activity.activity_level_map(each, _RADIUS) for each in features]
            maps += activity.l1_norm_weights(features, _RADIUS)
            return tf.concat(maps, axis=-1)[0]

        self._run = run

    def compute(self, sources: Sequence[np.ndarray]) -> Maps:
        """Computes the maps of a pair, of the luma where there is colour.

        Args:
          sources: Two arrays [H, W] or [H, W, 3] of one size, in 0..255.
        """
        channels = [pixels.gray(source).astype(np.float32) for source in sources]
        height, width = channels[0].shape
        rows = fuser.rows_of_band(FusionSettings.memory_budget, width, _NUM_SOURCES)
        maps = np.empty((height, width, 2 * _NUM_SOURCES), np.float32)
        for band in bands.split(height, rows, margin=_MARGIN):
            outer = [
                tf.constant(each[band.outer][None, :, :, None]) for each in channels
            ]
            first, end = (
                row - band.outer.start for row in (band.inner.start, band.inner.stop)
            )
            maps[band.inner] = self._run(*outer).numpy()[first:end]
        planes = np.moveaxis(maps, -1, 0)
        return Maps(planes[:_NUM_SOURCES], planes[_NUM_SOURCES:])


def activity_picture(activity: np.ndarray, greatest: float) -> np.ndarray:
    """Colours an activity level map [H, W] from black (0) over red to light yellow.

    Returns:
      uint8 [H, W, 3], light yellow at the greatest value.
    """
    return palettes.colored(
        activity / greatest if greatest else activity, _ACTIVITY_COLORS
    )


def weight_picture(weight: np.ndarray) -> np.ndarray:
    """Colours a map of weights [H, W] from blue (0) over white (1/2) to red (1).

    Returns:
      uint8 [H, W, 3].
    """
    return palettes.colored(weight, _WEIGHT_COLORS)
