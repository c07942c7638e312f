"""What a run tells while it goes on, for a command or a notebook to show."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from densefuse_tf.pipelines.footage import Footage
    from densefuse_tf.pipelines.planning import Pair


class Events:
    """Is told how a run goes on, and keeps it to itself: to be derived from."""

    def planned(self, todo: "Sequence[Pair]", count: int) -> None:
        """Hears which pairs will be fused, those of `count` that have no result yet."""

    @contextlib.contextmanager
    def fusing(self, count: int) -> Iterator[Callable[[int], object]]:
        """Is entered while `count` pairs are fused.

        Yields:
          What is called with the number of pairs that are done since the last time; on
          Beam in a thread of its own.
        """
        yield lambda done: None

    def surveyed(self, footage: "Footage") -> None:
        """Hears of which frames a sequence is fused."""

    def frames(self, items: Iterable, total: int | None, what: str) -> Iterable:
        """Returns the same items, one for each frame: a `video.Progress`."""
        return items

    def wrote(self, what: str, path: str | os.PathLike) -> None:
        """Hears of a file beside the results, as "panel" or "transform"."""


# Nobody listens.
SILENT = Events()
