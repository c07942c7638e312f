"""Writes videos through ffmpeg."""

import fractions
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.io import pixels
from densefuse_tf.io.ffmpeg import Ffmpeg

# Visually lossless, in the colours of today's screens, with the tags that say so:
# without them players guess the matrix from the height.
_ENCODER_PARAMS = [
    *("-c:v", "libx264", "-crf", "14", "-color_range", "tv", "-colorspace", "bt709"),
    *("-color_primaries", "bt709", "-color_trc", "bt709"),
]
# Frames that are shown when they come, to a millisecond; none is waited for.
_LIVE_PARAMS = (
    *("-use_wallclock_as_timestamps", "1", "-framerate", "1000"),
    *("-fpsprobesize", "0"),
)
_SCALE = "scale=out_color_matrix=bt709:out_range=tv"


class Encoder:
    """An ffmpeg that writes a video: H.264 of the frames' size, without sound.

    4:2:0 (yuv420p), which every player plays, or 4:4:4 (yuv444p) where the height or
    the width is odd and cannot be halved.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        temporary: pathlib.Path,
        size: tuple[int, int],
        rate: fractions.Fraction | None,
        pixel_aspect: fractions.Fraction | None,
        live: Sequence[str] = (),
    ):
        """Starts it.

        Args:
          path: What an error calls the video.
          temporary: Where ffmpeg writes; its suffix says the container.
          size: (height, width) of the frames.
          rate: Frames per second; None for frames that are shown when they come.
          pixel_aspect: Width to height of a pixel, or None.
          live: ffmpeg's arguments for where it writes frames that come in their own
            time; "pipe:" is this program's standard output.
        """
        self._path = path
        self._temporary = temporary
        self._count = 0
        height, width = size
        timing = ("-r", str(rate)) if rate else _LIVE_PARAMS
        filters = f"{_SCALE},setsar={pixel_aspect}" if pixel_aspect else _SCALE
        chroma = "yuv444p" if height % 2 or width % 2 else "yuv420p"
        arguments = [
            *("-y", "-f", "rawvideo", "-pix_fmt", "rgb24"),
            *("-s", f"{width}x{height}", *timing, "-i", "-", "-vf", filters),
            *("-pix_fmt", chroma, *_ENCODER_PARAMS),
            *(live or [f"file:{temporary}"]),
        ]
        self._ffmpeg = Ffmpeg("error", arguments, shown="pipe:" in live)

    def add(self, frame: np.ndarray) -> None:
        """Takes the next frame: uint8, [height, width] or [height, width, 3].

        Raises:
          UserError: ffmpeg does not run any more.
        """
        try:
            # Grey as RGB: exact, while ffmpeg's own way from grey to BT.709 is not.
            self._ffmpeg.input.write(pixels.rgb(frame).tobytes())
        except OSError as error:
            raise self._cannot_write() from error
        self._count += 1

    def finish(self) -> None:
        """Waits until all frames are in the file; the caller calls `kill` afterwards.

        Raises:
          UserError: ffmpeg could not write them.
        """
        try:
            self._ffmpeg.input.close()
        except OSError as error:
            raise self._cannot_write() from error
        if self._ffmpeg.process.wait():
            raise self._cannot_write()

    def interrupt(self) -> None:
        """Ends ffmpeg, from any thread; `add` and `finish` tell of it."""
        self._ffmpeg.process.kill()

    def kill(self) -> None:
        """Ends ffmpeg at once, whatever it has still to encode."""
        self._ffmpeg.__exit__()

    def _cannot_write(self) -> UserError:
        reason = f"ffmpeg was stopped after about {self._count} frames"
        if complaint := self._ffmpeg.complaint():
            reason += f" ({complaint})"
        if files.is_full(self._temporary.parent):
            reason = "No space left on device"
        return UserError(f"{self._path}: cannot be written: {reason}")
