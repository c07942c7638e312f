"""Other fusion methods in the place of DenseFuse: the same colour modes and files."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.fusion.channels import ChannelFuser
from densefuse_tf.fusion.settings import COLOR_MODES
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.fusion.settings import check_choice
from densefuse_tf.io import pixels

# The methods of `baselines` fuse pairs. What imports them all, with SciPy and numba, is
# left to whoever needs one.
_NUM_SOURCES = 2


@dataclasses.dataclass(frozen=True)
class MethodSettings:
    """Says how another method fuses.

    Attributes:
      method: Its name in `densefuse_tf.baselines`.
      options: Its options, as `baselines.create` takes them.
      num_sources: The number of sources, which has to be 2.
      color: As in `FusionSettings`.
    """

    method: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    num_sources: int = _NUM_SOURCES
    color: str = FusionSettings.color

    @property
    def title(self) -> str:
        """What fuses, in a word for a caption."""
        return self.method

    def __post_init__(self):
        """Refuses what no method can do.

        Raises:
          UserError: The number of sources is not 2, or there is no such color.
        """
        check_choice("color", self.color, COLOR_MODES)
        if self.num_sources != _NUM_SOURCES:
            raise UserError(
                f"method {self.method} fuses two sources: {self.num_sources} are given"
            )


class MethodFuser(ChannelFuser):
    """Fuses images of any colour with another method.

    Methods take 8-bit channels: what has more is rounded first. Each brings its result
    to 8 bits by itself, so that an output range changes nothing.
    """

    def __init__(self, settings: MethodSettings):
        """Builds the method, and reads the files that its options name.

        Raises:
          UserError: There is no such method or option, or a file cannot be used.
        """
        from densefuse_tf import baselines

        super().__init__(settings.num_sources, settings.color, "average", np.uint8)
        self._method = baselines.create(settings.method, settings.options)
        prepare = getattr(self._method, "prepare", None)
        if prepare is not None:
            prepare()

    def _to_uint8(self, raw, output_range):
        return raw

    def _fuse_channel(self, channels: Sequence[np.ndarray]) -> np.ndarray:
        ir, vis = (np.ascontiguousarray(pixels.to_uint8(each)) for each in channels)
        return self._method.fuse(ir, vis)


def needs_tensorflow(settings: FusionSettings | MethodSettings) -> bool:
    """Returns whether `build` or what it builds imports TensorFlow."""
    if isinstance(settings, MethodSettings):
        from densefuse_tf import baselines

        return baselines.needs_tensorflow(settings.method)
    return True


def build(settings: FusionSettings | MethodSettings) -> ChannelFuser:
    """Builds what fuses as the settings say.

    Raises:
      UserError: One of the settings cannot be used.
    """
    if isinstance(settings, MethodSettings):
        return MethodFuser(settings)
    from densefuse_tf.fusion.fuser import Fuser

    return Fuser(settings)
