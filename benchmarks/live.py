"""Measures fuse.py --live with real streams, against Fuser alone in the same run.

    python benchmarks/live.py
    python benchmarks/live.py --sizes=480x640 --precisions=float32 --frames=2000

For each precision:

- Speed: pictures per second of a live run whose cameras are faster than Fuser, against
  Fuser.fuse on the same frames in memory, before and after it.
- Delay: from the moment at which a frame is sent, which is in its pixels, until it can
  be read in the file; and how much of that is more than computing a picture takes.
- Skew of the frames of each picture, by the same stamps.
- Memory of the process when --early of the pictures are made, and at the end.
"""

import contextlib
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import measuring
import numpy as np
from absl import flags

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "tests"))

import streams

from densefuse_tf import startup
from densefuse_tf.commands import runner

ROOT = pathlib.Path(__file__).resolve().parents[1]
_FLAGS = flags.FlagValues()
_SECONDS = flags.DEFINE_integer(
    "seconds", 20, "How long each run is.", 1, flag_values=_FLAGS
)
_FRAMES = flags.DEFINE_integer(
    "frames",
    0,
    "Frames of the visible camera of 25 Hz over which delay and memory are watched; 0 "
    "leaves this out.",
    0,
    flag_values=_FLAGS,
)
_RATE = flags.DEFINE_float(
    "rate",
    30.0,
    "Frames per second of the cameras that are faster than Fuser.",
    flag_values=_FLAGS,
)
_SIZES = flags.DEFINE_list(
    "sizes", ["240x320", "512x640"], "HEIGHTxWIDTH for the speed.", flag_values=_FLAGS
)
_PRECISIONS = flags.DEFINE_list(
    "precisions", ["float32", "bfloat16"], "The precisions.", flag_values=_FLAGS
)


def main() -> None:
    startup.import_tensorflow()
    for size in _SIZES.value:
        for precision in _PRECISIONS.value:
            speed(precision, *map(int, size.split("x")))
    if _FRAMES.value:
        delay(_PRECISIONS.value[0])


def new_fuser(precision: str):
    from densefuse_tf.cameras.settings import USUAL
    from densefuse_tf.fusion.fuser import Fuser
    from densefuse_tf.fusion.settings import FusionSettings

    return Fuser(FusionSettings("1e2", precision=precision, **USUAL))


@contextlib.contextmanager
def running(precision: str, *rates: float):
    """A fuse.py --live of two cameras, and what follows its file."""
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cameras = [
            stack.enter_context(contextlib.closing(streams.Camera(name, rate)))
            for name, rate in zip(("ir", "vis"), rates, strict=True)
        ]
        output = folder / "fused.mkv"
        follower = streams.Follower(output)
        stack.enter_context(contextlib.closing(follower))
        process = subprocess.Popen(
            [
                *(sys.executable, "fuse.py", "--live", f"--output={output}"),
                *(f"--ir={cameras[0].address}", f"--vis={cameras[1].address}"),
                f"--precision={precision}",
            ],
            cwd=ROOT,
        )
        try:
            streams.wait_for(
                lambda: len(follower.pictures) > 20, 120, "the first pictures"
            )
            yield process, cameras[1], follower.pictures
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def camera(folder: str, kind: str, size: tuple[int, int]):
    """An ffmpeg that plays raw frames again and again, and its address."""
    address = f"tcp://127.0.0.1:{streams.free_port()}"
    picture = f"testsrc2=size={size[1]}x{size[0]}:rate={_RATE.value}:duration=2"
    file = f"{folder}/{kind}.nut"
    raw = ["-f", "lavfi", "-i", picture, "-pix_fmt", kind, "-c:v", "rawvideo", file]
    subprocess.run([*streams.FFMPEG, *raw], check=True)
    command = [*streams.FFMPEG, "-stream_loop", "-1", "-re", "-i", file, "-c", "copy"]
    command += ["-f", "nut", f"{address}?listen=1"]
    return address, subprocess.Popen(command, stderr=subprocess.DEVNULL)


def speed(precision: str, height: int, width: int) -> None:
    """Measures Fuser before and after, so that what slows both is seen."""
    fuser = new_fuser(precision)
    # A little of each, since memory is not what is measured.
    pairs = []
    for _ in range(5):
        infrared, visible, _ = measuring.synthetic_pair(height, width)
        pairs.append([infrared, np.stack([visible, infrared, visible], axis=2)])
    fuser.fuse(pairs[0])

    def alone() -> float:
        count, start = 0, time.monotonic()
        while time.monotonic() < start + _SECONDS.value / 2:
            fuser.fuse(pairs[count % len(pairs)])
            count += 1
        return count / (time.monotonic() - start)

    before = alone()
    with tempfile.TemporaryDirectory() as folder:
        stats = pathlib.Path(folder) / "live.csv"
        size = height, width
        cameras = [camera(folder, kind, size) for kind in ("gray", "yuv420p")]
        (ir, _), (vis, _) = cameras
        command = [sys.executable, "fuse.py", "--live", f"--ir={ir}", f"--vis={vis}"]
        command += [f"--output={folder}/fused.mkv", f"--stats={stats}"]
        process = subprocess.Popen([*command, f"--precision={precision}"], cwd=ROOT)

        def rows() -> list[list[str]]:
            lines = stats.read_text().splitlines()[1:] if stats.exists() else []
            return [line.split(",") for line in lines]

        def made(of) -> int:
            return sum(int(row[1]) for row in of)

        try:
            streams.wait_for(lambda: made(rows()) > 3, 120, "the first pictures")
            first = len(rows())
            time.sleep(_SECONDS.value)
            seen = rows()
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)
            for _, sender in cameras:
                sender.kill()
                sender.wait()
    lasted = float(seen[-1][0]) - float(seen[first - 1][0])
    live = made(seen[first:]) / lasted
    after = alone()
    print(
        f"speed, {width}x{height}, {precision}: live {live:.2f} pictures/s; Fuser "
        f"alone {before:.2f} before, {after:.2f} after; ratio "
        f"{2 * live / (before + after):.2f}",
        flush=True,
    )


def delay(precision: str) -> None:
    fuser = new_fuser(precision)
    pair = [streams.stamped(name, 123456789) for name in ("ir", "vis")]
    fuser.fuse(pair)
    times = [measuring.seconds(lambda: fuser.fuse(pair)) for _ in range(30)]
    alone = 1000 * float(np.median(times))
    with running(precision, 8.7, 25) as (process, vis, pictures):

        def held() -> int:
            status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
            return int(status.partition("VmRSS:")[2].split()[0])

        streams.wait_for(lambda: len(pictures) >= 200, 200, "200 pictures")
        first, early, sent = len(pictures), held(), vis.sent
        while vis.sent < sent + _FRAMES.value:
            time.sleep(0.2)
        late = held()
    there, ir, visible = np.array(pictures[first - 100 :]).T
    delays = there - visible
    print(
        f"delay, {precision}, 8.7 and 25 Hz, {len(delays)} pictures of {_FRAMES.value} "
        f"frames: median {np.median(delays):.0f} ms, 95 % "
        f"{np.percentile(delays, 95):.0f} ms; computing alone {alone:.0f} ms; first "
        f"and last 100: {np.median(delays[:100]):.0f} and "
        f"{np.median(delays[-100:]):.0f} ms; skew at most "
        f"{np.abs(ir - visible).max()} ms; memory {early / 1024:.0f} MB after 200 "
        f"pictures, {late / 1024:.0f} at the end, ratio {late / early:.3f}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
