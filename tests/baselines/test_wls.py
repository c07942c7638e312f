"""Tests of densefuse_tf.baselines.wls."""

import numpy as np
import pytest

from densefuse_tf.baselines import wls
from densefuse_tf.baselines.wls import WLS


def naive_correlate(image, kernel, border):
    radius = len(kernel) // 2
    padded = np.pad(image, radius, mode=border)
    result = np.empty(image.shape)
    for i, j in np.ndindex(*image.shape):
        window = padded[i : i + len(kernel), j : j + len(kernel)]
        result[i, j] = (window * kernel).sum()
    return result


def naive_gauss(image, sigma, border="edge"):
    y, x = np.mgrid[-3 * sigma : 3 * sigma + 1, -3 * sigma : 3 * sigma + 1]
    kernel = np.exp(-(x**2 + y**2) / (2 * sigma**2))
    return naive_correlate(image, kernel / kernel.sum(), border)


def naive_mean(image, radius):
    result = np.empty(image.shape)
    for i, j in np.ndindex(*image.shape):
        top, left = max(i - radius, 0), max(j - radius, 0)
        result[i, j] = image[top : i + radius + 1, left : j + radius + 1].mean()
    return result


def naive_rolling_guidance(image, scale):
    guide = naive_gauss(image, scale)
    for _ in range(4):
        mean, mean_image = naive_mean(guide, scale), naive_mean(image, scale)
        variance = naive_mean(guide * guide, scale) - mean**2
        covariance = naive_mean(guide * image, scale) - mean * mean_image
        a = covariance / (variance + 0.0025)
        b = mean_image - a * mean
        guide = naive_mean(a, scale) * guide + naive_mean(b, scale)
    return guide


def naive_saliency(image):
    values = image.ravel().astype(int)
    saliency = np.abs(values[:, None] - values).sum(axis=1).reshape(image.shape)
    return (saliency - saliency.min()) / (saliency.max() - saliency.min())


def naive_wls(ir, vis, weight):
    details, bases = [], []
    for image in (ir / 255, vis / 255):
        levels = [image]
        for sigma in (2, 4, 8):
            levels.append(naive_rolling_guidance(levels[-1], sigma))
        levels.append(naive_gauss(levels[-1], 2))
        details.append([levels[i] - levels[i + 1] for i in range(4)])
        bases.append(levels[-1])
    v1, v2 = naive_saliency(ir), naive_saliency(vis)
    fused = (0.5 + 0.5 * (v1 - v2)) * bases[0] + (0.5 + 0.5 * (v2 - v1)) * bases[1]
    for i, (l1, l2) in enumerate(zip(*details, strict=True)):
        c = (np.abs(l1) < np.abs(l2)).astype(float)
        if i == 0:
            fused += c * l2 + (1 - c) * l1
            continue
        c = naive_gauss(c, 2, border="symmetric")
        m = c * l2 + (1 - c) * l1
        mean = naive_correlate(l2, np.full((7, 7), 1 / 49), "edge")
        alpha = 1 / (np.abs(mean) + 1e-6)
        # The normal equation, with the factors of the published code.
        fused += (2 * m + 2 * weight * alpha * l1) / (2 + 2 * weight * alpha)
    return fused


@pytest.mark.parametrize(("shape", "weight"), [((30, 41), 0.01), ((9, 14), 0.5)])
def test_it_equals_straight_loops(shape, weight, scene):
    pair = scene(*shape)
    raw = WLS(lambda_=weight).raw(*pair)
    np.testing.assert_allclose(raw, naive_wls(*pair, weight), atol=1e-11)


def test_a_tie_of_details_goes_to_the_infrared_image():
    detail = np.array([0.0, 0.25, -0.25])
    assert not wls._choose(detail, -detail).any()


def test_base_and_details_add_up_to_the_image(scene):
    image, _ = scene(30, 41)
    np.testing.assert_allclose(WLS().raw(image, image), image / 255, atol=1e-14)


@pytest.mark.parametrize(
    "options", [{"levels": 3}, {"range_sigma": 0.2}, {"iterations": 1}, {"lambda_": 1}]
)
def test_every_option_changes_the_result(options, scene):
    pair = scene(30, 41)
    assert np.abs(WLS(**options).raw(*pair) - WLS().raw(*pair)).max() > 1e-3
