"""Fuses infrared and visible images with DenseFuse, or with another method.

  fuse.py --ir=ir.png --vis=vis.png --output=fused.png
  fuse.py --ir=pairs/ir --vis=pairs/vis --output=fused --preset=camera
  fuse.py --sources=near.png --sources=far.png --output=all_in_focus.png --color=rgb
  fuse.py --ir='night/*_ir.tif' --ir_range=7000,9000 --vis='night/*_rgb.png' \\
      --output=fused --color=luma --panel=panel.png
  fuse.py --ir=ir.png --vis=vis.png --output=fused.png --register
  fuse.py --ir=photos --vis=embedded --output=fused --strategy=l1_norm
  fuse.py --ir=ir.tif --vis=vis.png --output=fused.png --color=thermal --scale
  fuse.py --ir=ir.mp4 --vis=vis.mp4 --output=fused.mp4
  fuse.py --ir=frames/ir --vis=frames/vis --fps=50 --output=fused.mp4
  fuse.py --ir=frames/ir --vis=frames/vis --video --output=frames/fused
  fuse.py --ir=pairs/ir --vis=pairs/vis --output=gtf --method=gtf \\
      --method_options=lambda=2.5
  fuse.py --live --ir=v4l2:/dev/video0 --vis=rtsp://CAMERA/stream --output=fused.mkv
  fuse.py --ir=archive/ir --vis=archive/vis --output=fused --skip_existing \\
      --runner=DaskRunner --beam_options='--dask_client_address=tcp://HOST:8786'

Images are matched by their names; a result has its visible image's name. With
--vis=embedded the visible images are the photographs in the files of --ir, those of a
FLIR camera (docs/flir.md): they are registered as with --register, and --color=auto is
luma. In a video (a source or the output is named as one, or --video) value ranges and
colour are decided once for all frames, and --output_range is average by default, so
that nothing flickers.

Results that exist are replaced, each once the new one is whole: images, videos and
folders of frames; with --skip_existing they are left as they are, and the others are
made. Never overwritten are sources, read-only files, and a folder of
frames that holds anything else. With --nooverwrite nothing that exists is, nor with
--live unless --overwrite is given.

Another method fuses two sources in 8 bits, and brings each result, or frame of a video,
to 0..255 in its own way; --checkpoint is its weights if it has any.
Exit status: 0, 1 if some pairs of a folder could not be fused, 2 for a mistake.
"""

import dataclasses
import os
import sys
from typing import Any

from absl import flags

from densefuse_tf import naming
from densefuse_tf.cameras.settings import LiveSettings
from densefuse_tf.commands import common_flags
from densefuse_tf.commands import fusing
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError
from densefuse_tf.fusion import methods
from densefuse_tf.fusion.settings import PRESETS
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.fusion.settings import preset_values
from densefuse_tf.io import formats
from densefuse_tf.pipelines.settings import EMBEDDED
from densefuse_tf.pipelines.settings import KINDS
from densefuse_tf.pipelines.settings import FileOptions
from densefuse_tf.pipelines.settings import FusionRequest
from densefuse_tf.pipelines.settings import RegistrationSettings
from densefuse_tf.pipelines.settings import RunOptions

_FLAGS = flags.FlagValues()
_IR, _VIS = common_flags.define_ir_and_vis(_FLAGS)
_SOURCES = common_flags.define_paths(
    "sources",
    "Instead of --ir and --vis, given k times: k kinds of source images to fuse",
    _FLAGS,
)
_OUTPUT = common_flags.define_path(
    "output",
    "A file for one pair, else a folder. Of a video: .mp4, .m4v, .mov or .mkv, or a "
    "folder of its own for its frames as PNG.",
    _FLAGS,
)
_VIDEO = flags.DEFINE_bool(
    "video",
    False,
    "The images are the frames of a video, whatever the names say.",
    flag_values=_FLAGS,
)
_FPS = flags.DEFINE_string(
    "fps",
    None,
    "Frames per second of a video made of images: 25 if not given, 29.97, 30000/1001, "
    "... A video made of videos has theirs.",
    flag_values=_FLAGS,
)
_RANGES = common_flags.define_ranges(
    ": MIN,MAX; two percentiles of the image, 1%,99% for instance, which leave out "
    "dead and hot pixels; or auto for the image's own minimum and maximum, or those of "
    "all frames of a video. By default auto for 16-bit and float images, while those "
    "of 8 bits stay as they are.",
    _FLAGS,
)
_METHOD = flags.DEFINE_string(
    "method",
    FusionSettings.method,
    "The fusion method, one of those above, or of --method_module.",
    flag_values=_FLAGS,
)
_METHOD_OPTIONS = flags.DEFINE_list(
    "method_options",
    [],
    "OPTION=VALUE,...: options of another method than densefuse.",
    flag_values=_FLAGS,
)
_METHOD_MODULE = common_flags.define_path(
    "method_module",
    "A Python file, or the dotted name of a module, that registers fusion methods of "
    "your own; see CONTRIBUTING.md.",
    _FLAGS,
)
_CAMERA = " ".join(f"--{flag}={value}" for flag, value in PRESETS["camera"].items())
_PRESET = common_flags.define_choice(
    "preset",
    "paper",
    list(PRESETS),
    "What the settings are that are not given: paper, the defaults below; camera, what "
    f"looks better as a picture, {_CAMERA}, and the default with --live.",
    _FLAGS,
)
common_flags.define(FusionSettings, _FLAGS, except_=("num_sources",))
common_flags.define(
    FileOptions,
    _FLAGS,
    except_=("value_ranges", "range_flags", "infrared", "embedded"),
)
common_flags.define(RegistrationSettings, _FLAGS)
common_flags.define(RunOptions, _FLAGS)
_LIVE = flags.DEFINE_bool(
    "live",
    False,
    "Fuse two cameras while they run: --ir and --vis are devices, addresses or files "
    "that ffmpeg opens, --output a video file, an address as udp://HOST:PORT or pipe:; "
    "see docs/live.md.",
    flag_values=_FLAGS,
)
common_flags.define(LiveSettings, _FLAGS)
# What goes with files, and not with cameras.
_OF_FILES = (
    *("sources", "video", "fps", "register", "register_model", "points"),
    *("save_transform", "guess", "checkerboard", "save_raw", "scale", "skip_existing"),
    *(field.name for field in dataclasses.fields(RunOptions)),
)
_OF_LIVE = [field.name for field in dataclasses.fields(LiveSettings)]


def main() -> int:
    live = _LIVE.value
    if live:
        common_flags.refuse(_FLAGS, _OF_FILES, "does not go with --live")
    else:
        common_flags.refuse(_FLAGS, _OF_LIVE, "goes with --live")
    names, sources = _sources()
    embedded = not _SOURCES.value and _is_embedded()
    if live and embedded:
        raise UserError("--vis=embedded goes with images, not with --live")
    if embedded:
        # As two lenses of one camera, both are in one file.
        sources = sources[:1] * 2
    output = _OUTPUT.value or ""
    if not output and not (live and _FLAGS["live_page"].value):
        raise UserError("--output is missing: expected a file, or a folder for several")
    for place in () if live else (*sources, output):
        if "://" in place:
            raise UserError(f"{place}: is a URL: expected a path, of a mounted folder")
    is_video = live or _VIDEO.value or any(map(formats.is_video, (*sources, output)))
    options: dict[str, Any] = {}
    if not _SOURCES.value:
        options["value_ranges"] = tuple(map(common_flags.value_range, _RANGES))
        options["range_flags"] = tuple(f"--{flag.name}=" for flag in _RANGES)
        options["infrared"] = True
    if _FLAGS["skip_existing"].value and _FLAGS["overwrite"].present:
        raise UserError("--skip_existing does not go with --overwrite: expected one")
    if _FPS.value is not None and not is_video:
        raise UserError("--fps goes with a video: give --video if these are its frames")
    # A recording cannot be made again.
    options["overwrite"] = _FLAGS["overwrite"].value and (
        not live or bool(_FLAGS["overwrite"].present)
    )
    request = FusionRequest(
        sources,
        output,
        _settings(len(sources), is_video),
        common_flags.read(FileOptions, _FLAGS, embedded=embedded, **options),
        _registration(is_video, embedded),
        common_flags.read(RunOptions, _FLAGS),
        names,
        _FPS.value,
    )
    if live:
        return fusing.fuse_live(request, common_flags.read(LiveSettings, _FLAGS))
    return (fusing.fuse_sequence if is_video else fusing.fuse_pairs)(request)


def _registration(is_video: bool, embedded: bool) -> RegistrationSettings:
    """Returns whether and how the sources are aligned first."""
    register = _FLAGS["register"].value
    if register == "auto" or (register is None and embedded):
        register = "once" if is_video else "each"
        if _FLAGS["transform"].value or _FLAGS["points"].value:
            # They say all that --register without a value asks for.
            register = None
    return common_flags.read(RegistrationSettings, _FLAGS, register=register)


def _settings(num_sources: int, is_video: bool) -> methods.AnySettings:
    """Returns the settings of DenseFuse, or of another method."""
    densefuse = FusionSettings.method
    is_given = _FLAGS["preset"].present or not _LIVE.value
    preset = _PRESET.value or "paper" if is_given else "camera"
    usual = preset_values(preset, is_video=is_video)
    usual = {flag: value for flag, value in usual.items() if not _FLAGS[flag].present}
    if _FLAGS["palette"].present and _FLAGS["color"].value != "thermal":
        raise UserError("--palette goes with --color=thermal")
    if naming.find(_METHOD.value, [densefuse]):
        for given in (_METHOD_OPTIONS, _METHOD_MODULE):
            if given.value:
                raise UserError(
                    f"--{given.name} goes with another method than {densefuse}"
                )
        others = {"num_sources": num_sources, **usual}
        return common_flags.read(FusionSettings, _FLAGS, **others)
    methods.load(_METHOD_MODULE.value)
    name = naming.pick(
        _METHOD.value, methods.list_methods(), f"--method={_METHOD.value}: unknown"
    )
    kind = methods.settings_class(name)
    refused = [flag for flag in methods.options(densefuse) if flag != "checkpoint"]
    if not kind.has_raw_output:
        refused.append("save_raw")
    if not kind.runs_on_beam:
        refused += ["runner", "beam_options"]
    why = f"goes with {densefuse}, not with method {name}"
    common_flags.refuse(_FLAGS, refused, why)
    options = common_flags.options(_METHOD_OPTIONS.value)
    if _FLAGS["checkpoint"].present:
        if "checkpoint" in options:
            raise UserError("--checkpoint is given in --method_options as well")
        if "checkpoint" not in methods.options(name):
            raise UserError(f"--checkpoint: method {name} has no weights")
        options["checkpoint"] = str(_FLAGS["checkpoint"].value)
    looks: dict[str, Any] = {each: _FLAGS[each].value for each in ("color", "palette")}
    looks |= {each: usual[each] for each in looks if each in usual}
    return methods.settings(name, options, num_sources=num_sources, **looks)


def _sources() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns what the kinds of sources are called and where they are."""
    if _SOURCES.value:
        if _IR.value is not None or _VIS.value is not None:
            raise UserError("--sources is given as well as --ir or --vis: expected one")
        for kind, flag in zip((_IR, _VIS), _RANGES, strict=True):
            if flag.value is not None:
                raise UserError(
                    f"--{flag.name} goes with --{kind.name}, not with --sources"
                )
        if len(_SOURCES.value) == 1 and "," in _SOURCES.value[0]:
            first, _, second = _SOURCES.value[0].partition(",")
            raise UserError(
                f"--sources={_SOURCES.value[0]}: is taken as one kind of source: "
                f"expected --sources={first} --sources={second}"
            )
        names = tuple(f"source {i + 1}" for i in range(len(_SOURCES.value)))
        return names, tuple(_SOURCES.value)
    for flag in (_IR, _VIS):
        if flag.value is None:
            raise UserError(f"--{flag.name} is missing: expected --ir and --vis")
    return KINDS, (_IR.value, _VIS.value)


def _is_embedded() -> bool:
    """Whether --vis asks for the photographs in the files of --ir."""
    vis = _VIS.value
    if vis == EMBEDDED or os.path.exists(vis):
        return vis == EMBEDDED
    is_meant = naming.find(vis, [EMBEDDED]) is not None
    if not is_meant and naming.nearest(vis, [EMBEDDED]):
        raise UserError(
            f"--vis={vis}: no such file or folder; did you mean {EMBEDDED}?"
        )
    return is_meant


def _description() -> str:
    """Returns what --help shows above the flags: with the methods and their options."""
    names = methods.list_methods()
    lines = [f"  {name:<10} {methods.summary(name)}" for name in names]
    lines += ["", "Options of the methods, for --method_options:"]
    for name in names:
        options = methods.options(name)
        if options and methods.settings_class(name) is not FusionSettings:
            lines.append(f"  {name:<10} {', '.join(options)}")
    return "\n".join([(__doc__ or "").rstrip(), "", "Methods:", *lines])


def run(argv: list[str] | None = None) -> int:
    """Runs the command `densefuse-fuse` and returns its exit status."""
    return runner.run(main, _FLAGS, _description, argv)


if __name__ == "__main__":
    sys.exit(run())
