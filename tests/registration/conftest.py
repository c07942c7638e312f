"""Scenes of which two unlike images are made, moved by a known transform."""

import numpy as np
import pytest
from skimage import draw
from skimage import transform

SHAPE = (180, 240)


def scene(seed: int, shape=SHAPE) -> np.ndarray:
    """Grey rectangles and discs over each other, [H, W] in 0..255."""
    random = np.random.default_rng(seed)
    image = np.full(shape, 100.0)
    for _ in range(40):
        y, x = random.uniform(0, shape)
        size = random.uniform(8, 40)
        value = random.uniform(0, 255)
        if random.random() < 0.5:
            rows, columns = draw.disk((y, x), size / 2, shape=shape)
        else:
            start = (max(0, int(y - size / 2)), max(0, int(x - size)))
            end = (min(shape[0] - 1, int(y + size / 2)), min(shape[1] - 1, int(x)))
            rows, columns = draw.rectangle(start, end, shape=shape)
        image[rows, columns] = value
    return image


def noisy(image: np.ndarray, seed: int) -> np.ndarray:
    values = image + np.random.default_rng(seed).normal(0, 3, image.shape)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def moved(image: np.ndarray, matrix: np.ndarray, shape=SHAPE) -> np.ndarray:
    """The image under a transform from it to the result."""
    inverse = np.linalg.inv(matrix)
    return transform.warp(
        image, inverse, output_shape=shape, mode="edge", preserve_range=True
    )


def similarity(scale, degrees, shift, shape=SHAPE) -> np.ndarray:
    """About the centre."""
    centre = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    cos, sin = (scale * function(np.radians(degrees)) for function in (np.cos, np.sin))
    matrix = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    matrix[:2, 2] = centre + shift - matrix[:2, :2] @ centre
    return matrix


@pytest.fixture(scope="session")
def visible() -> np.ndarray:
    return noisy(scene(1), 2)


@pytest.fixture(scope="session")
def warp() -> np.ndarray:
    """From the visible to the infrared image."""
    return similarity(1.1, 4.0, (12, -9))


@pytest.fixture(scope="session")
def infrared(warp) -> np.ndarray:
    """The scene with reversed and bent contrast, warped."""
    values = 255 * (1 - scene(1) / 255) ** 1.5
    return noisy(moved(values, warp), 3)
