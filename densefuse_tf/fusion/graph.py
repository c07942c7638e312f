"""The fusion graph: a trained autoencoder and a strategy with k sources (Fig. 3).

The encoder is shared by the sources; the fusion layer sits between encoder and decoder.

References:
  H. Li, X.-J. Wu, "DenseFuse: A Fusion Approach to Infrared and Visible Images", IEEE
  Transactions on Image Processing 28(5), 2019. https://doi.org/10.1109/TIP.2018.2887342
"""

import os
from typing import TYPE_CHECKING

from densefuse_tf.fusion.channels import source_names
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.model import checkpoints
from densefuse_tf.model import strategies

if TYPE_CHECKING:
    # After `model`, which says so if its backend is another one than TensorFlow.
    import keras


def fusion_model(
    autoencoder: "keras.Model",
    *,
    strategy: str = FusionSettings.strategy,
    num_sources: int = FusionSettings.num_sources,
    window_radius: int = FusionSettings.window_radius,
) -> "keras.Model":
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
    import keras

    arguments = strategies.checked_arguments(
        strategy, num_sources=num_sources, window_radius=window_radius
    )
    fusion_layer = strategies.layer(strategy, arguments)
    encoder = autoencoder.get_layer("encoder")
    decoder = autoencoder.get_layer("decoder")
    sources = [
        keras.Input((None, None, 1), name=name, dtype="float32")
        for name in source_names(num_sources)
    ]
    fused = decoder(fusion_layer([encoder(source) for source in sources]))
    return keras.Model(sources, fused, name="densefuse_fusion")


def load_fusion_model(
    checkpoint: str | os.PathLike = FusionSettings.checkpoint,
    *,
    strategy: str = FusionSettings.strategy,
    num_sources: int = FusionSettings.num_sources,
    window_radius: int = FusionSettings.window_radius,
) -> "keras.Model":
    """Builds the fusion graph of a checkpoint, of Keras's own layers.

    Args:
      checkpoint: As `load_autoencoder` takes it.
      strategy: A registered strategy.
      num_sources: k, at least 2.
      window_radius: r of the block average (Eq. 6), for the strategies that have one.

    Returns:
      The model of `fusion_model`. Its inputs are ir and vis (source_1 ... source_k
      where k is not 2), each [batch, H, W, 1] float32 in 0..255. Its output is the
      decoder's, [batch, H, W, 1] float32: it spans about 0..255, or 0..255k where the
      strategy adds.
    """
    return fusion_model(
        checkpoints.load_autoencoder(checkpoint),
        strategy=strategy,
        num_sources=num_sources,
        window_radius=window_radius,
    )
