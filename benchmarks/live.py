"""Measures fuse.py --live with real streams, against Fuser alone in the same run.

    python benchmarks/live.py
    python benchmarks/live.py --height=480 --width=640 --precisions=float32

For each precision:

- Speed: pictures per second of a live run whose cameras are faster than Fuser, against
  Fuser.fuse on the same frames in memory, in turn in one process.
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
_PRECISIONS = flags.DEFINE_list(
    "precisions", ["float32", "bfloat16"], "The precisions.", flag_values=_FLAGS
)


def main() -> None:
    startup.import_tensorflow()
    for precision in _PRECISIONS.value:
        speed(precision)
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


def speed(precision: str) -> None:
    """Alone before and after the live run, so that what slows both is seen."""
    fuser = new_fuser(precision)
    pair = [streams.stamped(name, 123456789) for name in ("ir", "vis")]
    fuser.fuse(pair)

    def alone() -> float:
        count, start = 0, time.monotonic()
        while time.monotonic() < start + _SECONDS.value / 2:
            fuser.fuse(pair)
            count += 1
        return count / (time.monotonic() - start)

    before = alone()
    with running(precision, _RATE.value, _RATE.value) as (_, _, pictures):
        start, first = time.monotonic(), len(pictures)
        time.sleep(_SECONDS.value)
        live = (len(pictures) - first) / (time.monotonic() - start)
    after = alone()
    print(
        f"speed, {precision}: live {live:.2f} pictures/s; Fuser alone {before:.2f} "
        f"before, {after:.2f} after; ratio {2 * live / (before + after):.2f}",
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
