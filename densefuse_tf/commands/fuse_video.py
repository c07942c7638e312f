"""Fuses video for fuse.py."""

import fractions
import pathlib
import re
from collections.abc import Iterable, Sequence

from densefuse_tf.commands.request import Request
from densefuse_tf.errors import UserError


def is_asked_for(sources: Sequence[str], output: str) -> bool:
    """Returns whether a source or the output is named as a video file."""
    from densefuse_tf.io import video

    suffix = pathlib.Path(output).suffix.lower()
    return suffix in video.OUTPUT_FORMATS or any(map(video.is_video, sources))


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

    rate = _rate(fps)
    sources, output = request.sources, request.output
    opened = sequences.open_sources(
        sources, max_pixels=request.options.max_pixels, progress=_progress
    )
    sequences.check_output(output, opened)
    if fps is not None:
        _check_rate_is_free(fps, opened, output)

    fuser = request.fuser()
    files.check_writable(pathlib.Path(output).parent)
    footage = sequences.survey(
        opened,
        value_ranges=request.options.value_ranges,
        color=request.settings.color,
        progress=_progress,
    )
    print(
        f"{' + '.join(sources)} -> {output}: {footage.count} "
        f"{'frame' if footage.count == 1 else 'frames'}, "
        f"{'colour' if footage.has_color else 'grey'}",
        flush=True,
    )
    frames = sequences.fuse(fuser, footage, progress=_progress)
    sequences.write(output, footage, frames, rate or sequences.DEFAULT_RATE)


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
    from densefuse_tf.io import video

    for source in sources:
        if isinstance(source, video.VideoFile):
            raise UserError(
                f"--fps={fps} goes with folders of frames: {source.path} has "
                f"{float(source.rate):.6g} frames per second, and so has the result"
            )
    if pathlib.Path(output).suffix.lower() not in video.OUTPUT_FORMATS:
        raise UserError(f"--fps={fps} goes with a video as --output")


def _progress(items: Iterable, total: int | None, what: str) -> Iterable:
    """Shows a bar with frames per second; without a terminal there is none."""
    import tqdm

    return tqdm.tqdm(
        items,
        desc=what,
        total=total,
        unit=" frames",
        bar_format=(
            "{desc}: {n_fmt} frames [{elapsed}, {rate_noinv_fmt}]"
            if total is None
            else "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} "
            "[{elapsed}<{remaining}, {rate_noinv_fmt}]"
        ),
        disable=None,
        leave=what == "fusing",
    )
