"""What fuse.py does with video: the flags' values in, one sequence out."""

import fractions
import pathlib
import re
from collections.abc import Iterable, Sequence

from densefuse_tf.commands import runner
from densefuse_tf.errors import UserError


def is_asked_for(sources: Sequence[str], output: str) -> bool:
    """Whether a source or the output is named as a video file."""
    from densefuse_tf.io import video as ffmpeg

    suffix = pathlib.Path(output).suffix.lower()
    return suffix in ffmpeg.OUTPUT_FORMATS or any(map(ffmpeg.is_video, sources))


def fuse(
    sources: Sequence[str],
    output: str,
    *,
    value_ranges: Sequence,
    fps: str | None,
    max_pixels: int,
    settings: dict,
) -> None:
    """Fuses a sequence.

    Args:
      sources: Video files, or folders or patterns of frames.
      output: A video file, or a folder.
      value_ranges: As `video.survey` takes them.
      fps: --fps.
      max_pixels: The largest frame that is read.
      settings: The other arguments of `fusion.Fuser`.

    Raises:
      UserError: A mistake, before the first frame is fused where it can be found then.
    """
    from densefuse_tf.pipelines import batch
    from densefuse_tf.pipelines import video

    rate = _rate(fps)
    opened = video.open_sources(sources, max_pixels=max_pixels, progress=_progress)
    video.check_output(output, opened)
    if rate is not None:
        _check_rate_is_free(fps, opened, output)

    runner.import_tensorflow()
    from densefuse_tf.fusion import fusion

    fuser = fusion.Fuser(num_sources=len(sources), **settings)
    batch.check_writable(pathlib.Path(output).parent)
    footage = video.survey(
        opened,
        value_ranges=value_ranges,
        color=settings["color"],
        progress=_progress,
    )
    print(
        f"{' + '.join(sources)} -> {output}: {footage.count} "
        f"{'frame' if footage.count == 1 else 'frames'}, "
        f"{'colour' if footage.has_color else 'grey'}",
        flush=True,
    )
    with video.writing(output, footage, rate or video.DEFAULT_RATE) as write:
        for image in video.fuse(fuser, footage, progress=_progress):
            write(image)


def _rate(fps: str | None) -> fractions.Fraction | None:
    """--fps as a number."""
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
    from densefuse_tf.io import video as ffmpeg

    for source in sources:
        if isinstance(source, ffmpeg.VideoFile):
            raise UserError(
                f"--fps={fps} goes with folders of frames: {source.path} has "
                f"{float(source.rate):.6g} frames per second, and so has the result"
            )
    if pathlib.Path(output).suffix.lower() not in ffmpeg.OUTPUT_FORMATS:
        raise UserError(f"--fps={fps} goes with a video as --output")


def _progress(items: Iterable, total: int | None, what: str) -> Iterable:
    """A bar with frames per second; without a terminal there is none."""
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
