"""Tests of densefuse_tf.baselines.dchwt."""

import math

import numpy as np
import pytest
from scipy import fft

from densefuse_tf.baselines.dchwt import DCHWT
from densefuse_tf.errors import UserError


def dct2(image):
    return fft.dctn(image, norm="ortho")


def idct2(spectrum):
    return fft.idctn(spectrum, norm="ortho")


def naive_transform(image):
    spectrum = dct2(image / 1.0)
    m, n = (side // 8 for side in image.shape)
    bands = {"a": idct2(spectrum[:m, :n])}
    for i in range(3):
        r, c = m * 2**i, n * 2**i
        bands["V", i] = idct2(spectrum[0:r, c : 2 * c])
        bands["H", i] = idct2(spectrum[r : 2 * r, 0:c])
        bands["D", i] = idct2(spectrum[r : 2 * r, c : 2 * c])
    return bands


def naive_significance(bands):
    result = {}
    for o in "VHD":
        for i in (0, 1):
            result[o, i] = np.abs(bands[o, i])
            for p, q in np.ndindex(*bands[o, i].shape):
                for finer in range(i + 1, 3):
                    f = 2 ** (finer - i)
                    block = bands[o, finer][f * p : f * p + f, f * q : f * q + f]
                    result[o, i][p, q] += np.abs(block).sum()
        padded = np.pad(bands[o, 2], 1, mode="reflect")
        result[o, 2] = np.empty(bands[o, 2].shape)
        for p, q in np.ndindex(*bands[o, 2].shape):
            result[o, 2][p, q] = (padded[p : p + 3, q : q + 3] ** 2).sum() / 9
    result["a"] = sum(result[o, 0] for o in "VHD")
    return result


def naive_dchwt(ir, vis):
    bands = [naive_transform(image) for image in (ir, vis)]
    weights = [naive_significance(of_image) for of_image in bands]
    fused = {
        key: (bands[0][key] * weights[0][key] + bands[1][key] * weights[1][key])
        / (weights[0][key] + weights[1][key])
        for key in bands[0]
    }
    spectrum = dct2(fused["a"])
    for i in range(3):
        v, h, d = (dct2(fused[o, i]) for o in "VHD")
        spectrum = np.vstack([np.hstack([spectrum, v]), np.hstack([h, d])])
    return idct2(spectrum)


@pytest.mark.parametrize("shape", [(40, 24), (37, 52), (8, 17)])
def test_it_equals_straight_loops(shape, scene):
    pair = scene(*shape)
    np.testing.assert_allclose(DCHWT().raw(*pair), naive_dchwt(*pair), atol=1e-9)


def test_it_equals_straight_loops_where_details_are_weak():
    y, x = np.mgrid[:40, :48]
    ir, vis = (90 + y // 2).astype(np.uint8), (60 + x // 3).astype(np.uint8)
    ir[:6, :6] += 40
    np.testing.assert_allclose(DCHWT().raw(ir, vis), naive_dchwt(ir, vis), atol=1e-9)


def test_halves_are_rounded_up():
    ir, vis = np.full((2, 8, 16), [[[10]], [[11]]], np.uint8)
    assert (DCHWT().fuse(ir, vis) == 11).all()


def naive_resize(lines, size):
    """Bicubic imresize of the rows of a uint8 image."""
    old = len(lines)
    scale = size / old
    result = np.empty((size, lines.shape[1]), np.uint8)
    for k in range(1, size + 1):
        u = k / scale + 0.5 * (1 - 1 / scale)
        left = math.floor(u - 2)
        weights, places = [], []
        for tap in range(left, left + 6):
            t = abs(u - tap)
            if t <= 1:
                weights.append(1.5 * math.pow(t, 3) - 2.5 * t**2 + 1)
            elif t <= 2:
                weights.append(-0.5 * math.pow(t, 3) + 2.5 * t**2 - 4 * t + 2)
            else:
                weights.append(0.0)
            mirrored = [*range(old), *reversed(range(old))]
            places.append(mirrored[(tap - 1) % len(mirrored)])
        weights = [weight / sum(weights) for weight in weights]
        for column in range(lines.shape[1]):
            total = 0.0
            for weight, place in zip(weights, places, strict=True):
                total += weight * float(lines[place, column])
            result[k - 1, column] = min(max(math.floor(total + 0.5), 0), 255)
    return result


# Rows first in the first two, columns first in the third, one of them in the rest.
@pytest.mark.parametrize(
    "shape", [(33, 46), (45, 45), (47, 33), (32, 39), (39, 32), (15, 9)]
)
def test_other_sizes_are_enlarged_by_the_smaller_scale_first(shape, scene):
    pair = scene(*shape)
    image = np.clip(np.floor(DCHWT().raw(*pair) + 0.5), 0, 255).astype(np.uint8)
    small = image.shape
    assert small == tuple(side // 8 * 8 for side in shape)
    rows_first = shape[0] / small[0] <= shape[1] / small[1]
    if rows_first:
        image = naive_resize(image, shape[0])
    image = naive_resize(image.T, shape[1]).T
    if not rows_first:
        image = naive_resize(image, shape[0])
    assert (DCHWT().fuse(*pair) == image).all()


def test_other_sizes_keep_the_published_factor_of_the_grey_values(scene):
    image, _ = scene(47, 63)
    factor = math.sqrt(47 * 63 / (40 * 56))
    mean = DCHWT().raw(image, image).mean()
    assert mean == pytest.approx(factor * image.mean(), rel=1e-12)


def test_the_sources_can_be_exchanged(scene):
    ir, vis = scene(37, 44)
    np.testing.assert_allclose(DCHWT().raw(ir, vis), DCHWT().raw(vis, ir), atol=1e-10)


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_any_number_of_levels_reconstructs_equal_images(levels, scene):
    image, _ = scene(32, 48)
    raw = DCHWT(levels).raw(image, image)
    np.testing.assert_allclose(raw, image, atol=1e-9)


def test_the_least_size_grows_with_the_levels():
    image = np.zeros((31, 40), np.uint8)
    with pytest.raises(UserError, match="dchwt expects at least 32x32"):
        DCHWT(levels=5).fuse(image, image)
