"""Runs ffmpeg, which imageio-ffmpeg brings."""

import contextlib
import os
import re
import subprocess
from collections.abc import Sequence
from typing import Any

from densefuse_tf import extras
from densefuse_tf.errors import UserError
from densefuse_tf.io import files

# Pixels do not depend on what EXIF says.
_MISTAKE = re.compile(
    r"^(?:\[[^]]* @ [^]]*\] )*\[(?:error|fatal|panic)\] (?!.*EXIF)(.*)", re.M
)
# No more is looked at of what ffmpeg says, in bytes.
_MOST_SAID = 2**24


class Ffmpeg:
    """A running ffmpeg; on leaving its context it has ended."""

    def __init__(self, level: str, arguments: Sequence[str], *, shown: bool = False):
        """Starts it.

        Args:
          level: How much it says.
          arguments: Those of its command line.
          shown: Whether its standard output is this program's own.
        """
        extras.require("video", "a video")
        import imageio_ffmpeg

        try:
            command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostats"]
        except RuntimeError as error:
            raise UserError(f"videos need ffmpeg: {error}") from error
        command += ["-v", f"level+{level}", *arguments]
        # What it says goes to a file: nobody has to read it while frames are read. In a
        # session of its own it is interrupted by the command, not from the keyboard.
        self._log = files.temporary_file()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=None if shown else subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        self.input: Any = self.process.stdin
        self.output: Any = self.process.stdout

    def said(self, *, so_far: bool = False) -> str:
        """Returns what it has said, at its end unless it is asked for so far."""
        if not so_far:
            self.process.wait()
        # The place in the file is that of ffmpeg as well.
        said = os.pread(self._log.fileno(), _MOST_SAID, 0)
        return said.decode(errors="replace").replace("\r", "\n")

    def forget(self) -> None:
        """Forgets what it has said: of a camera it may run for weeks."""
        self._log.seek(0)
        self._log.truncate()

    def complaint(self) -> str:
        """Returns the first mistake it tells of, in one line, or an empty string."""
        if mistake := _MISTAKE.search(self.said()):
            return " ".join(mistake[1].split())
        status = self.process.returncode
        return f"ffmpeg ended with status {status}" if status else ""

    def __enter__(self) -> "Ffmpeg":
        return self

    def __exit__(self, *error: object) -> None:
        """Ends it at once, if it has not ended, and closes its files."""
        self.process.kill()
        # What is left in the buffer cannot be written any more.
        with contextlib.suppress(BrokenPipeError), self.process:
            pass
        self._log.close()
