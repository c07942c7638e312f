"""Fuses for fuse.py: shows how the run goes on, and how it ended."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from absl import logging

from densefuse_tf.cameras.settings import LiveSettings
from densefuse_tf.commands import progress
from densefuse_tf.errors import PipelineError
from densefuse_tf.pipelines import folder
from densefuse_tf.pipelines import planning
from densefuse_tf.pipelines.events import Events
from densefuse_tf.pipelines.planning import Pair
from densefuse_tf.pipelines.settings import FusionRequest
from densefuse_tf.registration import misalignment

if TYPE_CHECKING:
    from densefuse_tf.pipelines.footage import Footage


def fuse_pairs(request: FusionRequest) -> int:
    """Fuses one pair, or many; returns the exit status.

    Raises:
      UserError: As `folder.fuse` raises it.
    """
    shown = _Shown(request)
    try:
        summary = folder.fuse(request, shown)
    except KeyboardInterrupt:
        shown.interrupted()
        raise
    except PipelineError as error:
        print(f"not all pairs were fused: {error}", file=sys.stderr)
        return 1
    _warn_of_misaligned(summary)
    if summary.failed:
        _print_errors(summary)
    _print_summary(summary, request)
    return 1 if summary.failed else 0


def fuse_sequence(request: FusionRequest) -> int:
    """Fuses a video, or a folder of frames; returns the exit status.

    Raises:
      UserError: As `sequences.fuse` raises it.
    """
    # Brings along what reads videos, which pairs do not need.
    from densefuse_tf.pipelines import sequences

    start = time.monotonic()
    try:
        is_written = sequences.fuse(request, _Shown(request))
    except KeyboardInterrupt:
        progress.say(f"{request.output}: is kept once it is whole: nothing is written")
        raise
    if is_written:
        progress.say(f"written in {time.monotonic() - start:.1f} s: {request.output}")
    else:
        progress.say(f"{request.output}: is there already, and is left as it is")
    return 0


def fuse_live(request: FusionRequest, settings: LiveSettings) -> int:
    """Fuses two cameras until it is interrupted; returns the exit status.

    Raises:
      UserError: As `running.fuse` raises it.
    """
    from densefuse_tf.cameras import running

    # Standard output may be the picture's.
    def tell(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    quiet = not sys.stderr.isatty()
    running.fuse(request, settings, tell, (lambda line: None) if quiet else tell)
    return 0


def _line(pair: Pair) -> str:
    sources = [str(source) for source in pair.sources]
    if len(set(sources)) == 1:  # One file holds all of them.
        sources = sources[:1]
    return f"{' + '.join(sources)} -> {pair.output}"


class _Shown(Events):
    """Prints what happens, and shows bars."""

    def __init__(self, request: FusionRequest):
        self._request = request
        self._count = self._done = 0

    def planned(self, todo: Sequence[Pair], count: int) -> None:
        progress.say_pairs(map(_line, todo), len(todo))
        if len(todo) < count:
            have = f"{count - len(todo)} of {count} pairs have their results already"
            progress.say(have)

    @contextlib.contextmanager
    def fusing(self, count: int) -> Iterator[Callable[[int], object]]:
        """Shows pairs per second; of one pair the time, where it may be minutes."""
        settings = self._request.settings
        if count == 1 and settings.is_quick:
            yield lambda done: None
            return
        if self._request.run.runner is not None:
            with progress.bar_of_runner(count, " pairs") as advance:
                yield self._counting(count, advance)
        elif count > 1:
            with progress.bar(None, count, " pairs") as shown:
                yield self._counting(count, shown.update)
        else:
            with progress.elapsed(f"fusing with {settings.title}"):
                yield lambda done: None

    def _counting(
        self, count: int, advance: Callable[[int], object]
    ) -> Callable[[int], object]:
        self._count = count

        def counted(done: int) -> None:
            self._done += done
            advance(done)

        return counted

    def interrupted(self) -> None:
        """Says what is there of many pairs."""
        if self._count:
            progress.say(
                f"{self._done} of {self._count} pairs are done: results are kept in "
                f"{self._request.output}; --skip_existing goes on with pairs that have "
                "none there"
            )

    def surveyed(self, footage: "Footage") -> None:
        progress.say(
            f"{' + '.join(map(str, self._request.sources))} -> {self._request.output}: "
            f"{footage.count} {'frame' if footage.count == 1 else 'frames'}, "
            f"{'colour' if footage.has_color else 'grey'}"
        )

    def frames(self, items: Iterable, total: int | None, what: str) -> Iterable:
        return progress.frames(items, total, what)

    def wrote(self, what: str, path: str | os.PathLike) -> None:
        progress.say(f"{what}: {path}")


def _warn_of_misaligned(summary: folder.Summary) -> None:
    """Warns of pairs that look misaligned, once for all; names the first."""
    if not summary.misaligned:
        return
    names = [" and ".join(map(str, pair.sources)) for pair in summary.misaligned]
    if summary.num_misaligned > len(names):
        names.append("...")
    count = len(summary.todo)
    which = "" if count == 1 else f"{summary.num_misaligned} of {count} pairs: "
    logging.warning(
        "%s%s: %s: --register aligns them before they are fused, see "
        "docs/registration.md",
        *(which, ", ".join(names), misalignment.FOUND),
    )


def _print_errors(summary: folder.Summary) -> None:
    """Prints why pairs were not fused: with a report, of the first ones."""
    failed, report = summary.failed, summary.report
    reasons = [outcome.reason for outcome in failed]
    progress.print_errors(
        "fused", reasons, len(summary.todo), has_report=report is not None
    )
    if report is not None:
        print(f"report: {report}", file=sys.stderr)


def _print_summary(summary: folder.Summary, request: FusionRequest) -> None:
    """Prints what was written, what it means and what time all of it took."""
    planned, count = summary.planned, len(summary.todo)
    fused = count - len(summary.failed)
    output = planned[0].output
    if len(planned) > 1:
        output = planning.folder_of(planned, request.output)
    how_many = f"{fused} of {count} pairs"
    if len(planned) == 1:
        how_many = f"{fused} pair" if fused else "no pair"
    progress.say(f"{how_many} fused in {summary.seconds:.1f} s: {output}")
    scale = summary.raw_scale
    if not (request.options.save_raw and fused and scale):
        return
    raw = planned[0].raw_output if len(planned) == 1 else "NAME.npy beside each NAME"
    values = f"about 0..{255 * scale}"
    if scale > 1:
        values = f"the sum over {scale} sources, {values}"
    progress.say(f"raw output, float32: {raw}: {values}")
