"""Images and golden values shared by the tests of the metrics."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

# For every property: the same few examples in each run, however busy the machine.
quick = hypothesis.settings(derandomize=True, deadline=None, max_examples=25)


@st.composite
def triples(draw, *, smallest: int = 3, largest: int = 9, levels=None):
    """Source images and fused image of one random size, [H, W] uint8 each."""
    size = st.integers(smallest, largest)
    shape = (draw(size), draw(size))
    level = st.integers(0, 255) if levels is None else st.sampled_from(levels)
    image = hnp.arrays(np.uint8, shape, elements=level, fill=level)
    return draw(image), draw(image), draw(image)


@st.composite
def one_image(draw, *, smallest: int = 1, largest: int = 9):
    """An image of random size, [H, W] uint8."""
    return draw(triples(smallest=smallest, largest=largest))[2]


def scene(height: int, width: int, *, seed: int = 0) -> list[np.ndarray]:
    """A smooth infrared and visible image with an edge and noise, and their mean."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    ir = 90 + 60 * np.sin(x / 9 + seed) + 50 * (y > height / 2)
    vis = 120 + 70 * np.cos(y / 7 - x / 11) - 30 * (x > width / 3)
    ir, vis = (i + random.normal(0, 6, i.shape) for i in (ir, vis))
    ir, vis = (np.clip(i, 0, 255).astype(np.uint8) for i in (ir, vis))
    return [ir, vis, ((ir.astype(int) + vis) // 2).astype(np.uint8)]


@pytest.fixture
def pair() -> list[np.ndarray]:
    """Infrared, visible and fused image of 48x61, [H, W] uint8."""
    return scene(48, 61)
