"""A whole live run, from the sources of a request to its sink; it prints nothing."""

import contextlib
import csv
import functools
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from densefuse_tf.cameras import showing
from densefuse_tf.cameras import sources
from densefuse_tf.cameras.live import NAMES
from densefuse_tf.cameras.live import live
from densefuse_tf.cameras.pairing import Counts
from densefuse_tf.cameras.settings import LiveSettings
from densefuse_tf.io import files
from densefuse_tf.io import outputs
from densefuse_tf.pipelines.settings import FusionRequest

Tell = Callable[[str], object]
_COLUMNS = (
    *("seconds", "pictures", "dropped_ir", "dropped_vis", "not_paired", "failed"),
    *("delay_median_ms", "delay_95_ms"),
)
_LINE = (
    "{1} pictures in a second; dropped {2} infrared, {3} visible; {4} not paired, {5} "
    "failed; delay {6:.0f} ms, 95 % {7:.0f} ms"
)


def fuse(
    request: FusionRequest, settings: LiveSettings, started: Tell, second: Tell
) -> None:
    """Fuses two cameras until a file among them ends, or the run is interrupted.

    However it ends, the file that it writes is whole, and no ffmpeg is left.

    Args:
      request: Says what is fused how; its output is a video file, an address, "pipe:",
        or "" for the page alone.
      settings: Says how the cameras are read and paired.
      started: Is told where the page is.
      second: Is told each second how it goes.
    """
    output, options, stats = str(request.output), request.options, settings.stats
    written = {} if stats is None else {"--stats": stats}
    if output and showing.is_file(output):
        written["--output"] = output
    read = [(path, "a source") for path in request.sources]
    read += [(path, "the transform") for path in request.registration.inputs]
    outputs.check_named(written, lambda: read)
    for path in () if options.overwrite else written.values():
        files.check_free(path)
    counts, given = Counts(), (settings.ir_input, settings.vis_input)
    cameras = [
        sources.frames(
            str(source),
            inputs,
            name=f"--{name}={source}",
            timeout=settings.timeout,
            max_pixels=options.max_pixels,
            ended=counts.ended,
        )
        for name, source, inputs in zip(NAMES, request.sources, given, strict=True)
    ]
    with contextlib.ExitStack() as stack:
        tell, table, page = [second], None, None
        if stats is not None:
            try:
                table = stack.enter_context(open(stats, "w", buffering=1, newline=""))
            except OSError as error:
                raise files.cannot_write(stats, error) from error
        if settings.live_page:
            page = stack.enter_context(contextlib.closing(showing.Page()))
            started(f"page: {page.address}")
            tell.append(functools.partial(setattr, page, "line"))
        pictures = live(
            *cameras,
            fuser=request.fuser(),
            rate=settings.live_rate,
            max_skew=settings.max_skew / 1000,
            range_memory=settings.range_memory,
            ranges=options.ranges(2),
            transform=request.registration,
            counts=counts,
        )
        thread = threading.Thread(target=_each_second, args=[counts, tell, table])
        thread.start()
        stack.callback(thread.join)
        stack.callback(counts.ended.set)
        stack.enter_context(contextlib.closing(pictures))
        sink = None
        for moment, image in pictures:
            if page is not None:
                page.image = image
            if output and sink is None:
                sink = showing.Sink(output, image.shape[:2])
                stack.enter_context(contextlib.closing(sink))
            if sink is None:
                counts.is_out(moment)
            else:
                sink.add(image, functools.partial(counts.is_out, moment))


def _each_second(counts: Counts, tell: Sequence[Tell], table) -> None:
    """Says how it goes, and writes it into a table, until it ends."""
    start, before = time.monotonic(), np.zeros(4, int)
    rows = None if table is None else csv.writer(table)
    if rows is not None:
        rows.writerow(_COLUMNS)
    while not counts.ended.wait(1):
        total = np.array([*counts.dropped, counts.apart, counts.failed])
        delays, counts.delays = counts.delays, []
        late = 1000 * np.percentile(delays or [np.nan], [50, 95])
        row = [time.monotonic() - start, len(delays), *(total - before), *late]
        before = total
        for each in tell:
            each(_LINE.format(*row))
        if rows is not None:
            rows.writerow([f"{value:.6g}" for value in row])
