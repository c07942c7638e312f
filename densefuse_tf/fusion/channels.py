"""The colour of fused images: which channels are fused, and what becomes of them.

Importing this module needs no TensorFlow.
"""

import abc
import os
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from absl import logging

from densefuse_tf.errors import UserError
from densefuse_tf.fusion.settings import COLOR_MODES
from densefuse_tf.fusion.settings import OUTPUT_RANGES
from densefuse_tf.fusion.settings import PALETTES
from densefuse_tf.fusion.settings import ColorMode
from densefuse_tf.fusion.settings import OutputRange
from densefuse_tf.fusion.settings import Palette
from densefuse_tf.io import images
from densefuse_tf.io import palettes
from densefuse_tf.io import pixels
from densefuse_tf.io import radiometric
from densefuse_tf.setting import pick_choice

_Fuser = TypeVar("_Fuser", bound="ChannelFuser")
_CHANNELS = 3
_PAIR = 2
# Floats may lie outside of 0..255 by this much, which is left by earlier arithmetic.
TOLERANCE = 0.5


class Fused(NamedTuple):
    """Holds a fused image and what it was made of.

    Attributes:
      image: uint8, [H, W] or [H, W, 3].
      raw: What the channels were fused into: of DenseFuse the decoder's output,
        float32, of another method its 8-bit result. [H, W] or [H, W, 3]; [H, W] with
        color="luma" and "thermal".
    """

    image: np.ndarray
    raw: np.ndarray


class ChannelFuser(abc.ABC):
    """Fuses images of any colour by means of what fuses one channel (IV-D).

    Attributes:
      num_sources: k, the number of sources of each call.
      color: One of `settings.COLOR_MODES`.
      output_range: What `output_range.to_pixels` takes unless a call says something
        else; "average" where each channel comes in 8 bits already.
      palette: One of `settings.PALETTES`, for color="thermal".
      raw_scale: Fused channels span about 0..255 times this; None where they come in 8
        bits.
    """

    raw_scale: int | None = None

    def __init__(self, settings: Any, output_range: str, dtype: type[np.generic]):
        """Takes settings with num_sources, color and palette.

        `dtype` is that of a fused channel.
        """
        self._settings = settings
        self.num_sources = settings.num_sources
        self.output_range = output_range
        self.palette = settings.palette
        self.color = settings.color
        self._dtype = dtype

    def with_output(
        self: _Fuser,
        *,
        color: ColorMode,
        output_range: OutputRange,
        palette: Palette = PALETTES[0],
    ) -> _Fuser:
        """Returns one that shares the graph and makes other images of it."""
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        other.color = pick_choice("color", color, COLOR_MODES)
        other.output_range = pick_choice("output_range", output_range, OUTPUT_RANGES)
        other.palette = pick_choice("palette", palette, PALETTES)
        return other

    @abc.abstractmethod
    def _fuse_channel(self, channels: Sequence[np.ndarray]) -> np.ndarray:
        """Fuses k arrays [H, W] of 0..255, uint8 or float32, into one."""

    @abc.abstractmethod
    def _to_pixels(
        self, raw: np.ndarray, output_range: str | tuple[float, float]
    ) -> np.ndarray:
        """Turns fused channels, [H, W] or [H, W, 3], into pixels."""

    def raw(
        self,
        sources: Sequence[images.Source],
        *,
        names: Sequence[str] | None = None,
        are_scaled: bool = False,
    ) -> np.ndarray:
        """Fuses the channels of k source images and leaves them so; see `fuse`.

        Returns:
          [H, W], or [H, W, 3] where the channels were fused one by one.
        """
        return self._fused(*self._prepared(sources, names, are_scaled))

    def fuse(
        self,
        sources: Sequence[images.Source],
        *,
        names: Sequence[str] | None = None,
        output_range: OutputRange | tuple[float, float] | None = None,
        are_scaled: bool = False,
        ranges: Sequence[pixels.ValueRange | None] | None = None,
    ) -> Fused:
        """Fuses k source images.

        Args:
          sources: k images of one size, at least 2x2: paths of files, images of Pillow,
            or arrays [H, W] or [H, W, 3]. uint8 is taken as it is, uint16 is stretched
            from its own minimum and maximum to 0..255, and floats have to be in 0..255
            already (`pixels.to_pixel_range` brings them there). If the infrared image
            of a pair is the file of a FLIR camera, its temperatures are stretched to
            0..255.
          names: What to call the sources in an error; by default their files, else
            ir and vis, or source_1 ... source_k.
          output_range: As `output_range.to_pixels` takes it, for this call: frames of a
            sequence do not flicker with (min, max) that hold for all.
          are_scaled: Whether floats are known to be in 0..255, as `to_pixel_range`
            leaves them. Otherwise an image of floats whose largest is at most 1 counts
            as one in 0..1 and is refused; all zeros are black on either scale.
          ranges: For each source the values that become 0 and 255, as
            `pixels.to_pixel_range` takes them; None treats a source as described above.

        Returns:
          The image and the fused channels that it was made of.

        Raises:
          UserError: There are not k sources, their sizes differ, an array is no image
            or has floats in 0..1, or the images cannot be fused.
        """
        prepared, color, names = self._prepared(sources, names, are_scaled, ranges)
        raw = self._fused(prepared, color, names)
        chosen = self.output_range if output_range is None else output_range
        if isinstance(chosen, str):
            chosen = pick_choice("output_range", chosen, OUTPUT_RANGES)
        image = self._to_pixels(raw, chosen)
        if color == "luma":
            chroma = [source for source in prepared if pixels.is_color(source)]
            if chroma:
                image = _with_chroma(image, chroma[-1])
        elif color == "thermal":
            image = palettes.shaded(image, pixels.gray(prepared[0]), self.palette)
        return Fused(image, raw)

    def _prepared(
        self, sources, names, are_scaled, ranges=None
    ) -> tuple[list[np.ndarray], str, Sequence[str]]:
        """Brings the sources to 0..255; finds what "auto" means, and the names."""
        names = source_names(self.num_sources, sources) if names is None else names
        if len(sources) != self.num_sources:
            raise UserError(
                f"{len(sources)} source images given: expected {self.num_sources}"
            )
        ranges = ranges or [None] * self.num_sources
        if len(ranges) != self.num_sources:
            raise UserError(f"{len(ranges)} ranges given: expected {self.num_sources}")
        sources, are_celsius = load_sources(sources, names)
        if are_celsius:
            ranges = [ranges[0] or "auto", *ranges[1:]]
        for index, (name, value_range) in enumerate(zip(names, ranges, strict=True)):
            pixels.check(sources[index], name, any_values=value_range is not None)
            source = sources[index] = pixels.native(sources[index])
            if value_range is not None:
                sources[index] = pixels.to_pixel_range(source, value_range)[0]
                # A camera goes on where a shutter closes: it is told, and no more.
                if said := pixels.outside(source, value_range):
                    logging.warning("%s: %s", name, said)
            elif not are_scaled:
                pixels.require_bytes_scale(source, name)
        pixels.require_same_size([source.shape[:2] for source in sources], names)
        prepared = [
            _as_pixels(source, name)
            for source, name in zip(sources, names, strict=True)
        ]
        color = self.color
        if color == "auto":
            has_color = any(pixels.is_color(source) for source in prepared)
            color = "rgb" if has_color else "gray"
        return prepared, color, names

    def _fused(
        self, prepared: Sequence[np.ndarray], color: str, names: Sequence[str]
    ) -> np.ndarray:
        """Fuses the luma, or all channels."""
        try:
            if color != "rgb":
                return self._fuse_channel([pixels.gray(source) for source in prepared])
            return self._fuse_color(prepared)
        except UserError as error:
            raise UserError(f"{' and '.join(names)}: {error}") from error

    def _fuse_color(self, sources: Sequence[np.ndarray]) -> np.ndarray:
        """Fuses k images [H, W] or [H, W, 3], one channel after the other.

        That is as fast as a batch of three, in a third of the memory.
        """
        raw = np.empty((*sources[0].shape[:2], _CHANNELS), self._dtype)
        for index in range(_CHANNELS):
            channels = [_channel(source, index) for source in sources]
            raw[:, :, index] = self._fuse_channel(channels)
        return raw


def source_names(num_sources: int, sources: Sequence = ()) -> tuple[str, ...]:
    """Names the sources: ir and vis, or source_1 ... source_k where k is not 2.

    Those of `sources` that are files have the names of these.
    """
    names = [f"source_{index + 1}" for index in range(num_sources)]
    if num_sources == 2:
        names = ["ir", "vis"]
    for index, source in enumerate(sources[:num_sources]):
        if isinstance(source, str | os.PathLike):
            names[index] = os.fspath(source)
    return tuple(names)


def load_sources(
    sources: Sequence[images.Source], names: Sequence[str]
) -> tuple[list[np.ndarray], bool]:
    """Returns the arrays of sources, and whether the first one is degrees Celsius.

    That is so where the infrared image of a pair is a radiometric file that is read.
    """
    arrays, are_celsius = [], False
    first = sources[0] if len(sources) == _PAIR else None
    if isinstance(first, str | os.PathLike) and radiometric.maker(first):
        found = radiometric.read_infrared(first)
        if found.warning:
            logging.warning("%s", found.warning)
        arrays, are_celsius = [found.image], found.are_celsius
    others = list(zip(sources, names, strict=True))[len(arrays) :]
    return [*arrays, *(images.load(*each) for each in others)], are_celsius


def _as_pixels(source: np.ndarray, name: str) -> np.ndarray:
    """Brings a source to 0..255, uint8 or float32; see `ChannelFuser.fuse`."""
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


def _channel(source: np.ndarray, index: int) -> np.ndarray:
    return source[:, :, index] if source.ndim == 3 else source


def _with_chroma(luma: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Gives the fused luma [H, W] uint8 the colours of `source` [H, W, 3]."""
    image = np.empty(source.shape, np.uint8)
    for rows in pixels.row_bands(source):
        ycbcr = pixels.to_ycbcr(source[rows].astype(np.float32))
        ycbcr[:, :, 0] = luma[rows]
        image[rows] = pixels.to_uint8(pixels.from_ycbcr(ycbcr))
    return image
