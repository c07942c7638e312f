"""Makes the standard streams of a command fit for any text and for a full disk."""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast


class _Output(io.FileIO):
    """A standard stream that a run outlives: a full disk is noted, and no error."""

    lost: str | None = None

    def write(self, data) -> int:
        """Writes, or pretends to; a closed pipe is an error all the same."""
        try:
            return super().write(data) or 0
        except BrokenPipeError:
            raise
        except OSError as error:
            self.lost = error.strerror or str(error)
            return len(data)


@contextlib.contextmanager
def fit() -> Iterator[Callable[[], str | None]]:
    """Makes standard output and error fit for any text, wherever they lead.

    A stream that is closed leads nowhere: otherwise the next file that is opened would
    take its number, and get what is printed. Those that are not the process's own, as
    in a notebook, stay as they are.

    Yields:
      What returns why standard output was lost, or None.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free.
            os.open(os.devnull, os.O_RDWR)
    before = {"stdout": sys.stdout, "stderr": sys.stderr}
    raws = {}
    for number, (name, stream) in enumerate(before.items(), start=1):
        if stream is not getattr(sys, f"__{name}__"):
            if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
                stream.reconfigure(errors="backslashreplace")
            continue
        raws[name] = raw = _Output(number, "w", closefd=False)
        encoding = stream.encoding if stream else "utf-8"
        # File names that are not UTF-8 pass through where they were read so.
        keeps = stream and stream.errors == "surrogateescape"
        is_utf8 = encoding.lower().replace("-", "") == "utf8"
        if stream:
            stream.flush()
        # With python -u nothing waits in a buffer.
        at_once = bool(stream and stream.write_through)
        wrapper = io.TextIOWrapper(
            cast(BinaryIO, raw) if at_once else io.BufferedWriter(raw),
            write_through=at_once,
            encoding=encoding,
            errors="surrogateescape" if keeps and is_utf8 else "backslashreplace",
            line_buffering=name == "stderr" or raw.isatty(),
        )
        setattr(sys, name, wrapper)
    try:
        yield lambda: raws["stdout"].lost if "stdout" in raws else None
    finally:
        for name, stream in before.items():
            if name in raws:
                with contextlib.suppress(OSError):
                    getattr(sys, name).flush()
                setattr(sys, name, stream)
