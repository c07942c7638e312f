"""Fuses images for fuse.py."""

import dataclasses
import itertools
import pathlib
import sys
import time
from collections.abc import Iterable, Sequence

from absl import logging

from densefuse_tf.commands import aligned
from densefuse_tf.commands import launching
from densefuse_tf.commands import progress
from densefuse_tf.commands.request import Request
from densefuse_tf.errors import UserError
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.pipelines.settings import RegistrationSettings

# The panel shows at most so many pairs, the first ones.
PANEL_ROWS = 8
# The plan shows at most so many pairs, the first ones.
_PLAN_SHOWN = 3
# A report has all errors, the terminal the first ones.
_ERRORS_SHOWN = 20
# A warning of misaligned pairs names so many.
_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Run:
    """Says what a run over many pairs runs on, and what it writes beside the results.

    The description of each field is its `metadata["help"]`.
    """

    panel: str | None = dataclasses.field(
        default=None,
        metadata={
            "help": "Also write one picture of sources and results side by side (of "
            f"the first {PANEL_ROWS} pairs)."
        },
    )
    report: str | None = dataclasses.field(
        default=None,
        metadata={
            "help": "Also write a CSV file of the pairs that could not be fused, a row "
            "each: output, source_1, source_2, ..., error; a header alone if there are "
            "none. With --runner by default fuse_report.csv in the folder of the "
            "results."
        },
    )
    runner: str | None = dataclasses.field(
        default=None,
        metadata={
            "help": "Work on Apache Beam (pip install 'densefuse-tf[beam]'), with the "
            "same results: DirectRunner for processes of this machine; DaskRunner "
            "(pip install 'densefuse-tf[dask]'), FlinkRunner, SparkRunner, "
            "DataflowRunner, ... for machines that all see the files under the same "
            "paths. See docs/scaling.md."
        },
    )
    beam_options: str | None = dataclasses.field(
        default=None,
        metadata={
            "help": "With --runner: Beam's pipeline options, as on a command line."
        },
    )


def fuse(request: Request, run: Run) -> int:
    """Fuses one pair, or many.

    Args:
      request: Says what is fused.
      run: Says what the run runs on and writes besides.

    Returns:
      The exit status.

    Raises:
      UserError: A mistake, before the first pair is fused where it can be found then;
        the only pair cannot be fused.
    """
    from densefuse_tf.io import files
    from densefuse_tf.io import images
    from densefuse_tf.io import outputs
    from densefuse_tf.io.streamed import Streamed
    from densefuse_tf.pipelines import pairs

    start = time.monotonic()
    settings, options = request.registration, request.options
    launcher = _launcher(run, settings)
    planned = pairs.plan(images.pair(request.sources), request.output)
    panel, report = _panel(run), _report(run, planned)
    others = [path for path in (panel, report) if path is not None]
    beside = aligned.outputs(settings)
    others += beside
    beside_pairs: Sequence[pathlib.Path] = others
    if options.save_raw:
        beside_pairs = Streamed(
            lambda: itertools.chain(others, (pair.raw_output for pair in planned)),
            len(others) + len(planned),
        )
    outputs.check_pairs(
        pairs.texts(planned),
        beside_pairs,
        aligned.inputs(settings),
        overwrite=options.overwrite,
    )
    if settings.register == "each" and settings.save_transform and len(planned) > 1:
        raise UserError(
            "--save_transform goes with one pair, or with --register=once: "
            f"--register=each finds a transform for each of {len(planned)} pairs"
        )
    todo = planned
    if options.skip_existing:
        todo = pairs.without_result(planned, options)
    if launcher is None and not settings.is_on and todo:
        pairs.check_sizes(todo)

    # With a runner as well, whose workers have their own: a mistake in the settings is
    # answered here, and at once.
    fuser = request.fuser()
    for path in (planned[0].output, panel, report, *beside):
        if path is not None:
            files.check_writable(path.parent)
    aligner = None
    if settings.is_on and todo:
        # All pairs take part, so that what a run that was cut off left is aligned in
        # the same way.
        aligner = pairs.prepare_aligner(planned, options, settings)
    _print_plan(todo, len(planned))
    if report is not None:
        # That of an earlier run would say of this one, if it is cut off, that all is
        # well.
        report.unlink(missing_ok=True)
    failed: list | None
    if not todo:
        failed = []
    elif launcher is None:
        results = pairs.fuse_pairs(
            fuser,
            todo,
            options,
            aligner=aligner,
            with_images=panel is not None or settings.checkerboard is not None,
        )
        failed = _follow(results, len(todo), panel, request)
    else:
        del fuser
        failed = _launch(launcher, todo, request, aligner)
        if failed is None:
            return 1
    status = _finish(failed, todo, planned, report)
    _print_summary(planned, len(todo), failed, request, time.monotonic() - start)
    return status


def _print_plan(todo: Sequence, count: int) -> None:
    """Prints what is fused into what: the first pairs, and how many there are."""
    for pair in todo[:_PLAN_SHOWN]:
        print(f"{' + '.join(map(str, pair.sources))} -> {pair.output}")
    if len(todo) > _PLAN_SHOWN:
        print(f"... {len(todo)} pairs in all")
    if len(todo) < count:
        print(f"{count - len(todo)} of {count} pairs have their results already")
    sys.stdout.flush()


def _print_summary(
    planned: Sequence, count: int, failed: Sequence, request: Request, seconds: float
) -> None:
    """Prints what was written, what it means and what time all of it took."""
    fused = count - len(failed)
    output = planned[0].output if len(planned) == 1 else planned[0].output.parent
    how_many = f"{fused} of {count} pairs"
    if len(planned) == 1:
        how_many = f"{fused} pair" if fused else "no pair"
    print(f"{how_many} fused in {seconds:.1f} s: {output}")
    settings = request.settings
    # Only DenseFuse has raw output.
    if not (
        request.options.save_raw and fused and isinstance(settings, FusionSettings)
    ):
        return
    # Imports TensorFlow, which other methods do without.
    from densefuse_tf.fusion.output_range import average_divisor

    raw = planned[0].raw_output if len(planned) == 1 else "NAME.npy beside each NAME"
    divisor = average_divisor(settings.strategy, settings.num_sources)
    values = f"about 0..{255 * divisor}"
    if divisor > 1:
        values = f"the sum over {divisor} sources, {values}"
    print(f"raw output, float32: {raw}: {values}")


def _launcher(run: Run, settings: RegistrationSettings):
    """Returns what runs the pipeline that --runner asks for; None without it."""
    if run.runner is None:
        if run.beam_options:
            raise UserError("--beam_options goes with --runner")
        return None
    for name, value in (
        ("panel", run.panel),
        ("checkerboard", settings.checkerboard),
        ("save_transform", settings.save_transform),
    ):
        if value is not None:
            raise UserError(
                f"--{name} does not go with --runner: the images are not here"
            )
    if settings.register == "once":
        raise UserError(
            "--register=once does not go with --runner: save a transform first, from "
            "some of the pairs without --runner, by --save_transform; then give it as "
            "--transform"
        )
    return launching.launcher(run.runner, run.beam_options)


def _panel(run: Run) -> pathlib.Path | None:
    """Returns where the panel goes."""
    from densefuse_tf.io import formats

    if run.panel is None:
        return None
    path = pathlib.Path(run.panel)
    if path.suffix.lower() not in formats.WRITTEN:
        raise UserError(f"--panel={path}: expected {', '.join(formats.WRITTEN)}")
    return path


def _report(run: Run, planned: Sequence) -> pathlib.Path | None:
    """Returns where the report goes."""
    from densefuse_tf.io import files

    if run.report is not None:
        path = pathlib.Path(run.report)
    elif run.runner is not None:
        path = planned[0].output.parent / "fuse_report.csv"
    else:
        return None
    if path.suffix.lower() != ".csv":
        raise UserError(f"--report={path}: expected a name that ends in .csv")
    files.check_replaceable(path)
    return path


def _launch(launcher, todo: Sequence, request: Request, aligner) -> list | None:
    """Fuses on Apache Beam; returns what failed, or None where the pipeline did."""
    from densefuse_tf.pipelines import beam
    from densefuse_tf.pipelines import pairs

    # Other methods go with no runner.
    assert isinstance(request.settings, FusionSettings)
    job = beam.Fusing(
        beam.with_absolute_paths(request.settings),
        request.options,
        aligner,
        launcher.threads,
    )
    folder = todo[0].output.parent
    lost = None
    with launching.with_bar(launcher, len(todo), " pairs") as advance:
        said = launcher.run(job, pairs.texts(todo), len(todo), folder, progress=advance)
        try:
            errors = dict(said)
        except beam.PipelineError as error:
            lost = error
    if lost is not None:
        print(f"not all pairs were fused: {lost}", file=sys.stderr)
        return None
    if not errors:
        return []
    return [
        pairs.Result(pair, error=UserError(errors[index]))
        for index, pair in enumerate(todo)
        if index in errors
    ]


def _follow(
    results: Iterable, count: int, panel: pathlib.Path | None, request: Request
) -> list:
    """Shows the progress and writes the panel; returns the results that failed."""
    from densefuse_tf.io import images

    failed: list = []
    rows: list = []
    misaligned: list[str] = []
    num_misaligned = 0
    is_first = True
    for result in _with_bar(results, count, request):
        if result.error is not None:
            failed.append(result)
            continue
        if result.looks_misaligned:
            num_misaligned += 1
            if num_misaligned <= _NAMED:
                misaligned.append(" and ".join(map(str, result.pair.sources)))
        if is_first:
            is_first = False
            aligned.write(request.registration, result.sources, result.registration)
        if panel is not None and len(rows) < PANEL_ROWS:
            rows.append(_panel_row(result, request))
    if panel is not None and rows:
        from densefuse_tf.io import panels

        images.write(panel, panels.panel(rows))
        print(f"panel: {panel}")
    _warn_of(misaligned, num_misaligned, count)
    return failed


def _warn_of(names: Sequence[str], num_misaligned: int, count: int) -> None:
    """Warns of pairs that look misaligned, once for all; names the first."""
    if not names:
        return
    if num_misaligned > len(names):
        names = [*names, "..."]
    which = "" if count == 1 else f"{num_misaligned} of {count} pairs: "
    logging.warning(
        "%s%s: the images match better when one of them is shifted or turned: "
        "--register aligns them before they are fused, see docs/registration.md",
        which,
        ", ".join(names),
    )


def _with_bar(results: Iterable, count: int, request: Request) -> Iterable:
    """Shows a bar with pairs per second; without a terminal there is none.

    For one pair it shows the time that another method takes, which may be minutes.
    """
    if count > 1:
        return progress.bar(results, count, " pairs")
    if isinstance(request.settings, FusionSettings):
        return results
    return progress.elapsed(results, f"fusing with {request.settings.title}")


def _panel_row(result, request: Request) -> list:
    """Returns (caption, image) of the sources and the result of one pair."""
    from densefuse_tf.io import pixels

    row = [
        (f"{name}: {path.name}", pixels.to_uint8(source))
        for name, path, source in zip(
            request.names, result.pair.sources, result.sources, strict=True
        )
    ]
    return [*row, (f"fused, {request.settings.title}", result.image)]


def _finish(
    failed: Sequence, todo: Sequence, planned: Sequence, report: pathlib.Path | None
) -> int:
    """Reports the pairs that failed; returns the exit status."""
    from densefuse_tf.io import files

    lines = [" ".join(str(result.error).split()) for result in failed]
    if report is not None:
        sources = [f"source_{i + 1}" for i in range(len(planned[0].sources))]
        rows = (
            [*map(str, (result.pair.output, *result.pair.sources)), line]
            for result, line in zip(failed, lines, strict=True)
        )
        files.write_rows(report, ["output", *sources, "error"], rows)
    if not failed:
        return 0
    if len(planned) == 1:
        raise failed[0].error
    print(f"{len(failed)} of {len(todo)} pairs were not fused:", file=sys.stderr)
    shown = len(lines) if report is None else _ERRORS_SHOWN
    for line in lines[:shown]:
        print(f"  {line}", file=sys.stderr)
    if report is not None:
        print(f"report: {report}", file=sys.stderr)
    return 1
