"""Evaluates fused images with the seven metrics of the paper's Table II.

  evaluate.py --ir=pairs/ir --vis=pairs/vis --fused=fused --csv=metrics.csv

prints a row for each pair and their mean. Images are 8-bit, matched in natural sort
order; of colour images the luma is evaluated. TensorFlow is not needed.

  evaluate.py --table2 --data_dir=tno --csv=table2.csv --markdown=table2.md
  evaluate.py --table2 --data_dir=tno --checkpoint_dir=released_checkpoints
  evaluate.py --table2 --data_dir=tno --checkpoint_dir=runs --lambdas=1e2,1e3
  evaluate.py --table2 --data_dir=tno --methods_dir=methods --panels=panels

fuses the 20 pairs of the paper with both strategies and four checkpoints, and prints
Table II with this run's values beside the paper's. Run again, it goes on where it was.

Exit status: 0, or 2 for a mistake.
"""

import os
import pathlib
import sys
from collections.abc import Iterable, Sequence

from absl import flags

from densefuse_tf.commands import common_flags
from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError

_FLAGS = flags.FlagValues()
_IR, _VIS = common_flags.define_ir_and_vis(_FLAGS)
_FUSED = flags.DEFINE_string(
    "fused",
    None,
    "Fused images: a file, a folder or a glob pattern.",
    flag_values=_FLAGS,
)
_CSV = flags.DEFINE_string(
    "csv",
    None,
    "Also write a CSV file: a row for each pair and the mean, or with --table2 a row "
    "for each cell.",
    flag_values=_FLAGS,
)
_MARKDOWN = flags.DEFINE_string(
    "markdown", None, "Also write the table as Markdown.", flag_values=_FLAGS
)
_TABLE2 = flags.DEFINE_bool(
    "table2", False, "Reproduce Table II of the paper.", flag_values=_FLAGS
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "With --table2: the folder of IR<n>.png and VIS<n>.png, n = 1 to 19 and 21.",
    flag_values=_FLAGS,
)
_CHECKPOINT_DIR = flags.DEFINE_string(
    "checkpoint_dir",
    None,
    "With --table2: a folder with a checkpoint for each lambda: densefuse_1e0.keras, "
    "the authors' ..._1e0.ckpt.index, or runs of train.py, 1e0/model.keras, and so on; "
    "by default the models of this project.",
    flag_values=_FLAGS,
)
_LAMBDAS = flags.DEFINE_list(
    "lambdas",
    "1e0,1e1,1e2,1e3",
    "With --table2: for which lambda.",
    flag_values=_FLAGS,
)
_WINDOW_RADIUS = flags.DEFINE_integer(
    "window_radius",
    1,
    "With --table2: r of the l1-norm's block average (Eq. 6): 1 in the paper, 0 in the "
    "release.",
    lower_bound=0,
    flag_values=_FLAGS,
)
_METHODS_DIR = flags.DEFINE_string(
    "methods_dir",
    None,
    "With --table2: a folder with a sub-folder of fused images for each other method, "
    "the number of the pair in each file's name; each method adds a row.",
    flag_values=_FLAGS,
)
_PANELS = flags.DEFINE_string(
    "panels",
    None,
    "With --table2: also write, into this folder, a picture of each pair's sources and "
    "results, like the paper's Figures 8 and 9.",
    flag_values=_FLAGS,
)
_WORK_DIR = flags.DEFINE_string(
    "work_dir",
    "out/table2",
    "With --table2: where fused images and metrics are kept, so that nothing is done "
    "twice.",
    flag_values=_FLAGS,
)
_OF_FILES = ("ir", "vis", "fused")
_OF_TABLE2 = (
    "data_dir",
    "checkpoint_dir",
    "lambdas",
    "window_radius",
    "methods_dir",
    "panels",
    "work_dir",
)
_CHECKPOINT_SUFFIXES = (".keras", ".index", ".meta", ".data-00000-of-00001")


def main() -> None:
    how, others = ("goes", _OF_TABLE2)
    if _TABLE2.value:
        how, others = ("does not go", _OF_FILES)
    for name in others:
        if _FLAGS[name].present:
            raise UserError(f"--{name} {how} with --table2")
    if _TABLE2.value:
        _table2()
    else:
        _files()


def _files() -> None:
    """Evaluates --fused."""
    from densefuse_tf.evaluation import evaluation
    from densefuse_tf.io import images

    for flag in (_IR, _VIS, _FUSED):
        if flag.value is None:
            raise UserError(
                f"--{flag.name} is missing: expected --ir, --vis and --fused, or "
                "--table2"
            )
    triplets = images.pair([_IR.value, _VIS.value, _FUSED.value])
    _check_outputs(path for triplet in triplets for path in triplet)
    for ir, vis, fused in triplets:
        print(f"{ir} + {vis}: {fused}", flush=True)
    results = list(_progress(evaluation.evaluate_files(triplets), len(triplets)))
    _say_colored([path for result in results for path in result.colored])
    cells = evaluation.table(results)
    print(evaluation.text(cells))
    if _CSV.value is not None:
        evaluation.write_csv(_CSV.value, results)
    if _MARKDOWN.value is not None:
        _write_markdown(evaluation.markdown(cells))


def _table2() -> None:
    """Reproduces Table II."""
    from densefuse_tf.evaluation import evaluation
    from densefuse_tf.evaluation import table2
    from densefuse_tf.io import files

    if _DATA_DIR.value is None:
        raise UserError(
            "--data_dir is missing: expected the folder of IR<n>.png and VIS<n>.png"
        )
    lambdas = _lambdas(table2.LAMBDAS)
    pairs = table2.read_pairs(_DATA_DIR.value)
    methods = {}
    if _METHODS_DIR.value is not None:
        methods = table2.find_methods(_METHODS_DIR.value)
    inputs = [path for pair in pairs for path in pair.paths]
    inputs += [path for paths in methods.values() for path in paths.values()]
    _check_outputs(inputs)
    if _PANELS.value is not None:
        _check_panels(inputs, [table2.panel_path(_PANELS.value, p) for p in pairs])
    for folder in (_WORK_DIR.value, _PANELS.value):
        if folder is not None:
            files.check_writable(pathlib.Path(folder))
    if _CHECKPOINT_DIR.value is None:
        runner.import_tensorflow()
    checkpoints = _checkpoints(lambdas)
    for name, path in checkpoints.items():
        print(f"lambda {name}: {path}", flush=True)
    runner.import_tensorflow()

    results = table2.reproduce(
        pairs,
        checkpoints,
        table2.Store(_WORK_DIR.value),
        methods=methods,
        window_radius=_WINDOW_RADIUS.value,
    )
    rows_per_pair = len(methods) + len(table2.STRATEGIES) * len(checkpoints)
    results = list(_progress(results, len(pairs) * rows_per_pair))
    _say_colored(
        [path for pair in pairs for path in pair.colored]
        + [result.path for result in results if result.colored]
    )
    table = table2.rows(results)
    cells = table2.cells(table)
    summary = table2.describe(table)
    print(evaluation.text(cells, left=3))
    print(summary)
    if _CSV.value is not None:
        table2.write_csv(_CSV.value, table)
    if _MARKDOWN.value is not None:
        lines = "".join(f"- {line}\n" for line in summary.splitlines())
        _write_markdown(f"{evaluation.markdown(cells, left=3)}\n{lines}")
    if _PANELS.value is not None:
        panels = table2.write_panels(_PANELS.value, pairs, results)
        for _ in _progress(panels, len(pairs), unit="panel"):
            pass


def _lambdas(known: Sequence[str]) -> list[str]:
    """--lambdas in the order of the table."""
    unknown = [name for name in _LAMBDAS.value if name not in known]
    if unknown or not _LAMBDAS.value:
        raise UserError(
            f"--lambdas={','.join(_LAMBDAS.value)}: expected some of {', '.join(known)}"
        )
    return [name for name in known if name in _LAMBDAS.value]


def _checkpoints(lambdas: Sequence[str]) -> dict[str, pathlib.Path]:
    """The checkpoint for each lambda."""
    from densefuse_tf.evaluation import table2

    found = table2.find_checkpoints(_CHECKPOINT_DIR.value)
    missing = [name for name in lambdas if name not in found]
    if missing:
        folder = _CHECKPOINT_DIR.value or "the models of this project"
        there = ",".join(found)
        raise UserError(
            f"{folder}: no checkpoint for lambda {', '.join(missing)}: expected "
            f"densefuse_{missing[0]}.keras, ..._{missing[0]}.ckpt.index or "
            f"{missing[0]}/model.keras"
            + (f"; --lambdas={there} takes those that are there" if there else "")
        )
    return {name: found[name] for name in lambdas}


def _check_outputs(inputs: Iterable[pathlib.Path]) -> None:
    """Refuses --csv and --markdown where they would do harm, before the work."""
    from densefuse_tf.io import files
    from densefuse_tf.io import images

    taken = {os.path.realpath(path): "an image" for path in inputs}
    for flag in (_CSV, _MARKDOWN):
        if flag.value is None:
            continue
        path = pathlib.Path(flag.value)
        real = os.path.realpath(path)
        if real in taken:
            raise UserError(f"--{flag.name}={path}: would overwrite {taken[real]}")
        # Files beside those that are read are as dear: pair 20, another checkpoint.
        suffix = path.suffix.lower()
        if suffix in images.FORMATS or suffix in _CHECKPOINT_SUFFIXES:
            raise UserError(
                f"--{flag.name}={path}: is named as an image or a checkpoint: expected "
                "another suffix"
            )
        if path.is_dir():
            raise UserError(f"--{flag.name}={path}: is a folder: expected a file")
        taken[real] = f"what --{flag.name} writes"
        files.check_writable(path.parent)


def _check_panels(
    inputs: Iterable[pathlib.Path], panels: Iterable[pathlib.Path]
) -> None:
    """Refuses --panels where a picture would take the place of an image that is read.

    Fused images of another method may well be named pair1.png, too.
    """
    taken = {os.path.realpath(path) for path in inputs}
    for path in panels:
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


def _write_markdown(text: str) -> None:
    from densefuse_tf.io import files

    with files.replacing(_MARKDOWN.value) as temporary:
        # File names that are not UTF-8 keep their bytes, as in the CSV file.
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def run(argv: list[str] | None = None) -> int:
    """The command `densefuse-evaluate`; returns its exit status."""
    return runner.run(main, _FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(run())
