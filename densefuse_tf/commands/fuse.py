"""Fuses infrared and visible images with DenseFuse.

  fuse.py --ir=ir.png --vis=vis.png --output=fused.png
  fuse.py --ir=pairs/ir --vis=pairs/vis --output=fused --strategy=l1_norm
  fuse.py --sources=near.png --sources=far.png --output=all_in_focus.png --color=rgb
  fuse.py --ir='night/*_ir.tif' --ir_range=7000,9000 --vis='night/*_rgb.png' \\
      --output=fused --color=luma --panel=panel.png
  fuse.py --ir=ir.mp4 --vis=vis.mp4 --output=fused.mp4
  fuse.py --ir=frames/ir --vis=frames/vis --fps=50 --output=fused.mp4
  fuse.py --ir=frames/ir --vis=frames/vis --video --output=frames/fused
  fuse.py --ir=archive/ir --vis=archive/vis --output=fused --runner=DirectRunner \\
      --beam_options='--direct_num_workers=4 --direct_running_mode=multi_processing'

Images are matched in natural sort order; a result has its visible image's name. In a
video (a source or the output is named as one, or --video) all that is found by looking
is found once for all frames, and --output_range is average, so that nothing flickers.
Exit status: 0, 1 if some pairs of a folder could not be fused, 2 for a mistake.
"""

import sys

from absl import flags

from densefuse_tf.commands import common_flags
from densefuse_tf.commands import fuse_images
from densefuse_tf.commands import fuse_video
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError

_FLAGS = flags.FlagValues()
_IR, _VIS = common_flags.define_ir_and_vis(_FLAGS)
_SOURCES = flags.DEFINE_multi_string(
    "sources",
    None,
    "Instead of --ir and --vis, given k times: k kinds of source images to fuse",
    flag_values=_FLAGS,
)
_OUTPUT = flags.DEFINE_string(
    "output",
    None,
    "A file for one pair, else a folder. Of a video: .mp4, .m4v, .mov or .mkv, or a "
    "new folder for its frames as PNG.",
    flag_values=_FLAGS,
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
    "... Between videos it stays what it is.",
    flag_values=_FLAGS,
)
_CHECKPOINT = common_flags.define_checkpoint(_FLAGS)
_STRATEGY = common_flags.define_strategy(_FLAGS)
_WINDOW_RADIUS = common_flags.define_window_radius(_FLAGS)
_OUTPUT_RANGE = flags.DEFINE_string(
    "output_range",
    None,
    "minmax: each result's minimum and maximum become 0 and 255, as in the release, or "
    "those of all frames of a video, which are then fused twice; average: the "
    "decoder's output, divided by k where the strategy adds, which keeps brightness "
    "comparable between images. By default minmax for images, average for videos.",
    flag_values=_FLAGS,
)
_COLOR = flags.DEFINE_string(
    "color",
    "auto",
    "gray; rgb: channel by channel, as in IV-D of the paper; luma: fuses the luma and "
    "keeps the visible image's chroma; auto: rgb if a source has colour, in any frame "
    "of a video, else gray.",
    flag_values=_FLAGS,
)
_IR_RANGE = flags.DEFINE_string(
    "ir_range",
    None,
    "The infrared values that become 0 and 255: MIN,MAX, or auto for the image's own "
    "minimum and maximum, or those of all frames of a video. By default auto for "
    "16-bit and float images, while those of 8 bits stay as they are.",
    flag_values=_FLAGS,
)
_SAVE_RAW = flags.DEFINE_bool(
    "save_raw",
    False,
    "Also write the decoder's output, float32, as NAME.npy.",
    flag_values=_FLAGS,
)
_PANEL = flags.DEFINE_string(
    "panel",
    None,
    "Also write one picture of sources and results side by side (of the first "
    f"{fuse_images.PANEL_ROWS} pairs).",
    flag_values=_FLAGS,
)
_TILE_SIZE = flags.DEFINE_integer(
    "tile_size",
    None,
    "The largest side of the tiles in which a large image is computed, with the same "
    "result; 0 for none. By default images above 2048x2048 are, in tiles that take "
    "about a gigabyte of memory each.",
    flag_values=_FLAGS,
)
_MAX_PIXELS = flags.DEFINE_integer(
    "max_pixels",
    200_000_000,
    "The largest image that is read, in pixels.",
    lower_bound=1,
    flag_values=_FLAGS,
)
_REPORT = flags.DEFINE_string(
    "report",
    None,
    "Also write a CSV file of the pairs that could not be fused, a row each: output, "
    "source_1, source_2, ..., error; a header alone if there are none. With --runner "
    "by default fuse_report.csv in the folder of the results.",
    flag_values=_FLAGS,
)
_RUNNER = flags.DEFINE_string(
    "runner",
    None,
    "Fuse on Apache Beam (pip install '.[beam]'), with the same results: DirectRunner "
    "for processes of this machine; FlinkRunner, SparkRunner, DataflowRunner, ... for "
    "machines that all see the files under the same paths. See docs/scaling.md.",
    flag_values=_FLAGS,
)
_BEAM_OPTIONS = flags.DEFINE_multi_string(
    "beam_options",
    None,
    "With --runner: Beam's pipeline options, as on a command line",
    flag_values=_FLAGS,
)


def main() -> int | None:
    names, patterns = _patterns()
    if not _OUTPUT.value:
        raise UserError("--output is missing: expected a file, or a folder for several")
    for place in (*patterns, _OUTPUT.value):
        if "://" in place:
            raise UserError(f"{place}: is a URL: expected a path, of a mounted folder")
    value_ranges = [common_flags.value_range(_IR_RANGE)] + [None] * (len(patterns) - 1)
    if _VIDEO.value or fuse_video.is_asked_for(patterns, _OUTPUT.value):
        return _fuse_video(patterns, value_ranges)
    if _FPS.value is not None:
        raise UserError("--fps goes with a video: give --video if these are its frames")
    return fuse_images.fuse(
        patterns,
        _OUTPUT.value,
        names=names,
        value_ranges=value_ranges,
        save_raw=_SAVE_RAW.value,
        max_pixels=_MAX_PIXELS.value,
        panel=_PANEL.value,
        report=_REPORT.value,
        beam_runner=_RUNNER.value,
        beam_options=_BEAM_OPTIONS.value or [],
        settings=_settings(default_range="minmax"),
    )


def _fuse_video(patterns, value_ranges) -> None:
    for flag in (_PANEL, _SAVE_RAW, _REPORT, _RUNNER, _BEAM_OPTIONS):
        if flag.value:
            raise UserError(f"--{flag.name} goes with images, not with a video")
    fuse_video.fuse(
        patterns,
        _OUTPUT.value,
        value_ranges=value_ranges,
        fps=_FPS.value,
        max_pixels=_MAX_PIXELS.value,
        settings=_settings(default_range="average"),
    )


def _settings(default_range: str) -> dict:
    """The flags that are arguments of `fusion.Fuser`."""
    output_range = _OUTPUT_RANGE.value
    return {
        "checkpoint": _CHECKPOINT.value,
        "strategy": _STRATEGY.value,
        "window_radius": _WINDOW_RADIUS.value,
        "output_range": default_range if output_range is None else output_range,
        "color": _COLOR.value,
        "tile_size": _TILE_SIZE.value,
    }


def _patterns() -> tuple[tuple[str, ...], list[str]]:
    """What the sources are called and where they are."""
    if _SOURCES.value:
        if _IR.value is not None or _VIS.value is not None:
            raise UserError("--sources is given as well as --ir or --vis: expected one")
        if _IR_RANGE.value is not None:
            raise UserError("--ir_range goes with --ir, not with --sources")
        names = tuple(f"source {i + 1}" for i in range(len(_SOURCES.value)))
        return names, _SOURCES.value
    for flag in (_IR, _VIS):
        if flag.value is None:
            raise UserError(f"--{flag.name} is missing: expected --ir and --vis")
    return ("infrared", "visible"), [_IR.value, _VIS.value]


def run(argv: list[str] | None = None) -> int:
    """The command `densefuse-fuse`; returns its exit status."""
    return runner.run(main, _FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(run())
