"""The fusion graph: a trained autoencoder and a strategy with k sources (Fig. 3).

The encoder is shared by the sources; the fusion layer sits between encoder and decoder.

References:
  H. Li, X.-J. Wu, "DenseFuse: A Fusion Approach to Infrared and Visible Images", IEEE
  Transactions on Image Processing 28(5), 2019. https://doi.org/10.1109/TIP.2018.2887342
"""

import functools
import os
from collections.abc import Callable

import keras
import tensorflow as tf

from densefuse_tf.errors import UserError
from densefuse_tf.fusion import bands
from densefuse_tf.fusion.channels import source_names
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.model import activity
from densefuse_tf.model import checkpoints
from densefuse_tf.model import network
from densefuse_tf.model import quick_layer
from densefuse_tf.model import strategies
from densefuse_tf.model import strategy_modules


def fusion_model(
    autoencoder: keras.Model,
    *,
    strategy: str = FusionSettings.strategy,
    num_sources: int = FusionSettings.num_sources,
    window_radius: int = FusionSettings.window_radius,
) -> keras.Model:
    """Builds the fusion graph of a trained autoencoder.

    A graph of Keras's own layers, saved as .keras, loads again in Keras's safe mode
    after `import densefuse_tf.fusion.graph`, and the import of the module with the
    strategy if that is your own.

    Args:
      autoencoder: From `network.autoencoder` or `checkpoints.load_autoencoder`;
        its layers are shared, not copied.
      strategy: A registered strategy.
      num_sources: k, at least 2.
      window_radius: r of the block average (Eq. 6), for the strategies that have one.

    Returns:
      A model with the inputs ir and vis (source_1 ... source_k where k is not 2), each
      [batch, H, W, 1] float32 in 0..255, H and W at least 2. Its output is the
      decoder's, [batch, H, W, 1] float32: it spans about 0..255, or 0..255k where the
      strategy adds.

    Raises:
      UserError: Unknown strategy, or one that fails or returns no feature maps; fewer
        than two sources or a negative radius.
    """
    arguments = _check(strategy, num_sources, window_radius)
    fusion_layer = strategies.layer(strategy, arguments)
    encoder = autoencoder.get_layer("encoder")
    if _is_quick(autoencoder) and strategies.get(strategy).takes_parts:
        encoder = network.encoder_in_parts(encoder)
    decoder = autoencoder.get_layer("decoder")
    sources = [
        keras.Input((None, None, 1), name=name, dtype="float32")
        for name in source_names(num_sources)
    ]
    fused = decoder(fusion_layer([encoder(source) for source in sources]))
    return keras.Model(sources, fused, name="densefuse_fusion")


def load_fusion_model(checkpoint: str | os.PathLike, **arguments) -> keras.Model:
    """Builds the fusion graph of a checkpoint, of Keras's own layers.

    Args:
      checkpoint: As `checkpoints.load_autoencoder` takes it.
      **arguments: strategy, num_sources and window_radius, as `fusion_model` takes
        them.

    Returns:
      The model that `fusion_model` describes.

    Raises:
      UserError: One of the arguments cannot be used.
    """
    return fusion_model(checkpoints.load_autoencoder(checkpoint), **arguments)


def load_inference_model(checkpoint: str | os.PathLike, **arguments) -> keras.Model:
    """Builds the fusion graph of the layers that are quickest on this machine.

    Takes the arguments of `load_fusion_model`. The outputs differ by rounding from
    those of that model, and the graph cannot be saved as .keras on a CPU.
    """
    return fusion_model(inference_autoencoder(checkpoint), **arguments)


def inference_autoencoder(checkpoint: str | os.PathLike) -> keras.Model:
    """Builds an autoencoder of the layers that are quickest on this machine.

    Args:
      checkpoint: As `checkpoints.load_autoencoder` takes it.

    Raises:
      UserError: It cannot be read.
    """
    autoencoder = checkpoints.load_autoencoder(checkpoint)
    if network.use_quick_layers():
        weights = autoencoder.get_weights()
        autoencoder = network.autoencoder(dtype="float32", quick=True)
        autoencoder.set_weights(weights)
    return autoencoder


def compiled(
    autoencoder: keras.Model, *, strategy: str, num_sources: int, window_radius: int
) -> Callable[[bands.Cuts], Callable[..., list[tf.Tensor]]]:
    """Returns what compiles the fusion of a part of an image, of any height and width.

    The sources are encoded one after the other: at a time there are the feature maps
    of one source more than needed, and the layers of one. Each convolution uses all
    cores in any case.

    Args:
      autoencoder: From `inference_autoencoder`.
      strategy: A registered strategy.
      num_sources: k, at least 2.
      window_radius: As `fusion_model` takes it.

    Returns:
      A function that compiles once for each `bands.Cuts`: where the part is cut off
      from a larger image. What it returns takes k tensors [1, H, W, 1] float32 in
      0..255, with the margin of `bands.split`, and, for a part that is cut off at the
      top, what came back with the part above it. It gives the decoder's output
      [1, H', W, 1], the rows of `Band.inner`, and, for a part that is cut off at the
      bottom, the last two rows of what each layer of the decoder took.

    Raises:
      UserError: Unknown strategy, fewer than two sources or a negative radius.
    """
    chosen = strategies.get(strategy)
    fuse = functools.partial(
        chosen.function, **_check(strategy, num_sources, window_radius)
    )
    radius = chosen.radius(window_radius) or 0
    image = tf.TensorSpec([1, None, None, 1], tf.float32)
    rows = [
        tf.TensorSpec([1, 2, None, channels], tf.float32)
        for channels in network.DECODER_CHANNELS
    ]

    @functools.cache
    def for_part(cuts):
        @tf.function(
            input_signature=[image] * num_sources + rows * cuts.top, autograph=False
        )
        def run(*inputs):
            sources, above = inputs[:num_sources], list(inputs[num_sources:])
            convolve = functools.partial(_convolve_part, autoencoder, cuts)
            feature_maps: list[activity.Maps] = []
            parts: list[tf.Tensor] = []
            for source in sources:
                with tf.control_dependencies(parts):
                    source = tf.identity(source)
                parts = _aligned(network.encode(source, convolve), cuts)
                feature_maps.append(
                    parts if chosen.takes_parts else tf.concat(parts, axis=3)
                )
            maps = _cropped(fuse(feature_maps), cuts, radius)
            last = []

            def go_on(parts, name):
                last.append(parts[0][:, -2:])
                return _convolve_part(
                    autoencoder, cuts, parts, name, above.pop(0) if above else None
                )

            raw = network.decode(maps, go_on)
            return [raw, *last] if cuts.bottom else [raw]

        return run.get_concrete_function()

    return for_part


def _convolve_part(
    autoencoder: keras.Model,
    cuts: bands.Cuts,
    parts: list[tf.Tensor],
    name: str,
    above: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes the layer `name`, and no row that depends on rows beyond a cut.

    With the two rows above the first one, the outputs begin with the row above it.
    """
    layer = network.convolution(autoencoder, name)
    top, bottom = not cuts.top, not cuts.bottom
    if _is_quick(autoencoder):
        parts = _aligned(parts, cuts)
        return layer.convolve(parts, top=top, bottom=bottom, above=above)
    maps = tf.concat(_aligned(parts, cuts), axis=3)
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
    # A slice of the first axis is a view, of another one a copy.
    return tf.squeeze(maps, axis=0)[first:last][None]


def _is_quick(autoencoder: keras.Model) -> bool:
    first = network.convolution(autoencoder, network.CONVOLUTIONS[0])
    return isinstance(first, quick_layer.ReflectionConv2D)


def _check(strategy: str, num_sources: int, window_radius: int) -> dict[str, object]:
    """Finds that a strategy works with this number of sources.

    Returns:
      The arguments of its function for the maps of an encoder.
    """
    if num_sources < 2:
        raise UserError(f"num_sources is {num_sources}: fusion takes 2 or more")
    # The encoder's layers end in a ReLU.
    arguments = strategies.arguments(
        strategy, window_radius=window_radius, nonnegative=True
    )
    strategy_modules.check(
        strategy, num_sources=num_sources, window_radius=window_radius
    )
    return arguments
