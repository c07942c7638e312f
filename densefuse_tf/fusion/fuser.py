"""From source images, as they are stored, to the fused image of DenseFuse."""

import dataclasses
import functools
import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from densefuse_tf.baselines.method import converted
from densefuse_tf.errors import UserError
from densefuse_tf.fusion import bands
from densefuse_tf.fusion import inference
from densefuse_tf.fusion.channels import ChannelFuser
from densefuse_tf.fusion.output_range import average_divisor
from densefuse_tf.fusion.output_range import to_pixels
from densefuse_tf.fusion.settings import FuserOptions
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.fusion.settings import Preset
from densefuse_tf.fusion.settings import preset_values
from densefuse_tf.model import checkpoints
from densefuse_tf.model import computing
from densefuse_tf.model import network
from densefuse_tf.model import strategies
from densefuse_tf.setting import takes

if TYPE_CHECKING:
    from typing_extensions import Unpack

# The memory that computing takes for each pixel, in bytes: a share of its own and one
# for each source, with what TensorFlow keeps between two operations.
_BYTES_PER_PIXEL = 640
_BYTES_PER_SOURCE_PIXEL = 400


class Fuser(ChannelFuser):
    """Fuses images with one graph that is built once, for any number and any size.

    Not safe to call from several threads at a time; one call uses all cores. A copy by
    pickle is built anew from the settings.

    Attributes:
      num_sources: k, the number of sources of each call.
      output_range: The output range of the settings.
      margin: The distance, in pixels, up to which neighbours influence the fused
        feature maps at a pixel.
    """

    @takes(FusionSettings)
    def __init__(
        self,
        settings: FusionSettings | None = None,
        *,
        preset: Preset = "paper",
        **options: "Unpack[FuserOptions]",
    ):
        """Loads the checkpoint and builds the graph.

        Args:
          settings: All settings, in the place of the keywords.
          preset: Decides the settings that are not given: "paper" as in the paper,
            "camera" with strategy="l1_norm" and color="luma".
          **options: The fields of the settings.

        Raises:
          UserError: A setting cannot be used, or settings are given in both ways.
        """
        if settings is None:
            given = converted(FusionSettings, FusionSettings.method, options)
            # Editors see from the next two lines which keywords there are.
            options.update(typing.cast(FuserOptions, preset_values(preset) | given))
            settings = FusionSettings(**options)
        elif not isinstance(settings, FusionSettings):
            raise UserError(
                f"Fuser: a {type(settings).__name__} is given: expected keywords, as "
                'Fuser(checkpoint="1e2"), or FusionSettings'
            )
        elif options or preset != "paper":
            raise UserError(
                "Fuser: settings are given and keywords as well: expected one of them"
            )
        computing.check()
        strategies.load(settings.strategy_module)
        super().__init__(settings, settings.output_range, np.float32)
        self._graph = inference.InferenceGraph(inference.for_this_machine(settings))
        self.raw_scale = average_divisor(settings)
        radius = self._graph.radius
        self.margin = network.ENCODER_RADIUS + (radius or 0)
        # A strategy that looks at the whole image has to see it.
        self._budget = 0.0 if radius is None else settings.memory_budget

    def __reduce__(self):
        """Makes pickle keep the settings, and no graph."""
        return Fuser, (
            dataclasses.replace(
                self._settings,
                color=self.color,
                output_range=self.output_range,
                palette=self.palette,
            ),
        )

    def _to_pixels(self, raw, output_range):
        return to_pixels(raw, output_range, self.raw_scale)

    def _fuse_channel(self, channels: Sequence[np.ndarray]) -> np.ndarray:
        """Fuses k arrays [H, W], whole or in bands, into raw output [H, W] float32."""
        try:
            with computing.precisely(tf32=self._settings.precision == "tf32"):
                return self._fuse_in_bands(channels)
        except (MemoryError, tf.errors.ResourceExhaustedError) as error:
            height, width = channels[0].shape
            reason = MemoryError(str(error).partition("\n")[0])
            raise UserError(
                f"there is not enough memory to fuse {height}x{width} pixels: expected "
                f"more, or a smaller memory_budget than {self._budget:g}, but not 0"
            ) from reason

    def _fuse_in_bands(self, channels: Sequence[np.ndarray]) -> np.ndarray:
        height, width = channels[0].shape
        rows = height
        if self._budget:
            rows = rows_of_band(self._budget, width, self.num_sources)
        raw = np.empty((height, width), np.float32)
        above: list[tf.Tensor] = []
        level = self._graph.level(channels)
        lag = network.DECODER_RADIUS
        for band in bands.split(height, rows, margin=self.margin, lag=lag):
            parts = [channel[band.outer] for channel in channels]
            raw[band.inner], above = self._compute(parts, level, band.cuts, above)
        return raw

    def _compute(
        self,
        channels: Sequence[np.ndarray],
        level: np.float32,
        cuts: bands.Cuts,
        above: Sequence[tf.Tensor],
    ) -> tuple[np.ndarray, list[tf.Tensor]]:
        """Runs the graph on k arrays [H, W], the rows of a part of the sources.

        `level` is that of the whole sources, and `above` what the part above gave.
        """
        batches = [
            tf.constant(channel[None, :, :, None], tf.float32) for channel in channels
        ]
        output, *last = self._graph.for_part(cuts)(tf.constant(level), *batches, *above)
        raw = output.numpy()[0, :, :, 0]
        if not np.isfinite(raw).all():
            raise UserError(
                "the decoder's output is not finite: expected a checkpoint and a "
                "strategy that do not overflow"
            )
        return raw, last


def kept(settings: FusionSettings) -> Fuser:
    """Returns the `Fuser` of the settings, which is built when they are new."""
    path = checkpoints.locate(settings.checkpoint)
    strategies.load(settings.strategy_module)
    return _kept(
        dataclasses.replace(settings, checkpoint=path),
        checkpoints.modified(path),
        strategies.get(settings.strategy),
    )


@functools.lru_cache(maxsize=8)
def _kept(
    settings: FusionSettings, modified: int, registered: strategies.Strategy
) -> Fuser:
    # Parts of the key: a checkpoint written anew is read anew, and a strategy
    # registered anew is used.
    del modified, registered
    return Fuser(settings)


def rows_of_band(budget: float, width: int, num_sources: int) -> int:
    """Returns the rows whose feature maps fit into a memory budget.

    Args:
      budget: The memory in GB.
      width: Width of the image.
      num_sources: k.
    """
    pixel = _BYTES_PER_PIXEL + num_sources * _BYTES_PER_SOURCE_PIXEL
    return int(budget * 1e9 / (width * pixel))
