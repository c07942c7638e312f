"""Evaluates fused images with the metrics of image fusion, by default Table II's.

  evaluate.py --ir=pairs/ir --vis=pairs/vis --fused=fused --csv=metrics.csv
  evaluate.py --ir=pairs/ir --vis=pairs/vis --methods_dir=methods --markdown=table.md
  evaluate.py --ir=ir.png --vis=vis.png --fused=fused.png --metrics=paper,SD,VIF
  evaluate.py --ir=ir.mp4 --vis=vis.mp4 --fused=fused.mp4 --csv=frames.csv
  evaluate.py --list

The first prints a row for each pair and their mean, the second one table with a row for
each sub-folder of methods. Images are 8-bit, matched in natural sort order; of colour
images the luma is evaluated. --list shows the metrics there are. TensorFlow is not
needed.

Of a video (a source or the fused one is named as one, or --video) the table shows the
mean over the frames, and --csv has a row for each frame. Videos and folders of frames
may stand beside each other; --methods_dir then has a video or a folder of frames for
each method.

  evaluate.py --table2 --data_dir=tno --csv=table2.csv --markdown=table2.md
  evaluate.py --table2 --data_dir=tno --checkpoint_dir=released_checkpoints
  evaluate.py --table2 --data_dir=tno --checkpoint_dir=runs --lambdas=1e2,1e3
  evaluate.py --table2 --data_dir=tno --methods_dir=methods --panels=panels
  evaluate.py --table2 --data_dir=tno --methods=all --averages=paper
  evaluate.py --table2 --data_dir=tno --strategy_module=my_strategies.py

--table2 fuses the 20 pairs of the paper with both strategies and four checkpoints, and
with strategies of your own or other methods if they are asked for. It prints Table II
with this run's values beside the paper's, the best marked * and the second best '. Run
again, it goes on where it was.

On many machines, which all see the files, --runner evaluates a large set as fuse.py
fuses it: --csv takes the rows, in order, and what is printed is about all pairs.

  evaluate.py --ir=archive/ir --vis=archive/vis --fused=fused --csv=metrics.csv \\
      --runner=DaskRunner --beam_options='--dask_client_address=tcp://HOST:8786'

Exit status: 0, 1 if --runner could not evaluate all pairs, or 2 for a mistake.
"""

import array
import dataclasses
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from absl import flags

from densefuse_tf.commands import common_flags
from densefuse_tf.commands import evaluate_video
from densefuse_tf.commands import fuse_images
from densefuse_tf.commands import fuse_video
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError
from densefuse_tf.evaluation import settings

_FLAGS = flags.FlagValues()
_IR, _VIS = common_flags.define_ir_and_vis(_FLAGS)
_FUSED = flags.DEFINE_string(
    "fused",
    None,
    "Fused images, or a fused video: a file, a folder or a glob pattern.",
    flag_values=_FLAGS,
)
_VIDEO = flags.DEFINE_bool(
    "video",
    False,
    "The images are the frames of a video, whatever the names say: value ranges are "
    "decided once for all of them, and the table shows no row for each.",
    flag_values=_FLAGS,
)
_RANGES = tuple(
    flags.DEFINE_string(
        f"{name}_range",
        None,
        f"The {kind} values that become 0 and 255, as fuse.py takes them: MIN,MAX; two "
        "percentiles, 1%,99%; or auto for the image's own minimum and maximum, or "
        "those of all frames of a video. Sources of more than 8 bits need it.",
        flag_values=_FLAGS,
    )
    for name, kind in (("ir", "infrared"), ("vis", "visible"))
)
_CSV = flags.DEFINE_string(
    "csv",
    None,
    "Also write a CSV file: a row for each pair or frame, and the mean of one set of "
    "fused images; with --table2 a row for each cell.",
    flag_values=_FLAGS,
)
_MARKDOWN = flags.DEFINE_string(
    "markdown",
    None,
    "Also write the table as Markdown, the best values bold and the second best in "
    "italics.",
    flag_values=_FLAGS,
)
_LATEX = flags.DEFINE_string(
    "latex",
    None,
    "Also write the table as a LaTeX tabular for the package booktabs.",
    flag_values=_FLAGS,
)
_METRICS = flags.DEFINE_string(
    "metrics",
    "paper",
    "The metrics: paper (the seven of Table II), toolkit (the eleven of the MATLAB "
    "toolkit of Tang et al.), all, or names out of --list, separated by commas.",
    flag_values=_FLAGS,
)
_CONVENTION = flags.DEFINE_enum(
    "convention",
    "intended",
    ["intended", "toolkit", "authors"],
    "What a metric is: as its paper defines it, or as the values that the toolkit or "
    "the authors of DenseFuse published under its name; see docs/metrics.md.",
    flag_values=_FLAGS,
)
_LIST = flags.DEFINE_bool(
    "list",
    False,
    "Show the metrics: name, direction, range, conventions, paper; evaluate nothing.",
    flag_values=_FLAGS,
)
_TABLE2 = flags.DEFINE_bool(
    "table2", False, "Reproduce Table II of the paper.", flag_values=_FLAGS
)
common_flags.define(settings.Table2Settings, _FLAGS, except_=("method_options",))
_METHOD_OPTIONS = flags.DEFINE_list(
    "method_options",
    [],
    settings.Table2Settings.__dataclass_fields__["method_options"].metadata["help"],
    flag_values=_FLAGS,
)
_PAIRS_CSV = flags.DEFINE_string(
    "pairs_csv",
    None,
    "With --table2: also write a CSV file with the values of each pair of each row.",
    flag_values=_FLAGS,
)
_PANELS = flags.DEFINE_string(
    "panels",
    None,
    "With --table2: also write, into this folder, a picture of each pair's sources and "
    "results, like the paper's Figures 8 and 9.",
    flag_values=_FLAGS,
)
common_flags.define(fuse_images.Run, _FLAGS, except_=("panel", "report"))
_TABLES = (_CSV, _PAIRS_CSV, _MARKDOWN, _LATEX)
_OF_FILES = (
    *("ir", "vis", "fused", "video", "ir_range", "vis_range", "metrics"),
    *("convention", "list", "runner", "beam_options"),
)
_OF_TABLE2 = [
    *(field.name for field in dataclasses.fields(settings.Table2Settings)),
    *("pairs_csv", "panels"),
]
_OF_TABLE2.remove("methods_dir")
# Of very many pairs, the first are shown; of those that failed, the first lines.
_SHOWN, _ERRORS_SHOWN = 3, 20
# Files of these kinds are dear: they are read here, or lie beside what is.
_SUFFIXES_OF_INPUTS = (
    *(".keras", ".index", ".meta", ".data-00000-of-00001"),
    *(".npy", ".npz", ".mat"),
)


def main() -> int | None:
    how, others = ("does not go", _OF_FILES) if _TABLE2.value else ("goes", _OF_TABLE2)
    for name in others:
        if _FLAGS[name].present:
            raise UserError(f"--{name} {how} with --table2")
    if _TABLE2.value:
        _table2()
    elif _LIST.value:
        from densefuse_tf.evaluation import report

        print(report.of_metrics().text())
    else:
        return _own_data()
    return None


def _own_data() -> int | None:
    """Evaluates --fused, or each folder of --methods_dir."""
    from densefuse_tf import metrics
    from densefuse_tf.evaluation import inputs
    from densefuse_tf.evaluation import report

    selection = metrics.select(_METRICS.value)
    methods_dir = _FLAGS["methods_dir"].value
    for flag in (_IR, _VIS):
        if flag.value is None:
            raise UserError(
                f"--{flag.name} is missing: expected --ir, --vis and --fused, or "
                "--table2"
            )
    if (_FUSED.value is None) == (methods_dir is None):
        state = "missing" if methods_dir is None else "given as well as --methods_dir"
        raise UserError(
            f"--fused is {state}: expected the fused images by --fused, or by "
            "--methods_dir for several methods"
        )
    is_video = _VIDEO.value or fuse_video.is_asked_for(
        (_IR.value, _VIS.value), _FUSED.value or ""
    )
    fused: dict[str, str] = {"": _FUSED.value or ""}
    if methods_dir is not None:
        found = inputs.find_methods(methods_dir, with_videos=is_video)
        fused = {name: str(path) for name, path in found.items()}
    sources = {name: (_IR.value, _VIS.value, own) for name, own in fused.items()}
    ranges = {flag.name: common_flags.value_range(flag) for flag in _RANGES}
    run = common_flags.read(fuse_images.Run, _FLAGS)
    if run.runner is not None:
        for name, is_given in (("methods_dir", methods_dir), ("video", is_video)):
            if is_given:
                raise UserError(f"--{name} does not go with --runner")
        return _evaluate_on_runner(run, sources[""], list(ranges.values()), selection)
    if run.beam_options:
        raise UserError("--beam_options goes with --runner")
    evaluated = _evaluated_frames if is_video else _evaluated_files
    results = evaluated(sources, ranges, selection)
    one = "frame" if is_video else "pair"
    if methods_dir is not None:
        _write_tables(report.of_methods(results))
        _write_csv(_CSV, report.csv_of_methods(results, one=one))
    else:
        make = report.of_frames if is_video else report.of_files
        _write_tables(make(results[""]))
        _write_csv(_CSV, report.csv_of_files(results[""], one=one))
    return None


def _evaluated_files(
    sources: Mapping[str, Sequence[str]],
    ranges: Mapping[str, Any],
    selection: Sequence[str],
) -> dict[str, list]:
    """Evaluates images; returns the results by method."""
    from densefuse_tf.evaluation import evaluate
    from densefuse_tf.io import finding

    triplets = {name: finding.pair(own) for name, own in sources.items()}
    all_triplets = [triplet for own in triplets.values() for triplet in own]
    _check_outputs(path for triplet in all_triplets for path in triplet)
    for ir, vis, path in all_triplets:
        print(f"{ir} + {vis}: {path}", flush=True)
    evaluated = (
        (name, result)
        for name, own in triplets.items()
        for result in evaluate.evaluate_files(
            own,
            value_ranges=list(ranges.values()),
            selection=selection,
            convention=_CONVENTION.value,
        )
    )
    results: dict[str, list] = {name: [] for name in triplets}
    for name, result in _progress(evaluated, len(all_triplets)):
        results[name].append(result)
    _say_colored([path for own in results.values() for r in own for path in r.colored])
    return results


def _evaluate_on_runner(
    run: fuse_images.Run,
    sources: Sequence[str],
    ranges: Sequence,
    selection: Sequence[str],
) -> int:
    """Evaluates images on Apache Beam, in constant memory but for their values.

    Returns:
      The exit status.
    """
    import numpy as np

    from densefuse_tf.evaluation import evaluate
    from densefuse_tf.evaluation import report
    from densefuse_tf.evaluation import tables
    from densefuse_tf.io import files
    from densefuse_tf.io import finding

    if _CSV.value is None:
        raise UserError("--csv is missing: expected where --runner's rows go")
    launcher = runner.launcher(str(run.runner), run.beam_options)
    # Lies in a module that is imported after the launcher is made.
    from densefuse_tf.pipelines import beam

    triplets = finding.pair(sources)
    _check_outputs(path for triplet in triplets.plain for path in triplet)
    name_of = evaluate.names(triplets)
    for ir, vis, path in triplets[:_SHOWN]:
        print(f"{ir} + {vis}: {path}")
    print(f"{len(triplets)} pairs in all", flush=True)
    values = array.array("d")
    colored: list[list[pathlib.Path]] = []
    errors: list[str] = []
    job = evaluate.Evaluating(ranges, list(selection), _CONVENTION.value)
    folder = pathlib.Path(_CSV.value).parent

    def rows() -> Iterator[list[str]]:
        said = launcher.run(
            job, triplets.plain, len(triplets), folder, progress=progress
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
            yield ["mean", *(tables.exact(evaluate.average(own)) for own in columns())]

    def columns() -> "np.ndarray":
        by_pair = np.reshape(values, (-1, len(selection)))
        return np.ascontiguousarray(by_pair.T)

    lost = None
    with runner.launching(launcher, len(triplets), " pairs") as progress:
        try:
            files.write_rows(_CSV.value, ["pair", *selection], rows())
        except beam.PipelineError as error:
            lost = error
    if lost is not None:
        print(f"not all pairs were evaluated: {lost}", file=sys.stderr)
        return 1
    _say_colored([path for paths in colored for path in paths])
    if values:
        _write_tables(report.of_columns(selection, columns(), "pairs"))
    if errors:
        print(
            f"{len(errors)} of {len(triplets)} pairs were not evaluated:",
            *(f"  {line}" for line in errors[:_ERRORS_SHOWN]),
            sep="\n",
            file=sys.stderr,
        )
    return 1 if errors else 0


def _evaluated_frames(
    sources: Mapping[str, Sequence[str]],
    ranges: Mapping[str, Any],
    selection: Sequence[str],
) -> dict[str, list]:
    """Evaluates the frames of videos; returns the results by method."""
    opened = {name: evaluate_video.open_sources(own) for name, own in sources.items()}
    _check_outputs(
        path for own in opened.values() for path in evaluate_video.paths(own)
    )
    results: dict[str, list] = {}
    colored: dict[pathlib.Path, None] = {}
    for name, own in opened.items():
        ir, vis, fused = sources[name]
        print(f"{ir} + {vis}: {fused}: {own[0].count} frames", flush=True)
        frames = evaluate_video.evaluate(own, ranges, selection, _CONVENTION.value)
        results[name] = list(frames)
        colored |= dict.fromkeys(path for r in results[name] for path in r.colored)
    if colored:
        names = ", ".join(map(str, colored))
        print(f"in colour, evaluated in grey (their luma): {names}")
    return results


def _table2() -> None:
    """Reproduces Table II."""
    from densefuse_tf.evaluation import figures
    from densefuse_tf.evaluation import report
    from densefuse_tf.evaluation import reproduce
    from densefuse_tf.evaluation import store
    from densefuse_tf.io import files

    options = common_flags.options_by_method(_METHOD_OPTIONS.value)
    chosen = common_flags.read(settings.Table2Settings, _FLAGS, method_options=options)
    if {settings.OURS, settings.ALL} & set(chosen.methods) and (
        chosen.checkpoint_dir is None or chosen.strategy_module is not None
    ):
        # Whoever looks for the models of this project or a strategy imports it.
        runner.import_tensorflow()
    plan = reproduce.plan(chosen)
    _check_outputs(plan.inputs)
    if _PANELS.value is not None:
        pictures = [figures.path_of(_PANELS.value, pair) for pair in plan.pairs]
        _check_panels(plan.inputs, pictures)
    for folder in (chosen.work_dir, _PANELS.value):
        if folder is not None:
            files.check_writable(pathlib.Path(folder))
    for name, path in plan.checkpoints.items():
        print(f"lambda {name}: {path}", flush=True)
    runner.import_tensorflow()

    kept = store.Store(chosen.work_dir, fresh=chosen.fresh)
    made = reproduce.reproduce(plan.entries, plan.pairs, kept)
    results = list(_progress(made, plan.count))
    _say_colored(
        [path for pair in plan.pairs for path in pair.colored]
        + [result.path for result in results if result.colored]
    )
    rows = report.rows(results, averages=chosen.averages)
    _write_tables(
        report.of_table2(rows),
        [*report.describe(rows), *report.undefined(results), *report.claims(rows)],
    )
    _write_csv(_CSV, report.csv_of_table2(rows))
    _write_csv(_PAIRS_CSV, report.csv_of_pairs(results))
    if _PANELS.value is not None:
        written = figures.write(_PANELS.value, plan.pairs, results)
        for _ in _progress(written, len(plan.pairs), unit="panel"):
            pass


def _check_outputs(inputs: Iterable[str | os.PathLike]) -> None:
    """Refuses names of tables that would do harm, before the work."""
    from densefuse_tf.io import files
    from densefuse_tf.io import finding

    flags_by_path = {
        os.path.realpath(flag.value): flag for flag in _TABLES if flag.value is not None
    }
    if flags_by_path:
        real_path = files.RealPaths()
        for path in inputs:
            flag = flags_by_path.get(real_path(path))
            if flag is not None:
                raise UserError(f"--{flag.name}={flag.value}: would overwrite an image")
    taken: dict[str, str] = {}
    for flag in _TABLES:
        if flag.value is None:
            continue
        path = pathlib.Path(flag.value)
        real = os.path.realpath(path)
        if real in taken:
            raise UserError(f"--{flag.name}={path}: would overwrite {taken[real]}")
        # Files beside those that are read are as dear: pair 20, another checkpoint.
        suffix = path.suffix.lower()
        if suffix in finding.SUFFIXES or suffix in _SUFFIXES_OF_INPUTS:
            raise UserError(
                f"--{flag.name}={path}: is named as an image or a checkpoint: expected "
                "another suffix"
            )
        if path.is_dir():
            raise UserError(f"--{flag.name}={path}: is a folder: expected a file")
        taken[real] = f"what --{flag.name} writes"
        files.check_writable(path.parent)


def _check_panels(
    inputs: Iterable[pathlib.Path], pictures: Iterable[pathlib.Path]
) -> None:
    """Refuses --panels where a picture would take the place of an image that is read.

    Fused images of another method may well be named pair1.png, too.
    """
    taken = {os.path.realpath(path) for path in inputs}
    for path in pictures:
        if os.path.realpath(path) in taken:
            raise UserError(f"--panels={_PANELS.value}: would overwrite {path}")


def _progress(items: Iterable, total: int, unit: str = "image"):
    import tqdm

    return tqdm.tqdm(items, total=total, unit=unit, disable=None)


def _say_colored(paths: Sequence[pathlib.Path]) -> None:
    if paths:
        what = "image, evaluated in grey (its luma)"
        if len(paths) > 1:
            what = "images, evaluated in grey (their luma)"
        names = ", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else "")
        print(f"{len(paths)} colour {what}: {names}")


def _write_tables(table, notes: Sequence[str] = ()) -> None:
    """Prints a table and notes on it, and writes --markdown and --latex."""
    from densefuse_tf.io import files

    print("\n".join([table.text(), *notes]))
    lines = "".join(f"- {line}\n" for line in notes)
    for flag, text in (
        (_MARKDOWN, table.markdown() + (f"\n{lines}" if notes else "")),
        (_LATEX, table.latex()),
    ):
        if flag.value is not None:
            with files.replacing(flag.value) as temporary:
                # File names that are not UTF-8 keep their bytes, as in the CSV file.
                temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def _write_csv(flag: flags.FlagHolder, rows: Sequence[Sequence[str]]) -> None:
    from densefuse_tf.io import files

    if flag.value is not None:
        files.write_rows(flag.value, rows[0], rows[1:])


def run(argv: list[str] | None = None) -> int:
    """Runs the command `densefuse-evaluate` and returns its exit status."""
    return runner.run(main, _FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(run())
