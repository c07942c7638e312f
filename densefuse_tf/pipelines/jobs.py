"""The work on the pairs of an archive that the workers of a Beam pipeline share.

A chunk of the list of pairs, one pair or up to a hundred, is an element of the
pipeline. Workers read and write files under the paths of the launching machine: all of
them have to see the same file system. What they have to say of a chunk goes to a file
of its own beside the list, which takes its name when the chunk is done. A worker may
die and a chunk may be tried again, or by two workers at a time: a result takes its name
when it is whole, and each try writes the same bytes.

A UserError, which concerns one pair, is something to say. Any other exception fails the
chunk, for the runner to try again.
"""

import contextlib
import dataclasses
import functools
import itertools
import json
import math
import os
import pathlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import apache_beam
from apache_beam.metrics import Metrics
from apache_beam.utils import shared

from densefuse_tf import lambdas
from densefuse_tf import startup
from densefuse_tf.fusion import methods
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import files
from densefuse_tf.pipelines import pairs
from densefuse_tf.pipelines import planning
from densefuse_tf.pipelines.aligning import Aligner
from densefuse_tf.pipelines.settings import FileOptions

# The elements that a list of pairs becomes, as long as none has more pairs than that:
# few enough for the runner to keep, and enough for any number of workers.
_CHUNKS = 1000
_MOST_PAIRS = 100
# The list in the folder of a pipeline, and what comes before the index of the first
# pair in the name of a chunk's own file.
_PAIRS, DONE = "pairs", "done_"


class Job(Protocol):
    """Says what is done with the pairs; pickled, and sent to all workers."""

    def prepare(self) -> Any:
        """Makes what a process needs once: the model."""

    def do(self, prepared: Any, items: Sequence[Sequence[str]]) -> Iterator[Any]:
        """Does the work.

        Args:
          prepared: From `prepare`; threads of one process share it.
          items: The paths of each pair, absolute.

        Yields:
          For each pair, in order, what there is to say, for JSON; None for nothing.

        Raises:
          Exception: What is not the fault of a pair.
        """


@dataclasses.dataclass(frozen=True)
class Fusing:
    """Fuses pairs: a `Job` on the paths that `planning.texts` returns.

    It says the reason why a pair could not be fused.

    Attributes:
      settings: The settings of the `fuser.Fuser`.
      options: Says how images are read and written.
      aligner: Aligns the sources; None where they are fused as they are.
      threads: The threads that TensorFlow computes an operation with; 0 for its own
        choice.
    """

    settings: FusionSettings
    options: FileOptions
    aligner: Aligner | None = None
    threads: int = 0

    def prepare(self) -> Any:
        """Builds the model, and a lock: threads read and write at the same time."""
        startup.import_tensorflow()
        import tensorflow as tf

        if self.threads:
            tf.config.threading.set_intra_op_parallelism_threads(self.threads)
        return methods.build(self.settings), threading.Lock()

    def do(self, prepared: Any, items: Sequence[Sequence[str]]) -> Iterator[str | None]:
        """Fuses the pairs; yields the error of each, None where there is none.

        Raises:
          MemoryError: Memory runs out.
        """
        fuser, computing = prepared
        outcomes = pairs.fuse_pairs(
            fuser,
            map(planning.of_texts, items),
            self.options,
            aligner=self.aligner,
            with_images=False,
            computing=computing,
        )
        with contextlib.closing(outcomes):
            for outcome in outcomes:
                error = outcome.error
                if error is not None and isinstance(error.__cause__, MemoryError):
                    # The image is not to blame; there may be more the next time, or
                    # elsewhere.
                    raise error.__cause__
                name = "fused" if error is None else "failed"
                Metrics.counter("densefuse_tf", name).inc()
                yield None if error is None else str(error)


class _Prepared:
    """Holds what a job needs once in a process."""

    def __init__(self, job: Job):
        self.value = job.prepare()


class Work(apache_beam.DoFn):
    """Does a job on chunks of the list: (first index, offset, count) each."""

    def __init__(self, job: Job, folder: str):
        self._job = job
        self._folder = folder
        # The same in all copies of this object, those in other processes included.
        self._shared = shared.Shared()

    def setup(self) -> None:
        self._prepared = self._shared.acquire(lambda: _Prepared(self._job))

    def process(self, chunk: tuple[int, int, int]) -> None:
        first, offset, count = chunk
        done = os.path.join(self._folder, f"{DONE}{first}")
        if os.path.exists(done):
            # Runners do again what a worker had done that died since.
            return
        # Lines stay JSON, in ASCII: file names may have any bytes.
        with open(os.path.join(self._folder, _PAIRS), encoding="ascii") as file:
            file.seek(offset)
            items = [json.loads(line) for line in itertools.islice(file, count)]
        with files.replacing(done) as temporary:
            with open(temporary, "w", encoding="ascii") as file:
                for index, said in enumerate(self._job.do(self._prepared.value, items)):
                    if said is not None:
                        file.write(f"{json.dumps([first + index, said])}\n")


def with_absolute_paths(settings: FusionSettings) -> FusionSettings:
    """Returns the same settings for workers, who have another current folder."""
    module = settings.strategy_module
    if module is not None and os.path.isfile(module):
        module = os.path.abspath(module)
        settings = dataclasses.replace(settings, strategy_module=module)
    checkpoint = os.fspath(settings.checkpoint)
    if lambdas.short_name(checkpoint) is not None:
        return settings
    return dataclasses.replace(settings, checkpoint=os.path.abspath(checkpoint))


def write_list(
    folder: pathlib.Path, items: Iterable[Sequence[str | os.PathLike]], count: int
) -> list[tuple[int, int, int]]:
    """Writes a line for each pair and returns the chunks that `Work` takes.

    Runners limit the size of what they are sent, and an archive's paths are more than
    that.
    """
    length = min(max(math.ceil(count / _CHUNKS), 1), _MOST_PAIRS)
    chunks = []
    # Very many files lie in few folders.
    absolute_folder = functools.cache(os.path.abspath)

    def absolute(path: str | os.PathLike) -> str:
        parent, slash, name = os.fspath(path).rpartition("/")
        return os.path.join(absolute_folder(parent + slash), name)

    with files.replacing(folder / _PAIRS) as temporary, open(temporary, "wb") as file:
        for index, paths in enumerate(items):
            if index % length == 0:
                chunks.append((index, file.tell(), min(length, count - index)))
            line = json.dumps(list(map(absolute, paths)))
            file.write(f"{line}\n".encode("ascii"))
    return chunks


def said(folder: pathlib.Path, first: int) -> Iterator[tuple[int, Any]]:
    """Reads what a job said of the chunk that begins with a pair."""
    with open(folder / f"{DONE}{first}", encoding="ascii") as file:
        for line in file:
            yield tuple(json.loads(line))
