"""The fusion as it is computed quickest on this machine, whole or part by part.

`graph.fusion_model` describes the same fusion as a Keras model; the outputs differ by
rounding.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from absl import logging

from densefuse_tf.fusion import bands
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.model import checkpoints
from densefuse_tf.model import convolution
from densefuse_tf.model import low_precision
from densefuse_tf.model import network
from densefuse_tf.model import strategies

if TYPE_CHECKING:
    # After `model`, which says so if its backend is another one than TensorFlow.
    import keras


def for_this_machine(settings: FusionSettings) -> FusionSettings:
    """Returns the settings, in float32 where bfloat16 would not be quicker.

    Raises:
      UserError: The strategy does not go with bfloat16, which is a mistake on any
        processor.
    """
    if settings.precision == "bfloat16":
        low_precision.check(strategies.get(settings.strategy))
        obstacle = low_precision.obstacle()
        if obstacle is not None:
            logging.warning("bfloat16: %s: computing in float32", obstacle)
            return dataclasses.replace(settings, precision="float32")
    return settings


class InferenceGraph:
    """Computes the fusion of parts of images, of any height and width.

    Attributes:
      num_sources: k.
      variables: The weights, those of C1 first and the bias of C5 last.
      radius: How far the strategy looks; None where that is not known.
      takes_level: Whether the `level` of the sources is used, as in bfloat16.
    """

    def __init__(self, settings: FusionSettings):
        """Loads the checkpoint."""
        self._strategy = strategies.get(settings.strategy)
        self.radius = self._strategy.radius(settings.window_radius)
        self.num_sources = settings.num_sources
        self.takes_level = settings.precision == "bfloat16"
        self._maps_dtype = tf.bfloat16 if self.takes_level else tf.float32
        if self.takes_level:
            low_precision.check(self._strategy)
        self._arguments = strategies.checked_arguments(
            settings.strategy,
            num_sources=settings.num_sources,
            window_radius=settings.window_radius,
            dtype=self._maps_dtype,
        )
        self._is_quick = self.takes_level or network.use_quick_layers()
        autoencoder = checkpoints.load_autoencoder(settings.checkpoint)
        self._layers = {
            name: network.convolution_layer(autoencoder, name)
            for name in network.CONVOLUTIONS
        }
        self.variables = [
            weight.value for layer in self._layers.values() for weight in layer.weights
        ]
        self._compiled: dict[bands.Cuts, Callable[..., list[tf.Tensor]]] = {}

    def encode(self, source: tf.Tensor) -> list[tf.Tensor]:
        """Returns the feature maps of an image [1, H, W, 1] in parts [1, H, W, C_i]."""
        layers = self._convolutions() if self._is_quick else self._layers

        def convolve(parts, name):
            return _convolve(layers[name], parts, bands.WHOLE)

        return network.encode(source, convolve)

    def level(self, sources: Sequence[np.ndarray]) -> np.float32:
        """Returns the `level` of whole sources [H, W]; 0 where it is not used."""
        return low_precision.level(sources) if self.takes_level else np.float32(0)

    def for_part(self, cuts: bands.Cuts) -> Callable[..., list[tf.Tensor]]:
        """Returns what fuses a part of an image; it is compiled once for each `cuts`.

        The sources are encoded one after the other: at a time there are the feature
        maps of one source more than needed, and the layers of one. Each convolution
        uses all cores in any case.

        Args:
          cuts: Where the part is cut off from a larger image.

        Returns:
          A function of the `level` of the whole sources, any number without
          `takes_level`; k tensors [1, H, W, 1] float32 in 0..255, with the margin of
          `bands.split`; and, for a part that is cut off at the top, what came back with
          the part above it.
          It gives the decoder's output [1, H', W, 1] float32, the rows of `Band.inner`,
          and, for a part that is cut off at the bottom, the last two rows of what each
          layer of the decoder took.
        """
        if cuts not in self._compiled:
            level = tf.TensorSpec([], tf.float32)
            image = tf.TensorSpec([1, None, None, 1], tf.float32)
            above = [
                tf.TensorSpec([1, 2, None, channels], self._maps_dtype)
                for channels in network.DECODER_CHANNELS
            ]
            signature = [level, *[image] * self.num_sources, *above * cuts.top]
            run = tf.function(
                functools.partial(self._run, cuts),
                input_signature=signature,
                autograph=False,
            )
            self._compiled[cuts] = run.get_concrete_function()
        return self._compiled[cuts]

    def _run(
        self, cuts: bands.Cuts, level: tf.Tensor, *inputs: tf.Tensor
    ) -> list[tf.Tensor]:
        sources = inputs[: self.num_sources]
        above = list(inputs[self.num_sources :])
        convolutions, fuse = self._computation(level)

        def convolve(parts, name):
            return _convolve(convolutions[name], parts, cuts)

        feature_maps: list[list[tf.Tensor]] = []
        parts: list[tf.Tensor] = []
        for source in sources:
            with tf.control_dependencies(parts):
                source = tf.identity(source)
            parts = _aligned(network.encode(source, convolve), cuts)
            feature_maps.append(parts)
        fused = _cropped(fuse(feature_maps), cuts, self.radius or 0)
        last = []

        def go_on(parts, name):
            last.append(parts[0][:, -2:])
            rows = above.pop(0) if above else None
            return _convolve(convolutions[name], parts, cuts, rows)

        raw = network.decode(fused, go_on)
        return [raw, *last] if cuts.bottom else [raw]

    def _computation(self, level: tf.Tensor) -> tuple[Mapping, low_precision.Fuse]:
        """Returns the convolutions by name, and what fuses maps in parts."""
        if not self._is_quick:
            return self._layers, self._fuse
        convolutions = self._convolutions()
        if not self.takes_level:
            return convolutions, self._fuse
        return low_precision.of_differences(
            convolutions, level, self._strategy, self._arguments, self.num_sources
        )

    def _convolutions(self) -> dict[str, convolution.Convolution]:
        return {
            name: convolution.Convolution.of(layer)
            for name, layer in self._layers.items()
        }

    def _fuse(self, feature_maps):
        return self._strategy.fuse(feature_maps, self._arguments)


def _convolve(
    layer: "convolution.Convolution | keras.layers.Conv2D",
    parts: list[tf.Tensor],
    cuts: bands.Cuts,
    above: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes a layer, and no row that depends on rows beyond a cut.

    With the two rows above the first one, the outputs begin with the row above it.
    """
    parts = _aligned(parts, cuts)
    top, bottom = not cuts.top, not cuts.bottom
    if isinstance(layer, convolution.Convolution):
        return layer.part(parts, top=top, bottom=bottom, above=above)
    maps = tf.concat(parts, axis=3)
    if above is not None:
        maps = tf.concat([above, maps], axis=1)
    padding = [[0, 0], [int(top), int(bottom)], [1, 1], [0, 0]]
    return layer(tf.pad(maps, padding, "REFLECT"))


def _aligned(parts: list[tf.Tensor], cuts: bands.Cuts) -> list[tf.Tensor]:
    """Leaves of each part the rows of the first one, the layer computed last.

    Each layer has a row less at a cut than the one before it.
    """
    if cuts == bands.WHOLE:
        return parts
    newest, *others = parts
    shape = tf.shape(newest)
    # TensorFlow adds up convolutions within one operation if it knows that their shapes
    # are the same.
    others = [
        tf.reshape(_cropped(part, cuts, age), shape)
        for age, part in enumerate(others, 1)
    ]
    return [newest, *others]


def _cropped(maps: tf.Tensor, cuts: bands.Cuts, rows: int) -> tf.Tensor:
    """Takes `rows` rows away at each cut of maps [1, H, W, C]."""
    if cuts == bands.WHOLE or rows == 0:
        return maps
    first, last = rows if cuts.top else None, -rows if cuts.bottom else None
    return convolution.rows_of(maps, first, last)
