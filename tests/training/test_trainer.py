"""A training step and what is measured, against the losses of each image."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from densefuse_tf.training import losses
from densefuse_tf.training.settings import TrainingSettings
from densefuse_tf.training.trainer import Trainer


def batch(count=4):
    """Images, and the positions 5 to 9."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (count, 16, 16, 1)).astype(np.float32)
    return images, np.tile(np.int64([5, 9]), (count, 1))


def test_the_losses_of_a_step_are_means_over_the_batch():
    keras.utils.set_random_seed(0)
    trainer = Trainer(TrainingSettings("photos", ssim_weight=10.0))
    images, positions = batch()
    with tf.GradientTape() as tape:
        outputs = trainer.autoencoder(images, training=True)
        pixel, ssim = (
            tf.reduce_mean(loss(images, outputs))
            for loss in (losses.euclidean, losses.full_ssim_loss)
        )
        total = pixel + 10 * ssim
    variables = trainer.autoencoder.trainable_variables
    gradients = tape.gradient(total, [each.value for each in variables])
    before = [each.numpy() for each in variables]
    pixel = losses.euclidean(images, outputs).numpy().mean()
    ssim = losses.full_ssim(images, outputs).numpy().mean()
    measured = trainer.measure(tf.data.Dataset.from_tensors((images, positions)))
    assert measured == pytest.approx({"pixel_loss": pixel, "ssim": ssim}, rel=1e-5)
    step = trainer.step((images, positions))
    expected = {"pixel_loss": pixel, "ssim_loss": 1 - ssim}
    expected |= {"total_loss": pixel + 10 * (1 - ssim), "first": 5, "last": 9}
    assert step == pytest.approx(expected, rel=1e-5)
    # Adam's first step is the learning rate along the sign of each derivative.
    for old, new, gradient in zip(before, variables, gradients, strict=True):
        clear = np.abs(gradient) > 1e-3
        steps = (new.numpy() - old)[clear]
        expected = -1e-4 * np.sign(gradient)[clear]
        np.testing.assert_allclose(steps, expected, rtol=0, atol=1e-6)
    adam = trainer.optimizer
    assert (type(adam).__name__, adam.beta_1, adam.beta_2) == ("Adam", 0.9, 0.999)
    assert trainer.step((images, positions))["total_loss"] < step["total_loss"]
