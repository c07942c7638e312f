"""Fuses a sequence for fuse.py: shows how the run goes on, and how it ended."""

import os
import time
from collections.abc import Iterable

from densefuse_tf.commands import progress
from densefuse_tf.pipelines import sequences
from densefuse_tf.pipelines.events import Events
from densefuse_tf.pipelines.settings import FusionRequest
from densefuse_tf.pipelines.surveying import Footage


def fuse(request: FusionRequest) -> None:
    """Fuses a sequence.

    Raises:
      UserError: As `sequences.fuse` raises it.
    """
    start = time.monotonic()
    if sequences.fuse(request, _Shown(request)):
        print(f"written in {time.monotonic() - start:.1f} s: {request.output}")
    else:
        print(f"{request.output}: is there already, and is left as it is")


class _Shown(Events):
    """Prints what happens, and shows bars on a terminal."""

    def __init__(self, request: FusionRequest):
        self._request = request

    def surveyed(self, footage: Footage) -> None:
        print(
            f"{' + '.join(map(str, self._request.sources))} -> {self._request.output}: "
            f"{footage.count} {'frame' if footage.count == 1 else 'frames'}, "
            f"{'colour' if footage.has_color else 'grey'}",
            flush=True,
        )

    def frames(self, items: Iterable, total: int | None, what: str) -> Iterable:
        return progress.frames(items, total, what)

    def wrote(self, what: str, path: str | os.PathLike) -> None:
        print(f"{what}: {path}", flush=True)
