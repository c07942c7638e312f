"""Fuses and evaluates what Table II averages."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from densefuse_tf import baselines
from densefuse_tf import lambdas
from densefuse_tf import naming
from densefuse_tf.errors import UserError
from densefuse_tf.evaluation import scoring
from densefuse_tf.evaluation.table2 import inputs
from densefuse_tf.evaluation.table2 import paper
from densefuse_tf.evaluation.table2 import rows
from densefuse_tf.evaluation.table2.inputs import ProtocolPair
from densefuse_tf.evaluation.table2.rows import Entry
from densefuse_tf.evaluation.table2.settings import ALL
from densefuse_tf.evaluation.table2.settings import OURS
from densefuse_tf.evaluation.table2.settings import Table2Settings
from densefuse_tf.evaluation.table2.store import Store
from densefuse_tf.fusion import methods
from densefuse_tf.fusion.channels import ChannelFuser
from densefuse_tf.fusion.methods import AnySettings
from densefuse_tf.io.ordered_map import cores
from densefuse_tf.io.ordered_map import ordered_map


@dataclasses.dataclass(frozen=True)
class EntryResult:
    """Holds the metrics of the fused image that a row has of a pair.

    Attributes:
      entry: The row.
      pair: The pair.
      path: The fused image.
      values: By metric. SCD is NaN, undefined, where the fused image equals a source.
      colored: Whether the file is in colour, of which the luma was evaluated.
      was_kept: Whether the store had the values already.
    """

    entry: Entry
    pair: ProtocolPair
    path: pathlib.Path
    values: Mapping[str, float]
    colored: bool = False
    was_kept: bool = dataclasses.field(default=False, compare=False)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Holds the rows that are to be made, the pairs that they need, and checkpoints.

    The checkpoints are those of DenseFuse by lambda.
    """

    entries: list[Entry]
    pairs: list[ProtocolPair]
    checkpoints: dict[str, pathlib.Path]

    @property
    def inputs(self) -> list[pathlib.Path]:
        """The images that are read."""
        return [path for pair in self.pairs for path in pair.paths] + [
            path for entry in self.entries for path in entry.files.values()
        ]

    @property
    def count(self) -> int:
        """The number of results."""
        return sum(len(entry.pairs) for entry in self.entries)


def plan(settings: Table2Settings) -> Plan:
    """Finds what the settings name."""
    if settings.data_dir is None:
        raise UserError(
            "--data_dir is missing: expected the folder of IR<n>.png and VIS<n>.png"
        )
    chosen = _lambdas(settings)
    entries = [
        rows.registered(name, options, averages=settings.averages)
        for name, options in _methods(settings).items()
    ]
    if settings.methods_dir is not None:
        found = scoring.find_methods(settings.methods_dir)
        entries += [
            rows.of_folder(folder, averages=settings.averages)
            for folder in found.values()
        ]
    rows.check_names(entries)
    checkpoints = {}
    if settings.has_ours:
        checkpoints = _checkpoints(settings.checkpoint_dir, chosen)
        entries += rows.ours(
            checkpoints,
            window_radius=settings.window_radius,
            chosen=settings.strategies,
            strategy_module=settings.strategy_module,
        )
    elif settings.strategies is not None or settings.strategy_module is not None:
        name = "strategies" if settings.strategies is not None else "strategy_module"
        raise UserError(f"--{name} goes with the rows of this project: --methods=ours")
    needed = {n for row in entries for n in row.pairs}
    pairs = inputs.read_pairs(settings.data_dir, sorted(needed))
    return Plan(entries, pairs, checkpoints)


def reproduce(
    rows: Sequence[Entry], pairs: Sequence[ProtocolPair], store: Store
) -> Iterator[EntryResult]:
    """Fuses and evaluates the pairs of each row; what the store has is not done again.

    Fusing stays a few pairs ahead of the evaluation, which goes on beside it. A row
    leaves out the pairs that it does not need.
    """

    def jobs():
        for entry in rows:
            settings = entry.settings()
            # Pairs with the same settings share what is loaded, as long as the row is
            # made.
            build = functools.cache(methods.build)
            for pair in pairs:
                if pair.number in entry.files:
                    path = entry.files[pair.number]
                    fused, colored = scoring.read_gray(path)
                    yield entry, pair, path, colored, fused
                elif pair.number in settings:
                    chosen = settings[pair.number]
                    path, fused = _fused(entry, chosen, build, pair, store)
                    yield entry, pair, path, False, fused

    def work(job) -> EntryResult:
        entry, pair, path, colored, fused = job
        name = " and ".join(_names(entry, pair))
        evaluate = functools.partial(
            scoring.evaluate, pair.ir, pair.vis, fused, name=name
        )
        values, was_kept = store.values(entry.title, pair, fused, evaluate)
        if any(np.array_equal(fused, source) for source in (pair.ir, pair.vis)):
            values = {**values, "SCD": float("nan")}
        return EntryResult(entry, pair, path, values, colored, was_kept)

    return ordered_map(
        work,
        jobs(),
        workers=cores(),
        cost=lambda job: job[-1].size,
        most_cost=scoring.MAX_PIXELS_AT_ONCE,
    )


def _fused(
    entry: Entry,
    settings: AnySettings,
    build: Callable[[AnySettings], ChannelFuser],
    pair: ProtocolPair,
    store: Store,
) -> tuple[pathlib.Path, np.ndarray]:
    """Returns where the fused image of a pair is kept, and the image."""
    as_jpeg = pair.number in entry.jpeg

    def fuse() -> np.ndarray:
        names = _names(entry, pair)
        fused = build(settings).fuse([pair.ir, pair.vis], names=names).image
        return rows.stored_as_jpeg(fused) if as_jpeg else fused

    path = store.fused_path(entry.title, settings, pair, as_jpeg=as_jpeg)
    return path, store.fused(path, fuse)


def _names(entry: Entry, pair: ProtocolPair) -> tuple[str, str]:
    """Returns what an error calls the sources; it ends with the row."""
    return str(pair.paths[0]), f"{pair.paths[1]}, {entry.title}"


def _lambdas(settings: Table2Settings) -> list[str]:
    """Returns the lambdas in the order of the table."""
    given = paper.LAMBDAS
    if settings.lambdas is not None:
        given = tuple(lambdas.short_name(name) or name for name in settings.lambdas)
    for name in given or ("",):
        if name not in paper.LAMBDAS:
            raise UserError(
                f"--lambdas={','.join(given)}: expected some of "
                f"{', '.join(paper.LAMBDAS)}" + lambdas.did_you_mean(name)
            )
    return [name for name in paper.LAMBDAS if name in given]


def _methods(settings: Table2Settings) -> dict[str, Mapping[str, str]]:
    """Returns the registered methods that are asked for, with their options."""
    own = methods.load(settings.method_module)
    known = baselines.names()
    words = (ALL, OURS, *known)
    given = naming.spelled(settings.methods, words)
    for name in given or ("",):
        if name not in words:
            raise UserError(
                f"--methods={','.join(given)}: unknown method {name!r}: expected some "
                f"of {', '.join(words)}{naming.did_you_mean(name, words)}"
            )
    chosen = [name for name in known if {ALL, name} & set(given)]
    options: dict[str, Mapping[str, str]] = {name: {} for name in chosen}
    for name, values in settings.method_options.items():
        options[naming.find(name, chosen) or name] = values
    for name in options:
        if name not in chosen:
            raise UserError(
                f"--method_options: the method {name!r} is not in --methods"
            )
    if own and not set(own) & set(chosen):
        raise UserError(
            f"--method_module={settings.method_module}: none of its methods is in "
            f"--methods: expected some of {', '.join(own)}"
        )
    return options


def _checkpoints(
    folder: str | os.PathLike | None, chosen: Sequence[str]
) -> dict[str, pathlib.Path]:
    """Returns the checkpoint for each lambda."""
    found = inputs.find_checkpoints(folder)
    missing = [name for name in chosen if name not in found]
    if missing:
        there = ",".join(found)
        raise UserError(
            f"{folder or 'the models of this project'}: no checkpoint for lambda "
            f"{', '.join(missing)}: expected {lambdas.file_name(missing[0])}, "
            f"..._{missing[0]}.ckpt.index or {missing[0]}/model.keras"
            + (f"; --lambdas={there} takes those that are there" if there else "")
        )
    return {name: found[name] for name in chosen}
