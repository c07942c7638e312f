"""Plans a run over image pairs: which file becomes which, and what cannot be done."""

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from absl import logging

from densefuse_tf.errors import UserError
from densefuse_tf.io import finding
from densefuse_tf.io import formats
from densefuse_tf.io import images
from densefuse_tf.io.streamed import Made
from densefuse_tf.io.streamed import Streamed
from densefuse_tf.pipelines.settings import FileOptions

# The first pairs, whose headers are looked at before the work: in a second or two.
_SIZES_CHECKED = 1000


@dataclasses.dataclass(frozen=True)
class Pair:
    """Names the sources of one scene, infrared first, and the file of the result."""

    sources: tuple[pathlib.Path, ...]
    output: pathlib.Path

    @property
    def raw_output(self) -> pathlib.Path:
        """Returns the file of the decoder's output: beside the image, .npy."""
        return self.output.with_suffix(".npy")


def plan(
    sources: Sequence[tuple[pathlib.Path, ...]], output: str | os.PathLike
) -> Sequence[Pair]:
    """Names the file of each result.

    Args:
      sources: The source images of each scene, infrared first, as `finding.pair`
        matches them.
      output: A file, for one pair; else a folder, where each result takes the name of
        the pair's last source, the visible image, as PNG. Where images of several
        folders have one name, results go into folders of the names of these.

    Returns:
      The pairs, with their outputs, which `outputs.check_pairs` has to check.

    Raises:
      UserError: A file is given for several pairs, or one that cannot be written.
    """
    folder = pathlib.Path(output)
    is_folder = folder.is_dir() or str(output).endswith(("/", os.sep))
    suffix = folder.suffix.lower()
    is_image = suffix in formats.NAMED
    if is_folder or not suffix or (len(sources) > 1 and not is_image):
        plain = sources.plain if isinstance(sources, Made) else sources
        return Made(of_texts, Streamed(_with_outputs(plain, folder), len(sources)))
    if len(sources) > 1:
        raise UserError(
            f"{folder} is named as an image: expected a folder for {len(sources)} pairs"
        )
    formats.written(folder)
    return [Pair(sources[0], folder)]


def _with_outputs(
    sources: Sequence[tuple[str | os.PathLike, ...]], folder: pathlib.Path
) -> Callable[[], Iterator[tuple[str, ...]]]:
    """Returns what yields the paths of each pair, that of the result first."""
    # A path in the folder, as pathlib writes it, without its name.
    start = str(folder / "_")[:-1]
    last = Streamed(lambda: (os.fspath(each[-1]) for each in sources), len(sources))
    recur = finding.recur(map(_stem, last))

    def paths() -> Iterator[tuple[str, ...]]:
        folders = finding.own_folders(last) if recur else itertools.repeat("")
        for each, own in zip(sources, folders, strict=False):
            path = os.path.join(own, f"{_stem(os.fspath(each[-1]))}.png")
            yield f"{start}{path}", *[os.fspath(source) for source in each]

    return paths


def _stem(path: str) -> str:
    return os.path.splitext(path[path.rfind("/") + 1 :])[0]


def of_texts(texts: Sequence[str]) -> Pair:
    """Makes a pair of its paths, that of the result first; see `texts`."""
    output, *sources = map(pathlib.Path, texts)
    return Pair(tuple(sources), output)


def folder_of(pairs: Sequence[Pair], output: str | os.PathLike) -> pathlib.Path:
    """Returns the folder of all results, which `plan` named after `output`."""
    path = pathlib.Path(output)
    return path.parent if pairs[0].output == path else path


def texts(pairs: Sequence[Pair]) -> Sequence[tuple[str, ...]]:
    """Returns the paths of each pair, that of the result first.

    A million pairs that were planned take seconds so, and several times as long to be
    made.
    """
    if isinstance(pairs, Made):
        return pairs.plain
    return Streamed(
        lambda: ((str(pair.output), *map(str, pair.sources)) for pair in pairs),
        len(pairs),
    )


def without_result(pairs: Sequence[Pair], options: FileOptions) -> Sequence[Pair]:
    """Returns the pairs of which a file that `options` asks for is not there yet."""
    is_missing = np.fromiter(
        (
            not os.path.isfile(output)
            or (
                options.save_raw
                and not os.path.isfile(f"{os.path.splitext(output)[0]}.npy")
            )
            for output, *_ in texts(pairs)
        ),
        bool,
    )
    missing = Streamed(
        lambda: itertools.compress(texts(pairs), is_missing), int(is_missing.sum())
    )
    return Made(of_texts, missing)


def check_sizes(pairs: Sequence[Pair]) -> None:
    """Finds source images of unequal sizes by the headers of the files.

    Where all pairs are like that, they are refused; where some are, a warning names the
    first, and the others can be fused. Of very many pairs the first are looked at.

    Args:
      pairs: One pair or more.

    Raises:
      UserError: The sources of all pairs have unequal sizes.
    """
    looked_at = pairs[:_SIZES_CHECKED]
    errors = []
    for pair in looked_at:
        try:
            images.require_same_size(pair.sources)
        except UserError as error:
            errors.append(error)
    if errors and len(errors) == len(pairs):
        raise errors[0]
    if errors:
        logging.warning(
            "%d of %d pairs cannot be fused, the first of them: %s",
            len(errors),
            len(looked_at),
            errors[0],
        )
