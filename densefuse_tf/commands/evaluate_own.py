"""Evaluates a user's own fused images for evaluate.py."""

import array
import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from densefuse_tf.commands import evaluate_outputs
from densefuse_tf.commands import progress
from densefuse_tf.commands.evaluate_outputs import Outputs
from densefuse_tf.errors import PipelineError
from densefuse_tf.errors import UserError
from densefuse_tf.evaluation import report
from densefuse_tf.evaluation import scoring
from densefuse_tf.evaluation import tables
from densefuse_tf.evaluation.scoring import Evaluated
from densefuse_tf.io import finding
from densefuse_tf.io import formats
from densefuse_tf.io import pixels
from densefuse_tf.io import texts
from densefuse_tf.pipelines.running import RunnerOptions

if TYPE_CHECKING:
    from densefuse_tf.metrics import Convention


def list_metrics() -> None:
    """Prints what is known of each metric."""
    print(report.of_metrics().text())


@dataclasses.dataclass(frozen=True)
class Question:
    """Says what is evaluated and how; the fields are the values of flags.

    Attributes:
      ir: The infrared images or video, as typed.
      vis: The visible ones.
      fused: The fused ones; None where there are several methods.
      methods_dir: The folder of methods; None where there is one set of fused images.
      video: Whether images are frames of a video, whatever their names say.
      ranges: The value range of each source by its flag's name.
      metrics: The names of the metrics.
      convention: One of `metrics.CONVENTIONS`.
    """

    ir: str
    vis: str
    fused: str | None
    methods_dir: str | None
    video: bool
    ranges: Mapping[str, Any]
    metrics: Sequence[str]
    convention: "Convention"

    def __post_init__(self):
        """Raises a UserError unless there is either `fused` or `methods_dir`."""
        if (self.fused is None) == (self.methods_dir is None):
            state = "given as well as --methods_dir"
            if self.methods_dir is None:
                state = "missing"
            raise UserError(
                f"--fused is {state}: expected the fused images by --fused, or by "
                "--methods_dir for several methods"
            )

    @property
    def scored(self) -> dict[str, Any]:
        """What the functions of `scoring` take to compute the metrics."""
        return {"selection": self.metrics, "convention": self.convention}


def evaluate_own(question: Question, run: RunnerOptions, outputs: Outputs) -> int:
    """Evaluates fused images or videos of one method or of several.

    Args:
      question: Says what is evaluated.
      run: Says whether that happens on a runner of Apache Beam.
      outputs: The tables that are written.

    Returns:
      The exit status.
    """
    places = (question.ir, question.vis, question.fused or "")
    is_video = question.video or any(map(formats.is_video, places))
    if run.runner is not None:
        for name, is_given in (
            ("methods_dir", question.methods_dir is not None),
            ("video", is_video),
        ):
            if is_given:
                raise UserError(f"--{name} does not go with --runner")
        return _evaluate_on_runner(run, question, outputs)
    fused = {"": question.fused or ""}
    if question.methods_dir is not None:
        found = scoring.find_methods(question.methods_dir, with_videos=is_video)
        fused = {name: str(path) for name, path in found.items()}
    sources = {name: (question.ir, question.vis, own) for name, own in fused.items()}
    evaluated = _evaluated_frames if is_video else _evaluated_files
    results = evaluated(sources, question, outputs)
    one = "frame" if is_video else "pair"
    if question.methods_dir is not None:
        outputs.show(report.of_methods(results))
        rows = report.csv_of_methods(results, one=one)
    else:
        make = report.of_frames if is_video else report.of_files
        outputs.show(make(results[""]))
        rows = report.csv_of_files(results[""], one=one)
    evaluate_outputs.write_csv(outputs.csv, rows)
    return 0


def _evaluated_files(
    sources: Mapping[str, Sequence[str]], question: Question, outputs: Outputs
) -> dict[str, list[Evaluated]]:
    """Evaluates images; returns the results by method."""
    triplets = {name: finding.pair(own) for name, own in sources.items()}
    all_triplets = [triplet for own in triplets.values() for triplet in own]
    outputs.check(all_triplets)
    for own in triplets.values():
        _say_matched(own)
    evaluated = (
        (name, result)
        for name, own in triplets.items()
        for result in scoring.evaluate_files(
            own,
            value_ranges=list(question.ranges.values()),
            **question.scored,
        )
    )
    results: dict[str, list[Evaluated]] = {name: [] for name in triplets}
    for name, result in progress.bar(evaluated, len(all_triplets), " images"):
        results[name].append(result)
    colored = [path for own in results.values() for r in own for path in r.colored]
    evaluate_outputs.say_colored(colored)
    return results


def _say_matched(triplets: Sequence[tuple[pathlib.Path, ...]]) -> None:
    lines = (f"{ir} + {vis}: {path}" for ir, vis, path in triplets)
    progress.say_pairs(lines, len(triplets))


def _evaluate_on_runner(
    run: RunnerOptions, question: Question, outputs: Outputs
) -> int:
    """Evaluates images on Apache Beam, in constant memory but for their values.

    Returns:
      The exit status.
    """
    selection = question.metrics
    if outputs.csv is None:
        raise UserError("--csv is missing: expected where --runner's rows go")
    # Brings along what fuses, which the evaluation does without.
    from densefuse_tf.pipelines import folder

    launcher = folder.launcher_of(run)
    triplets = finding.pair((question.ir, question.vis, question.fused or ""))
    outputs.check(triplets.plain)
    name_of = scoring.names(triplets)
    _say_matched(triplets)
    values = array.array("d")
    colored: list[list[pathlib.Path]] = []
    errors: list[str] = []
    job = scoring.Evaluating(
        list(question.ranges.values()), list(selection), question.convention
    )
    beside = pathlib.Path(outputs.csv).parent

    def rows() -> Iterator[list[str]]:
        said = launcher.run(
            job, triplets.plain, len(triplets), beside, progress=advance
        )
        for triplet, (_, of_pair) in zip(triplets, said, strict=True):
            if isinstance(of_pair, str):
                errors.append(of_pair)
                continue
            values.extend(of_pair[0])
            if of_pair[1]:
                colored.append([triplet[place] for place in of_pair[1]])
            yield [name_of(triplet), *map(tables.exact, of_pair[0])]
        if values:
            yield ["mean", *(tables.exact(scoring.average(own)) for own in columns())]

    def columns() -> np.ndarray:
        by_pair = np.reshape(values, (-1, len(selection)))
        return np.ascontiguousarray(by_pair.T)

    try:
        with progress.bar_of_runner(len(triplets), " pairs") as advance:
            texts.write_rows(outputs.csv, ["pair", *selection], rows())
    except PipelineError as error:
        print(f"not all pairs were evaluated: {error}", file=sys.stderr)
        return 1
    evaluate_outputs.say_colored([path for paths in colored for path in paths])
    if values:
        outputs.show(report.of_columns(selection, columns(), "pairs"))
    if errors:
        progress.print_errors("evaluated", errors, len(triplets), has_report=False)
    return 1 if errors else 0


def _evaluated_frames(
    sources: Mapping[str, Sequence[str]], question: Question, outputs: Outputs
) -> dict[str, list[Evaluated]]:
    """Evaluates the frames of videos; returns the results by method."""
    # Brings along what reads videos, which images do not need.
    from densefuse_tf.pipelines import surveying
    from densefuse_tf.pipelines.footage import open_sources

    opened = {
        name: open_sources(own, progress=progress.frames)
        for name, own in sources.items()
    }
    outputs.check([source.paths for own in opened.values() for source in own])
    results: dict[str, list[Evaluated]] = {}
    colored: dict[pathlib.Path, None] = {}
    for name, own in opened.items():
        ir, vis, fused = sources[name]
        progress.say(f"{ir} + {vis}: {fused}: {own[0].count} frames")
        footage = surveying.survey(
            own,
            value_ranges=(*question.ranges.values(), None),
            range_flags=(*(f"--{flag}=" for flag in question.ranges), pixels.UNCHOSEN),
            # Frames turn grey as image files do, after their values are rounded.
            color="rgb",
            progress=progress.frames,
        )
        _check_are_8_bits(footage, question.ranges)
        with contextlib.closing(footage.frames()) as moments:
            evaluated = scoring.evaluate_frames(
                moments,
                [source.path for source in own],
                name=own[-1].name,
                **question.scored,
            )
            shown = progress.frames(evaluated, footage.count, "evaluating")
            results[name] = list(shown)
        colored |= dict.fromkeys(path for r in results[name] for path in r.colored)
    if colored:
        names = ", ".join(map(str, colored))
        progress.say(f"in colour, evaluated in grey (their luma): {names}")
    return results


def _check_are_8_bits(footage: Any, ranges: Mapping[str, Any]) -> None:
    """Refuses frames of more bits whose range is not given; see `scoring.read_gray`."""
    flags = (*ranges, None)
    for source, flag, used in zip(
        footage.sources, flags, footage.value_ranges, strict=True
    ):
        if used is not None and (flag is None or ranges[flag] is None):
            expected = f" or --{flag}" if flag else ""
            raise UserError(
                f"{source.path}: has frames of more than 8 bits: expected frames of 8 "
                f"bits, which the metrics are defined for{expected}"
            )
