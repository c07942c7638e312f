"""What ffmpeg opens as a camera, and what happens when it goes away."""

import contextlib
import http.server
import io
import itertools
import socket
import threading
import time

import numpy as np
import pytest
import videos
from PIL import Image

from densefuse_tf.cameras import sources
from densefuse_tf.errors import UserError

RNG = np.random.default_rng(0)
# Detail that JPEG does not leave out, in the lower half.
DETAIL = RNG.integers(0, 255, (60, 160), np.uint8)


def jpeg(number: int) -> bytes:
    image = np.full((120, 160), 10 * number, np.uint8)
    image[60:] = DETAIL
    data = io.BytesIO()
    Image.fromarray(image).save(data, "JPEG", quality=95)
    return data.getvalue()


def number(frame) -> int:
    return round(float(frame[:40].mean()) / 10)


class Server:
    """Gives each one who connects what `answer` makes for it."""

    def __init__(self, answer, port=0):
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port = self._socket.getsockname()[1]
        self.count, self._answer = 0, answer
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.count += 1
            threading.Thread(target=self._send, args=[connection], daemon=True).start()

    def _send(self, connection):
        with connection, contextlib.suppress(OSError):
            for data in self._answer():
                connection.sendall(data)

    def close(self):
        self._socket.close()


@pytest.fixture
def serve():
    servers = []

    def start(answer):
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def read(source, options="", *, timeout=5.0, max_pixels=10**6, ended=None):
    ended = ended or threading.Event()
    frames = sources.frames(
        source,
        options,
        name=f"--ir={source}",
        timeout=timeout,
        max_pixels=max_pixels,
        ended=ended,
    )
    for when, frame in frames:
        assert abs(when - time.monotonic()) < 5
        yield frame


def multipart(items):
    yield b"HTTP/1.0 200 OK\r\n"
    yield b"Content-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
    for data in items:
        yield b"--frame\r\nContent-Type: image/jpeg\r\n"
        yield b"Content-Length: %d\r\n\r\n" % len(data) + data + b"\r\n"
        time.sleep(0.03)


def test_a_torn_frame_is_left_out(serve):
    def answer():
        frames = [jpeg(index) for index in range(20)]
        frames[7] = frames[7][: len(frames[7]) // 2]
        broken = RNG.integers(0, 255, len(frames[11]) - 700, np.uint8)
        frames[11] = frames[11][:700] + broken.tobytes()
        return multipart(frames)

    camera = read(f"http://127.0.0.1:{serve(answer).port}/")
    seen = [
        number(frame)
        for frame in itertools.takewhile(lambda frame: number(frame) < 18, camera)
    ]
    camera.close()
    assert set(seen) >= {5, 6, 8, 9, 10, 12, 13}
    assert not {7, 11} & set(seen)


@pytest.mark.parametrize(
    ("kind", "dtype"), [("gray16le", "<u2"), ("gray12le", "<u2"), ("gray", "u1")]
)
def test_values_are_read_as_they_are(serve, kind, dtype):
    values = RNG.integers(0, 4000 if dtype == "<u2" else 255, (3, 20, 30)).astype(dtype)

    def answer():
        for frame in values:
            yield frame.tobytes()
        time.sleep(5)

    options = f"-f rawvideo -pixel_format {kind} -video_size 30x20 -framerate 9"
    camera = read(f"tcp://127.0.0.1:{serve(answer).port}", options)
    found = next(camera)
    camera.close()
    assert found.dtype == np.dtype(dtype)
    # Those by which ffmpeg finds out what comes are left out.
    assert any((found == frame).all() for frame in values)


def test_a_part_of_a_frame_is_dropped_and_the_source_opened_again(serve, caplog):
    frame = RNG.integers(0, 255, (20, 30), np.uint8)

    def answer():
        yield frame.tobytes() * 2 + frame.tobytes()[:100]

    server = serve(answer)
    options = "-f rawvideo -pixel_format gray -video_size 30x20"
    camera = read(f"tcp://127.0.0.1:{server.port}", options)
    with caplog.at_level("INFO"):
        found = list(itertools.islice(camera, 3))
    camera.close()
    assert all((one == frame).all() for one in found)
    # The first of two frames tells ffmpeg what comes.
    assert server.count == 3
    lost = [line for line in caplog.messages if "opened again until" in line]
    back = [line for line in caplog.messages if "is back after" in line]
    assert (len(lost), len(back)) == (2, 2)


def test_a_silent_source_is_opened_again(serve, caplog):
    frame = np.zeros((20, 30), np.uint8)

    def answer():
        yield frame.tobytes() * 2
        time.sleep(20)

    server = serve(answer)
    options = "-f rawvideo -pixel_format gray -video_size 30x20"
    camera = read(f"tcp://127.0.0.1:{server.port}", options, timeout=1.0)
    with caplog.at_level("INFO"):
        found = list(itertools.islice(camera, 2))
    camera.close()
    assert len(found) == server.count == 2
    assert "silent for 1 s: opened again until it answers" in caplog.text


def test_the_end_is_soon_wherever_it_comes(serve):
    server = serve(lambda: iter(lambda: time.sleep(30), None))
    ended = threading.Event()
    camera = read(
        f"tcp://127.0.0.1:{server.port}",
        "-f rawvideo -pixel_format gray -video_size 30x20",
        ended=ended,
    )
    threading.Timer(0.5, ended.set).start()
    start = time.monotonic()
    assert list(camera) == []
    assert time.monotonic() < start + 10


def test_a_file_is_played_in_its_own_time(tmp_path):
    path = videos.write(tmp_path / "a b.mkv", videos.scene(10), codec="ffv1")
    start = time.monotonic()
    frames = list(read(str(path)))
    assert len(frames) == 10
    assert time.monotonic() - start > 9 / 25 * 0.9


def test_a_file_that_is_cut_off_is_played_as_far_as_it_goes(tmp_path, caplog):
    path = videos.write(tmp_path / "ir.mkv", videos.scene(20), codec="ffv1")
    path.write_bytes(path.read_bytes()[:-3000])
    assert 5 < len(list(read(str(path)))) < 20
    assert f"{path}: was not read whole: " in caplog.text


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("none.mp4", "", "there is no such file"),
        ("none.mp4", "-f 'mp4", "No closing quotation"),
        ("/dev/null", "", "is a device: expected v4l2:/dev/null"),
        ("", "", "is no regular file: expected --ir_input='-f FORMAT'"),
    ],
)
def test_mistakes_are_told(tmp_path, source, options, message):
    with pytest.raises(UserError, match=f"--ir=.*{source}.*{message}"):
        list(read(str(tmp_path / source), options))


def test_what_is_no_video_is_told(tmp_path):
    (tmp_path / "ir.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(UserError, match=r"--ir=.*ir.mp4: cannot be read: "):
        list(read(str(tmp_path / "ir.mp4")))


def test_large_frames_are_refused(tmp_path):
    path = videos.write(tmp_path / "ir.mkv", videos.scene(2), codec="ffv1")
    with pytest.raises(UserError, match="32x48.*max_pixels"):
        list(read(str(path), max_pixels=100))


@pytest.mark.parametrize("user", ["me:secret", "me:se/cret", "me@home:secret"])
def test_mistakes_hide_a_password(user):
    with pytest.raises(UserError, match="--ir=rtsp://camera/a: ") as raised:
        list(read(f"rtsp://{user}@camera/a", f"'http://{user}@proxy"))
    assert "cret" not in str(raised.value)


def test_messages_hide_a_password(caplog):
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    threading.Timer(1.5, ended.set).start()
    assert list(read(f"http://me:secret@127.0.0.1:{port}/a", ended=ended)) == []
    assert f"--ir=http://127.0.0.1:{port}/a: " in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.guard
@pytest.mark.parametrize("where", ["file", "network"])
def test_a_playlist_opens_no_other_address(tmp_path, serve, where):
    """Only the addresses of the flags are opened."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(302 if self.path == "/moved" else 200)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(playlist.encode())

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    other = f"http://127.0.0.1:{server.server_port}/other.ts"
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n"
    path = tmp_path / "list.m3u8"
    path.write_text(playlist)
    ended = threading.Event()
    if where == "file":
        with pytest.raises(UserError):
            list(read(str(path)))
        assert asked == []
    else:
        threading.Timer(2, ended.set).start()
        for name in ("list.m3u8", "moved"):
            address = f"http://127.0.0.1:{server.server_port}/{name}"
            assert list(read(address, ended=ended)) == []
        assert set(asked) <= {"/list.m3u8", "/moved"}
        assert asked
    server.shutdown()
    server.server_close()
