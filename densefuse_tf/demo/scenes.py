"""Makes source images of a photograph: focal planes and exposures, the truth known."""

import importlib.resources
from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

from densefuse_tf.io import images
from densefuse_tf.io import pixels

# Pixels over which one depth turns into the next.
_EDGE_SIGMA = 2.0
# How coarse the random depths are, as a share of the shorter side.
_DEPTH_SCALE = 1 / 8


def photograph(name: str, width: int) -> np.ndarray:
    """Reads a photograph inside the scikit-image package and reduces it.

    Args:
      name: The file's name in skimage.data; nothing is downloaded.
      width: The width to which it is reduced in proportion, in pixels.

    Returns:
      uint8 [H, width, 3].
    """
    resource = importlib.resources.files("skimage.data") / name
    with importlib.resources.as_file(resource) as path:
        whole = Image.fromarray(images.read(path))
    size = (width, round(whole.height * width / whole.width))
    return np.asarray(whole.resize(size, Image.Resampling.LANCZOS))


def strips(shape: tuple[int, int], count: int) -> np.ndarray:
    """Divides an image into strips side by side, each in focus in one source.

    Args:
      shape: Height and width.
      count: k, the number of strips.

    Returns:
      [k, H, W] float64, the share of each strip at each pixel; they sum to 1. Over a
      fifth of the width one strip turns into the next.
    """
    place = np.linspace(0.0, 1.0, shape[1])
    borders = np.arange(1, count)[:, None] / count
    steps = np.clip((place - borders) / 0.2 + 0.5, 0.0, 1.0)
    steps = steps * steps * (3.0 - 2.0 * steps)
    ends = np.concatenate([np.ones((1, shape[1])), steps, np.zeros((1, shape[1]))])
    shares = ends[:-1] - ends[1:]
    return np.broadcast_to(shares[:, None], (count, *shape))


def depths(
    shape: tuple[int, int], count: int, random: np.random.Generator
) -> np.ndarray:
    """Divides an image into irregular regions, as things at k depths do.

    White noise under a wide Gaussian is a smooth relief; its quantiles divide it into
    k depths of the same area, whose edges are softened over a few pixels.

    Args:
      shape: Height and width.
      count: k, the number of depths.
      random: Where the noise comes from.

    Returns:
      [k, H, W] float64, the share of each depth at each pixel; they sum to 1.
    """
    noise = random.standard_normal(shape)
    relief = ndimage.gaussian_filter(noise, min(shape) * _DEPTH_SCALE)
    borders = np.quantile(relief, np.arange(1, count) / count)
    depth = np.searchsorted(borders, relief)
    regions = (depth == np.arange(count)[:, None, None]).astype(np.float64)
    return ndimage.gaussian_filter(regions, (0, _EDGE_SIGMA, _EDGE_SIGMA))


def focal_planes(
    photo: np.ndarray, shares: np.ndarray, sigma: float = 3.0
) -> list[np.ndarray]:
    """Makes k images of one photograph, each in focus in one part only.

    Args:
      photo: uint8 [H, W] or [H, W, 3], in focus everywhere: the truth.
      shares: [k, H, W], what `strips` or `depths` returns.
      sigma: Standard deviation of the Gaussian that blurs the rest, in pixels.

    Returns:
      k images, uint8 of the photograph's shape.
    """
    sharp = photo.astype(np.float64)
    blurred = ndimage.gaussian_filter(sharp, (sigma, sigma, 0)[: photo.ndim])
    if photo.ndim == 3:
        shares = shares[..., None]
    mixed = (share * sharp + (1.0 - share) * blurred for share in shares)
    return [pixels.to_uint8(image) for image in mixed]


def exposures(
    photo: np.ndarray, stops: Sequence[float], spread: float = 3.0
) -> list[np.ndarray]:
    """Makes exposures of a scene whose light ranges too far for any one of them.

    The photograph's linear light (sRGB's curve undone) is the reflectance R. The scene
    is lit from the right: over the width the light grows from 2^-spread to 2^spread.
    An exposure of e stops is sRGB(min(R light 2^e, 1)), rounded to 8 bits: the sensor
    saturates at 1.

    Args:
      photo: uint8 [H, W] or [H, W, 3], in sRGB.
      stops: e of each exposure.
      spread: Half the range of the light, in stops.

    Returns:
      The exposures, uint8 of the photograph's shape.
    """
    value = photo / 255.0
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    light = 2.0 ** np.linspace(-spread, spread, photo.shape[1])
    radiance = linear * (light if photo.ndim == 2 else light[:, None])
    return [_developed(radiance * 2.0**each) for each in stops]


def _developed(radiance: np.ndarray) -> np.ndarray:
    """Clips linear light to 0..1 and encodes it as 8-bit sRGB."""
    linear = np.clip(radiance, 0.0, 1.0)
    curved = 1.055 * linear ** (1 / 2.4) - 0.055
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, curved)
    return pixels.to_uint8(255.0 * encoded)
