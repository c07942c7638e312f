"""What Table II is made of: pairs, checkpoints, and fused images of other methods."""

import contextlib
import dataclasses
import functools
import hashlib
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from densefuse_tf import lambdas
from densefuse_tf.errors import UserError
from densefuse_tf.evaluation import scoring
from densefuse_tf.evaluation.table2 import paper
from densefuse_tf.io import finding
from densefuse_tf.io import pixels
from densefuse_tf.io import weights


@dataclasses.dataclass(frozen=True)
class ProtocolPair:
    """Holds the two source images of a pair of the protocol.

    Attributes:
      number: n of IR<n>.png and VIS<n>.png.
      paths: The two files, infrared first.
      ir: [H, W] uint8.
      vis: The same.
      colored: Those of the files that are in colour, of which the luma is taken.
    """

    number: int
    paths: tuple[pathlib.Path, pathlib.Path]
    ir: np.ndarray
    vis: np.ndarray
    colored: tuple[pathlib.Path, ...] = ()

    @functools.cached_property
    def digest(self) -> str:
        """The digest of both images, as hexadecimal digits."""
        return digest(self.ir.shape, self.ir, self.vis.shape, self.vis)


def read_pairs(
    data_dir: str | os.PathLike, numbers: Sequence[int] = paper.PAIRS
) -> list[ProtocolPair]:
    """Reads pairs of the protocol, IR<n>.png and VIS<n>.png for each number n."""
    folder = scoring.existing_folder(data_dir)
    names = {n: (folder / f"IR{n}.png", folder / f"VIS{n}.png") for n in numbers}
    missing = [
        path.name for paths in names.values() for path in paths if not path.exists()
    ]
    if missing:
        raise UserError(
            f"{folder}: {_some(missing)} missing: expected IR<n>.png and VIS<n>.png "
            f"for {len(numbers)} pairs of Table II, n = {_listed(numbers)}"
        )
    pairs = []
    for n, paths in names.items():
        (ir, ir_colored), (vis, vis_colored) = map(scoring.read_gray, paths)
        pixels.require_same_size([ir.shape, vis.shape], paths)
        colored = zip(paths, (ir_colored, vis_colored), strict=True)
        pairs.append(
            ProtocolPair(n, paths, ir, vis, tuple(p for p, is_so in colored if is_so))
        )
    return pairs


def find_checkpoints(folder: str | os.PathLike | None) -> dict[str, pathlib.Path]:
    """Finds the checkpoints of a folder by the lambda that their names tell.

    Args:
      folder: None for the models of this project. Else it holds densefuse_1e0.keras
        and so on; or the files of the release's TensorFlow 1 checkpoints,
        ..._1e0.ckpt.index; or the folders of training runs, 1e0/model.keras; or .keras
        files that have the lambda in their names.

    Returns:
      A path as `checkpoints.load_autoencoder` takes it for each lambda there is.
    """
    found = {}
    if folder is None:
        for name in paper.LAMBDAS:
            with contextlib.suppress(UserError):
                found[name] = weights.shipped(lambdas.file_name(name))
        return found
    folder = scoring.existing_folder(folder)
    for name in paper.LAMBDAS:
        for path in (
            folder / lambdas.file_name(name),
            folder / name / weights.RUN_FILE,
        ):
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


def find_fused(
    folder: pathlib.Path, numbers: Sequence[int] = paper.PAIRS
) -> dict[int, pathlib.Path]:
    """Finds the fused image of a method for each pair of the protocol.

    The number of the pair is the first number in the files' names that tells them
    apart: of fused7_1e2.png, fused8_1e2.png, ... it is 7, 8, ...
    """
    paths = finding.find(folder)
    in_names = [re.findall("[0-9]+", path.stem) for path in paths]
    best: dict[int, pathlib.Path] = {}
    for place in range(min(map(len, in_names))):
        by_number = {
            int(own[place]): path for own, path in zip(in_names, paths, strict=True)
        }
        if len(by_number) > len(best):
            best = by_number
    missing = [str(n) for n in numbers if n not in best]
    if missing or len(best) < len(paths):
        raise UserError(
            f"{folder}: "
            + (f"no image for pair {_some(missing)}" if missing else "several images")
            + f": expected one for each of the pairs {_listed(numbers)}, with the "
            "pair's number in its name, such as fused7.png"
        )
    return {n: best[n] for n in numbers}


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return f"{shown} and {len(names) - 4} more" if len(names) > 4 else shown


def _listed(numbers: Sequence[int]) -> str:
    return "1 to 21" if 20 in numbers else "1 to 19 and 21"


def digest(*parts: Any) -> str:
    """Returns a hexadecimal digest of all parts and of where each of them ends."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            part = np.ascontiguousarray(part).tobytes()
        elif not isinstance(part, bytes):
            part = str(part).encode("utf-8", "surrogateescape")
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()
