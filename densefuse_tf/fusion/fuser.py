"""From source images, as they are stored, to the fused image.

`Fuser` and `fuse` bring arrays to the network's range, fuse each channel (IV-D) and
bring the decoder's output back to 8 bits.
"""

import functools
import math
import os
from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from densefuse_tf.errors import UserError
from densefuse_tf.fusion import graph
from densefuse_tf.fusion import tiles
from densefuse_tf.fusion.output_range import average_divisor
from densefuse_tf.fusion.output_range import to_uint8
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import pixels
from densefuse_tf.model import checkpoints
from densefuse_tf.model import network
from densefuse_tf.model import strategies

_CHANNELS = 3
# An image of more pixels is computed in tiles, if nothing else is asked for.
MAX_WHOLE_PIXELS = 2048 * 2048
# The memory that a tile of automatic size may take, and that computing takes for each
# pixel: a share of its own and one for each source. All in bytes.
_TILE_BYTES = 2**30
_BYTES_PER_PIXEL = 600
_BYTES_PER_SOURCE_PIXEL = 300
# Floats may lie outside of 0..255 by this much, which is left by earlier arithmetic.
TOLERANCE = 0.5


class Fused(NamedTuple):
    """Holds a fused image and what it was made of.

    Attributes:
      image: uint8, [H, W] or [H, W, 3].
      raw: The decoder's output, float32, [H, W] or [H, W, 3]; [H, W] with color="luma".
    """

    image: np.ndarray
    raw: np.ndarray


class Fuser:
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
        self.num_sources = settings.num_sources
        self.output_range = settings.output_range
        self._color = settings.color
        self._divisor = average_divisor(settings.strategy, settings.num_sources)
        self._graph = _compiled(model)
        # A strategy that looks at the whole image has to see it.
        self._tile_size = 0 if radius is None else settings.tile_size
        self.margin = network.RECEPTIVE_RADIUS + (radius or 0)

    def raw(
        self,
        sources: Sequence[np.ndarray],
        *,
        names: Sequence[str] | None = None,
        are_scaled: bool = False,
    ) -> np.ndarray:
        """Computes the decoder's output for k source images; see `fuse`.

        Returns:
          [H, W] float32, or [H, W, 3] where the channels were fused one by one.
        """
        return self._raw(*self._prepared(sources, names, are_scaled))

    def fuse(
        self,
        sources: Sequence[np.ndarray],
        *,
        names: Sequence[str] | None = None,
        output_range: str | tuple[float, float] | None = None,
        are_scaled: bool = False,
    ) -> Fused:
        """Fuses k source images.

        Args:
          sources: k arrays [H, W] or [H, W, 3] of one size, at least 2x2. uint8 is
            taken as it is, uint16 is stretched from its own minimum and maximum to
            0..255, floats have to be in 0..255 already (`pixels.to_pixel_range` brings
            it there).
          names: What to call the sources in an error; by default ir and vis, or
            source_1 ... source_k.
          output_range: What `to_uint8` takes, for this call instead of the settings':
            the frames of a sequence do not flicker with (min, max) that hold for all.
          are_scaled: Whether floats are known to be in 0..255, as `to_pixel_range`
            leaves them. Otherwise an image of floats whose largest is at most 1 counts
            as one in 0..1 and is refused; all zeros are black on either scale.

        Returns:
          The image and the decoder's output that it was made of.

        Raises:
          UserError: Not k sources, sizes that differ, an array that is no image, or
            floats in 0..1.
        """
        prepared, color = self._prepared(sources, names, are_scaled)
        raw = self._raw(prepared, color)
        if output_range is None:
            output_range = self.output_range
        image = to_uint8(raw, output_range, self._divisor)
        if color == "luma":
            chroma = [source for source in prepared if pixels.is_color(source)]
            if chroma:
                image = _with_chroma(image, chroma[-1])
        return Fused(image, raw)

    def _prepared(self, sources, names, are_scaled) -> tuple[list[np.ndarray], str]:
        """Brings the sources to 0..255, and finds the colour mode that "auto" means."""
        names = graph.source_names(self.num_sources) if names is None else names
        if len(sources) != self.num_sources:
            raise UserError(
                f"{len(sources)} source images given: expected {self.num_sources}"
            )
        for source, name in zip(sources, names, strict=True):
            pixels.check(source, name)
            if not are_scaled:
                pixels.require_bytes_scale(source, name)
        pixels.require_same_size([source.shape[:2] for source in sources], names)
        prepared = [
            _as_pixels(source, name)
            for source, name in zip(sources, names, strict=True)
        ]
        color = self._color
        if color == "auto":
            has_color = any(pixels.is_color(source) for source in prepared)
            color = "rgb" if has_color else "gray"
        return prepared, color

    def _raw(self, prepared: Sequence[np.ndarray], color: str) -> np.ndarray:
        if color != "rgb":
            return self._fuse_channel([_luma(source) for source in prepared])
        # One channel after the other: as fast as a batch of three, in a third of the
        # memory.
        raw = np.empty((*prepared[0].shape[:2], _CHANNELS), np.float32)
        for index in range(_CHANNELS):
            channels = [_channel(source, index) for source in prepared]
            raw[:, :, index] = self._fuse_channel(channels)
        return raw

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
      **settings: The other fields of `FusionSettings`: strategy ("addition" or
        "l1_norm"), window_radius, output_range ("minmax" or "average"), color ("auto",
        "gray", "rgb" or "luma") and tile_size.

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


def _as_pixels(source: np.ndarray, name: str) -> np.ndarray:
    """Brings a source to 0..255, uint8 or float32; see `Fuser.fuse`."""
    if source.dtype == np.uint8:
        return source
    if source.dtype == np.uint16:
        return pixels.to_pixel_range(source)[0]
    low, high = source.min(), source.max()
    if low < -TOLERANCE or high > 255 + TOLERANCE:
        raise UserError(
            f"{name} has values of {low:g}..{high:g}: expected 0..255; "
            "densefuse_tf.io.pixels.to_pixel_range brings them there"
        )
    return source.astype(np.float32, copy=False)


def _luma(source: np.ndarray) -> np.ndarray:
    return pixels.gray(source) if source.ndim == 3 else source


def _channel(source: np.ndarray, index: int) -> np.ndarray:
    return source[:, :, index] if source.ndim == 3 else source


def _with_chroma(luma: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Gives the fused luma [H, W] uint8 the colours of `source` [H, W, 3]."""
    image = np.empty(source.shape, np.uint8)
    for rows in pixels.row_bands(source):
        ycbcr = pixels.to_ycbcr(source[rows].astype(np.float32))
        ycbcr[:, :, 0] = luma[rows]
        image[rows] = to_uint8(pixels.from_ycbcr(ycbcr), "average")
    return image
