"""Fusion: a trained autoencoder and a strategy become a graph with k sources (Fig. 3).

The encoder is shared by the sources, the fusion layer sits between encoder and decoder.
`fusion_model` is that graph for one channel; `Fuser` and `fuse` take arrays as images
are stored, bring them to the network's range, fuse each channel (IV-D) and bring the
decoder's output back to 8 bits.
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
from densefuse_tf.fusion import tiles
from densefuse_tf.io import pixels
from densefuse_tf.model import checkpoints
from densefuse_tf.model import network
from densefuse_tf.model import strategies

OUTPUT_RANGES = ("minmax", "average")
COLOR_MODES = ("auto", "gray", "rgb", "luma")
_CHANNELS = 3
# An image of more pixels is computed in tiles, if nothing else is asked for.
MAX_WHOLE_PIXELS = 2048 * 2048
# What a tile of automatic size may take, in bytes, and what computing takes a pixel: so
# much, and so much more for each source.
_TILE_BYTES = 2**30
_BYTES_PER_PIXEL = 600
_BYTES_PER_SOURCE_PIXEL = 300
# How far floats may be outside of 0..255, where arithmetic has left them.
TOLERANCE = 0.5


def source_names(num_sources: int) -> tuple[str, ...]:
    """What the sources are called: ir and vis, or source_1 ... source_k for others."""
    if num_sources == 2:
        return ("ir", "vis")
    return tuple(f"source_{index + 1}" for index in range(num_sources))


def load_fusion_model(
    checkpoint: str | os.PathLike,
    *,
    strategy: str = "addition",
    num_sources: int = 2,
    window_radius: int = 1,
) -> keras.Model:
    """The fusion graph of a checkpoint; see `fusion_model`.

    Args:
      checkpoint: As `checkpoints.load_autoencoder` takes it.
      strategy: A registered strategy.
      num_sources: k, at least 2.
      window_radius: r of the block average (Eq. 6).

    Raises:
      UserError: One of the arguments cannot be used.
    """
    autoencoder = checkpoints.load_autoencoder(checkpoint)
    return fusion_model(
        autoencoder,
        strategy=strategy,
        num_sources=num_sources,
        window_radius=window_radius,
    )


def fusion_model(
    autoencoder: keras.Model,
    *,
    strategy: str = "addition",
    num_sources: int = 2,
    window_radius: int = 1,
) -> keras.Model:
    """The fusion graph made of a trained autoencoder (Fig. 3 of the paper).

    Saved as .keras it loads again with Keras's safe mode on, in a program that has
    imported this module (or the one with the strategy of your own).

    Args:
      autoencoder: From `network.autoencoder` or `checkpoints.load_autoencoder`;
        its layers are shared, not copied.
      strategy: A registered strategy.
      num_sources: k, at least 2.
      window_radius: r of the block average (Eq. 6), for the strategies that have one.

    Returns:
      A model with the inputs ir and vis (source_1 ... source_k where k is not 2), each
      [batch, H, W, 1] float32 in 0..255, H and W at least 2. Its output is the
      decoder's, [batch, H, W, 1] float32: it spans about 0..255, or 0..255k where the
      strategy adds.

    Raises:
      UserError: Unknown strategy, fewer than two sources or a negative radius.
    """
    if num_sources < 2:
        raise UserError(f"num_sources is {num_sources}: fusion takes 2 or more")
    encoder = autoencoder.get_layer("encoder")
    decoder = autoencoder.get_layer("decoder")
    sources = [
        keras.Input((None, None, 1), name=name, dtype="float32")
        for name in source_names(num_sources)
    ]
    fusion_layer = strategies.layer(strategy, window_radius=window_radius)
    fused = decoder(fusion_layer([encoder(source) for source in sources]))
    return keras.Model(sources, fused, name="densefuse_fusion")


def load_inference_model(
    checkpoint: str | os.PathLike,
    *,
    strategy: str = "addition",
    num_sources: int = 2,
    window_radius: int = 1,
) -> keras.Model:
    """`load_fusion_model` made of the quicker layers: what `Fuser` computes with.

    Its outputs differ from those of `load_fusion_model` by rounding. See
    `network.ReflectionConv2D`.
    """
    trained = checkpoints.load_autoencoder(checkpoint)
    quick = network.autoencoder(dtype="float32", in_place=True)
    quick.set_weights(trained.get_weights())
    return fusion_model(
        quick,
        strategy=strategy,
        num_sources=num_sources,
        window_radius=window_radius,
    )


def average_divisor(strategy: str, num_sources: int) -> int:
    """What "average" divides by: k where the strategy adds, else 1."""
    return num_sources if strategies.get(strategy).scales_with_sources else 1


def to_uint8(
    raw: np.ndarray, output_range: str | tuple[float, float], divisor: float = 1
) -> np.ndarray:
    """The decoder's output as pixels: the one place where it becomes 8 bits.

    "minmax" is what the release does through scipy.misc.imsave and what Table II was
    made with: (x - min) * 255 / (max - min) + 0.5, truncated, with min and max over the
    whole array, all channels of an RGB result together. An output that is constant
    becomes 0, as there. With a pair of numbers these are min and max, whatever the
    array's own are, and what is outside is clipped: for the frames of a sequence.
    "average" is x / divisor, rounded and clipped to 0..255, which keeps brightness
    comparable between images.

    Args:
      raw: Decoder output, any shape, float32.
      output_range: One of `OUTPUT_RANGES`, or (min, max).
      divisor: Of "average": the number of sources where the strategy adds, else 1.

    Returns:
      uint8, same shape.
    """
    raw = np.asarray(raw, np.float32)
    # Large images: one array besides, and all further steps in place.
    fixed = not isinstance(output_range, str)
    if output_range == "average":
        pixels = raw / np.float32(divisor)
        np.rint(pixels, out=pixels)
        return np.clip(pixels, 0, 255, out=pixels).astype(np.uint8)
    low, high = map(np.float32, output_range if fixed else (raw.min(), raw.max()))
    # float32 throughout and one multiplication by the scale: the release's arithmetic.
    scale = np.float32(255) / (high - low) if high > low else np.float32(0)
    pixels = raw - low
    pixels *= scale
    pixels += np.float32(0.5)
    if fixed:
        np.clip(pixels, 0, 255, out=pixels)
    return pixels.astype(np.uint8)


class Fused(NamedTuple):
    """A fused image.

    Attributes:
      image: uint8, [H, W] or [H, W, 3].
      raw: The decoder's output, float32, [H, W] or [H, W, 3]; [H, W] with color="luma".
    """

    image: np.ndarray
    raw: np.ndarray


class Fuser:
    """Fuses images with one graph that is built once, for any number and any size.

    Not safe to call from several threads at a time; one call uses all cores.
    """

    def __init__(
        self,
        checkpoint: str | os.PathLike,
        *,
        strategy: str = "addition",
        num_sources: int = 2,
        window_radius: int = 1,
        output_range: str = "minmax",
        color: str = "auto",
        tile_size: int | None = None,
    ):
        """Loads the checkpoint and builds the graph.

        Args:
          checkpoint: As `checkpoints.load_autoencoder` takes it.
          strategy: A registered strategy.
          num_sources: k, at least 2.
          window_radius: r of the block average (Eq. 6).
          output_range: One of `OUTPUT_RANGES`; see `to_uint8`.
          color: "gray" fuses the luma of colour sources and gives a grey result; "rgb"
            fuses channel by channel (IV-D), a grey source paired with each channel of
            the others; "luma" fuses the luma and keeps the chroma of the last source
            that has colour, the visible one of a pair; "auto" is "rgb" where a source
            has colour, else "gray".
          tile_size: The largest side of the tiles in which an image is computed, which
            takes less memory and gives the same up to rounding. 0 computes all images
            whole; None those of up to `MAX_WHOLE_PIXELS`, and larger ones in tiles
            that take about a gigabyte each, if the strategy's reach is known.

        Raises:
          UserError: One of the arguments cannot be used.
        """
        _check_choice("output_range", output_range, OUTPUT_RANGES)
        _check_choice("color", color, COLOR_MODES)
        radius = strategies.get(strategy).radius(window_radius)
        _check_tile_size(tile_size, strategy, radius)
        model = load_inference_model(
            checkpoint,
            strategy=strategy,
            num_sources=num_sources,
            window_radius=window_radius,
        )
        self.num_sources = num_sources
        self.output_range = output_range
        self._color = color
        self._divisor = average_divisor(strategy, num_sources)
        self._graph = _compiled(model)
        # What looks at the whole image has to see it.
        self._tile_size = 0 if radius is None else tile_size
        self.margin = network.RECEPTIVE_RADIUS + (radius or 0)

    def raw(
        self, sources: Sequence[np.ndarray], *, names: Sequence[str] | None = None
    ) -> np.ndarray:
        """The decoder's output for k source images; see `fuse`.

        Returns:
          [H, W] float32, or [H, W, 3] where the channels were fused one by one.
        """
        return self._raw(*self._prepared(sources, names))

    def fuse(
        self,
        sources: Sequence[np.ndarray],
        *,
        names: Sequence[str] | None = None,
        output_range: str | tuple[float, float] | None = None,
    ) -> Fused:
        """Fuses k source images.

        Args:
          sources: k arrays [H, W] or [H, W, 3] of one size, at least 2x2. uint8 is
            taken as it is, uint16 is stretched from its own minimum and maximum to
            0..255, floats have to be in 0..255 already (`pixels.to_pixel_range` brings
            it there).
          names: What to call the sources in an error; by default ir and vis, or
            source_1 ... source_k.
          output_range: What `to_uint8` takes, for this call instead of the Fuser's:
            the frames of a sequence do not flicker with (min, max) that hold for all.

        Returns:
          The image and the decoder's output it was made of.

        Raises:
          UserError: Not k sources, sizes that differ, or an array that is no image.
        """
        prepared, color = self._prepared(sources, names)
        raw = self._raw(prepared, color)
        if output_range is None:
            output_range = self.output_range
        image = to_uint8(raw, output_range, self._divisor)
        if color == "luma":
            chroma = [source for source in prepared if pixels.is_color(source)]
            if chroma:
                image = _with_chroma(image, chroma[-1])
        return Fused(image, raw)

    def _prepared(self, sources, names) -> tuple[list[np.ndarray], str]:
        """The sources in 0..255, and the colour mode that "auto" means."""
        names = source_names(self.num_sources) if names is None else names
        if len(sources) != self.num_sources:
            raise UserError(
                f"{len(sources)} source images given: expected {self.num_sources}"
            )
        for source, name in zip(sources, names, strict=True):
            pixels.check(source, name)
        check_sizes(sources, names)
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
        """k arrays [H, W] -> the decoder's output [H, W] float32."""
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
        """The graph on k arrays [H, W]."""
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
    checkpoint: str | os.PathLike = "1e2",
    *,
    strategy: str = "addition",
    window_radius: int = 1,
    output_range: str = "minmax",
    color: str = "auto",
    tile_size: int | None = None,
) -> np.ndarray:
    """Fuses k source images of one scene with DenseFuse.

    The graph is kept: a second call with the same settings only computes.

    Args:
      sources: k >= 2 arrays, as `Fuser.fuse` takes them; for a pair infrared first.
      checkpoint: As `checkpoints.load_autoencoder` takes it.
      strategy: A registered strategy: "addition" (Eq. 4) or "l1_norm" (Eq. 5-7).
      window_radius: r of the block average (Eq. 6).
      output_range: "minmax" or "average"; see `to_uint8`.
      color: "auto", "gray", "rgb" or "luma"; see `Fuser`.
      tile_size: Of images computed in tiles; by default those above 2048x2048; see
        `Fuser`.

    Returns:
      The fused image, uint8, [H, W] or [H, W, 3].

    Raises:
      UserError: One of the arguments cannot be used.
    """
    path = checkpoints.locate(checkpoint)
    fuser = _kept_fuser(
        path,
        checkpoints.modified(path),
        strategies.get(strategy),
        strategy=strategy,
        num_sources=len(sources),
        window_radius=window_radius,
        output_range=output_range,
        color=color,
        tile_size=tile_size,
    )
    return fuser.fuse(sources).image


@functools.lru_cache(maxsize=8)
def _kept_fuser(path, modified, registered, **settings) -> Fuser:
    # Parts of the key: a checkpoint written anew is read anew, and a strategy
    # registered anew is used.
    del modified, registered
    return Fuser(path, **settings)


def automatic_tile_size(num_sources: int, margin: int) -> int:
    """The side of tiles that, with their margins, take about a gigabyte each.

    Margins of more than half of that leave a quarter of it to the tile: it then takes
    more memory, and not ever more time.
    """
    pixel = _BYTES_PER_PIXEL + num_sources * _BYTES_PER_SOURCE_PIXEL
    outer = math.isqrt(_TILE_BYTES // pixel)
    return max(outer - 2 * margin, outer // 2)


def check_sizes(sources: Sequence[np.ndarray], names: Sequence[str]) -> None:
    """Refuses source images of different height or width, by name."""
    first = sources[0].shape[:2]
    for source, name in zip(sources, names, strict=True):
        if source.shape[:2] != first:
            raise UserError(
                f"{names[0]} is {_size(sources[0])} and {name} is {_size(source)}: the "
                "source images of a pair must have the same size; register and crop "
                "them first"
            )


def _size(image: np.ndarray) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"


def _compiled(model: keras.Model):
    """The model as one TensorFlow graph for any batch, height and width."""
    image = tf.TensorSpec([None, None, None, 1], tf.float32)

    @tf.function(input_signature=[image] * len(model.inputs), autograph=False)
    def graph(*sources):
        return model(list(sources), training=False)

    return graph


def _as_pixels(source: np.ndarray, name: str) -> np.ndarray:
    """The source in 0..255, uint8 or float32; see `Fuser.fuse`."""
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
    """The fused luma [H, W] uint8 in the colours of `source` [H, W, 3]."""
    image = np.empty(source.shape, np.uint8)
    for rows in pixels.row_bands(source):
        ycbcr = pixels.to_ycbcr(source[rows].astype(np.float32))
        ycbcr[:, :, 0] = luma[rows]
        image[rows] = to_uint8(pixels.from_ycbcr(ycbcr), "average")
    return image


def _check_tile_size(tile_size: int | None, strategy: str, radius: int | None) -> None:
    if tile_size is None or tile_size == 0:
        return
    if tile_size < tiles.MIN_SIZE:
        raise UserError(
            f"tile_size is {tile_size}: expected 0 for no tiles, or at least "
            f"{tiles.MIN_SIZE}"
        )
    if radius is None:
        raise UserError(
            f"tile_size is {tile_size}, but the strategy {strategy!r} is registered "
            "without a reach: its images are computed whole, expected 0"
        )


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UserError(f"{name} is {value!r}: expected one of {', '.join(choices)}")
