"""The Keras model that is trained: an autoencoder with the losses of a recipe."""

import keras
import tensorflow as tf

from densefuse_tf.training import losses
from densefuse_tf.training import recipes

STEP_LOSSES = ("pixel_loss", "ssim_loss", "total_loss")


class Trainer(keras.Model):
    """Wraps an autoencoder in the losses of a recipe.

    A batch is (images, positions) as of dataset.Photographs; the images are input and
    target. The logs of a training step are of that step alone: the STEP_LOSSES, and
    the first and last position of the batch. The logs of an evaluation are means over
    the images: pixel_loss and ssim (the full index, whatever the recipe trains with).
    """

    def __init__(
        self, autoencoder: keras.Model, recipe: recipes.Recipe, ssim_weight: float
    ):
        super().__init__(name="trainer")
        self.autoencoder = autoencoder
        self.pixel_loss = losses.PixelLoss(recipe)
        self.ssim_loss = losses.SSIMLoss(recipe)
        self.pixel_weight = recipe.pixel_weight
        self.ssim_weight = ssim_weight
        self._pixel_mean = keras.metrics.Mean(name="pixel_loss")
        self._ssim_mean = keras.metrics.Mean(name="ssim")
        self._step_losses: dict[str, tf.Tensor] = {}
        self.built = True

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Does nothing, since nothing is left to build.

        Keras would find that out by taking a batch apart, which fails with
        MultiWorkerMirroredStrategy (keras-team/keras#20585).
        """

    @property
    def metrics(self):
        return [self._pixel_mean, self._ssim_mean]

    def call(self, inputs, training=False):
        return self.autoencoder(inputs, training=training)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """Computes Eq. 1: L = lambda * L_ssim + L_p."""
        pixel = self.pixel_loss(x, y_pred)
        ssim = self.ssim_loss(x, y_pred)
        total = self.ssim_weight * ssim + self.pixel_weight * pixel
        self._step_losses = dict(zip(STEP_LOSSES, (pixel, ssim, total), strict=True))
        return total

    def train_step(self, data):
        _, positions = data
        super().train_step(data)
        # A Keras loss is divided by the number of replicas, which have equal parts of
        # the batch: the sum is the batch's.
        values = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.SUM, self._step_losses
        )
        positions = {"first": positions[0, 0], "last": positions[0, 1]}
        return _as_step_logs({**values, **positions})

    def test_step(self, data):
        images, _ = data
        # A replica may have no image of the last batch, and no network takes that.
        pixel, ssim = tf.cond(
            tf.size(images) > 0,
            lambda: self._measured(images),
            lambda: (tf.zeros([0]), tf.zeros([0])),
        )
        self._pixel_mean.update_state(pixel)
        self._ssim_mean.update_state(ssim)
        return _as_step_logs({mean.name: mean.result() for mean in self.metrics})

    def _measured(self, images):
        """Returns pixel loss and SSIM, [batch] each."""
        outputs = self(images, training=False)
        pixel = self.pixel_loss.call(images, outputs)
        return pixel, losses.full_ssim(images, outputs)


def _as_step_logs(values: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Shapes the scalars of a step as Keras wants them: as vectors for workers."""
    strategy = tf.distribute.get_strategy()
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return {name: value[None] for name, value in values.items()}
    return values
