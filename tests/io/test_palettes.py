"""Palettes, and values shown in the brightness of another image."""

import numpy as np
import pytest

from densefuse_tf.io import palettes
from densefuse_tf.io import pixels

LUMA, VALUES = (axis.astype(np.uint8) for axis in np.mgrid[:256, :256])


@pytest.mark.parametrize("name", palettes.PALETTES)
def test_brightness_and_hue_are_kept(name):
    image = palettes.shaded(LUMA, VALUES, name)
    assert np.abs(pixels.gray(image).astype(int) - LUMA).max() <= 1
    chroma = image[128].astype(float) - 128
    own = palettes.levels(name).astype(float)
    own -= pixels.gray(own[None])[0, :, None]
    lengths = np.linalg.norm(chroma, axis=1) * np.linalg.norm(own, axis=1)
    strong = np.linalg.norm(chroma, axis=1) > 30
    assert ((chroma * own).sum(axis=1)[strong] / lengths[strong] > 0.98).all()
    assert (image[0] == 0).all() and (image[255] == 255).all()


def test_values_between_two_levels_are_rounded():
    luma = np.full((1, 2), 100, np.uint8)
    image = palettes.shaded(luma, np.float32([[199.6, 300]]), "inferno")
    np.testing.assert_array_equal(
        image, palettes.shaded(luma, np.uint8([[200, 255]]), "inferno")
    )


def test_grey_has_no_colours():
    image = palettes.shaded(LUMA, VALUES, "grey-hot")
    np.testing.assert_array_equal(image, pixels.rgb(LUMA))


@pytest.mark.parametrize("name", palettes.PALETTES[:5])
def test_the_even_ones_are_those_of_matplotlib(name):
    matplotlib = pytest.importorskip("matplotlib")
    expected = matplotlib.colormaps[name](np.arange(256))[:, :3] * 255
    assert np.abs(palettes.levels(name) - expected).max() < 12


@pytest.mark.parametrize("name", palettes.PALETTES[:7])
def test_the_ends_differ_and_no_step_jumps(name):
    levels = palettes.levels(name).astype(int)
    assert np.abs(np.diff(levels, axis=0)).max() < 12
    assert np.abs(levels[-1] - levels[0]).max() > 100
