"""`fuse.py --live` with real streams: two ffmpeg processes with the time in each frame.

`--long` fuses 2,000 frames and looks at the memory.
"""

import csv
import functools
import io
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import streams
import videos

from densefuse_tf.cameras import running
from densefuse_tf.cameras.pairing import Counts
from densefuse_tf.cameras.settings import USUAL
from densefuse_tf.commands import fuse
from densefuse_tf.commands import fusing
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.pipelines.settings import FusionRequest

ROOT = pathlib.Path(__file__).resolve().parents[2]
# On a machine with more work than this for each core no time is promised.
BUSY = 1.5


def is_busy() -> bool:
    return os.getloadavg()[0] > BUSY * (os.cpu_count() or 1)


class Run:
    """A fuse.py --live of two cameras, whose file is followed while it grows."""

    def __init__(self, folder, *flags):
        self.path = folder / "fused.mkv"
        self.stats = folder / "live.csv"
        self.ir = streams.Camera("ir", 8.7)
        self.vis = streams.Camera("vis", 25)
        self.follower = streams.Follower(self.path)
        self.log = open(folder / "log", "w+")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "fuse.py", "--live", f"--ir={self.ir.address}"),
                *(f"--vis={self.vis.address}", f"--output={self.path}"),
                # The jitter of the streams is a part of the 100 ms between the stamps.
                *(f"--stats={self.stats}", "--max_skew=95", *flags),
            ],
            cwd=ROOT,
            stderr=self.log,
            # What a script starts in the background ignores it.
            preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )

    @property
    def pictures(self):
        return self.follower.pictures

    def wait_for(self, count, seconds=120):
        streams.wait_for(
            lambda: len(self.pictures) >= count or self.process.poll() is not None,
            seconds,
            f"{count} pictures",
        )
        assert self.process.poll() is None, self.said()

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def memory(self) -> int:
        """What the process holds, in KiB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def end(self, number=signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.ir.close()
        self.vis.close()
        self.follower.close()
        self.log.close()


@pytest.fixture
def live(tmp_path):
    runs = []

    def start(*flags):
        runs.append(Run(tmp_path, *flags))
        return runs[-1]

    yield start
    for run in runs:
        run.close()


def promises(pictures) -> None:
    """The skew of each pair, and the delay from its stamp to the file."""
    there, ir, vis = np.array(pictures).T
    # Frames come in order, and none twice.
    assert (np.diff(vis) > 0).all()
    assert (np.diff(ir) >= 0).all()
    if is_busy():
        pytest.skip(f"{os.getloadavg()[0]:.1f} waiting for the cores: no time is kept")
    assert np.abs(ir - vis).max() <= 100
    # Where computing is slower than the camera it takes all of the time.
    computing = np.median(np.diff(there))
    assert np.median(there - vis) <= 250 + computing


@pytest.mark.guard
def test_two_streams_are_fused_one_goes_and_comes_back_and_ctrl_c_ends_it(live):
    run = live("--timeout=2")
    run.wait_for(10)
    first = len(run.pictures)
    sent = run.vis.sent
    streams.wait_for(lambda: run.vis.sent >= sent + 100, 60, "100 frames")
    before = run.pictures[first:]
    run.vis.kill()
    time.sleep(1)
    again = streams.milliseconds()
    run.vis.start()
    count = len(run.pictures)
    streams.wait_for(
        lambda: any(vis > again for _, _, vis in run.pictures[count:]), 60, "a picture"
    )
    late = next(there for there, _, vis in run.pictures[count:] if vis > again) - again
    sent = run.vis.sent
    streams.wait_for(lambda: run.vis.sent >= sent + 100, 60, "100 frames")
    children = streams.children(run.process.pid)
    assert len(children) == 3
    assert run.end() == 130
    assert not any(map(streams.is_running, children))
    said = run.said()
    assert f"--vis={run.vis.address}: " in said
    assert "opened again until it answers" in said and "is back after" in said
    run.follower.close()
    # All that was told to be written is there.
    videos.ffmpeg("-xerror", "-i", run.path, "-f", "null", "-")
    with open(run.stats, newline="") as table:
        rows = list(csv.DictReader(table))
    written = sum(int(row["pictures"]) for row in rows)
    assert len(run.pictures) >= written > 0
    assert sum(int(row["dropped_ir"]) for row in rows) >= 0
    promises(before)
    assert late <= 3000


def test_sigterm_ends_it_as_well(live):
    run = live("--live_rate=ir")
    run.wait_for(5)
    children = streams.children(run.process.pid)
    assert run.end(signal.SIGTERM) == 143
    assert not any(map(streams.is_running, children))
    videos.ffmpeg("-xerror", "-i", run.path, "-f", "null", "-")
    run.follower.close()
    # With each infrared frame at most.
    irs = [ir for _, ir, _ in run.pictures]
    assert len(set(irs)) == len(irs)


def test_nothing_grows_over_2000_frames(live, long):
    if not long:
        pytest.skip("takes two minutes: --long")
    run = live()
    run.wait_for(200, 300)
    first, held = run.pictures[50:200], run.memory()
    sent = run.vis.sent
    streams.wait_for(lambda: run.vis.sent >= sent + 2000, 300, "2,000 frames")
    assert run.memory() <= 1.03 * held
    last = run.pictures[-150:]
    promises(first)
    promises(last)
    delays = [
        np.median([there - vis for there, _, vis in each]) for each in (first, last)
    ]
    assert delays[1] <= delays[0] + 50
    assert run.end() == 130


LIVE = ["--live", "--ir=a.mp4", "--vis=b.mp4"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([*LIVE, "--output=c.avi"], "--output=c.avi: expected .mp4, "),
        (LIVE, "--output is missing"),
        ([*LIVE, "--output=c.mkv", "--register"], "--register does not go with --live"),
        ([*LIVE, "--output=c.mkv", "--sources=d"], "--sources does not go with --live"),
        ([*LIVE[1:], "--output=c", "--max_skew=3"], "--max_skew goes with --live"),
        ([*LIVE, "--output=a.mp4"], "--output=a.mp4: would overwrite a source"),
        ([*LIVE, "--output=c.mkv", "--live_rate=often"], "--live_rate is 'often': "),
        ([*LIVE, "--output=c.mkv", "--live_rate=0"], "--live_rate is '0': expected"),
        (["--ir=rtsp://u:p@a/b", "--vis=b", "--output=c"], "rtsp://a/b: is a URL"),
        ([*LIVE, "--output=c.mkv", "--scale"], "--scale does not go with --live"),
        (
            [*LIVE[:2], "--vis=embedded", "--output=c.mkv"],
            "--vis=embedded goes with im",
        ),
        ([*LIVE, "--output=nowhere/c.mkv"], "nowhere/c.mkv: cannot be written: "),
    ],
)
def test_mistakes_are_told_before_anything_runs(
    tmp_path, monkeypatch, capsys, flags, message
):
    monkeypatch.chdir(tmp_path)
    assert fuse.run(["fuse.py", *flags]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def short(tmp_path, monkeypatch):
    """A run of two pictures, and a second before them in which nothing happens."""

    def pictures(*cameras, **options):
        time.sleep(1.3)
        for _ in range(2):
            yield time.monotonic(), np.full((64, 80), 99, np.uint8)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(running, "live", pictures)
    monkeypatch.setattr(FusionRequest, "fuser", lambda request: None)
    return lambda *flags: fuse.run(["fuse.py", *LIVE, "--output=c.mkv", *flags])


def test_a_recording_is_replaced_only_when_this_is_told(tmp_path, capsys, short):
    path, stats = tmp_path / "c.mkv", tmp_path / "s.csv"
    assert short("--stats=s.csv") == 0
    first = path.read_bytes()
    assert len(videos.read(path)[0]) == 2
    lost = "dropped 0 infrared, 0 visible; 0 not paired, 0 failed"
    assert f"2 pictures: c.mkv; {lost}\n" in capsys.readouterr().err
    # Nothing has a delay in a second without a picture.
    assert stats.read_text().splitlines()[1].endswith(",0,0,0,0,0,,")
    for flags in ([], ["--nooverwrite"]):
        assert short(*flags) == 2
        assert "c.mkv: exists: --overwrite replaces it" in capsys.readouterr().err
    assert path.read_bytes() == first
    path.unlink()
    assert short("--stats=s.csv") == 2
    assert "s.csv: exists: --overwrite replaces it" in capsys.readouterr().err
    # A name that was not used is free again.
    assert not path.exists()
    path.write_bytes(b"earlier")
    path.chmod(0o444)
    assert short("--overwrite") == 2
    assert "c.mkv: cannot be written: it is read-only" in capsys.readouterr().err
    path.chmod(0o644)
    assert short("--stats=s.csv", "--overwrite") == 0
    assert len(videos.read(path)[0]) == 2


def test_a_run_without_a_picture_is_a_mistake(tmp_path, monkeypatch, capsys, short):
    def nothing(*cameras, counts, **options):
        counts.apart = 7
        yield from ()

    monkeypatch.setattr(running, "live", nothing)
    assert short() == 2
    said = "no picture was made: dropped 0 infrared, 0 visible; 7 not paired, 0 failed"
    assert capsys.readouterr().err == f"fuse.py: {said}\n"
    assert not (tmp_path / "c.mkv").exists()


def test_a_table_on_a_full_disk_costs_no_picture(tmp_path, capsys, short):
    assert short("--stats=/dev/full", "--overwrite") == 2
    said = capsys.readouterr().err
    assert said.count("/dev/full: cannot be written: No space left on device") == 1
    assert len(videos.read(tmp_path / "c.mkv")[0]) == 2


def test_rows_are_written_whole_where_a_disk_takes_a_part_at_a_time():
    class Disk(io.BytesIO):
        def write(self, data):
            return super().write(data[:3])

        def close(self):
            self.content = self.getvalue()

    counts, disk = Counts(), Disk()
    counts.ended.set()
    running._each_second(counts, [], disk)
    assert disk.content == f"{','.join(running._COLUMNS)}\n".encode()


def test_the_settings_are_those_for_cameras(monkeypatch):
    seen = []
    monkeypatch.setattr(fusing, "fuse_live", lambda *both: seen.append(both))
    flags = ["fuse.py", "--live", "--ir=v4l2:/dev/video0", "--vis=rtsp://b/c"]
    flags += ["--output=pipe:", "--live_rate=12.5", "--ir_range=7000,9000"]
    for more in ([], ["--strategy=maximum"], ["--preset=paper"]):
        assert fuse.run([*flags, *more]) == 0
    (request, settings), (maximum, _), (paper, _) = seen
    assert request.settings == FusionSettings(**USUAL)
    assert request.sources == ("v4l2:/dev/video0", "rtsp://b/c")
    assert request.options.ranges(2) == ((7000, 9000), None)
    assert settings.live_rate == "12.5"
    assert maximum.settings.strategy == "maximum"
    assert maximum.settings.color == "luma"
    assert paper.settings == FusionSettings(output_range="average")
