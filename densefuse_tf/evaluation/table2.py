"""Table II of the paper: its numbers, its protocol, and this project's run beside it.

The table averages seven metrics over 20 pairs of the TNO set, for both fusion
strategies, four values of lambda and six other methods. `reproduce` fuses and evaluates
the pairs; what it has done it keeps in a `Store` and does not do again. The numbers
need no TensorFlow, which is imported when there is something to fuse.
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import math
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.evaluation import evaluation
from densefuse_tf.evaluation import plots
from densefuse_tf.io import files
from densefuse_tf.io import images
from densefuse_tf.training import recipes

METRICS = evaluation.METRICS
LAMBDAS = tuple(recipes.SSIM_WEIGHTS)
# The authors published 21 pairs and average 20. Without pair 20 all seven metrics fit
# (lambda = 1, addition: within 0.3 %); without any other, one is 0.67 % or more off.
PAIRS = (*range(1, 20), 21)

# Rows "ours": strategy and lambda -> the metrics in the order of METRICS.
OURS = {
    "addition": {
        "1e0": (6.66280, 0.44114, 1.84929, 0.42713, 0.41557, 0.73159, 0.93039),
        "1e1": (6.65139, 0.44039, 1.84549, 0.42707, 0.41552, 0.73246, 0.92896),
        "1e2": (6.65426, 0.44190, 1.84854, 0.42731, 0.41587, 0.73186, 0.92995),
        "1e3": (6.64377, 0.43831, 1.84172, 0.42699, 0.41558, 0.73259, 0.92794),
    },
    "l1_norm": {
        "1e0": (6.83278, 0.47560, 1.71182, 0.43191, 0.38062, 0.71880, 0.85707),
        "1e1": (6.81348, 0.47680, 1.71264, 0.43224, 0.38048, 0.72052, 0.85803),
        "1e2": (6.83091, 0.47684, 1.71705, 0.43129, 0.38109, 0.71901, 0.85975),
        "1e3": (6.84189, 0.47595, 1.72000, 0.43147, 0.38404, 0.72106, 0.86340),
    },
}
STRATEGIES = tuple(OURS)
# The methods the paper compares with.
OTHERS = {
    "CBF": (6.81494, 0.44119, 1.38963, 0.32012, 0.26619, 0.60304, 0.70879),
    "JSR": (6.78576, 0.32572, 1.59136, 0.18506, 0.14184, 0.53906, 0.75523),
    "GTF": (6.63597, 0.40992, 1.00488, 0.41004, 0.39384, 0.70369, 0.80844),
    "JSRSD": (6.78441, 0.32553, 1.59124, 0.18502, 0.14201, 0.53963, 0.75517),
    "CNN": (6.80593, 0.29451, 1.48060, 0.53954, 0.35746, 0.71109, 0.80772),
    "DeepFuse": (6.68170, 0.43989, 1.84525, 0.42438, 0.41357, 0.72949, 0.93353),
}

# Whatever decides a fused image, and whatever decides its metrics: a change of one of
# these makes what is in a store out of date.
_FUSION_CODE = (
    "io/decoding.py",
    "fusion/fusion.py",
    "io/images.py",
    "model/network.py",
    "io/pixels.py",
    "io/tiff.py",
    "model/strategies.py",
    "fusion/tiles.py",
)
_FUSION_PACKAGES = ("keras", "numpy", "tensorflow")
_METRICS_CODE = ("metrics/*.py",)
_METRICS_PACKAGES = ("numba", "numpy", "PyWavelets", "scipy")
_OUTPUT_RANGE = "minmax"
# Of a digest, in the names of files.
_KEY_LETTERS = 12
_PANEL_COLUMNS = 4


@dataclasses.dataclass(frozen=True)
class Pair:
    """The source images of one pair of the protocol.

    Attributes:
      number: n of IR<n>.png and VIS<n>.png.
      paths: The two files, infrared first.
      ir: Infrared image, [H, W] uint8.
      vis: Visible image, same size.
      colored: Those of the files that are in colour, of which the luma is taken.
    """

    number: int
    paths: tuple[pathlib.Path, pathlib.Path]
    ir: np.ndarray
    vis: np.ndarray
    colored: tuple[pathlib.Path, ...] = ()

    @functools.cached_property
    def digest(self) -> str:
        """Of both images, as hexadecimal digits."""
        return _digest(self.ir.shape, self.ir, self.vis.shape, self.vis)


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
      strategy: One of STRATEGIES, or the name of another method.
      lambda_: One of LAMBDAS; empty for another method.
      values: This run's means by metric, or None for what was not run.
      paper: The paper's, or None for a method that is not in it.
    """

    strategy: str
    lambda_: str
    values: Mapping[str, float] | None
    paper: Mapping[str, float] | None

    def difference(self, metric: str) -> float | None:
        """(value - paper) / paper, or None where one of them is missing."""
        if self.values is None or self.paper is None:
            return None
        return self.values[metric] / self.paper[metric] - 1


@dataclasses.dataclass(frozen=True)
class Summary:
    """How far the rows "ours" are from the paper, in relative differences.

    Attributes:
      cells: How many cells were compared.
      mean: The mean of their absolute values.
      worst: The one of largest absolute value, with its sign ...
      row: ... its row ...
      metric: ... and its metric.
    """

    cells: int
    mean: float
    worst: float
    row: Row
    metric: str


def read_pairs(data_dir: str | os.PathLike) -> list[Pair]:
    """Reads the 20 pairs of the protocol.

    Args:
      data_dir: A folder with IR<n>.png and VIS<n>.png for every n of PAIRS.

    Raises:
      UserError: No such folder, a file is missing or cannot be read, or the images of
        a pair have different sizes.
    """
    folder = _folder(data_dir)
    names = {n: (folder / f"IR{n}.png", folder / f"VIS{n}.png") for n in PAIRS}
    missing = [
        path.name for paths in names.values() for path in paths if not path.exists()
    ]
    if missing:
        raise UserError(
            f"{folder}: {_some(missing)} missing: expected IR<n>.png and VIS<n>.png "
            f"for the {len(PAIRS)} pairs of Table II, n = 1 to 19 and 21"
        )
    pairs = []
    for n, paths in names.items():
        (ir, ir_colored), (vis, vis_colored) = map(evaluation.read_gray, paths)
        if ir.shape != vis.shape:
            sizes = [f"{image.shape[0]}x{image.shape[1]}" for image in (ir, vis)]
            raise UserError(
                f"{paths[0]} is {sizes[0]} and {paths[1]} is {sizes[1]}: the source "
                "images of a pair must have the same size; register and crop them first"
            )
        colored = zip(paths, (ir_colored, vis_colored), strict=True)
        pairs.append(Pair(n, paths, ir, vis, tuple(p for p, is_so in colored if is_so)))
    return pairs


def find_checkpoints(folder: str | os.PathLike | None) -> dict[str, pathlib.Path]:
    """The checkpoints of a folder by the lambda that their names tell.

    Args:
      folder: None for the models of this project. Else it holds densefuse_1e0.keras
        and so on; or the files of the release's TensorFlow 1 checkpoints,
        ..._1e0.ckpt.index; or the folders of training runs, 1e0/model.keras; or .keras
        files that have the lambda in their names.

    Returns:
      A path as `checkpoints.load_autoencoder` takes it for each lambda there is.

    Raises:
      UserError: No such folder, or several files for a lambda.
    """
    found = {}
    if folder is None:
        from densefuse_tf.model import checkpoints

        for name in LAMBDAS:
            with contextlib.suppress(UserError):
                found[name] = checkpoints.locate(name)
        return found
    folder = _folder(folder)
    for name in LAMBDAS:
        for path in (folder / f"densefuse_{name}.keras", folder / name / "model.keras"):
            if path.is_file():
                found[name] = path
                break
        else:
            # 1e1 is neither in 1e10 nor in 11e1.
            token = re.compile(rf"(?<![0-9a-zA-Z]){name}(?![0-9a-zA-Z])")
            candidates = sorted(
                path
                for path in folder.iterdir()
                if path.suffix in (".keras", ".index") and token.search(path.stem)
            )
            if len(candidates) > 1:
                raise UserError(
                    f"{folder}: {_some([path.name for path in candidates])} are there "
                    f"for lambda {name}: expected one"
                )
            for path in candidates:
                # A TensorFlow 1 checkpoint is named by its prefix.
                found[name] = path if path.suffix == ".keras" else path.with_suffix("")
    return found


def find_methods(methods_dir: str | os.PathLike) -> dict[str, dict[int, pathlib.Path]]:
    """The fused images of other methods.

    Args:
      methods_dir: Has a sub-folder for each method, with a fused image for each pair.
        The number of the pair is the first number in the files' names that tells them
        apart: of fused7_1e2.png, fused8_1e2.png, ... it is 7, 8, ...

    Returns:
      By the name of the sub-folder, the file for every n of PAIRS.

    Raises:
      UserError: No such folder, no sub-folder, or a method lacks an image of a pair.
    """
    folder = _folder(methods_dir)
    names = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    )
    if not names:
        raise UserError(
            f"{folder}: has no sub-folder: expected one for each method, with its "
            "fused images"
        )
    return {name: _numbered(folder / name) for name in names}


def _numbered(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """The images of a folder for the pairs of the protocol."""
    paths = images.find(folder)
    numbers = [re.findall("[0-9]+", path.stem) for path in paths]
    best: dict[int, pathlib.Path] = {}
    for place in range(min(map(len, numbers))):
        by_number = {
            int(own[place]): path for own, path in zip(numbers, paths, strict=True)
        }
        if len(by_number) > len(best):
            best = by_number
    missing = [str(n) for n in PAIRS if n not in best]
    if missing or len(best) < len(paths):
        raise UserError(
            f"{folder}: "
            + (f"no image for pair {_some(missing)}" if missing else "several images")
            + ": expected one for each of the pairs 1 to 19 and 21, with the pair's "
            "number in its name, such as fused7.png"
        )
    return {n: best[n] for n in PAIRS}


class Store:
    """What was fused and evaluated, in a folder; nothing out of date comes out of it.

    A fused image is kept by the weights, the settings, the source images and the
    program that made it, the metrics by that and the program that computed them. Files
    appear whole or not at all, so that a run can be killed and started again.
    """

    def __init__(self, folder: str | os.PathLike):
        """Takes the folder, which is made when the first result is kept."""
        self._folder = pathlib.Path(folder)

    def fused_path(self, name: str, key: str, pair: Pair) -> pathlib.Path:
        """Where the fused image of a pair is kept.

        Args:
          name: For people: what was fused, "addition_1e2".
          key: Digest of what decides the result besides the source images.
          pair: The pair.
        """
        made = _digest(key, pair.digest)[:_KEY_LETTERS]
        return self._folder / f"{name}_{key[:_KEY_LETTERS]}/{pair.number}_{made}.png"

    def fused(self, path: pathlib.Path) -> np.ndarray | None:
        """The fused image kept at `path`, or None if there is none that is whole."""
        try:
            return evaluation.read_gray(path)[0]
        except UserError:
            return None

    def values(
        self, name: str, pair: Pair, fused: np.ndarray
    ) -> dict[str, float] | None:
        """The metrics kept for a fused image, or None."""
        try:
            record = json.loads(self._record(name, pair, fused).read_text("utf-8"))
            values = {metric: float(record[metric]) for metric in METRICS}
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return values if all(map(math.isfinite, values.values())) else None

    def keep_values(
        self, name: str, pair: Pair, fused: np.ndarray, values: Mapping[str, float]
    ) -> None:
        """Keeps the metrics of a fused image.

        Raises:
          UserError: The file cannot be written.
        """
        with files.replacing(self._record(name, pair, fused)) as temporary:
            temporary.write_text(json.dumps(dict(values), indent=1) + "\n", "utf-8")

    def _record(self, name: str, pair: Pair, fused: np.ndarray) -> pathlib.Path:
        key = _digest(_metrics_key(), pair.digest, fused.shape, fused)[:_KEY_LETTERS]
        return self._folder / f"metrics/{name}_{pair.number}_{key}.json"


@dataclasses.dataclass(frozen=True)
class Result:
    """One fused image, evaluated.

    Attributes:
      strategy: One of STRATEGIES, or the name of another method.
      lambda_: One of LAMBDAS; empty for another method.
      pair: The pair.
      path: The fused image.
      values: Its metrics.
      colored: Whether the file is in colour, of which the luma was evaluated.
    """

    strategy: str
    lambda_: str
    pair: Pair
    path: pathlib.Path
    values: Mapping[str, float]
    colored: bool = False


def reproduce(
    pairs: Sequence[Pair],
    checkpoints: Mapping[str, str | os.PathLike],
    store: Store,
    *,
    methods: Mapping[str, Mapping[int, pathlib.Path]] | None = None,
    window_radius: int = 1,
) -> Iterator[Result]:
    """Fuses and evaluates what Table II averages.

    Fusing keeps one pair ahead of the evaluation, which goes on beside it.

    Args:
      pairs: From `read_pairs`.
      checkpoints: By lambda, as `checkpoints.load_autoencoder` takes them.
      store: Where results are kept; what it has is not done again.
      methods: Fused images of other methods, from `find_methods`.
      window_radius: r of the l1-norm's block average (Eq. 6).

    Yields:
      A result for each pair, strategy and lambda, and for each pair and method.

    Raises:
      UserError: A checkpoint or an image cannot be used, or a file not be written.
    """
    evaluate = evaluation.Evaluator()

    def work(job) -> Result:
        strategy, lambda_, pair, path, (fused, colored) = job
        name = f"{strategy}_{lambda_}" if lambda_ else strategy
        values = store.values(name, pair, fused)
        if values is None:
            shown = f"{pair.paths[0]} and {pair.paths[1]}, fused" if lambda_ else path
            values = evaluate(pair.ir, pair.vis, fused, name=str(shown))
            store.keep_values(name, pair, fused, values)
        return Result(strategy, lambda_, pair, path, values, colored)

    def jobs():
        for method, paths in (methods or {}).items():
            for pair in pairs:
                path = paths[pair.number]
                yield method, "", pair, path, evaluation.read_gray(path)
        for lambda_, checkpoint in checkpoints.items():
            weights = _weights(checkpoint)
            for strategy in STRATEGIES:
                for pair, path, image in _fused(
                    pairs, checkpoint, weights, strategy, lambda_, window_radius, store
                ):
                    yield strategy, lambda_, pair, path, (image, False)

    return evaluation.side_by_side(work, jobs())


def _weights(checkpoint: str | os.PathLike) -> str:
    """Digest of a checkpoint's weights, the same for any kind of file."""
    from densefuse_tf.model import checkpoints

    return _digest(*checkpoints.load_autoencoder(checkpoint).get_weights())


def _fused(
    pairs: Sequence[Pair],
    checkpoint: str | os.PathLike,
    weights: str,
    strategy: str,
    lambda_: str,
    window_radius: int,
    store: Store,
) -> Iterator[tuple[Pair, pathlib.Path, np.ndarray]]:
    """The pairs with their fused images, from the store or new."""
    from densefuse_tf.fusion import fusion
    from densefuse_tf.model import strategies

    settings = {"strategy": strategy, "output_range": _OUTPUT_RANGE}
    # Only where it has a say: addition is not fused again for another radius.
    if strategies.get(strategy).takes_window_radius:
        settings["window_radius"] = window_radius
    key = _digest(_fusion_key(), weights, json.dumps(settings, sort_keys=True))
    fuser = None
    for pair in pairs:
        path = store.fused_path(f"{strategy}_{lambda_}", key, pair)
        image = store.fused(path)
        if image is None:
            fuser = fuser or fusion.Fuser(checkpoint, color="gray", **settings)
            names = [str(source) for source in pair.paths]
            image = fuser.fuse([pair.ir, pair.vis], names=names).image
            images.write(path, image)
        yield pair, path, image


def rows(results: Iterable[Result]) -> list[Row]:
    """The table, the paper's rows in the paper's order.

    Args:
      results: From `reproduce`.

    Returns:
      The six methods of the paper, with values if there are any; then other methods;
      then the strategies and lambdas there are results for.
    """
    values: dict[tuple[str, str], list[Mapping[str, float]]] = {}
    for result in results:
        values.setdefault((result.strategy, result.lambda_), []).append(result.values)
    means = {key: evaluation.mean(own) for key, own in values.items()}

    table = []
    for method, paper in OTHERS.items():
        # CBF in a folder named cbf is the paper's CBF.
        own = [k for k in means if not k[1] and k[0].casefold() == method.casefold()]
        run = means.pop(own[0]) if own else None
        table.append(Row(method, "", run, _named(paper)))
    others = [key for key in means if not key[1]]
    table += [Row(method, "", means.pop((method, "")), None) for method, _ in others]
    for strategy, papers in OURS.items():
        for lambda_, paper in papers.items():
            if (strategy, lambda_) in means:
                run = means[strategy, lambda_]
                table.append(Row(strategy, lambda_, run, _named(paper)))
    return table


def summarize(table: Iterable[Row]) -> Summary:
    """Worst and mean absolute difference of the rows "ours" of a table."""
    cells = [
        (row.difference(metric), row, metric)
        for row in table
        if row.lambda_
        for metric in METRICS
    ]
    worst, row, metric = max(cells, key=lambda cell: abs(cell[0]))
    mean = float(np.mean([abs(difference) for difference, _, _ in cells]))
    return Summary(len(cells), mean, worst, row, metric)


def cells(table: Sequence[Row]) -> list[list[str]]:
    """The table for people, `evaluation.text` or `evaluation.markdown` prints it.

    Returns:
      A header, then up to three lines a row: this run, the paper, the difference.
    """
    lines = [["method", "lambda", "", *METRICS]]
    for row in table:
        start = [row.strategy, row.lambda_]
        for label, values in (("run", row.values), ("paper", row.paper)):
            if values is not None:
                lines.append([*start, label, *(f"{values[m]:.5f}" for m in METRICS)])
                start = ["", ""]
        if row.values is not None and row.paper is not None:
            differences = [f"{100 * row.difference(m):+.2f} %" for m in METRICS]
            lines.append([*start, "diff", *differences])
    return lines


def describe(table: Sequence[Row]) -> str:
    """Worst and mean absolute difference, all together and by strategy, as lines."""
    groups = {"all": [row for row in table if row.lambda_]}
    for strategy in STRATEGIES:
        groups[strategy] = [row for row in groups["all"] if row.strategy == strategy]
    lines = []
    for name, group in groups.items():
        found = summarize(group)
        lines.append(
            f"{name}: {found.cells} cells, mean absolute difference "
            f"{100 * found.mean:.2f} %, worst {100 * found.worst:+.2f} % "
            f"({found.row.strategy}, {found.row.lambda_}, {found.metric})"
        )
    return "\n".join(lines)


def write_csv(path: str | os.PathLike, table: Sequence[Row]) -> None:
    """Writes the cells that have a value.

    Args:
      path: The file; its columns are strategy, lambda, metric, value, paper and
        relative_difference, (value - paper) / paper. The last two are empty for a
        method that is not in the paper, lambda for any other method.
      table: From `rows`.

    Raises:
      UserError: It cannot be written.
    """
    files.write_rows(
        path,
        ["strategy", "lambda", "metric", "value", "paper", "relative_difference"],
        (
            [
                row.strategy,
                row.lambda_,
                metric,
                repr(row.values[metric]),
                "" if row.paper is None else f"{row.paper[metric]:.5f}",
                "" if row.paper is None else repr(row.difference(metric)),
            ]
            for row in table
            if row.values is not None
            for metric in METRICS
        ),
    )


def panel(pair: Pair, results: Iterable[Result]) -> np.ndarray:
    """One picture of a pair, like the paper's Figures 8 and 9.

    Args:
      pair: The pair.
      results: Results of `reproduce`; those of other pairs are left out.

    Returns:
      uint8 [height, width, 3]: the sources, other methods, then the results of each
      strategy in a row with one column for each lambda, with captions.

    Raises:
      UserError: A fused image is no longer there.
    """
    own = [result for result in results if result.pair.number == pair.number]
    sources = [
        (f"infrared: {pair.paths[0].name}", pair.ir),
        (f"visible: {pair.paths[1].name}", pair.vis),
    ]
    pictures = [sources]
    others = [_captioned(r.strategy, r) for r in own if not r.lambda_]
    pictures += [
        others[start : start + _PANEL_COLUMNS]
        for start in range(0, len(others), _PANEL_COLUMNS)
    ]
    for strategy in STRATEGIES:
        pictures.append(
            [
                _captioned(f"{strategy}, lambda {r.lambda_}", r)
                for r in own
                if r.strategy == strategy and r.lambda_
            ]
        )
    return plots.panel(pictures)


def panel_path(folder: str | os.PathLike, pair: Pair) -> pathlib.Path:
    """Where `write_panels` writes the picture of a pair."""
    return pathlib.Path(folder) / f"pair{pair.number}.png"


def write_panels(
    folder: str | os.PathLike, pairs: Sequence[Pair], results: Sequence[Result]
) -> Iterator[pathlib.Path]:
    """Writes `panel` of each pair as pair<n>.png.

    Yields:
      The files, in order, as they are done.

    Raises:
      UserError: A file cannot be read or written.
    """

    def write(pair: Pair) -> pathlib.Path:
        path = panel_path(folder, pair)
        images.write(path, panel(pair, results))
        return path

    return evaluation.side_by_side(write, pairs)


def _captioned(caption: str, result: Result) -> tuple[str, np.ndarray]:
    return caption, evaluation.read_gray(result.path)[0]


def _named(values: Sequence[float]) -> dict[str, float]:
    return dict(zip(METRICS, values, strict=True))


def _folder(path: str | os.PathLike) -> pathlib.Path:
    folder = pathlib.Path(path)
    if not folder.is_dir():
        kind = "is not a folder" if folder.exists() else "no such folder"
        raise UserError(f"{folder}: {kind}")
    return folder


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown


@functools.cache
def _fusion_key() -> str:
    return _program(_FUSION_CODE, _FUSION_PACKAGES)


@functools.cache
def _metrics_key() -> str:
    return _program(_METRICS_CODE, _METRICS_PACKAGES)


def _program(patterns: Iterable[str], packages: Iterable[str]) -> str:
    """Digest of this package's files and of the versions of packages they use."""
    here = pathlib.Path(__file__).parents[1]
    code = [path for pattern in patterns for path in sorted(here.glob(pattern))]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return _digest(*versions, *(path.read_bytes() for path in code))


def _digest(*parts: str | bytes | tuple | np.ndarray) -> str:
    """Hexadecimal digest of all parts; where one ends and the next begins counts."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            part = np.ascontiguousarray(part).tobytes()
        elif not isinstance(part, bytes):
            part = str(part).encode()
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()
