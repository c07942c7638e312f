"""What Table II has fused and evaluated, kept so that nothing is done twice.

A fused image is kept under the method, its settings, the content of its weights, the
source images and this package's version; metrics under the three images and the
version.
"""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import densefuse_tf
from densefuse_tf.errors import UserError
from densefuse_tf.evaluation import scoring
from densefuse_tf.evaluation.table2 import paper
from densefuse_tf.evaluation.table2.inputs import ProtocolPair
from densefuse_tf.evaluation.table2.inputs import digest
from densefuse_tf.fusion.methods import AnySettings
from densefuse_tf.io import images
from densefuse_tf.io import texts
from densefuse_tf.io import weights

# The part of a digest that goes into the names of files.
_KEY_LETTERS = 12


class Store:
    """A folder of results, in which files appear whole or not at all.

    A run can be killed and started again.
    """

    def __init__(self, folder: str | os.PathLike, *, fresh: bool = False):
        """Takes the folder, which is made when the first result is kept.

        Where `fresh` is true nothing is found there, so that all is done anew.
        """
        self._folder = pathlib.Path(folder)
        self._fresh = fresh
        self._keys: dict[AnySettings, str] = {}

    def fused_path(
        self,
        name: str,
        settings: AnySettings,
        pair: ProtocolPair,
        *,
        as_jpeg: bool = False,
    ) -> pathlib.Path:
        """Returns where the fused image of a pair is kept.

        The name, "addition_1e2", is for people; what fuses, the pair and whether the
        result is stored as JPEG first decide the place.
        """
        if settings not in self._keys:
            parts = _parts(settings.configured)
            self._keys[settings] = digest(densefuse_tf.__version__, *parts)
        key = self._keys[settings][:_KEY_LETTERS]
        form = ("JPEG",) * as_jpeg
        made = digest(self._keys[settings], pair.digest, *form)[:_KEY_LETTERS]
        return self._folder / f"{name}_{key}/{pair.number}_{made}.png"

    def fused(self, path: pathlib.Path, fuse: Callable[[], np.ndarray]) -> np.ndarray:
        """Returns the image kept at `path`; if none is there whole, fuses and keeps it.

        The image that `fuse` returns is grey, of 8 bits.
        """
        if not self._fresh:
            with contextlib.suppress(UserError):
                return scoring.read_gray(path)[0]
        fused = fuse()
        images.write(path, fused)
        return fused

    def values(
        self,
        name: str,
        pair: ProtocolPair,
        fused: np.ndarray,
        evaluate: Callable[[], dict[str, float]],
    ) -> tuple[dict[str, float], bool]:
        """Returns the metrics of a fused image, and whether they were kept before.

        What is missing is evaluated and kept.
        """
        key = digest(densefuse_tf.__version__, pair.digest, fused.shape, fused)
        name = f"{name}_{pair.number}_{key[:_KEY_LETTERS]}"
        path = self._folder / f"metrics/{name}.json"
        if not self._fresh:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                record = json.loads(path.read_text("utf-8"))
                values = {metric: float(record[metric]) for metric in paper.METRICS}
                if all(map(math.isfinite, values.values())):
                    return values, True
        values = evaluate()
        texts.write_json(path, values)
        return values, False


def _parts(method: Any) -> Iterator[Any]:
    """Yields what decides the results of a method: its name, its options, its code.

    An option that names a file, or the files of a TensorFlow 1 checkpoint, stands for
    their content, so that a copy under another name is the same. The code of this
    package is known by its version.
    """
    yield type(method).__qualname__
    module = type(method).__module__
    if not module.startswith("densefuse_tf."):
        yield pathlib.Path(sys.modules[module].__file__ or "").read_bytes()
    for field in dataclasses.fields(method):
        value = getattr(method, field.name)
        yield field.name
        paths = []
        if isinstance(value, str | os.PathLike):
            path = pathlib.Path(value)
            paths = [path, *weights.release_files(path)]
        contents = [path.read_bytes() for path in paths if path.is_file()]
        yield from contents
        if not contents:
            yield repr(value)
