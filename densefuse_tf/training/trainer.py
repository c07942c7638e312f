"""Trains an autoencoder with the losses of a recipe, on one device or several."""

import functools
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from densefuse_tf.io import weights
from densefuse_tf.model import deepfuse
from densefuse_tf.model import network
from densefuse_tf.training import losses
from densefuse_tf.training.settings import TrainingSettings

# Builders of the untrained networks of settings.RECIPES, of a Keras dtype policy and of
# whether the layers are to be those that are quick on a CPU, if there are such. Each
# network is an autoencoder from [batch, H, W, 1] float32 in 0..255 to the same.
_BUILDERS: dict[str, Callable[..., keras.Model]] = {
    "densefuse": network.autoencoder,
    "deepfuse": lambda dtype, quick=False: deepfuse.autoencoder(dtype=dtype),
}


class Trainer:
    """Trains the autoencoder of a run.

    A batch is (images, positions) as `photographs.Photographs` makes it; the images are
    input and target. Several devices have equal parts of each batch.

    Attributes:
      autoencoder: The network.
      optimizer: Adam.
    """

    def __init__(
        self, settings: TrainingSettings, strategy: tf.distribute.Strategy | None = None
    ):
        """Builds the network with the layers that suit this machine.

        Args:
          settings: The run.
          strategy: Where it computes; by default on one device.
        """
        # The network without quick layers, which all saves write, is built once.
        self._build_plain = functools.cache(_BUILDERS[settings.network])
        self._recipe = settings.weighted_recipe
        self._strategy = strategy or tf.distribute.get_strategy()
        precision = settings.mixed_precision
        with self._strategy.scope():
            self.autoencoder = _BUILDERS[settings.network](
                dtype="float32" if precision == "none" else f"mixed_{precision}",
                quick=network.use_quick_layers() and not settings.xla,
            )
            self.optimizer = keras.optimizers.Adam(settings.learning_rate)
            if precision == "float16":
                self.optimizer = keras.optimizers.LossScaleOptimizer(self.optimizer)
            self.optimizer.build(self.autoencoder.trainable_variables)
        self._train = self._on_devices(self._train_part, settings.xla)
        self._measure = self._on_devices(self._measure_part)

    @property
    def variables(self) -> list[keras.Variable]:
        """All that a step changes, in a fixed order."""
        return [*self.autoencoder.variables, *self.optimizer.variables]

    def save(self, path) -> None:
        """Writes the weights as a .keras file; see `weights.save`."""
        weights.save(self.autoencoder, path, self._build_plain)

    def shared(self, batches: tf.data.Dataset) -> Iterable:
        """Returns the batches as `step` takes them, each shared among the devices."""
        return self._strategy.experimental_distribute_dataset(batches)

    def step(self, batch) -> dict[str, float]:
        """Takes a step.

        Returns:
          The recipe's step_losses of the whole batch before it, and "first" and "last",
          the positions of the batch.
        """
        return self._train(batch)

    def measure(self, batches: tf.data.Dataset) -> dict[str, float]:
        """Measures the loss of each term, but for L_ssim the full index, called ssim.

        Returns:
          The means over all images; nothing where there is none.
        """
        totals: dict[str, float] = {}
        for batch in self.shared(batches):
            for name, value in self._measure(batch).items():
                totals[name] = totals.get(name, np.float32(0)) + value
        count = totals.pop("count", 0)
        return {name: float(total / count) for name, total in totals.items()}

    def _on_devices(self, part: Callable, xla: bool = False) -> Callable:
        """Makes a graph that computes a function's parts and adds up its results."""

        @tf.autograph.experimental.do_not_convert
        def whole(batch):
            return self._strategy.run(part, args=batch)

        compiled = tf.function(whole, jit_compile=xla or None, reduce_retracing=True)

        def computed(batch) -> dict[str, float]:
            # Each device has the sums.
            first = self._strategy.experimental_local_results
            return {name: first(v)[0].numpy() for name, v in compiled(batch).items()}

        return computed

    def _train_part(self, images, positions):
        """Computes Eq. 1, L = L_p + lambda * L_ssim, on a part and takes the step."""
        context = tf.distribute.get_replica_context()
        with tf.GradientTape() as tape:
            outputs = self.autoencoder(images, training=True)
            values = {
                # The parts are equal: the sum over them is the mean of the batch.
                term.name: _mean(losses.of(term)(images, outputs))
                / context.num_replicas_in_sync
                for term in self._recipe.terms
            }
            total = sum(term.weight * values[term.name] for term in self._recipe.terms)
            scaled = self.optimizer.scale_loss(total)
        variables = self.autoencoder.trainable_variables
        gradients = tape.gradient(scaled, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        summed = context.all_reduce(
            tf.distribute.ReduceOp.SUM, {**values, "total_loss": total}
        )
        return {**summed, "first": positions[0, 0], "last": positions[0, 1]}

    def _measure_part(self, images, positions):
        """Sums what validation measures over the images of a part, and counts them."""

        def measured():
            outputs = self.autoencoder(images, training=False)
            return {
                term.measure: tf.reduce_sum(
                    losses.full_ssim(images, outputs)
                    if term.is_ssim
                    else losses.of(term)(images, outputs)
                )
                for term in self._recipe.terms
            }

        # A device may have no image of the last batch, and no network takes that.
        sums = tf.cond(
            tf.size(images) > 0,
            measured,
            lambda: {term.measure: tf.zeros([]) for term in self._recipe.terms},
        )
        sums["count"] = tf.cast(tf.shape(images)[0], tf.float32)
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, sums)


def _mean(values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(values) / tf.cast(tf.size(values), values.dtype)
