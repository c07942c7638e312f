"""The rows of Table II: those of DenseFuse, of other methods, and of folders."""

import dataclasses
import functools
import io
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from densefuse_tf import naming
from densefuse_tf import user_modules
from densefuse_tf.errors import UserError
from densefuse_tf.evaluation.table2 import inputs
from densefuse_tf.evaluation.table2 import paper
from densefuse_tf.fusion.methods import AnySettings
from densefuse_tf.fusion.methods import MethodSettings
from densefuse_tf.fusion.settings import FusionSettings

# The quality that MATLAB's imwrite has by default.
_JPEG_QUALITY = 75


@dataclasses.dataclass(frozen=True)
class Entry:
    """Describes a row to be made.

    Attributes:
      name: The strategy of DenseFuse, or the name of another method; the paper's where
        it has one.
      lambda_: The lambda of DenseFuse; empty for another method.
      pairs: The numbers of the pairs that are fused.
      settings: Returns what fuses each pair, in grey; DenseFuse's imports TensorFlow.
      jpeg: The pairs whose result is stored as JPEG before it is measured.
      files: Images fused elsewhere, which are taken for the results of their pairs.
    """

    name: str
    lambda_: str
    pairs: tuple[int, ...]
    settings: Callable[[], Mapping[int, AnySettings]] = dict
    jpeg: Sequence[int] = ()
    files: Mapping[int, pathlib.Path] = dataclasses.field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """Name and lambda, as `paper.rows` has them."""
        return self.name, self.lambda_

    @property
    def title(self) -> str:
        """The row in one word, for names of files."""
        return "_".join(filter(None, self.key))


def stored_as_jpeg(image: np.ndarray) -> np.ndarray:
    """Returns an image as a JPEG file of MATLAB's default quality has it."""
    stored = io.BytesIO()
    Image.fromarray(image).save(stored, "JPEG", quality=_JPEG_QUALITY)
    return np.asarray(Image.open(stored))


def ours(
    checkpoints: Mapping[str, str | os.PathLike],
    *,
    window_radius: int = 1,
    chosen: Sequence[str] | None = None,
    strategy_module: str | os.PathLike | None = None,
) -> list[Entry]:
    """Makes the rows of DenseFuse: each strategy with each checkpoint.

    Args:
      checkpoints: By lambda.
      window_radius: r of the l1-norm's block average (Eq. 6).
      chosen: The strategies; by default the paper's and all of the module.
      strategy_module: Registers more strategies, as `strategies.load` takes it.
    """
    more: tuple[str, ...] = ()
    path = None
    if strategy_module is not None:
        from densefuse_tf.model import strategies

        more = strategies.load(strategy_module)
        path = user_modules.path_of(strategy_module)
    known = (*paper.STRATEGIES, *more)
    chosen = known if chosen is None else naming.spelled(chosen, known)
    for name in chosen or ("",):
        if name not in known:
            raise UserError(
                f"--strategies={','.join(chosen)}: unknown strategy {name!r}: expected "
                f"some of {', '.join(known)}{naming.did_you_mean(name, known)}"
            )

    return [
        Entry(
            strategy,
            lambda_,
            paper.PAIRS,
            functools.partial(
                _settings,
                FusionSettings(
                    checkpoint,
                    strategy,
                    strategy_module=path if strategy in more else None,
                    color="gray",
                ),
                window_radius,
            ),
        )
        for strategy in dict.fromkeys(chosen)
        for lambda_, checkpoint in checkpoints.items()
    ]


def _settings(chosen: FusionSettings, window_radius: int) -> dict[int, FusionSettings]:
    """Gives each pair the settings, with the radius where the strategy has one."""
    from densefuse_tf.model import strategies

    # Addition is the same for every radius and not fused again.
    if strategies.get(chosen.strategy).takes_window_radius:
        chosen = dataclasses.replace(chosen, window_radius=window_radius)
    return dict.fromkeys(paper.PAIRS, chosen)


def registered(
    method: str, options: Mapping[str, Any], *, averages: str = "uniform"
) -> Entry:
    """Makes the row of a registered method.

    Args:
      method: Its name in `densefuse_tf.baselines`.
      options: Its options. One that is a folder gives each pair <n> the file
        <option><n>.npz or <option><n>.npy of the folder.
      averages: One of `settings.AVERAGES`. For "paper" the method has the settings of
        the published row; options that are given go before them.
    """
    name = paper.name_of(method)
    published = paper.published(name, averages)
    numbers = paper.pairs(name, averages)

    made = {
        n: MethodSettings(
            method,
            {**published.options.get(n, {}), **_of_pair(method, options, n)},
            color="gray",
        )
        for n in numbers
    }
    return Entry(name, "", numbers, lambda: made, published.jpeg)


def _of_pair(method: str, options: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Returns the options of a method for one pair."""
    own = dict(options)
    for option, value in options.items():
        if isinstance(value, str | os.PathLike) and os.path.isdir(value):
            npz, npy = names = [f"{option}{number}{end}" for end in (".npz", ".npy")]
            paths = [os.path.join(value, name) for name in names]
            held = [path for path in paths if os.path.isfile(path)]
            if not held:
                raise UserError(
                    f"{method}.{option}={value}: has neither {npz} nor {npy}: expected "
                    "one for each pair, or the name of a file"
                )
            own[option] = held[0]
    return own


def of_folder(folder: pathlib.Path, *, averages: str = "uniform") -> Entry:
    """Makes the row of a folder of fused images, with the folder's name."""
    name = paper.name_of(folder.name)
    numbers = paper.pairs(name, averages)
    files = inputs.find_fused(folder, numbers)
    return Entry(name, "", numbers, files=files)


def check_names(entries: Sequence[Entry]) -> None:
    """Refuses two entries that are the same row."""
    titles = [entry.title for entry in entries]
    for title in titles:
        if titles.count(title) > 1:
            raise UserError(
                f"{title} is there twice, as a folder of --methods_dir and in "
                "--methods: expected one"
            )
