"""The frames of a sequence: video files or numbered images.

A thread for each source reads ahead.
"""

import contextlib
import dataclasses
import fractions
import itertools
import os
import pathlib
from collections.abc import Generator, Iterable, Sequence

import numpy as np
from absl import logging

from densefuse_tf.errors import REGISTER_FIRST
from densefuse_tf.errors import UserError
from densefuse_tf.io import finding
from densefuse_tf.io import formats
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.io import radiometric
from densefuse_tf.io import video
from densefuse_tf.io.ordered_map import ordered_map
from densefuse_tf.pipelines import aligning

# The frames of each source that are read ahead.
_AHEAD = 2


@dataclasses.dataclass(frozen=True)
class ImageFiles:
    """Holds the frames of a sequence as image files, in order.

    Attributes:
      paths: The files.
      max_pixels: The largest frame that is read.
      infrared: Whether radiometric JPEGs are read as temperatures.
    """

    paths: tuple[pathlib.Path, ...]
    max_pixels: int = formats.MAX_PIXELS
    infrared: bool = False

    @property
    def path(self) -> pathlib.Path:
        return self.paths[0].parent

    @property
    def count(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """Returns the name of a frame for an error."""
        return str(self.paths[index])

    def frames(self) -> Generator[np.ndarray, None, None]:
        """Yields all frames as `images.read` returns them, or temperatures."""
        limit = self.max_pixels
        for path in self.paths:
            if self.infrared:
                yield radiometric.read_infrared(path, max_pixels=limit).image
            else:
                yield images.read(path, max_pixels=limit, masked=True)


Source = video.VideoFile | ImageFiles


def open_sources(
    sources: Sequence[str | os.PathLike],
    *,
    max_pixels: int = formats.MAX_PIXELS,
    any_sizes: bool = False,
    infrared: bool = False,
    progress: video.Progress = video.unseen,
) -> tuple[Source, ...]:
    """Opens the sources of one scene, and decodes each video once.

    Only that says how many frames there are, and whether all of them are whole.

    Args:
      sources: k >= 2 video files, or folders or glob patterns of images as
        `finding.find` takes them; either may stand beside the other.
      max_pixels: The largest frame that is read.
      any_sizes: Whether the sizes of the sources may differ.
      infrared: Whether the first source is an infrared one, of whose radiometric JPEGs
        the temperatures are read.
      progress: Shows how far it is.

    Returns:
      The k sources, of one count, frame size and rate as far as these are known yet.

    Raises:
      UserError: The counts, sizes or rates differ; all sources are one file; a file is
        no video, has no frames, is cut off or damaged, or has frames that are not
        equally far apart in time.
    """
    paths = [pathlib.Path(source) for source in sources]
    are_videos = [
        os.path.isfile(path) and path.suffix.lower() not in formats.READ
        for path in paths
    ]
    if not any(are_videos) or len(sources) < 2:
        pairs = finding.pair(sources)
        # The temperatures inside of a file have another size than its header says.
        if not any_sizes and not (infrared and radiometric.maker(pairs[0][0])):
            images.require_same_size(pairs[0])
        return tuple(
            _image_files(each, max_pixels, infrared and index == 0)
            for index, each in enumerate(zip(*pairs, strict=True))
        )
    finding.refuse_one_file([tuple(paths)])
    opened = [
        video.open_video(path, max_pixels, progress)
        if path_is_video
        else _image_files(finding.find(source), max_pixels, infrared and index == 0)
        for index, (source, path, path_is_video) in enumerate(
            zip(sources, paths, are_videos, strict=True)
        )
    ]
    videos = [source for source in opened if isinstance(source, video.VideoFile)]
    names = [source.path for source in videos]
    if not all(video.have_same_rate(each, videos[0]) for each in videos):
        slow, quick = (pick(videos, key=lambda each: each.rate) for pick in (min, max))
        options = "-r", video.text(slow.rate), "-frames:v", str(slow.count)
        expected = f"the same; {video.rewriting(quick.path, *options)} makes them so"
        _check_alike("frames per second", expected, names, videos, "rate")
    expected, longest = "one frame of each for every moment", max(videos, key=_count)
    fewest = min(map(_count, opened))
    if _count(longest) > fewest:
        command = video.rewriting(longest.path, "-frames:v", str(fewest))
        expected += f"; {command} keeps the first ones alone"
    _check_alike("frames", expected, sources, opened, "count")
    if not any_sizes:
        _check_alike(
            "height and width", f"the same; {REGISTER_FIRST}", names, videos, "size"
        )
    return tuple(opened)


def _count(source: Source) -> int:
    return source.count


def _image_files(
    paths: Sequence[pathlib.Path], max_pixels: int, infrared: bool
) -> ImageFiles:
    """Warns where temperatures in the first file are not read."""
    if infrared and radiometric.maker(paths[0]):
        found = radiometric.read_infrared(paths[0], max_pixels=max_pixels)
        if found.warning:
            logging.warning("%s", found.warning)
    return ImageFiles(tuple(paths), max_pixels, infrared)


def _check_alike(
    what: str, expected: str, names: Sequence, sources: Sequence[Source], attribute: str
) -> None:
    found = [getattr(source, attribute) for source in sources]
    if len(set(found)) > 1:
        each = ", ".join(
            f"{os.fspath(name)} has {video.text(value)}"
            for name, value in zip(names, found, strict=True)
        )
        raise UserError(f"the sources differ in {what}: {each}; expected {expected}")


@dataclasses.dataclass(frozen=True)
class Footage:
    """Holds the sources and what is true of all of their frames.

    Attributes:
      sources: k sources with `count` frames each.
      size: (height, width) of every frame that is fused.
      value_ranges: For each source the values that become 0 and 255; None where 8 bits
        stay as they are.
      has_color: Whether the results do.
      in_gray: For each source whether its luma is all that is fused of it.
      aligner: Aligns the frames of each moment; None where they are as they are read.
      has_foreign: For each source whether pixels of its frames are no temperatures;
        by default of none.
    """

    sources: tuple[Source, ...]
    size: tuple[int, int]
    value_ranges: tuple[tuple[float, float] | None, ...]
    has_color: bool
    in_gray: tuple[bool, ...]
    aligner: aligning.Aligner | None = None
    has_foreign: tuple[bool, ...] = ()

    @property
    def count(self) -> int:
        return self.sources[0].count

    @property
    def rate(self) -> fractions.Fraction | None:
        """Frames per second; None where all sources are images."""
        return first(self.sources, "rate")

    @property
    def pixel_aspect(self) -> fractions.Fraction | None:
        """Returns a pixel's width to height, from the last source that knows it.

        Aligned frames have the pixels of the source that stays as it is.
        """
        sources = self.sources[::-1]
        if self.aligner is not None:
            sources = self.aligner.settings.fixed_first(self.sources)[:1]
        return first(sources, "pixel_aspect")

    def names(self, index: int) -> tuple[str, ...]:
        """Returns the names of the k frames of a moment for an error."""
        return tuple(source.name(index) for source in self.sources)

    def frames(self) -> Generator[tuple[np.ndarray, ...], None, None]:
        """Yields the k frames of each moment in 0..255, as a `ChannelFuser` takes them.

        uint8 or float32, [height, width] or [height, width, 3].

        Raises:
          UserError: A frame cannot be read.
        """
        frames = together(
            _prepared(source.frames(), value_range, in_gray, has_foreign)
            for source, value_range, in_gray, has_foreign in zip(
                self.sources,
                self.value_ranges,
                self.in_gray,
                self.has_foreign or [False] * len(self.sources),
                strict=True,
            )
        )
        if self.aligner is None:
            return frames
        # The thread that fuses has enough to do.
        return _ahead(self._aligned(frames, self.aligner))

    def _aligned(
        self,
        frames: Generator[tuple[np.ndarray, ...], None, None],
        aligner: aligning.Aligner,
    ) -> Generator[tuple[np.ndarray, ...], None, None]:
        with contextlib.closing(frames):
            for index, sources in enumerate(frames):
                yield aligner.align(sources, self.names(index))[0]


def first(sources: Iterable[Source], attribute: str):
    """Returns what the first source that knows an attribute has; None if none does."""
    found = (getattr(source, attribute, None) for source in sources)
    return next((value for value in found if value is not None), None)


def _prepared(
    frames: Generator[np.ndarray, None, None],
    value_range: tuple[float, float] | None,
    in_gray: bool,
    has_foreign: bool,
) -> Generator[np.ndarray, None, None]:
    with contextlib.closing(frames):
        for frame in frames:
            if value_range is not None:
                judged = pixels.judge(frame, "auto" if has_foreign else value_range)
                low, high = value_range
                frame = pixels.scale(
                    frame, dataclasses.replace(judged, low=low, high=high)
                )
            yield pixels.gray(frame) if in_gray else frame


def together(
    iterators: Iterable[Generator[np.ndarray, None, None]],
) -> Generator[tuple[np.ndarray, ...], None, None]:
    """Yields a tuple of one item of each; a thread for each goes ahead."""
    with contextlib.ExitStack() as stack:
        ahead = [
            stack.enter_context(contextlib.closing(_ahead(iterator)))
            for iterator in iterators
        ]
        yield from zip(*ahead, strict=True)


def _ahead(items: Generator) -> Generator:
    """Yields the items of a generator, which runs in a thread."""
    end = object()
    ahead = ordered_map(
        lambda _: next(items, end), itertools.repeat(None), workers=1, most=_AHEAD + 1
    )
    with contextlib.closing(items), contextlib.closing(ahead):
        yield from itertools.takewhile(lambda item: item is not end, ahead)
