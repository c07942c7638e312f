"""The rows of Table II as fusion methods: DenseFuse, registered ones, and folders."""

import dataclasses
import functools
import io
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from densefuse_tf import baselines
from densefuse_tf.baselines.method import Method
from densefuse_tf.errors import UserError
from densefuse_tf.evaluation import scoring
from densefuse_tf.evaluation.table2 import inputs
from densefuse_tf.evaluation.table2 import paper

# The quality that MATLAB's imwrite has by default.
_JPEG_QUALITY = 75


@dataclasses.dataclass(frozen=True)
class Entry:
    """A row to be made.

    Attributes:
      name: The strategy of DenseFuse, or the name of another method; the paper's where
        it has one.
      lambda_: The lambda of DenseFuse; empty for another method.
      pairs: The numbers of the pairs that are fused.
      build: Returns the method that fuses each of these pairs. What it loads lives as
        long as the methods that are returned.
      inputs: Images fused elsewhere that the row is made of.
    """

    name: str
    lambda_: str
    pairs: tuple[int, ...]
    build: Callable[[], Mapping[int, Method]]
    inputs: tuple[pathlib.Path, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """Name and lambda, as `paper.rows` has them."""
        return self.name, self.lambda_

    @property
    def title(self) -> str:
        """The row in one word, for names of files."""
        return "_".join(filter(None, self.key))


@dataclasses.dataclass(frozen=True)
class DenseFuse:
    """Fuses with DenseFuse as Table II does: grey, and stretched to 0..255.

    Attributes:
      checkpoint: As `checkpoints.load_autoencoder` takes it.
      strategy: A registered strategy.
      window_radius: r of the block average (Eq. 6); None for a strategy without one.
      strategy_module: The file that registers the strategy; None for one of this
        package.
    """

    checkpoint: str | os.PathLike
    strategy: str = "addition"
    window_radius: int | None = None
    strategy_module: pathlib.Path | None = None

    def fuse(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Fuses a pair; see `Method.fuse`."""
        return self._fuser.fuse([ir, vis]).image

    @functools.cached_property
    def _fuser(self):
        from densefuse_tf.fusion.fuser import Fuser
        from densefuse_tf.fusion.settings import FusionSettings

        settings = FusionSettings(
            self.checkpoint,
            self.strategy,
            strategy_module=self.strategy_module,
            color="gray",
        )
        if self.window_radius is not None:
            settings = dataclasses.replace(settings, window_radius=self.window_radius)
        return Fuser(settings)


@dataclasses.dataclass(frozen=True)
class FusedFile:
    """Takes an image that was fused elsewhere for the result of its pair.

    Attributes:
      path: The file.
    """

    path: pathlib.Path

    def fuse(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Reads the fused image of the pair; see `Method.fuse`."""
        return self._read[0]

    @property
    def is_color(self) -> bool:
        """Whether the file is in colour, of which the luma is evaluated."""
        return self._read[1]

    @functools.cached_property
    def _read(self) -> tuple[np.ndarray, bool]:
        return scoring.read_gray(self.path)


@dataclasses.dataclass(frozen=True)
class StoredAsJpeg:
    """Fuses with another method and stores the result as JPEG before it is measured.

    Attributes:
      method: The other method.
      quality: The quality, as Pillow counts it.
    """

    method: Method
    quality: int = _JPEG_QUALITY

    def fuse(self, ir: np.ndarray, vis: np.ndarray) -> np.ndarray:
        """Fuses a pair; see `Method.fuse`."""
        stored = io.BytesIO()
        fused = Image.fromarray(self.method.fuse(ir, vis))
        fused.save(stored, "JPEG", quality=self.quality)
        return np.asarray(Image.open(stored))


def ours(
    checkpoints: Mapping[str, str | os.PathLike],
    *,
    window_radius: int = 1,
    chosen: Sequence[str] | None = None,
    strategy_module: str | None = None,
) -> list[Entry]:
    """Makes the rows of DenseFuse: each strategy with each checkpoint.

    Args:
      checkpoints: By lambda.
      window_radius: r of the l1-norm's block average (Eq. 6).
      chosen: The strategies; by default the paper's and all of the module.
      strategy_module: Registers more strategies, as `strategy_modules.load` takes it.

    Raises:
      UserError: There is no such strategy, or the module cannot be used.
    """
    more: tuple[str, ...] = ()
    path = None
    if strategy_module is not None:
        from densefuse_tf.model import strategy_modules

        more = strategy_modules.load(strategy_module)
        path = strategy_modules.path_of(strategy_module)
    known = (*paper.STRATEGIES, *more)
    chosen = known if chosen is None else chosen
    for name in chosen or ("",):
        if name not in known:
            raise UserError(
                f"--strategies={','.join(chosen)}: unknown strategy {name!r}: expected "
                f"some of {', '.join(known)}"
            )

    def build(strategy: str, checkpoint: str | os.PathLike) -> Mapping[int, Method]:
        from densefuse_tf.model import strategies

        # Addition is the same for every radius and not fused again.
        takes = strategies.get(strategy).takes_window_radius
        radius = window_radius if takes else None
        module = path if strategy in more else None
        fuses = DenseFuse(checkpoint, strategy, radius, module)
        return dict.fromkeys(paper.PAIRS, fuses)

    return [
        Entry(
            strategy,
            lambda_,
            paper.PAIRS,
            functools.partial(build, strategy, checkpoint),
        )
        for strategy in dict.fromkeys(chosen)
        for lambda_, checkpoint in checkpoints.items()
    ]


def registered(
    method: str, options: Mapping[str, Any], *, averages: str = "uniform"
) -> Entry:
    """Makes the row of a registered method.

    Args:
      method: Its name in `densefuse_tf.baselines`.
      options: Its options. One that is a folder gives each pair <n> the file
        <option><n>.npy of the folder.
      averages: One of `settings.AVERAGES`. For "paper" the method has the settings of
        the published row; options that are given go before them.

    Raises:
      UserError: No such method or option, or a folder lacks the file of a pair.
    """
    name = paper.name_of(method)
    published = paper.published(name, averages)
    numbers = paper.pairs(name, averages)

    def build() -> Mapping[int, Method]:
        # Pairs with the same options share a method, and what it has loaded.
        shared: dict[Method, Method] = {}
        methods = {}
        for n in numbers:
            own = {**published.options.get(n, {}), **_of_pair(method, options, n)}
            made = baselines.create(method, own)
            made = shared.setdefault(made, made)
            methods[n] = StoredAsJpeg(made) if n in published.jpeg else made
        return methods

    build()
    return Entry(name, "", numbers, build)


def _of_pair(method: str, options: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Returns the options of a method for one pair."""
    own = dict(options)
    for option, value in options.items():
        if isinstance(value, str | os.PathLike) and os.path.isdir(value):
            own[option] = os.path.join(value, f"{option}{number}.npy")
            if not os.path.isfile(own[option]):
                raise UserError(
                    f"{method}.{option}={value}: has no {option}{number}.npy: expected "
                    "one for each pair, or the name of a file"
                )
    return own


def of_folder(folder: pathlib.Path, *, averages: str = "uniform") -> Entry:
    """Makes the row of a folder of fused images, with the folder's name.

    Raises:
      UserError: The folder lacks an image of a pair, or has several.
    """
    name = paper.name_of(folder.name)
    numbers = paper.pairs(name, averages)
    paths = inputs.find_fused(folder, numbers)

    def build() -> Mapping[int, Method]:
        return {n: FusedFile(paths[n]) for n in numbers}

    return Entry(name, "", numbers, build, tuple(paths.values()))


def check_names(entries: Sequence[Entry]) -> None:
    """Checks that no two entries are the same row.

    Raises:
      UserError: Two are.
    """
    titles = [entry.title for entry in entries]
    for title in titles:
        if titles.count(title) > 1:
            raise UserError(
                f"{title} is there twice, as a folder of --methods_dir and in "
                "--methods: expected one"
            )
