"""Pictures of a pair with the results of all rows, like the paper's Figures 8 and 9."""

import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from densefuse_tf.evaluation import scoring
from densefuse_tf.evaluation.table2.inputs import ProtocolPair
from densefuse_tf.evaluation.table2.reproduce import EntryResult
from densefuse_tf.io import images
from densefuse_tf.io import panels
from densefuse_tf.io.ordered_map import cores
from densefuse_tf.io.ordered_map import ordered_map

_COLUMNS = 4


def figure(pair: ProtocolPair, results: Iterable[EntryResult]) -> np.ndarray:
    """Makes one picture of a pair.

    Args:
      pair: The pair.
      results: Those of other pairs are left out.

    Returns:
      uint8 [height, width, 3]: the sources, other methods, then the results of each
      strategy in a row with one column for each lambda, with captions.
    """
    own = [result for result in results if result.pair.number == pair.number]
    others = [_captioned(r.entry.name, r) for r in own if not r.entry.lambda_]
    pictures = [
        [
            (f"infrared: {pair.paths[0].name}", pair.ir),
            (f"visible: {pair.paths[1].name}", pair.vis),
        ],
        *(others[i : i + _COLUMNS] for i in range(0, len(others), _COLUMNS)),
    ]
    for strategy in dict.fromkeys(r.entry.name for r in own if r.entry.lambda_):
        pictures.append(
            [
                _captioned(f"{strategy}, lambda {r.entry.lambda_}", r)
                for r in own
                if r.entry.name == strategy and r.entry.lambda_
            ]
        )
    return panels.panel(pictures)


def path_of(folder: str | os.PathLike, pair: ProtocolPair) -> pathlib.Path:
    """Returns where `write` puts the picture of a pair."""
    return pathlib.Path(folder) / f"pair{pair.number}.png"


def write(
    folder: str | os.PathLike,
    pairs: Sequence[ProtocolPair],
    results: Sequence[EntryResult],
) -> Iterator[pathlib.Path]:
    """Writes the picture of each pair as pair<n>.png and yields it when it is done."""

    def work(pair: ProtocolPair) -> pathlib.Path:
        path = path_of(folder, pair)
        images.write(path, figure(pair, results))
        return path

    return ordered_map(work, pairs, workers=cores())


def _captioned(caption: str, result: EntryResult) -> tuple[str, np.ndarray]:
    return caption, scoring.read_gray(result.path)[0]
