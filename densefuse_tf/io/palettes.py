"""Palettes: the colours that show values, alone or in the brightness of another image.

The first five are perceptually even: equal steps of value look equally far apart. They
are those of matplotlib (S. van der Walt, N. Smith and others, CC0), at equal distances
and linear in between.
"""

import functools
from collections.abc import Sequence

import numpy as np

from densefuse_tf.io import pixels

# Colours from the lowest to the highest value, at equal distances, in hexadecimals.
_COLORS = {
    "inferno": "000004 0b0724 210c4a 3c0965 57106d 70196e 89226a a32b61 bb3755 "
    "d14644 e35932 f1711e f98d0a fcab0f f9ca32 f2e865 fcffa4",
    "magma": "000004 0a0822 1d1146 36106a 50127c 691c81 822681 9c2e7f b63779 "
    "cf4170 e65163 f5695c fb8761 fea571 fec387 fde0a2 fcfdbf",
    "plasma": "0d0887 310596 4c02a1 6600a7 7e03a8 9511a2 a92396 bb3587 cb4778 "
    "d9596a e66c5c f07f4f f89441 fdab33 fdc328 f9dd25 f0f921",
    "viridis": "440154 48186a 472d7b 424086 3b528b 33638d 2c728e 26818e 21908c "
    "1f9f88 28ae80 3ebc74 5dc963 82d34c abdc32 d5e21a fde725",
    "cividis": "00224e 002e6a 1a386f 32436d 434e6c 52596d 61656f 6f7073 7c7b78 "
    "8b8778 9b9376 aba072 bbad6c ccba64 ddc958 efd748 fee838",
    # As thermal cameras have it: black, blue, red, orange, yellow, white.
    "iron": "00000a 1e0078 8a0f96 d23c5a f08200 fcd200 ffffff",
    "rainbow": "000080 0050ff 00d0c0 40e040 f0f000 ff8000 d00000",
    "grey-hot": "000000 ffffff",
}
PALETTES = tuple(_COLORS)
_LEVELS = 256


def colored(values: np.ndarray, colors: Sequence[tuple[int, ...]]) -> np.ndarray:
    """Gives values the colours that lie at equal distances from 0 to 1.

    Args:
      values: In 0..1, any shape.
      colors: RGB in 0..255 of the lowest value to that of the highest one.

    Returns:
      uint8, of one dimension more.
    """
    stops = np.linspace(0, 1, len(colors))
    channels = [
        np.interp(values, stops, channel) for channel in zip(*colors, strict=True)
    ]
    return pixels.to_uint8(np.stack(channels, axis=-1))


@functools.cache
def levels(name: str) -> np.ndarray:
    """Returns the colours of the values 0..255, uint8 [256, 3]; `name` is a palette."""
    colors = [tuple(bytes.fromhex(text)) for text in _COLORS[name].split()]
    return colored(np.linspace(0, 1, _LEVELS), colors)


def shaded(luma: np.ndarray, values: np.ndarray, name: str) -> np.ndarray:
    """Shows values by the colours of a palette, in the brightness of another image.

    What a palette's colour has beside its luma is added to the brightness, or as much
    of it as there is room for: hue and brightness are as they should be, and black and
    white have no colour.

    Args:
      luma: The brightness, [H, W] uint8.
      values: In 0..255, [H, W], rounded.
      name: One of `PALETTES`.

    Returns:
      uint8 [H, W, 3].
    """
    return _shades(name)[luma, pixels.to_uint8(values)]


@functools.cache
def _shades(name: str) -> np.ndarray:
    """Returns the colours for each brightness and value, uint8 [256, 256, 3]."""
    colors = levels(name).astype(np.float32)
    chroma = (colors - pixels.gray(colors[None])[0, :, None])[None]
    luma = np.arange(_LEVELS, dtype=np.float32)[:, None, None]
    room = np.where(chroma > 0, 255 - luma, luma)
    share = (room / np.maximum(np.abs(chroma), 1e-6)).min(axis=2, keepdims=True)
    return pixels.to_uint8(luma + np.minimum(share, 1) * chroma)
