"""Fuses a folder of image pairs, or one pair: a whole run, from plan to summary."""

import dataclasses
import itertools
import os
import pathlib
import shlex
import time
from collections.abc import Iterable, Sequence

from absl import logging

from densefuse_tf import extras
from densefuse_tf import startup
from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.io import finding
from densefuse_tf.io import images
from densefuse_tf.io import outputs
from densefuse_tf.io import pixels
from densefuse_tf.io import radiometric
from densefuse_tf.io import texts
from densefuse_tf.io.streamed import Streamed
from densefuse_tf.pipelines import aligning
from densefuse_tf.pipelines import pairs
from densefuse_tf.pipelines import planning
from densefuse_tf.pipelines.events import SILENT
from densefuse_tf.pipelines.events import Events
from densefuse_tf.pipelines.pairs import Outcome
from densefuse_tf.pipelines.planning import Pair
from densefuse_tf.pipelines.running import RunnerOptions
from densefuse_tf.pipelines.settings import PANEL_ROWS
from densefuse_tf.pipelines.settings import FusionRequest

# So many of the pairs that look misaligned are named.
_NAMED = 3


@dataclasses.dataclass
class Summary:
    """Says how a run ended.

    Attributes:
      planned: All pairs of the run.
      todo: Those that had no result yet.
      failed: How those ended that could not be fused.
      misaligned: The first of those that look as if they should be aligned first.
      num_misaligned: How many do.
      report: The CSV file of what failed; None where none is asked for.
      raw_scale: Raw output spans about 0..255 times this; see `ChannelFuser`.
      seconds: The time that all of it took.
    """

    planned: Sequence[Pair]
    todo: Sequence[Pair]
    failed: list[Outcome] = dataclasses.field(default_factory=list)
    misaligned: list[Pair] = dataclasses.field(default_factory=list)
    num_misaligned: int = 0
    report: pathlib.Path | None = None
    raw_scale: int | None = None
    seconds: float = 0.0


def fuse(request: FusionRequest, events: Events = SILENT) -> Summary:
    """Fuses one pair, or many, and writes what is asked for beside the results.

    Args:
      request: Says what is fused.
      events: Is told how the run goes on.

    Returns:
      How it ended. A pair of several that fails does not stop the others.

    Raises:
      UserError: A mistake, before the first pair is fused where it can be found then;
        the only pair cannot be fused.
      errors.PipelineError: The runner did not come to its end.
    """
    start = time.monotonic()
    run, registration, options = request.run, request.registration, request.options
    launcher = None
    if run.runner is not None:
        _check_stays_here(request)
        launcher = launcher_of(run)
    if options.embedded:
        extras.require("flir", "--vis=embedded")
        scenes: Sequence[tuple[pathlib.Path, ...]] = [
            (path, path) for path in finding.find(request.sources[0])
        ]
    else:
        scenes = finding.pair(request.sources)
    planned = planning.plan(scenes, request.output)
    beside = _beside(request, planned)
    _check(request, planned, list(beside.values()))
    todo = planned
    if options.skip_existing:
        todo = planning.without_result(planned, options)
    # The temperatures inside of a file have another size than its header says.
    is_inside = options.infrared and todo and radiometric.maker(todo[0].sources[0])
    if launcher is None and not registration.is_on and todo and not is_inside:
        planning.check_sizes(todo)
    if launcher is None and todo:
        pairs.check_ranges(planned, options)

    # With a runner as well, whose workers have their own: a mistake in the settings is
    # answered here, and at once.
    fuser = request.fuser()
    for path in (planned[0].output, *beside.values()):
        files.make_folder(path.parent)
    aligner = None
    if registration.is_on and todo:
        # All pairs take part, so that what a run that was cut off left is aligned in
        # the same way.
        aligner = pairs.prepare_aligner(planned, options, registration)
    events.planned(todo, len(planned))
    report = beside.get("report")
    summary = Summary(planned, todo, report=report, raw_scale=fuser.raw_scale)
    if summary.report is not None and options.overwrite:
        # That of an earlier run would say of this one, if it is cut off, that all is
        # well.
        summary.report.unlink(missing_ok=True)

    if todo and launcher is not None:
        del fuser
        summary.failed = _on_beam(launcher, request, todo, aligner, events)
    elif todo:
        outcomes = pairs.fuse_pairs(
            fuser,
            todo,
            options,
            aligner=aligner,
            with_images=not beside.keys().isdisjoint(("panel", "checkerboard")),
        )
        _follow(outcomes, request, summary, events)
    if summary.report is not None:
        _write_report(summary, len(request.sources), options.overwrite)
    if summary.failed and len(planned) == 1:
        error = summary.failed[0].error
        assert error is not None
        raise error
    summary.seconds = time.monotonic() - start
    return summary


def launcher_of(run: RunnerOptions):
    """Returns the `beam.Launcher` of the runner that a run asks for.

    Raises:
      UserError: A package is missing, or the options are not what Beam takes.
    """
    runner = str(run.runner)
    extras.require("dask" if "dask" in runner.lower() else "beam", "--runner")
    try:
        words = shlex.split(run.beam_options or "")
    except ValueError as error:
        raise UserError(f"--beam_options: {error}") from error
    # Beam logs while it is imported, and looks for parts that are not needed here.
    with startup.hushed():
        from densefuse_tf.pipelines import beam
    return beam.Launcher(runner, words)


def _check_stays_here(request: FusionRequest) -> None:
    """Refuses what needs the images on this machine, where a runner has the work."""
    if not request.settings.runs_on_beam:
        raise UserError(
            f"--runner does not go with method {request.settings.method}: expected "
            "densefuse"
        )
    for name, value in (
        ("panel", request.run.panel),
        ("checkerboard", request.registration.checkerboard),
        ("save_transform", request.registration.save_transform),
    ):
        if value is not None:
            raise UserError(
                f"--{name} does not go with --runner: the images are not here"
            )
    if request.registration.register == "once":
        raise UserError(
            "--register=once does not go with --runner: save a transform first, from "
            "some of the pairs without --runner, by --save_transform; then give it as "
            "--transform"
        )


def _beside(request: FusionRequest, planned: Sequence[Pair]) -> dict[str, pathlib.Path]:
    """Returns the files that are written beside the results, by what they are."""
    report: str | os.PathLike | None = request.run.report
    if report is None and request.run.runner is not None:
        report = planning.folder_of(planned, request.output) / "fuse_report.csv"
    if report is not None:
        files.check_replaceable(report)
    given = {"panel": request.run.panel, "report": report}
    given |= request.registration.outputs
    return {
        what: pathlib.Path(path) for what, path in given.items() if path is not None
    }


def _check(
    request: FusionRequest, planned: Sequence[Pair], beside: Sequence[pathlib.Path]
) -> None:
    """Refuses outputs that would do harm."""
    registration, options = request.registration, request.options
    others: Sequence[pathlib.Path] = beside
    if options.save_raw:
        others = Streamed(
            lambda: itertools.chain(beside, (pair.raw_output for pair in planned)),
            len(beside) + len(planned),
        )
    outputs.check_pairs(
        planning.texts(planned),
        others,
        registration.inputs,
        overwrite=options.overwrite,
    )
    outputs.check_folder(planning.folder_of(planned, request.output), request.sources)
    count = len(planned)
    if registration.register == "each" and registration.save_transform and count > 1:
        raise UserError(
            "--save_transform goes with one pair, or with --register=once: "
            f"--register=each finds a transform for each of {count} pairs"
        )


def _on_beam(
    launcher, request: FusionRequest, todo: Sequence[Pair], aligner, events: Events
) -> list[Outcome]:
    """Fuses on Apache Beam; returns what failed."""
    job = launcher.fusing(request.settings, request.options, aligner)
    items, folder = planning.texts(todo), planning.folder_of(todo, request.output)
    with events.fusing(len(todo)) as advance:
        errors = dict(launcher.run(job, items, len(todo), folder, progress=advance))
    if not errors:
        return []
    return [
        Outcome(pair, error=UserError(errors[index]))
        for index, pair in enumerate(todo)
        if index in errors
    ]


def _follow(
    outcomes: Iterable[Outcome],
    request: FusionRequest,
    summary: Summary,
    events: Events,
) -> None:
    """Takes the outcomes into the summary; writes what shows the images."""
    panel = request.run.panel
    rows: list = []
    is_first, has_warned = True, False
    with events.fusing(len(summary.todo)) as advance:
        for outcome in outcomes:
            advance(1)
            if outcome.error is not None:
                summary.failed.append(outcome)
                continue
            if not has_warned and (said := outcome.warning(request.settings.color)):
                has_warned = True
                logging.warning("%s", said)
            if outcome.looks_misaligned:
                summary.num_misaligned += 1
                if summary.num_misaligned <= _NAMED:
                    summary.misaligned.append(outcome.pair)
            if is_first and request.registration.outputs:
                found = outcome.registration
                aligning.write(
                    request.registration,
                    outcome.sources,
                    found,
                    events.wrote,
                    overwrite=request.options.overwrite,
                )
            is_first = False
            if panel is not None and len(rows) < PANEL_ROWS:
                rows.append(_panel_row(outcome, request))
    if panel is not None and rows:
        from densefuse_tf.io import panels

        images.write(panel, panels.panel(rows), overwrite=request.options.overwrite)
        events.wrote("panel", panel)


def _panel_row(outcome: Outcome, request: FusionRequest) -> list:
    """Returns (caption, image) of the sources and the result of one pair."""
    row = [
        (f"{name}: {path.name}", pixels.to_uint8(source))
        for name, path, source in zip(
            request.names, outcome.pair.sources, outcome.sources, strict=True
        )
    ]
    return [*row, (f"fused, {request.settings.title}", outcome.image)]


def _write_report(summary: Summary, num_sources: int, overwrite: bool) -> None:
    assert summary.report is not None
    sources = [f"source_{i + 1}" for i in range(num_sources)]
    rows = (
        [str(outcome.pair.output), *map(str, outcome.pair.sources), outcome.reason]
        for outcome in summary.failed
    )
    header = ["output", *sources, "error"]
    texts.write_rows(summary.report, header, rows, overwrite=overwrite)
