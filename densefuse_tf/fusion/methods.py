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
import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from densefuse_tf import baselines
from densefuse_tf import naming
from densefuse_tf import registration
from densefuse_tf import startup
from densefuse_tf import user_modules
from densefuse_tf.baselines.method import Method
from densefuse_tf.baselines.method import converted
from densefuse_tf.baselines.method import option_fields
from densefuse_tf.baselines.method import with_options
from densefuse_tf.errors import UserError
from densefuse_tf.fusion.channels import ChannelFuser
from densefuse_tf.fusion.channels import load_sources
from densefuse_tf.fusion.channels import source_names
from densefuse_tf.fusion.settings import COLOR_MODES
from densefuse_tf.fusion.settings import PALETTES
from densefuse_tf.fusion.settings import ColorMode
from densefuse_tf.fusion.settings import FusionOptions
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.fusion.settings import Palette
from densefuse_tf.fusion.settings import Preset
from densefuse_tf.fusion.settings import preset_values
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.io import radiometric
from densefuse_tf.setting import pick_choice
from densefuse_tf.setting import takes

if TYPE_CHECKING:
    from typing_extensions import Unpack

_DENSEFUSE = FusionSettings.method
# What all methods have beside their options.
_LOOKS = ("color", "palette")
_COMMON = ("num_sources", *_LOOKS)
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
    color: ColorMode = FusionSettings.color
    palette: Palette = FusionSettings.palette
    configured: Method = dataclasses.field(init=False, repr=False)

    def __post_init__(self):
        """Refuses what no method can do."""
        for name, choices in (("color", COLOR_MODES), ("palette", PALETTES)):
            chosen = pick_choice(name, getattr(self, name), choices)
            object.__setattr__(self, name, chosen)
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
        super().__init__(settings, "average", np.uint8)
        self._method = settings.configured
        prepare = getattr(self._method, "prepare", None)
        if prepare is not None:
            prepare()

    def __reduce__(self):
        """Makes pickle keep the settings, and no network."""
        return _rebuilt, (
            self._settings.method,
            self._settings.options,
            self.num_sources,
            self.color,
            self.palette,
        )

    def _to_pixels(self, raw, output_range):
        return raw

    def _fuse_color(self, sources: Sequence[np.ndarray]) -> np.ndarray:
        if not getattr(self._method, "takes_color", False):
            return super()._fuse_color(sources)
        return self._fuse_channel([pixels.rgb(source) for source in sources])

    def _fuse_channel(self, channels: Sequence[np.ndarray]) -> np.ndarray:
        ir, vis = (np.ascontiguousarray(pixels.to_uint8(each)) for each in channels)
        fused = self._method.fuse(ir, vis)
        if not isinstance(fused, np.ndarray) or (fused.shape, fused.dtype) != (
            ir.shape,
            ir.dtype,
        ):
            raise UserError(
                f"method {self._settings.method} gives {_described(fused)}: expected "
                f"an array of shape {list(ir.shape)}, uint8"
            )
        return fused


def _described(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return f"a value of type {type(value).__name__}"
    return f"an array of shape {list(value.shape)}, {value.dtype}"


def _rebuilt(*settings: Any) -> MethodFuser:
    return MethodFuser(MethodSettings(*settings))


def list_methods() -> tuple[str, ...]:
    """Returns the names of all fusion methods, DenseFuse's first."""
    return (_DENSEFUSE, *baselines.names())


def load(module: str | os.PathLike | None) -> tuple[str, ...]:
    """Imports a module that registers methods, if any; see `user_modules.load`."""
    return () if module is None else user_modules.load(module, _KIND)


def get(name: str) -> type:
    """Returns the dataclass whose fields are the options of a method."""
    name = find(name)
    return FusionSettings if name == _DENSEFUSE else baselines.get(name)


def find(name: str) -> str:
    """Returns the name of a method as it is registered, which may be in another case.

    Raises:
      UserError: There is none.
    """
    return naming.pick(name, list_methods(), f"unknown method {name!r}")


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
    color: ColorMode = FusionSettings.color,
    palette: Palette = FusionSettings.palette,
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
    name = find(name)
    common: dict[str, Any] = {
        "num_sources": num_sources,
        "color": color,
        "palette": palette,
    }
    if name == _DENSEFUSE:
        return with_options(FusionSettings, name, options or {}, **common)
    return MethodSettings(name, options or {}, **common)


def build(settings: AnySettings) -> ChannelFuser:
    """Builds what fuses as the settings say."""
    if settings.needs_tensorflow:
        startup.load_tensorflow()
    if isinstance(settings, MethodSettings):
        return MethodFuser(settings)
    return _densefuse().Fuser(settings)


def kept(settings: FusionSettings) -> ChannelFuser:
    """Returns the `Fuser` of these settings, which is built when they are new."""
    return _densefuse().kept(settings)


def _densefuse():
    """Returns the module of `Fuser`, which imports TensorFlow."""
    startup.load_tensorflow()
    from densefuse_tf.fusion import fuser

    return fuser


@takes(FusionSettings, except_=("num_sources",))
def fuse(
    sources: Sequence[images.Source] | str | os.PathLike,
    checkpoint: str | os.PathLike | None = None,
    *,
    method: str = _DENSEFUSE,
    method_options: Mapping[str, Any] | None = None,
    preset: Preset = "paper",
    register: bool = False,
    **options: "Unpack[FusionOptions]",
) -> npt.NDArray[np.uint8]:
    """Fuses k source images of one scene.

    DenseFuse keeps its graph: a second call with the same settings only computes.
    Another method that has weights reads them in each call; what
    `fusion.methods.build` returns reads them once.

    Args:
      sources: k >= 2 images of one size, the infrared image of a pair first: paths of
        files, images of Pillow, or arrays as `Fuser.fuse` takes them. If the infrared
        image is the file of a FLIR camera, its temperatures are fused. The path of one
        such photo alone stands for its temperatures and the photograph in it, which
        are registered; color="auto" is then "luma".
      checkpoint: The weights of a method that has some, "1e2" by default for DenseFuse,
        which takes what `load_autoencoder` does.
      method: One of `list_methods()`; all but DenseFuse fuse two sources.
      method_options: Options of another method by name, such as {"lambda": 2.5} for
        "gtf". Keywords are taken as well, as lambda_=2.5, but type checkers do not know
        them.
      preset: Decides the settings that are not given: "paper" as in the paper, "camera"
        with strategy="l1_norm" and color="luma".
      register: Whether the infrared image is first laid over the visible one, whose
        size may differ. The result is cut to what both show.
        `densefuse_tf.registration` has more.
      **options: The settings of DenseFuse.

    Returns:
      The fused image, uint8, [H, W] or [H, W, 3].

    Raises:
      UserError: One of the arguments cannot be used, a file cannot be read, or the
        images cannot be registered.
    """
    if isinstance(sources, str | os.PathLike):
        if not os.path.exists(sources):
            raise UserError(
                f"{os.fspath(sources)}: no such file: expected one photo of a FLIR "
                "camera, or a list of images"
            )
        is_known = bool(radiometric.maker(sources))
    else:
        is_known = isinstance(sources, Sequence)
    if not is_known or isinstance(checkpoint, np.ndarray):
        raise UserError(
            f"fuse: a {type(sources).__name__} is given where a list of images is "
            "expected: pass fuse([infrared, visible]), or "
            'fuse([infrared, visible], checkpoint="1e2"), or one photo of a FLIR camera'
        )
    if not isinstance(method_options, Mapping | None):
        raise UserError(
            f"method_options is {method_options!r}: expected a dict of options by "
            'name, as {"lambda": 2.5}'
        )
    given: dict[str, Any] = {**(method_options or {}), **options}
    if checkpoint is not None:
        given["checkpoint"] = checkpoint
    if isinstance(sources, str | os.PathLike):
        arrays, names = _of_photo(sources)
        looks = preset_values(preset) | given
        if looks.get("color", FusionSettings.color) == FusionSettings.color:
            given["color"] = "luma"
    else:
        names = source_names(len(sources), sources)
        arrays, are_celsius = load_sources(sources, names)
        if are_celsius:
            arrays[0], _ = pixels.to_pixel_range(arrays[0])
        if register:
            arrays = _registered(arrays, names)
    name = find(method)
    if name != _DENSEFUSE:
        looks = preset_values(preset) | given
        looks = {each: looks[each] for each in _LOOKS if each in looks}
        given = {key: value for key, value in given.items() if key not in looks}
        chosen = settings(name, given, num_sources=len(arrays), **looks)
        return build(chosen).fuse(arrays, names=names).image
    given = converted(FusionSettings, name, given, ["num_sources"])
    # Editors see from the next two lines which keywords there are.
    options.update(typing.cast(FusionOptions, preset_values(preset) | given))
    densefuse = FusionSettings(num_sources=len(arrays), **options)
    return kept(densefuse).fuse(arrays, names=names).image


def _of_photo(path: str | os.PathLike) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Reads the temperatures and the photograph of a file, and aligns them."""
    celsius, photograph, placing = radiometric.read_pair(path)
    guess = registration.placed(placing, photograph.shape[:2], celsius.shape)
    how = {} if guess is None else {"model": guess.model, "guess": guess.matrix}
    names = os.fspath(path), f"the photograph in {os.fspath(path)}"
    infrared, _ = pixels.to_pixel_range(celsius)
    return _registered([infrared, photograph], names, **how), names


def _registered(
    sources: Sequence[np.ndarray], names: Sequence[str], **how: Any
) -> list[np.ndarray]:
    """Lays the infrared image over the visible one, and crops both to what they share.

    Raises:
      UserError: There are other than two; they cannot be registered.
    """
    if len(sources) != _NUM_SOURCES:
        raise UserError(
            f"register takes two sources, infrared first: {len(sources)} are given"
        )
    infrared, visible = sources
    found = registration.register(visible, infrared, names=names[::-1], **how)
    found.require_accepted(" and ".join(names))
    visible, infrared = registration.Alignment(found).align(visible, infrared)
    return [infrared, visible]
