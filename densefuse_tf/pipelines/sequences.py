"""Fuses sequences, video files and numbered frames, with one brightness throughout.

`pairs` decides image by image which values become 0 and 255, whether the result has
colour, and the range of the output. Here each is decided once for the whole sequence
(see `surveying`), so that nothing flickers. A thread writes behind while the calling
thread fuses: how many frames are held does not depend on how many there are.
"""

import contextlib
import fractions
import os
import pathlib
import re
from collections.abc import Callable, Generator, Iterable, Sequence

import numpy as np

from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.io import formats
from densefuse_tf.io import images
from densefuse_tf.io import outputs
from densefuse_tf.io import pixels
from densefuse_tf.io import video
from densefuse_tf.io.encoder import Encoder
from densefuse_tf.io.ordered_map import ordered_map
from densefuse_tf.pipelines import aligning
from densefuse_tf.pipelines import surveying
from densefuse_tf.pipelines.events import SILENT
from densefuse_tf.pipelines.events import Events
from densefuse_tf.pipelines.footage import Footage
from densefuse_tf.pipelines.footage import ImageFiles
from densefuse_tf.pipelines.footage import Source
from densefuse_tf.pipelines.footage import open_sources
from densefuse_tf.pipelines.settings import FusionRequest

DEFAULT_RATE = fractions.Fraction(25)

# What a run over images alone writes or runs on.
_OF_IMAGES = ("save_raw", "scale", "panel", "report", "runner", "beam_options")
# The frames that are written behind.
_BEHIND = 2


def fuse(request: FusionRequest, events: Events = SILENT) -> bool:
    """Fuses a sequence: a whole run, from its sources to the written result.

    Args:
      request: Says what is fused: video files, or folders or patterns of frames, into a
        video file, or a folder.
      events: Is told how the run goes on.

    Returns:
      Whether it was fused; an earlier result may be left as it is.

    Raises:
      UserError: A mistake, before the first frame is fused where it can be found then.
    """
    for name in _OF_IMAGES:
        if getattr(request.run, name, None) or getattr(request.options, name, None):
            raise UserError(f"--{name} goes with images, not with a video")
    if request.options.embedded:
        raise UserError("--vis=embedded goes with images, not with a video")
    rate = _rate(request.fps)
    output, options, registration = (
        request.output,
        request.options,
        request.registration,
    )
    if options.skip_existing and files.is_there(output):
        return False
    beside = list(map(pathlib.Path, registration.outputs.values()))
    opened = open_sources(
        request.sources,
        max_pixels=options.max_pixels,
        any_sizes=registration.is_on,
        infrared=options.infrared,
        progress=events.frames,
    )
    check_output(
        output, opened, beside, registration.inputs, overwrite=options.overwrite
    )
    if request.fps is not None:
        _check_rate_is_free(request.fps, opened, output)

    fuser = request.fuser()
    for path in (pathlib.Path(output), *beside):
        files.make_folder(path.parent)
    footage = surveying.survey(
        opened,
        value_ranges=options.value_ranges,
        range_flags=options.range_flags,
        color=request.settings.color,
        infrared=options.infrared,
        registration=registration,
        progress=events.frames,
    )
    events.surveyed(footage)
    if beside:
        with contextlib.closing(footage.frames()) as moments:
            aligner = footage.aligner
            found = None if aligner is None else aligner.registration
            aligning.write(
                registration,
                next(moments),
                found,
                events.wrote,
                overwrite=options.overwrite,
            )
    frames = fused_frames(fuser, footage, progress=events.frames)
    rate = rate or DEFAULT_RATE
    write(output, footage, frames, rate, overwrite=options.overwrite)
    return True


def _rate(fps: str | None) -> fractions.Fraction | None:
    """Returns frames per second as a number."""
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


def _check_rate_is_free(
    fps: str, sources: Sequence[Source], output: str | os.PathLike
) -> None:
    for source in sources:
        if isinstance(source, video.VideoFile):
            raise UserError(
                f"--fps={fps} goes with folders of frames: {source.path} has "
                f"{float(source.rate):.6g} frames per second, and so has the result"
            )
    if pathlib.Path(output).suffix.lower() not in formats.WRITTEN_VIDEOS:
        raise UserError(f"--fps={fps} goes with a video as --output")


def fused_frames(
    fuser, footage: Footage, *, progress: video.Progress = video.unseen
) -> Generator[np.ndarray, None, None]:
    """Fuses a sequence with one output range.

    Args:
      fuser: A `channels.ChannelFuser` for as many sources and with the color that
        `survey` was given. If its output_range is "minmax", all frames are first fused
        for the extremes of the decoder's output over the sequence, which takes the
        time twice.
      footage: From `survey`.
      progress: Shows how far it is.

    Yields:
      The fused frames, uint8, all [height, width] or all [height, width, 3].

    Raises:
      UserError: A frame cannot be read.
    """
    output_range = fuser.output_range
    if output_range == "minmax":
        output_range = _extremes(fuser, footage, progress)
    with contextlib.closing(footage.frames()) as frames:
        for index, sources in enumerate(progress(frames, footage.count, "fusing")):
            image = fuser.fuse(
                sources,
                names=footage.names(index),
                output_range=output_range,
                are_scaled=True,
            ).image
            # A frame without colour in a sequence that has some.
            yield pixels.rgb(image) if footage.has_color else image


def _extremes(fuser, footage: Footage, progress: video.Progress) -> tuple[float, float]:
    """Returns (min, max) of the decoder's output over all frames."""
    low, high = np.inf, -np.inf
    with contextlib.closing(footage.frames()) as frames:
        for index, sources in enumerate(
            progress(frames, footage.count, "finding the range")
        ):
            raw = fuser.raw(sources, names=footage.names(index), are_scaled=True)
            low, high = min(low, raw.min()), max(high, raw.max())
    return float(low), float(high)


def check_output(
    path: str | os.PathLike,
    sources: Sequence[Source],
    others: Iterable[pathlib.Path] = (),
    inputs: Iterable[str | os.PathLike] = (),
    *,
    overwrite: bool = True,
) -> None:
    """Refuses what `write` cannot write, before the work.

    Args:
      path: The output, as `write` takes it.
      sources: The sources of the sequence.
      others: More files that the run will write.
      inputs: More files that the run will read.
      overwrite: Whether an earlier result is replaced.

    Raises:
      UserError: Neither the name of a video nor of a folder; a source would be
        overwritten, or what is no earlier result; another file that would take the
        place of a source, an input, the output or one another.
    """
    is_folder = _is_folder(os.fspath(path))
    suffix = pathlib.Path(path).suffix
    if not is_folder and suffix.lower() not in formats.WRITTEN_VIDEOS:
        raise UserError(
            f"{pathlib.Path(path)}: cannot write a video named {suffix}: expected "
            f"{', '.join(formats.WRITTEN_VIDEOS)}, or a folder for its frames"
        )
    outputs.check_sequence(
        path,
        _frame_names(sources[-1]) if is_folder else (),
        [file for source in sources for file in source.paths],
        others,
        inputs,
        overwrite=overwrite,
    )


def _is_folder(path: str) -> bool:
    return path.endswith(("/", os.sep)) or not pathlib.Path(path).suffix


def _frame_names(source: Source) -> list[str]:
    """Names the fused frames after those of the last source."""
    if isinstance(source, ImageFiles):
        return [f"{path.stem}.png" for path in source.paths]
    return [f"{source.path.stem}_{index + 1:06}.png" for index in range(source.count)]


def write(
    path: str | os.PathLike,
    footage: Footage,
    frames: Iterable[np.ndarray],
    rate: fractions.Fraction = DEFAULT_RATE,
    *,
    overwrite: bool = True,
) -> None:
    """Writes fused frames to a video, or to a folder, whole or not at all.

    A video is as `Encoder` makes it. In a folder the frames are PNG files,
    named after those of the last source, or numbered after its video.

    Args:
      path: Ends in one of `formats.WRITTEN_VIDEOS`; or, without suffix or with a slash
        at the end, is a folder: a new one, or one that holds no other files than an
        earlier result of the same frames, which is replaced.
      footage: The footage that is fused.
      frames: The fused frames, uint8 [height, width] or [height, width, 3]. They are
        made in the calling thread while others are written.
      rate: Frames per second if no source says how many.
      overwrite: Whether an earlier result is replaced, also one that comes meanwhile.

    Raises:
      UserError: The output cannot be written; or what `frames` raises.
    """
    if _is_folder(os.fspath(path)):
        names = _frame_names(footage.sources[-1])
        replaced = names if overwrite else ()
        with files.creating_folder(path, replacing=replaced) as folder:
            paths = [folder / name for name in names]
            _consume(lambda pair: images.write(*pair), zip(paths, frames, strict=True))
        return
    path = pathlib.Path(path)
    with files.replacing(path, overwrite=overwrite) as temporary:
        encoder = Encoder(
            path, temporary, footage.size, footage.rate or rate, footage.pixel_aspect
        )
        try:
            _consume(encoder.add, frames)
            encoder.finish()
        finally:
            encoder.kill()


def _consume(work: Callable, items: Iterable) -> None:
    """Calls `work` with each item, in order, in a thread."""
    with contextlib.closing(
        ordered_map(work, items, workers=1, most=_BEHIND + 1)
    ) as results:
        for _ in results:
            pass
