"""Eq. 1-3 and the release's form of them, against the formulas written out."""

import numpy as np
import pytest
import tensorflow as tf

from densefuse_tf.training import losses
from densefuse_tf.training import settings


def images(seed, shape=(2, 24, 20, 1)):
    return np.random.default_rng(seed).uniform(0, 255, shape).astype(np.float32)


def test_pixel_losses_are_the_norm_and_the_mean_square_of_each_image():
    first, second = images(0), images(1)
    norms = [np.linalg.norm(a - b) for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(losses.euclidean(first, second), norms, rtol=1e-6)
    squares = ((first - second) ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(losses.mean_squared(first, second), squares, rtol=1e-6)


def test_euclidean_has_a_finite_gradient_at_zero():
    image = tf.constant(images(0))
    with tf.GradientTape() as tape:
        tape.watch(image)
        loss = losses.euclidean(image, tf.identity(image) * 1.0 + 0.0)
    assert np.all(loss.numpy() == 0)
    assert np.all(np.isfinite(tape.gradient(loss, image)))


def naive_contrast_structure(first, second, c2):
    """The release's SSIM term of one image, window by window in float64."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for top in range(first.shape[0] - 10):
        for left in range(first.shape[1] - 10):
            a = first[top : top + 11, left : left + 11].astype(float)
            b = second[top : top + 11, left : left + 11].astype(float)
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a = (window * (a - mean_a) ** 2).sum()
            var_b = (window * (b - mean_b) ** 2).sum()
            cov = (window * (a - mean_a) * (b - mean_b)).sum()
            values.append((2 * cov + c2) / (var_a + var_b + c2))
    return np.mean(values)


@pytest.mark.parametrize(
    ("network", "recipe", "c2"),
    [
        ("densefuse", "release", 0.03**2),
        ("deepfuse", "release", 0.03**2),
        ("deepfuse", "paper", (0.03 * 255) ** 2),
    ],
)
def test_contrast_structure_is_the_formula(network, recipe, c2):
    first = images(0) / 20
    second = first + images(1) / 200
    expected = [
        naive_contrast_structure(a[..., 0], b[..., 0], c2)
        for a, b in zip(first, second, strict=True)
    ]
    (term,) = (t for t in settings.find_recipe(recipe, network).terms if t.is_ssim)
    loss = losses.of(term)(first, second)
    np.testing.assert_allclose(1 - loss, expected, atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 100.0, 200.1, 255.0])
def test_contrast_structure_stays_in_range_on_flat_patches(level):
    rng = np.random.default_rng(3)
    flat = np.full((1, 64, 64, 1), level, np.float32)
    nearly = flat + rng.normal(0, 1e-3, flat.shape).astype(np.float32)
    with tf.GradientTape() as tape:
        output = tf.constant(nearly)
        tape.watch(output)
        value = losses.contrast_structure_ssim(flat, output)
    assert -1 <= float(value[0]) <= 1
    assert np.all(np.isfinite(tape.gradient(value, output)))
    np.testing.assert_allclose(losses.contrast_structure_ssim(flat, flat), 1.0)


def test_a_constant_shift_is_free_without_the_luminance_term():
    first = images(0)
    shifted = first + 40
    np.testing.assert_allclose(
        losses.contrast_structure_ssim(first, shifted), 1.0, atol=1e-6
    )
    assert np.all(losses.full_ssim(first, shifted) < 0.99)


@pytest.mark.parametrize(
    "recipe",
    [recipe for own in settings.RECIPES.values() for recipe in own.values()],
)
def test_losses_of_equal_images_are_zero(recipe):
    image = images(0)
    for term in recipe.terms:
        loss = losses.of(term)(image, image).numpy()
        assert loss == pytest.approx([0, 0], abs=1e-6 if term.is_ssim else 0)
