"""Table I: names, shapes, parameters, and the values by a NumPy twin."""

import keras
import numpy as np
import numpy_densefuse
import pytest
import tensorflow as tf

from densefuse_tf.model import network

SIZES = ((2, 2), (2, 7), (7, 2), (3, 3), (37, 53))
KERNELS = {
    "C1": (3, 3, 1, 16),
    "DC1": (3, 3, 16, 16),
    "DC2": (3, 3, 32, 16),
    "DC3": (3, 3, 48, 16),
    "C2": (3, 3, 64, 64),
    "C3": (3, 3, 64, 32),
    "C4": (3, 3, 32, 16),
    "C5": (3, 3, 16, 1),
}


@pytest.fixture(scope="module")
def models():
    """The autoencoder in both forms, of the same weights, with biases that matter."""
    keras.utils.set_random_seed(0)
    standard = network.autoencoder()
    values = [
        w if w.ndim > 1 else np.random.default_rng(w.size).uniform(-5, 5, w.shape)
        for w in standard.get_weights()
    ]
    standard.set_weights(values)
    quick = network.autoencoder(quick=True)
    quick.set_weights(values)
    return {"standard": standard, "quick": quick}


def batch(size, seed=0):
    pixels = np.random.default_rng(seed).uniform(0, 255, (3, *size, 1))
    return pixels.astype(np.float32)


@pytest.mark.parametrize("form", ("standard", "quick"))
def test_layers_are_those_of_table_1(models, form):
    model = models[form]
    assert model.count_params() == 74_193
    assert tuple(KERNELS) == network.CONVOLUTIONS
    for name, shape in KERNELS.items():
        layer = network.convolution_layer(model, name)
        assert layer.name == name
        assert tuple(layer.kernel.shape) == shape
        assert tuple(layer.bias.shape) == shape[-1:]
        last = name == "C5"
        assert layer.activation is getattr(
            keras.activations, "linear" if last else "relu"
        )


def test_initial_kernels_are_truncated_normal_and_biases_zero():
    model = network.autoencoder()
    kernels = [w for w in model.get_weights() if w.ndim == 4]
    values = np.concatenate([kernel.ravel() for kernel in kernels])
    # A normal distribution cut at two standard deviations has 0.88 of its deviation.
    assert abs(values).max() <= 0.2 + 1e-6
    assert values.std() == pytest.approx(0.088, rel=0.02)
    assert abs(values.mean()) < 0.002
    assert all(not w.any() for w in model.get_weights() if w.ndim == 1)


@pytest.mark.parametrize("form", ("standard", "quick"))
@pytest.mark.parametrize("size", SIZES)
def test_both_forms_equal_numpy(models, form, size):
    model = models[form]
    weights = numpy_densefuse.weights_of(model)
    images = batch(size)
    maps = model.get_layer("encoder")(images).numpy()
    outputs = model(images).numpy()
    assert maps.shape == (3, *size, 64)
    assert outputs.shape == (3, *size, 1)
    for image, image_maps, output in zip(images, maps, outputs, strict=True):
        expected = numpy_densefuse.encode(weights, image[:, :, 0])
        np.testing.assert_allclose(image_maps, expected, rtol=1e-5, atol=2e-3)
        expected = numpy_densefuse.decode(weights, expected)
        np.testing.assert_allclose(output[:, :, 0], expected, rtol=1e-5, atol=2e-3)


def test_mixed_precision_puts_out_float32():
    model = network.autoencoder(dtype="mixed_bfloat16")
    assert network.convolution_layer(model, "C2").compute_dtype == "bfloat16"
    assert model(batch((4, 4))).dtype == "float32"
    assert network.convolution_layer(model, "C2").kernel.dtype == "float32"


def test_all_layers_and_operations_are_those_of_keras(models):
    assert "densefuse_tf" not in models["standard"].to_json()


@pytest.mark.parametrize("gpus", ([], ["a GPU"]))
def test_the_quick_layers_are_for_machines_without_a_gpu(gpus, monkeypatch):
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: gpus)
    assert network.use_quick_layers() == (not gpus)


@pytest.mark.parametrize("shape", [(2, 17, 13), (1, 2, 2), (2, 3, 2), (1, 2, 3)])
def test_both_forms_have_the_same_gradients(models, shape):
    """Compares those of the image and of every kernel and bias."""
    image = tf.random.stateless_uniform((*shape, 1), seed=(1, 2), maxval=255.0)
    weights = tf.random.stateless_normal((*shape, 1), seed=(3, 4))
    gradients = {}
    for form, model in models.items():
        with tf.GradientTape() as tape:
            tape.watch(image)
            loss = tf.reduce_sum(weights * tf.sin(model(image, training=True) / 50))
        gradients[form] = tape.gradient(loss, [image, *model.trainable_variables])
    for ours, theirs in zip(gradients["quick"], gradients["standard"], strict=True):
        scale = float(tf.reduce_max(tf.abs(theirs)))
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * scale)
