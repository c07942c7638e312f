"""A whole live run, from the sources of a request to its sink; it prints nothing."""

import concurrent.futures
import contextlib
import functools
import io
import os
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from densefuse_tf.cameras import showing
from densefuse_tf.cameras import sources
from densefuse_tf.cameras.live import live
from densefuse_tf.cameras.pairing import NAMES
from densefuse_tf.cameras.pairing import Counts
from densefuse_tf.cameras.settings import LiveSettings
from densefuse_tf.errors import UserError
from densefuse_tf.errors import without_passwords
from densefuse_tf.io import files
from densefuse_tf.io import outputs
from densefuse_tf.pipelines.settings import FusionRequest

Tell = Callable[[str], object]
_COLUMNS = (
    *("seconds", "pictures", "dropped_ir", "dropped_vis", "not_paired", "failed"),
    *("delay_median_ms", "delay_95_ms"),
)
_LOST = "dropped {} infrared, {} visible; {} not paired, {} failed"
_LINE = f"{{}} pictures in a second; {_LOST}"
_DELAY = "; delay {:.0f} ms, 95 % {:.0f} ms"


def fuse(
    request: FusionRequest, settings: LiveSettings, started: Tell, second: Tell
) -> None:
    """Fuses two cameras until a file among them ends, or the run is interrupted.

    However it ends, the file that it writes is whole, and no ffmpeg is left. Files that
    exist are replaced where the request's options say so.

    Args:
      request: Says what is fused how; its output is a video file, an address, "pipe:",
        or "" for the page alone.
      settings: Says how the cameras are read and paired.
      started: Is told where the page is, and at the end what was made.
      second: Is told each second how it goes.
    """
    output, options, stats = str(request.output), request.options, settings.stats
    written = {} if stats is None else {"--stats": stats}
    if output and showing.is_file(output):
        written["--output"] = output
    read = [(path, "a source") for path in request.sources]
    read += [(path, "the transform") for path in request.registration.inputs]
    outputs.check_named(written, lambda: read)
    for path in written.values():
        files.check_replaceable(path)
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
        stack.push(functools.partial(_tell_end, started, counts, output))
        if "--output" in written and not options.overwrite:
            # Its name is taken before the first picture is there.
            _create(output, overwrite=False).close()
            stack.callback(_remove_empty, output)
        table = stack.enter_context(
            open(os.devnull, "wb", buffering=0)
            if stats is None
            else _create(stats, options.overwrite)
        )
        tell, page = [second], None
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
        teller = stack.enter_context(concurrent.futures.ThreadPoolExecutor(1))
        told = teller.submit(_each_second, counts, tell, table)
        stack.callback(told.result)
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
                counts.add_picture(moment)
            else:
                sink.add(image, functools.partial(counts.add_picture, moment))
    if not counts.pictures:
        raise UserError(f"no picture was made: {_lost(counts)}")


def _tell_end(tell: Tell, counts: Counts, output: str, kind, *_) -> None:
    """Says what was made, unless a mistake ended the run."""
    if counts.pictures and not (kind and issubclass(kind, Exception)):
        made = f"{counts.pictures} picture{'s' * (counts.pictures > 1)}"
        where = without_passwords(output) or "the page"
        tell(f"{made}: {where}; {_lost(counts)}")


def _lost(counts: Counts) -> str:
    return _LOST.format(*counts.dropped, counts.apart, counts.failed)


def _create(path: str | os.PathLike, overwrite: bool) -> io.FileIO:
    try:
        return open(path, "wb" if overwrite else "xb", buffering=0)
    except FileExistsError as error:
        raise UserError(f"{path}: exists: --overwrite replaces it") from error
    except OSError as error:
        raise files.cannot_write(path, error) from error


def _remove_empty(path: str) -> None:
    with contextlib.suppress(OSError):
        if not os.path.getsize(path):
            os.remove(path)


def _each_second(counts: Counts, tell: Sequence[Tell], table: io.FileIO) -> None:
    """Says how it goes, and writes it into a table, until it ends.

    Raises:
      UserError: The table could not be written to its end.
    """
    start, before = time.monotonic(), np.zeros(4, int)
    failed: OSError | None = None

    def write(cells: Iterable[str]) -> None:
        nonlocal failed
        if failed is None:
            try:
                text = f"{','.join(cells)}\n".encode()
                # A disk that gets full takes a part, and fails the next time.
                while text:
                    text = text[table.write(text) :]
            except OSError as error:
                failed = error

    write(_COLUMNS)
    while not counts.ended.wait(1):
        total = np.array([*counts.dropped, counts.apart, counts.failed])
        delays, counts.delays = counts.delays, []
        # Without a picture there is no delay.
        late = [*(1000 * np.percentile(delays, [50, 95]))] if delays else []
        row = [time.monotonic() - start, len(delays), *(total - before)]
        before = total
        line = _LINE.format(*row[1:]) + (_DELAY.format(*late) if late else "")
        for each in tell:
            each(line)
        write([f"{value:.6g}" for value in (*row, *late)] + [""] * (2 - len(late)))
    try:
        table.close()
    except OSError as error:
        failed = failed or error
    if failed is not None:
        raise files.cannot_write(str(table.name), failed)
