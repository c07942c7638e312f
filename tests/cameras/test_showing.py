"""The page of the running picture, and files that survive a kill."""

import contextlib
import http.client
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import imageio_ffmpeg
import numpy as np
import pytest
import streams
import videos
from PIL import Image

from densefuse_tf.cameras import showing
from densefuse_tf.cameras.showing import Page
from densefuse_tf.cameras.showing import Sink
from densefuse_tf.cameras.showing import is_file
from densefuse_tf.errors import UserError


@pytest.fixture
def page():
    page = Page()
    yield page
    page.close()


def ask(page, path="/", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", page.server_port, timeout=20)
    connection.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    return connection.getresponse()


def test_the_page_has_the_picture_and_the_numbers(page):
    page.line = "12 pictures in a second <&"
    text = ask(page).read().decode()
    assert 'src="picture"' in text and 'src="numbers"' in text
    # A telephone would show it as wide as a desk's screen, and small.
    assert "width=device-width" in text
    assert "12 pictures in a second &lt;&amp;" in ask(page, "/numbers").read().decode()
    assert ask(page, "/nothing").status == 404


def test_the_page_answers_its_own_names_alone(page):
    port = page.server_port
    assert ask(page, Host=f"localhost:{port}").status == 200
    for path in ("/", "/numbers", "/picture"):
        assert ask(page, path, Host=f"evil.example:{port}").status == 403
        assert ask(page, path, Origin="http://evil.example").status == 403


@pytest.mark.parametrize("channels", [(), (3,)])
def test_the_running_picture_is_motion_jpeg(page, channels):
    page.image = np.full((20, 30, *channels), 50, np.uint8)
    answer = ask(page, "/picture")
    assert answer.headers["Content-Type"] == "multipart/x-mixed-replace; boundary=frame"
    for level in (50, 200):
        assert answer.readline() == b"--frame\r\n"
        assert answer.readline() == b"Content-Type: image/jpeg\r\n"
        length = int(answer.readline().split(b":")[1])
        assert answer.readline() == b"\r\n"
        image = np.asarray(Image.open(io.BytesIO(answer.read(length))))
        assert abs(int(image.mean()) - level) <= 1
        answer.readline()
        page.image = np.full((20, 30, *channels), 200, np.uint8)


def test_outputs_are_files_or_addresses():
    assert is_file("out/fused.MKV") and is_file("fused.mp4")
    assert not is_file("udp://127.0.0.1:9000") and not is_file("pipe:")
    with pytest.raises(UserError, match=r"--output=fused.avi: expected .mp4, .*pipe:"):
        is_file("fused.avi")


@pytest.mark.parametrize("size", [(64, 80), (31, 45)])
def test_a_sink_writes_each_picture_once(tmp_path, size):
    path = tmp_path / "fused.mkv"
    frames = videos.scene(10, size, channels=(3,))
    sink, done = Sink(str(path), size), []
    for frame in frames:
        sink.add(frame, lambda: done.append(True))
        time.sleep(0.02)
    sink.close()
    found, _ = videos.read(path)
    assert len(done) == len(frames) == len(found)
    assert np.abs(found.astype(int) - frames).mean() < 4


def test_pictures_of_another_size_are_refused(tmp_path):
    with contextlib.closing(Sink(str(tmp_path / "fused.MKV"), (64, 80))) as sink:
        sink.add(np.zeros((64, 80), np.uint8), lambda: None)
        with pytest.raises(UserError, match="64x90 pixels.*expected 64x80"):
            sink.add(np.zeros((64, 90), np.uint8), lambda: None)
    assert len(videos.read(tmp_path / "fused.MKV")[0]) == 1


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_pictures_are_shown_when_they_were_made(tmp_path, suffix):
    """Also where they are closer than those of 25 a second."""
    path = tmp_path / f"fused{suffix}"
    sink, made = Sink(str(path), (64, 80)), []
    for index in range(30):
        sink.add(np.full((64, 80), 4 * index, np.uint8), lambda: None)
        made.append(time.monotonic())
        time.sleep(0.3 if index == 14 else 0.015)
        if index == 14:
            # It is written while it goes on.
            streams.wait_for(path.exists, 20, "the file")
    sink.close()
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", path]
    command += ["-fps_mode", "passthrough", "-enc_time_base", "1:1000"]
    said = subprocess.run(
        [*command, "-f", "framecrc", "-"], capture_output=True, text=True, check=True
    )
    lines = [line for line in said.stdout.splitlines() if not line.startswith("#")]
    shown = np.array([int(line.split(",")[2]) for line in lines])
    steps = np.diff(shown)
    # The first ones wait together until ffmpeg runs.
    assert len(shown) == 30 and (steps[14:] > 0).all()
    assert steps[14] > 200
    assert abs((shown[-1] - shown[15]) - 1000 * (made[-1] - made[15])) < 150


def test_a_sink_that_cannot_be_written_is_told(tmp_path):
    path = tmp_path / "nowhere/fused.mkv"
    sink = Sink(str(path), (64, 80))
    with pytest.raises(UserError, match=r"nowhere/fused.mkv: cannot be written: "):
        for _ in range(100):
            sink.add(np.zeros((64, 80, 3), np.uint8), lambda: None)
            time.sleep(0.02)
    with pytest.raises(UserError):
        sink.close()


def test_a_sink_hides_a_password():
    sink = Sink("tcp://me:se/cret@127.0.0.1:1", (64, 80))
    with pytest.raises(UserError) as raised:
        for _ in range(100):
            sink.add(np.zeros((64, 80, 3), np.uint8), lambda: None)
            time.sleep(0.02)
    with contextlib.suppress(UserError):
        sink.close()
    assert str(raised.value).startswith("tcp://127.0.0.1:1: cannot be written: ")
    assert "cret" not in str(raised.value)


def test_a_sink_that_nobody_reads_ends_all_the_same(monkeypatch):
    monkeypatch.setattr(showing, "_PATIENCE", 1.0)
    frame = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    done = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}?send_buffer_size=4096"
        sink = Sink(address, frame.shape[:2])

        def add():
            with contextlib.suppress(UserError, RuntimeError):
                while True:
                    sink.add(frame, lambda: done.append(True))

        threading.Thread(target=add, daemon=True).start()
        # It connects, and what it sends is not read.
        with server.accept()[0]:
            count = -1
            while count < len(done):
                count = len(done)
                time.sleep(1)
            start = time.monotonic()
            with pytest.raises(UserError, match="cannot be written"):
                sink.close()
    assert time.monotonic() < start + 10


WRITING = """
import sys, time, numpy as np
from densefuse_tf.cameras.showing import Sink
sink = Sink(sys.argv[1], (64, 80))
print(sink._encoder._ffmpeg.process.pid, flush=True)
for index in range(1000):
    sink.add(np.full((64, 80, 3), index % 200 + 20, np.uint8), lambda: None)
    print(index, flush=True)
    time.sleep(0.04)
"""


@pytest.mark.parametrize(
    "suffix",
    [".mkv", *(pytest.param(s, marks=pytest.mark.guard) for s in (".mp4", ".mov"))],
)
def test_a_file_plays_up_to_the_end_after_a_kill(tmp_path, suffix):
    """The process and its ffmpeg are killed, as when the power fails."""
    path = tmp_path / f"fused{suffix}"
    command = [sys.executable, "-c", WRITING, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    ffmpeg = int(process.stdout.readline())
    for _ in range(40):
        written = int(process.stdout.readline())
    # On a busy machine ffmpeg is late.
    time.sleep(0.2 + os.getloadavg()[0] / 20)
    os.kill(ffmpeg, signal.SIGKILL)
    process.kill()
    process.wait()
    process.stdout.close()
    found, _ = videos.read(path)
    # Half a second at 25 pictures a second.
    assert len(found) >= written - 12
    levels = found.mean(axis=(1, 2, 3))
    assert np.abs(levels - np.arange(20, 20 + len(found))).max() < 3
