"""Reproduces Table II for evaluate.py."""

import pathlib
from collections.abc import Iterable

from densefuse_tf import startup
from densefuse_tf.commands import evaluate_outputs
from densefuse_tf.commands import progress
from densefuse_tf.commands.evaluate_outputs import Outputs
from densefuse_tf.errors import UserError
from densefuse_tf.evaluation.table2 import figures
from densefuse_tf.evaluation.table2 import report
from densefuse_tf.evaluation.table2 import reproduce as reproducing
from densefuse_tf.evaluation.table2 import settings
from densefuse_tf.evaluation.table2 import store
from densefuse_tf.io import files
from densefuse_tf.io import outputs as guard


def reproduce(
    chosen: settings.Table2Settings, outputs: Outputs, panels: str | None
) -> None:
    """Reproduces Table II; writes tables, and pictures into the folder `panels`."""
    if chosen.has_ours and chosen.strategy_module is not None:
        # A module of strategies imports it.
        startup.import_tensorflow()
    plan = reproducing.plan(chosen)
    outputs.check([plan.inputs])
    if panels is not None:
        pictures = [figures.path_of(panels, pair) for pair in plan.pairs]
        _check_panels(panels, plan.inputs, pictures)
    for folder in (chosen.work_dir, panels):
        if folder is not None:
            files.make_folder(pathlib.Path(folder))
    for name, path in plan.checkpoints.items():
        progress.say(f"lambda {name}: {path}")
    progress.say(f"{plan.count} images to fuse and evaluate, kept in {chosen.work_dir}")
    startup.import_tensorflow()

    kept = store.Store(chosen.work_dir, fresh=chosen.fresh)
    made = reproducing.reproduce(plan.entries, plan.pairs, kept)
    results: list[reproducing.EntryResult] = []
    try:
        with progress.counted(plan.count, " images") as advance:
            for result in made:
                results.append(result)
                advance(f"{sum(each.was_kept for each in results)} were kept before")
    except KeyboardInterrupt:
        progress.say(
            f"{len(results)} of {plan.count} images are fused and evaluated: they are "
            f"kept in {chosen.work_dir}, and the same command goes on there"
        )
        raise
    evaluate_outputs.say_colored(
        [path for pair in plan.pairs for path in pair.colored]
        + [result.path for result in results if result.colored]
    )
    rows = report.rows(results, averages=chosen.averages)
    outputs.show(
        report.of_table2(rows),
        [*report.describe(rows), *report.undefined(results), *report.claims(rows)],
    )
    evaluate_outputs.write_csv(outputs.csv, report.csv_of_table2(rows))
    evaluate_outputs.write_csv(outputs.pairs_csv, report.csv_of_pairs(results))
    if panels is not None:
        written = figures.write(panels, plan.pairs, results)
        for _ in progress.bar(written, len(plan.pairs), " panels"):
            pass


def _check_panels(
    folder: str, inputs: Iterable[pathlib.Path], pictures: Iterable[pathlib.Path]
) -> None:
    """Refuses --panels where a picture would take the place of an image that is read.

    Fused images of another method may well be named pair1.png, too.
    """
    found = guard.clash(
        lambda: [
            *((path, "", True) for path in inputs),
            *((path, "", False) for path in pictures),
        ]
    )
    if found is not None:
        raise UserError(f"--panels={folder}: would overwrite {found.path}")
