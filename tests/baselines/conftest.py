"""Pairs and golden images shared by the tests of the methods."""

import pathlib
from collections.abc import Callable

import imageio.v3 as iio
import numpy as np
import pytest


@pytest.fixture(scope="session")
def scene() -> Callable:
    """Makes a pair [H, W] uint8 with edges, textures, flat parts and noise."""

    def make(height: int, width: int, *, seed: int = 0) -> tuple[np.ndarray, ...]:
        random = np.random.default_rng(seed)
        y, x = np.mgrid[:height, :width]
        ir = 70 + 50 * np.sin(x / 9 + seed) + 120 * (np.hypot(y - 9, x - 8) < 5)
        vis = 120 + 70 * np.cos(y / 7 - x / 5) - 60 * (x > width / 2)
        ir, vis = (image + random.normal(0, 5, image.shape) for image in (ir, vis))
        return tuple(np.clip(image, 20, 230).astype(np.uint8) for image in (ir, vis))

    return make


@pytest.fixture(scope="session")
def tno(shared: pathlib.Path) -> Callable:
    """Reads a pair of ../shared/tno by its number."""

    def read(number: int) -> tuple[np.ndarray, np.ndarray]:
        ir, vis = (
            iio.imread(shared / "tno" / f"{name}{number}.png") for name in ("IR", "VIS")
        )
        return ir, vis

    return read


@pytest.fixture(scope="session")
def golden(shared: pathlib.Path) -> Callable:
    """Reads the image, or the values before rounding, that a method makes of a pair."""

    def read(method: str, number: int, *, raw: bool = False) -> np.ndarray:
        folder = shared / "methods" / method
        if raw:
            return np.load(folder / f"raw{number}.npy")
        return iio.imread(folder / f"fused{number}.png")

    return read
