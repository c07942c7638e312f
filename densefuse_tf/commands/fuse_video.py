"""Fuses video for fuse.py."""

import contextlib
import fractions
import pathlib
import re
import time
from collections.abc import Sequence

from densefuse_tf.commands import aligned
from densefuse_tf.commands import progress
from densefuse_tf.commands.request import Request
from densefuse_tf.errors import UserError


def is_asked_for(sources: Sequence[str], output: str) -> bool:
    """Returns whether a source or the output is named as a video file."""
    from densefuse_tf.io import video

    return any(map(video.is_video, (*sources, output)))


def fuse(request: Request, fps: str | None) -> None:
    """Fuses a sequence.

    Args:
      request: Says what is fused: video files, or folders or patterns of frames, into a
        video file, or a folder.
      fps: Frames per second as the user gave them, for frames alone.

    Raises:
      UserError: A mistake, before the first frame is fused where it can be found then.
    """
    from densefuse_tf.io import files
    from densefuse_tf.pipelines import sequences
    from densefuse_tf.pipelines import surveying

    start = time.monotonic()
    rate = _rate(fps)
    sources, output, settings = request.sources, request.output, request.registration
    if request.options.skip_existing and files.is_there(output):
        print(f"{output}: is there already, and is left as it is")
        return
    beside = aligned.outputs(settings)
    opened = surveying.open_sources(
        sources,
        max_pixels=request.options.max_pixels,
        any_sizes=settings.is_on,
        progress=progress.frames,
    )
    sequences.check_output(
        output,
        opened,
        beside,
        aligned.inputs(settings),
        overwrite=request.options.overwrite,
    )
    if fps is not None:
        _check_rate_is_free(fps, opened, output)

    fuser = request.fuser()
    for path in (pathlib.Path(output), *beside):
        files.check_writable(path.parent)
    footage = surveying.survey(
        opened,
        value_ranges=request.options.value_ranges,
        range_flags=request.options.range_flags,
        color=request.settings.color,
        registration=settings,
        progress=progress.frames,
    )
    print(
        f"{' + '.join(sources)} -> {output}: {footage.count} "
        f"{'frame' if footage.count == 1 else 'frames'}, "
        f"{'colour' if footage.has_color else 'grey'}",
        flush=True,
    )
    if beside:
        with contextlib.closing(footage.frames()) as moments:
            found = footage.aligner and footage.aligner.registration
            aligned.write(settings, next(moments), found)
    frames = sequences.fuse(fuser, footage, progress=progress.frames)
    sequences.write(output, footage, frames, rate or sequences.DEFAULT_RATE)
    print(f"written in {time.monotonic() - start:.1f} s: {output}")


def _rate(fps: str | None) -> fractions.Fraction | None:
    """Returns --fps as a number."""
    if fps is None:
        return None
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?|\d{1,9}/0*[1-9]\d{0,8}", fps):
        rate = fractions.Fraction(fps)
        if 0 < rate <= 1000:
            return rate
    raise UserError(
        f"--fps={fps}: expected frames per second, up to 1000, as 25, 29.97 or "
        "30000/1001"
    )


def _check_rate_is_free(fps: str, sources: Sequence, output: str) -> None:
    from densefuse_tf.io import formats
    from densefuse_tf.io import video

    for source in sources:
        if isinstance(source, video.VideoFile):
            raise UserError(
                f"--fps={fps} goes with folders of frames: {source.path} has "
                f"{float(source.rate):.6g} frames per second, and so has the result"
            )
    if pathlib.Path(output).suffix.lower() not in formats.WRITTEN_VIDEOS:
        raise UserError(f"--fps={fps} goes with a video as --output")
