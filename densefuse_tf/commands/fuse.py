"""Fuses infrared and visible images with DenseFuse.

  fuse.py --ir=ir.png --vis=vis.png --output=fused.png
  fuse.py --ir=pairs/ir --vis=pairs/vis --output=fused --strategy=l1_norm
  fuse.py --sources=near.png --sources=far.png --output=all_in_focus.png --color=rgb
  fuse.py --ir='night/*_ir.tif' --ir_range=7000,9000 --vis='night/*_rgb.png' \\
      --output=fused --color=luma --panel=panel.png
  fuse.py --ir=archive/ir --vis=archive/vis --output=fused --runner=DirectRunner \\
      --beam_options='--direct_num_workers=4 --direct_running_mode=multi_processing'

Images are matched in natural sort order; a result has its visible image's name.
Exit status: 0, 1 if some pairs of a folder could not be fused, 2 for a mistake.
"""

import pathlib
import shlex
import sys
import time

from absl import flags

from densefuse_tf.commands import common_flags
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError

# Of a longer run the panel shows the first pairs.
_PANEL_ROWS = 8
# Of so many errors a report has all, and the terminal the first ones.
_ERRORS_SHOWN = 20

_FLAGS = flags.FlagValues()
_IR, _VIS = common_flags.define_ir_and_vis(_FLAGS)
_SOURCES = flags.DEFINE_multi_string(
    "sources",
    [],
    "Instead of --ir and --vis, given k times: k kinds of source images to fuse.",
    flag_values=_FLAGS,
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "A file for one pair, else a folder.", flag_values=_FLAGS
)
_CHECKPOINT = common_flags.define_checkpoint(_FLAGS)
_STRATEGY = common_flags.define_strategy(_FLAGS)
_WINDOW_RADIUS = common_flags.define_window_radius(_FLAGS)
_OUTPUT_RANGE = flags.DEFINE_string(
    "output_range",
    "minmax",
    "minmax: each result's minimum and maximum become 0 and 255, as in the release; "
    "average: the decoder's output, divided by k where the strategy adds, which keeps "
    "brightness comparable between images.",
    flag_values=_FLAGS,
)
_COLOR = flags.DEFINE_string(
    "color",
    "auto",
    "gray; rgb: channel by channel, as in IV-D of the paper; luma: fuses the luma and "
    "keeps the visible image's chroma; auto: rgb if a source has colour, else gray.",
    flag_values=_FLAGS,
)
_IR_RANGE = flags.DEFINE_string(
    "ir_range",
    None,
    "The infrared values that become 0 and 255: MIN,MAX, or auto for the image's own "
    "minimum and maximum. By default auto for 16-bit and float images, while those of "
    "8 bits stay as they are.",
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
    f"{_PANEL_ROWS} pairs).",
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
    [],
    "With --runner: Beam's pipeline options, as on a command line; may be repeated.",
    flag_values=_FLAGS,
)


def main() -> int:
    from densefuse_tf import batch
    from densefuse_tf import images

    names, patterns = _patterns()
    if _OUTPUT.value is None:
        raise UserError("--output is missing: expected a file, or a folder for several")
    for place in (*patterns, _OUTPUT.value):
        if "://" in place:
            raise UserError(f"{place}: is a URL: expected a path, of a mounted folder")
    value_ranges = [_ir_range()] + [None] * (len(patterns) - 1)
    launcher = _launcher()
    jobs = batch.plan(images.pair(patterns), _OUTPUT.value)
    panel = None if _PANEL.value is None else pathlib.Path(_PANEL.value)
    if panel is not None:
        if panel.suffix.lower() not in images.FORMATS:
            raise UserError(f"--panel={panel}: expected {', '.join(images.FORMATS)}")
    report = _report(jobs)
    batch.check_outputs(jobs, [path for path in (panel, report) if path is not None])
    for job in jobs:
        print(f"{' + '.join(map(str, job.sources))} -> {job.output}", flush=True)

    runner.import_tensorflow()
    from densefuse_tf import fusion

    how = {
        "checkpoint": _CHECKPOINT.value,
        "strategy": _STRATEGY.value,
        "num_sources": len(patterns),
        "window_radius": _WINDOW_RADIUS.value,
        "output_range": _OUTPUT_RANGE.value,
        "color": _COLOR.value,
        "tile_size": _TILE_SIZE.value,
    }
    # With --runner as well, where the workers have their own: a mistake in the flags
    # is answered here, and at once.
    fuser = fusion.Fuser(**how)
    for path in (jobs[0].output, panel, report):
        if path is not None:
            batch.check_writable(path.parent)
    settings = {
        "value_ranges": value_ranges,
        "save_raw": _SAVE_RAW.value,
        "max_pixels": _MAX_PIXELS.value,
    }
    if launcher is not None:
        del fuser
        return _launch(launcher, jobs, report, fuser=how, **settings)
    results = batch.fuse_files(fuser, jobs, with_images=panel is not None, **settings)
    return _follow(results, jobs, names, panel, report)


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


def _ir_range():
    """--ir_range as `images.to_pixel_range` takes it."""
    if _IR_RANGE.value in (None, "auto"):
        return _IR_RANGE.value
    try:
        low, high = map(float, _IR_RANGE.value.split(","))
        if low < high:
            return low, high
    except ValueError:
        pass
    raise UserError(
        f"--ir_range={_IR_RANGE.value}: expected auto or MIN,MAX, two numbers of which "
        "the first is the smaller one"
    )


def _launcher():
    """What runs the pipeline that --runner asks for; None without it."""
    if _RUNNER.value is None:
        if _BEAM_OPTIONS.value:
            raise UserError("--beam_options goes with --runner")
        return None
    if _PANEL.value is not None:
        raise UserError("--panel does not go with --runner: the images are not here")
    try:
        options = [o for text in _BEAM_OPTIONS.value for o in shlex.split(text)]
    except ValueError as error:
        raise UserError(f"--beam_options: {error}") from error
    # Beam logs while it is imported, and looks for parts that are not needed here.
    with runner.hushed():
        from densefuse_tf import beam
    return beam.Launcher(_RUNNER.value, options)


def _report(jobs) -> pathlib.Path | None:
    """Where the report goes."""
    from densefuse_tf import files

    if _REPORT.value is not None:
        report = pathlib.Path(_REPORT.value)
    elif _RUNNER.value is not None:
        report = jobs[0].output.parent / "fuse_report.csv"
    else:
        return None
    if report.suffix.lower() != ".csv":
        raise UserError(f"--report={report}: expected a name that ends in .csv")
    files.check_replaceable(report)
    return report


def _launch(launcher, jobs, report, **settings) -> int:
    """Fuses on Apache Beam; the exit status."""
    from densefuse_tf import beam

    start = time.monotonic()
    settings = beam.Settings(**settings, prepare=runner.import_tensorflow)
    try:
        failed = launcher.run(jobs, settings, jobs[0].output.parent)
    except beam.PipelineError as error:
        print(f"not all pairs were fused: {error}", file=sys.stderr)
        return 1
    seconds = time.monotonic() - start
    print(f"{len(jobs) - len(failed)} of {len(jobs)} pairs fused in {seconds:.0f} s")
    return _finish(failed, jobs, report)


def _follow(results, jobs, names, panel, report) -> int:
    """Shows the progress, collects panel and errors; the exit status."""
    import tqdm

    from densefuse_tf import images

    failed, rows = [], []
    # One pair needs no bar; without a terminal there is none.
    bar = tqdm.tqdm(
        results,
        total=len(jobs),
        unit=" pairs",
        bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, "
        "{rate_noinv_fmt}]",
        disable=None if len(jobs) > 1 else True,
    )
    for done in bar:
        if done.error is not None:
            failed.append(done)
        elif panel is not None and len(rows) < _PANEL_ROWS:
            rows.append(_panel_row(names, done))
    if rows:
        from densefuse_tf import plots

        images.write(panel, plots.panel(rows))
        print(f"panel: {panel}")
    return _finish(failed, jobs, report)


def _finish(failed, jobs, report) -> int:
    """Reports the jobs that failed; the exit status."""
    lines = [" ".join(str(done.error).split()) for done in failed]
    if report is not None:
        _write_report(report, failed, lines, len(jobs[0].sources))
    if not failed:
        return 0
    if len(jobs) == 1:
        raise failed[0].error
    print(f"{len(failed)} of {len(jobs)} pairs were not fused:", file=sys.stderr)
    shown = len(lines) if report is None else _ERRORS_SHOWN
    for line in lines[:shown]:
        print(f"  {line}", file=sys.stderr)
    if report is not None:
        print(f"report: {report}", file=sys.stderr)
    return 1


def _write_report(report, failed, lines, num_sources) -> None:
    from densefuse_tf import files

    header = ["output", *(f"source_{i + 1}" for i in range(num_sources)), "error"]
    rows = (
        [*map(str, (done.job.output, *done.job.sources)), line]
        for done, line in zip(failed, lines, strict=True)
    )
    files.write_rows(report, header, rows)


def _panel_row(names, done):
    """(caption, image) of the sources and the result of one pair."""
    from densefuse_tf import fusion

    row = [
        (f"{name}: {path.name}", fusion.to_uint8(source, "average"))
        for name, path, source in zip(
            names, done.job.sources, done.sources, strict=True
        )
    ]
    return [*row, (f"fused, {_STRATEGY.value}", done.image)]


def run(argv: list[str] | None = None) -> int:
    """The command `densefuse-fuse`; returns its exit status."""
    return runner.run(main, _FLAGS, __doc__, argv)
