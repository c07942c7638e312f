"""What fuse.py does with images: the flags' values in, files and a status out."""

import pathlib
import shlex
import sys
import time
from collections.abc import Sequence

from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError

# Of a longer run the panel shows the first pairs.
PANEL_ROWS = 8
# Of so many errors a report has all, and the terminal the first ones.
_ERRORS_SHOWN = 20


def fuse(
    sources: Sequence[str],
    output: str,
    *,
    names: Sequence[str],
    value_ranges: Sequence,
    save_raw: bool,
    max_pixels: int,
    panel: str | None,
    report: str | None,
    beam_runner: str | None,
    beam_options: Sequence[str],
    settings: dict,
) -> int:
    """Fuses one pair, or many.

    Args:
      sources: Files, folders or patterns of images.
      output: A file or a folder.
      names: What the panel calls the sources.
      value_ranges: As `batch.fuse_files` takes them.
      save_raw: As of `batch.fuse_files`.
      max_pixels: As of `batch.fuse_files`.
      panel: --panel.
      report: --report.
      beam_runner: --runner.
      beam_options: --beam_options.
      settings: The other arguments of `fusion.Fuser`.

    Returns:
      The exit status.

    Raises:
      UserError: A mistake, before the first pair is fused where it can be found then;
        the only pair cannot be fused.
    """
    from densefuse_tf.io import images
    from densefuse_tf.pipelines import batch

    launcher = _launcher(beam_runner, beam_options, panel)
    jobs = batch.plan(images.pair(sources), output)
    if panel is not None:
        panel = pathlib.Path(panel)
        if panel.suffix.lower() not in images.FORMATS:
            raise UserError(f"--panel={panel}: expected {', '.join(images.FORMATS)}")
    report = _report(report, jobs, is_always=launcher is not None)
    others = [path for path in (panel, report) if path is not None]
    if save_raw:
        others += [job.raw_output for job in jobs]
    batch.check_outputs(jobs, others)
    for job in jobs:
        print(f"{' + '.join(map(str, job.sources))} -> {job.output}", flush=True)

    runner.import_tensorflow()
    from densefuse_tf.fusion import fusion

    settings = {"num_sources": len(sources), **settings}
    # With a runner as well, whose workers have their own: a mistake in the settings is
    # answered here, and at once.
    fuser = fusion.Fuser(**settings)
    for path in (jobs[0].output, panel, report):
        if path is not None:
            batch.check_writable(path.parent)
    if report is not None:
        # An earlier run's would say of this one, if it is cut off, that all is well.
        report.unlink(missing_ok=True)
    how = {
        "value_ranges": value_ranges,
        "save_raw": save_raw,
        "max_pixels": max_pixels,
    }
    if launcher is not None:
        del fuser
        return _launch(launcher, jobs, report, fuser=settings, **how)
    results = batch.fuse_files(fuser, jobs, with_images=panel is not None, **how)
    return _follow(results, jobs, names, settings["strategy"], panel, report)


def _launcher(beam_runner: str | None, beam_options: Sequence[str], panel: str | None):
    """What runs the pipeline that --runner asks for; None without it."""
    if beam_runner is None:
        if beam_options:
            raise UserError("--beam_options goes with --runner")
        return None
    if panel is not None:
        raise UserError("--panel does not go with --runner: the images are not here")
    try:
        options = [option for text in beam_options for option in shlex.split(text)]
    except ValueError as error:
        raise UserError(f"--beam_options: {error}") from error
    # Beam logs while it is imported, and looks for parts that are not needed here.
    with runner.hushed():
        from densefuse_tf.pipelines import beam
    return beam.Launcher(beam_runner, options)


def _report(report: str | None, jobs, *, is_always: bool) -> pathlib.Path | None:
    """Where the report goes."""
    from densefuse_tf.io import files

    if report is not None:
        path = pathlib.Path(report)
    elif is_always:
        path = jobs[0].output.parent / "fuse_report.csv"
    else:
        return None
    if path.suffix.lower() != ".csv":
        raise UserError(f"--report={path}: expected a name that ends in .csv")
    files.check_replaceable(path)
    return path


def _launch(launcher, jobs, report, **settings) -> int:
    """Fuses on Apache Beam; the exit status."""
    from densefuse_tf.pipelines import beam

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


def _follow(results, jobs, names, strategy, panel, report) -> int:
    """Shows the progress, collects panel and errors; the exit status."""
    import tqdm

    from densefuse_tf.io import images

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
        elif panel is not None and len(rows) < PANEL_ROWS:
            rows.append(_panel_row(names, strategy, done))
    if rows:
        from densefuse_tf.evaluation import panels

        images.write(panel, panels.panel(rows))
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
    from densefuse_tf.io import files

    header = ["output", *(f"source_{i + 1}" for i in range(num_sources)), "error"]
    rows = (
        [*map(str, (done.job.output, *done.job.sources)), line]
        for done, line in zip(failed, lines, strict=True)
    )
    files.write_rows(report, header, rows)


def _panel_row(names, strategy, done):
    """(caption, image) of the sources and the result of one pair."""
    from densefuse_tf.fusion import fusion

    row = [
        (f"{name}: {path.name}", fusion.to_uint8(source, "average"))
        for name, path, source in zip(
            names, done.job.sources, done.sources, strict=True
        )
    ]
    return [*row, (f"fused, {strategy}", done.image)]
