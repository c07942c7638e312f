"""Measures the fusing of a video: memory over its length, speed against its frames.

    python benchmarks/video.py
    python benchmarks/video.py --frames=60 --height=256 --width=320

- Memory: the most that a process holds which fuses a video of --frames frames to
  another video, when --early frames are done and at the end.
- Speed: a video of --early frames from files to file, all its passes counted, against
  Fuser.fuse on the same frames in memory, timed in turn.
"""

import pathlib
import subprocess
import sys
import tempfile

import measuring
import numpy as np
from absl import flags

from densefuse_tf import extras
from densefuse_tf import startup
from densefuse_tf.commands import runner

_FLAGS = flags.FlagValues()
_FRAMES = flags.DEFINE_integer(
    "frames",
    300,
    "The number of frames of the video; 0 leaves memory out.",
    0,
    flag_values=_FLAGS,
)
_EARLY = flags.DEFINE_integer(
    "early",
    30,
    "The number of frames after which the memory is looked at first.",
    1,
    flag_values=_FLAGS,
)
_HEIGHT = flags.DEFINE_integer(
    "height", 512, "The height of the frames.", 2, flag_values=_FLAGS
)
_WIDTH = flags.DEFINE_integer(
    "width", 640, "The width of the frames.", 2, flag_values=_FLAGS
)
_ROUNDS = flags.DEFINE_integer(
    "rounds",
    3,
    "The median of this many counts; 0 leaves speed out.",
    0,
    flag_values=_FLAGS,
)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "1e2", "A checkpoint, as fuse.py takes it.", flag_values=_FLAGS
)
_MEMORY_IN = flags.DEFINE_string(
    "memory_in",
    None,
    "Only fuse the two videos of this folder, and print the peak memory.",
    flag_values=_FLAGS,
)


def main() -> None:
    extras.require("video", "this benchmark")
    if _MEMORY_IN.value is not None:
        memory(pathlib.Path(_MEMORY_IN.value))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if _FRAMES.value:
            write_videos(folder, _FRAMES.value)
            # Before this process grows: a child's peak counts from its parent's size.
            values = {
                "memory_in": folder,
                "early": _EARLY.value,
                "checkpoint": _CHECKPOINT.value,
            }
            flags_of_child = [f"--{name}={value}" for name, value in values.items()]
            subprocess.run([sys.executable, __file__, *flags_of_child], check=True)
        if _ROUNDS.value:
            write_videos(folder, _EARLY.value)
            speed(folder)


def new_fuser():
    from densefuse_tf.fusion.fuser import Fuser
    from densefuse_tf.fusion.settings import FusionSettings

    return Fuser(FusionSettings(_CHECKPOINT.value, output_range="average"))


def memory(folder: pathlib.Path) -> None:
    from densefuse_tf.pipelines import sequences
    from densefuse_tf.pipelines import surveying
    from densefuse_tf.pipelines.footage import open_sources

    startup.import_tensorflow()
    fuser = new_fuser()
    started = measuring.peak_memory()
    sources = [folder / "ir.mp4", folder / "vis.mp4"]
    footage = surveying.survey(open_sources(sources))
    early = 0.0

    def watched():
        nonlocal early
        for count, image in enumerate(sequences.fused_frames(fuser, footage), 1):
            yield image
            if count == min(_EARLY.value, footage.count):
                early = measuring.peak_memory()

    sequences.write(folder / "fused.mp4", footage, watched())
    end = measuring.peak_memory()
    height, width = footage.size
    print(
        f"memory: {footage.count} frames of {width}x{height}: {started:.3f} GB before, "
        f"{early:.3f} after {_EARLY.value}, {end:.3f} at the end; "
        f"ratio {end / early:.3f}",
        flush=True,
    )


def speed(folder: pathlib.Path) -> None:
    from densefuse_tf.pipelines import sequences
    from densefuse_tf.pipelines import surveying
    from densefuse_tf.pipelines.footage import open_sources

    startup.import_tensorflow()
    fuser = new_fuser()
    sources = [folder / "ir.mp4", folder / "vis.mp4"]
    frames = list(surveying.survey(open_sources(sources)).frames())
    fuser.fuse(frames[0])

    def alone() -> None:
        for pair in frames:
            fuser.fuse(pair)

    def from_files_to_file() -> None:
        footage = surveying.survey(open_sources(sources))
        fused = sequences.fused_frames(fuser, footage)
        sequences.write(folder / "fused.mp4", footage, fused)

    times = [
        (measuring.seconds(alone), measuring.seconds(from_files_to_file))
        for _ in range(_ROUNDS.value)
    ]
    computing, overall = np.median(times, axis=0)
    print(
        f"speed: video {len(frames) / overall:.2f} frames/s; frames in memory "
        f"{len(frames) / computing:.2f}; ratio {computing / overall:.2f}"
    )


def write_videos(folder: pathlib.Path, count: int) -> None:
    """ir.mp4 and vis.mp4: structure that moves, and noise."""
    import imageio_ffmpeg

    rng = np.random.default_rng(0)
    y, x = np.mgrid[: _HEIGHT.value, : _WIDTH.value]
    noise = rng.normal(0, 3, (2 * _HEIGHT.value, 2 * _WIDTH.value))
    for name, period in (("ir", 31), ("vis", 9)):
        writer = imageio_ffmpeg.write_frames(
            str(folder / f"{name}.mp4"),
            (_WIDTH.value, _HEIGHT.value),
            pix_fmt_in="gray",
            pix_fmt_out="yuv420p",
            fps=25,
            codec="libx264",
            macro_block_size=1,
            ffmpeg_log_level="error",
        )
        writer.send(None)
        for index in range(count):
            top, left = rng.integers(0, noise.shape[0] // 2, 2)
            frame = 128 + 50 * (np.sin((x + index) / period) + np.cos(y / 7))
            frame += noise[top:, left:][: _HEIGHT.value, : _WIDTH.value]
            writer.send(np.clip(frame, 0, 255).astype(np.uint8))
        writer.close()


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
