"""From source images, as they are stored, to the fused image.

`Fuser` and `fuse` bring arrays to the network's range, fuse each channel (IV-D) and
bring the decoder's output back to 8 bits.
"""

import functools
import math
import os
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from densefuse_tf.errors import UserError
from densefuse_tf.fusion import graph
from densefuse_tf.fusion import tiles
from densefuse_tf.fusion.channels import ChannelFuser
from densefuse_tf.fusion.output_range import average_divisor
from densefuse_tf.fusion.output_range import to_uint8
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.model import checkpoints
from densefuse_tf.model import network
from densefuse_tf.model import strategies
from densefuse_tf.model import strategy_modules

# An image of more pixels is computed in tiles, if nothing else is asked for.
MAX_WHOLE_PIXELS = 2048 * 2048
# The memory that a tile of automatic size may take, and that computing takes for each
# pixel: a share of its own and one for each source. All in bytes.
_TILE_BYTES = 2**30
_BYTES_PER_PIXEL = 600
_BYTES_PER_SOURCE_PIXEL = 300


class Fuser(ChannelFuser):
    """Fuses images with one graph that is built once, for any number and any size.

    Not safe to call from several threads at a time; one call uses all cores.

    Attributes:
      num_sources: k, the number of sources of each call.
      output_range: The output range of the settings.
      margin: The distance, in pixels, up to which neighbours influence a pixel.
    """

    def __init__(self, settings: FusionSettings):
        """Loads the checkpoint and builds the graph.

        Raises:
          UserError: One of the settings cannot be used.
        """
        strategy_modules.load(settings.strategy_module)
        radius = strategies.get(settings.strategy).radius(settings.window_radius)
        if settings.tile_size and radius is None:
            raise UserError(
                f"tile_size is {settings.tile_size}, but the strategy "
                f"{settings.strategy!r} is registered without a reach: its images are "
                "computed whole, expected 0"
            )
        model = graph.load_inference_model(
            settings.checkpoint,
            strategy=settings.strategy,
            num_sources=settings.num_sources,
            window_radius=settings.window_radius,
        )
        super().__init__(
            settings.num_sources, settings.color, settings.output_range, np.float32
        )
        self._divisor = average_divisor(settings.strategy, settings.num_sources)
        self._graph = _compiled(model)
        # A strategy that looks at the whole image has to see it.
        self._tile_size = 0 if radius is None else settings.tile_size
        self.margin = network.RECEPTIVE_RADIUS + (radius or 0)

    def _to_uint8(self, raw, output_range):
        return to_uint8(raw, output_range, self._divisor)

    def _fuse_channel(self, channels: Sequence[np.ndarray]) -> np.ndarray:
        """Fuses k arrays [H, W], whole or in tiles, into raw output [H, W] float32."""
        height, width = channels[0].shape
        size = self._tile_size
        if size is None and height * width > MAX_WHOLE_PIXELS:
            size = automatic_tile_size(self.num_sources, self.margin)
        if not size:
            return self._compute(channels)
        raw = np.empty((height, width), np.float32)
        for tile in tiles.split(height, width, size, self.margin):
            computed = self._compute([channel[tile.outer] for channel in channels])
            raw[tile.inner] = computed[tile.where]
        return raw

    def _compute(self, channels: Sequence[np.ndarray]) -> np.ndarray:
        """Runs the graph on k arrays [H, W]."""
        batches = [
            tf.constant(channel[None, :, :, None], tf.float32) for channel in channels
        ]
        raw = self._graph(*batches).numpy()[0, :, :, 0]
        if not np.isfinite(raw).all():
            raise UserError(
                "the decoder's output is not finite: expected a checkpoint and a "
                "strategy that do not overflow"
            )
        return raw


def fuse(
    sources: Sequence[np.ndarray],
    checkpoint: str | os.PathLike = FusionSettings.checkpoint,
    **settings,
) -> np.ndarray:
    """Fuses k source images of one scene with DenseFuse.

    The graph is kept: a second call with the same settings only computes.

    Args:
      sources: k >= 2 arrays, as `Fuser.fuse` takes them; for a pair infrared first.
      checkpoint: As `checkpoints.load_autoencoder` takes it.
      **settings: The other fields of `FusionSettings`: strategy (one of
        `strategies.names()`), window_radius, output_range ("minmax" or "average"),
        color ("auto", "gray", "rgb" or "luma") and tile_size.

    Returns:
      The fused image, uint8, [H, W] or [H, W, 3].

    Raises:
      UserError: One of the arguments cannot be used.
    """
    if isinstance(sources, np.ndarray) or isinstance(checkpoint, np.ndarray):
        raise UserError(
            "fuse: an array is given where a list of them is expected: pass "
            'fuse([infrared, visible]), or fuse([infrared, visible], checkpoint="1e2")'
        )
    path = checkpoints.locate(checkpoint)
    chosen = FusionSettings(path, num_sources=len(sources), **settings)
    strategy_modules.load(chosen.strategy_module)
    fuser = _kept_fuser(
        chosen, checkpoints.modified(path), strategies.get(chosen.strategy)
    )
    return fuser.fuse(sources).image


@functools.lru_cache(maxsize=8)
def _kept_fuser(
    settings: FusionSettings, modified: int, registered: strategies.Strategy
) -> Fuser:
    # Parts of the key: a checkpoint written anew is read anew, and a strategy
    # registered anew is used.
    del modified, registered
    return Fuser(settings)


def automatic_tile_size(num_sources: int, margin: int) -> int:
    """Chooses the side of tiles that, with their margins, take about a gigabyte each.

    Where the margins would fill more than half of that, the tile keeps half of the side
    and takes more memory, so that the time does not grow without limit.
    """
    pixel = _BYTES_PER_PIXEL + num_sources * _BYTES_PER_SOURCE_PIXEL
    outer = math.isqrt(_TILE_BYTES // pixel)
    return max(outer - 2 * margin, outer // 2)


def _compiled(model: keras.Model):
    """Compiles the model into one TensorFlow graph for any batch, height and width."""
    image = tf.TensorSpec([None, None, None, 1], tf.float32)

    @tf.function(input_signature=[image] * len(model.inputs), autograph=False)
    def run(*sources):
        return model(list(sources), training=False)

    return run
