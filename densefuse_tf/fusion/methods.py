"""Every fusion method by name, DenseFuse among them, for images of any colour.

    fuser = methods.build(methods.settings("gtf", {"lambda": 2.5}))
    fused = fuser.fuse([infrared, visible]).image

A method has settings, from which `build` makes what fuses. DenseFuse has
`FusionSettings`; the methods of `densefuse_tf.baselines`, and those that a user
registers, have `MethodSettings`.
"""

import dataclasses
import inspect
import os
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from densefuse_tf import baselines
from densefuse_tf import user_modules
from densefuse_tf.baselines.method import Method
from densefuse_tf.baselines.method import option_fields
from densefuse_tf.baselines.method import with_options
from densefuse_tf.errors import UserError
from densefuse_tf.fusion.channels import ChannelFuser
from densefuse_tf.fusion.settings import COLOR_MODES
from densefuse_tf.fusion.settings import PALETTES
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import pixels
from densefuse_tf.setting import check_choice

_DENSEFUSE = FusionSettings.method
# What all methods have beside their options.
_COMMON = ("num_sources", "color", "palette")
# The registered methods fuse pairs.
_NUM_SOURCES = 2
_KIND = user_modules.Kind(
    "method_module",
    "fusion method",
    "fusion methods",
    "a dataclass decorated with @densefuse_tf.method(NAME)",
    baselines.registered,
)


@dataclasses.dataclass(frozen=True)
class MethodSettings:
    """Says how another method than DenseFuse fuses.

    Attributes:
      method: Its name in `densefuse_tf.baselines`.
      options: Its options, as `baselines.create` takes them.
      num_sources: The number of sources, which has to be 2.
      color, palette: As in `FusionSettings`.
      configured: The method with its options.
    """

    fuses_maps: ClassVar[bool] = False
    has_raw_output: ClassVar[bool] = False
    runs_on_beam: ClassVar[bool] = False
    is_quick: ClassVar[bool] = False

    method: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False)
    num_sources: int = _NUM_SOURCES
    color: str = FusionSettings.color
    palette: str = FusionSettings.palette
    configured: Method = dataclasses.field(init=False, repr=False)

    def __post_init__(self):
        """Refuses what no method can do."""
        check_choice("color", self.color, COLOR_MODES)
        check_choice("palette", self.palette, PALETTES)
        if self.num_sources != _NUM_SOURCES:
            raise UserError(
                f"method {self.method} fuses two sources: {self.num_sources} are given"
            )
        configured = baselines.create(self.method, self.options)
        object.__setattr__(self, "configured", configured)

    @property
    def title(self) -> str:
        """What fuses, in a word for a caption."""
        return self.method

    @property
    def needs_tensorflow(self) -> bool:
        """Whether what fuses imports TensorFlow."""
        return getattr(self.configured, "needs_tensorflow", False)


AnySettings = FusionSettings | MethodSettings


class MethodFuser(ChannelFuser):
    """Fuses images of any colour with another method than DenseFuse.

    Methods take 8-bit channels: what has more is rounded first. Each brings its result
    to 8 bits by itself, so that an output range changes nothing.
    """

    def __init__(self, settings: MethodSettings):
        """Reads the files that the method's options name."""
        super().__init__(
            settings.num_sources,
            settings.color,
            "average",
            np.uint8,
            settings.palette,
        )
        self._method = settings.configured
        prepare = getattr(self._method, "prepare", None)
        if prepare is not None:
            prepare()

    def _to_pixels(self, raw, output_range):
        return raw

    def _fuse_color(self, sources: Sequence[np.ndarray]) -> np.ndarray:
        if not getattr(self._method, "takes_color", False):
            return super()._fuse_color(sources)
        return self._fuse_channel([pixels.rgb(source) for source in sources])

    def _fuse_channel(self, channels: Sequence[np.ndarray]) -> np.ndarray:
        ir, vis = (np.ascontiguousarray(pixels.to_uint8(each)) for each in channels)
        return self._method.fuse(ir, vis)


def names() -> tuple[str, ...]:
    """Returns the names of all methods, DenseFuse's first."""
    return (_DENSEFUSE, *baselines.names())


def load(module: str | os.PathLike | None) -> tuple[str, ...]:
    """Imports a module that registers methods, if any; see `user_modules.load`."""
    return () if module is None else user_modules.load(module, _KIND)


def get(name: str) -> type:
    """Returns the dataclass whose fields are the options of a method."""
    if name == _DENSEFUSE:
        return FusionSettings
    if name not in names():
        raise UserError(
            f"unknown method {name!r}: expected one of {', '.join(names())}"
        )
    return baselines.get(name)


def summary(name: str) -> str:
    """Returns the first line of a method's docstring."""
    return (inspect.getdoc(get(name)) or "").partition("\n")[0]


def options(name: str) -> tuple[str, ...]:
    """Returns the names of a method's options."""
    return tuple(key for key in option_fields(get(name)) if key not in _COMMON)


def settings_class(name: str) -> type[FusionSettings] | type[MethodSettings]:
    """Returns the class of a method's settings, which says what the method can do."""
    return FusionSettings if get(name) is FusionSettings else MethodSettings


def settings(
    name: str = _DENSEFUSE,
    options: Mapping[str, Any] | None = None,
    *,
    num_sources: int = FusionSettings.num_sources,
    color: str = FusionSettings.color,
    palette: str = FusionSettings.palette,
) -> AnySettings:
    """Makes the settings of a method.

    Args:
      name: The method.
      options: Its options by name: of DenseFuse the other fields of `FusionSettings`,
        of another method what `baselines.create` takes.
      num_sources: k.
      color, palette: As in `FusionSettings`.

    Raises:
      UserError: There is no such method, option or color, or a value cannot be used.
    """
    common: dict[str, Any] = {
        "num_sources": num_sources,
        "color": color,
        "palette": palette,
    }
    if get(name) is FusionSettings:
        return with_options(FusionSettings, name, options or {}, **common)
    return MethodSettings(name, options or {}, **common)


def build(settings: AnySettings) -> ChannelFuser:
    """Builds what fuses as the settings say."""
    if isinstance(settings, MethodSettings):
        return MethodFuser(settings)
    from densefuse_tf.fusion.fuser import Fuser

    return Fuser(settings)


def fuse(
    sources: Sequence[np.ndarray],
    checkpoint: str | os.PathLike | None = None,
    *,
    method: str = _DENSEFUSE,
    color: str = FusionSettings.color,
    palette: str = FusionSettings.palette,
    **options,
) -> np.ndarray:
    """Fuses k source images of one scene.

    DenseFuse keeps its graph: a second call with the same settings only computes.
    Another method that has weights reads them in each call; what `build` returns reads
    them once.

    Args:
      sources: k >= 2 arrays, as `ChannelFuser.fuse` takes them; for a pair infrared
        first.
      checkpoint: The weights of a method that has some: of DenseFuse, whose default is
        "1e2", what `checkpoints.load_autoencoder` takes.
      method: One of `names()`; all but DenseFuse fuse two sources.
      color: "auto", "gray", "rgb", "luma" or "thermal"; see `FusionSettings`.
      palette: The colours of "thermal"; see `FusionSettings`.
      **options: The method's other options. Those of DenseFuse are fields of
        `FusionSettings`: strategy (one of `strategies.names()`), window_radius,
        output_range ("minmax", "average" or "clip"), precision ("float32" or
        "bfloat16") and memory_budget.

    Returns:
      The fused image, uint8, [H, W] or [H, W, 3].

    Raises:
      UserError: One of the arguments cannot be used.
    """
    if isinstance(sources, np.ndarray) or isinstance(checkpoint, np.ndarray):
        raise UserError(
            "fuse: an array is given where a list of them is expected: pass "
            'fuse([infrared, visible]), or fuse([infrared, visible], checkpoint="1e2")'
        )
    if checkpoint is not None:
        options["checkpoint"] = checkpoint
    chosen = settings(
        method, options, num_sources=len(sources), color=color, palette=palette
    )
    if isinstance(chosen, MethodSettings):
        return MethodFuser(chosen).fuse(sources).image
    from densefuse_tf.fusion import fuser

    return fuser.kept(chosen).fuse(sources).image
