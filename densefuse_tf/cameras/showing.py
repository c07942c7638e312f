"""Where the running picture goes: a file, another program, and a page."""

import concurrent.futures
import html
import http.server
import io
import pathlib
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from densefuse_tf import loopback
from densefuse_tf.errors import UserError
from densefuse_tf.io import formats
from densefuse_tf.io import video
from densefuse_tf.io.encoder import Encoder

# Quick, and each frame by itself; a key frame a second.
_ENCODER = [
    *("-preset", "veryfast", "-tune", "zerolatency", "-crf", "18", "-threads", "1"),
    *("-fps_mode", "passthrough", "-flush_packets", "1"),
    *("-force_key_frames", "expr:gte(t,n_forced)"),
]
# Each frame is written as it comes, and can be played without what follows.
_MKV = ["-cluster_time_limit", "0"]
_MP4 = ["-movflags", "empty_moov+default_base_moof+frag_every_frame"]
# By the scheme of an address; any other one gets an MPEG transport stream.
_CONTAINERS = {"rtsp": "rtsp", "rtmp": "flv"}
# In seconds: how soon the page shows a picture, and how long a sink may take to end.
_SOON, _PATIENCE = 0.02, 10.0
_MULTIPART = "multipart/x-mixed-replace; boundary=frame"
_HEAD = """<!DOCTYPE html><html lang="en">
<meta charset="utf-8"><title>DenseFuse, live</title>
<meta name="viewport" content="width=device-width">
<style>body{margin:4px;font-family:sans-serif;font-size:14px}
img{display:block;width:100%;max-height:85vh;object-fit:contain;background:black}
iframe{border:0;width:100%;height:10vh}</style>"""
_PAGE = (
    f'{_HEAD}<img src="picture" alt="the fused picture">'
    '<iframe src="numbers" title="numbers"></iframe>'
)
_AGAIN = f'{_HEAD}<meta http-equiv="refresh" content="1">'


def is_file(output: str) -> bool:
    """Returns whether an output is the file of a video; refuses one of another kind."""
    if "://" in output or output == "pipe:":
        return False
    if pathlib.Path(output).suffix.lower() not in formats.WRITTEN_VIDEOS:
        raise UserError(
            f"--output={output}: expected {', '.join(formats.WRITTEN_VIDEOS)}, an "
            "address as udp://127.0.0.1:9000, or pipe:"
        )
    return True


class Sink:
    """Encodes pictures in a thread, so that an interruption cuts none in two."""

    def __init__(self, output: str, size: tuple[int, int]):
        """Starts ffmpeg, for pictures of this height and width."""
        path = pathlib.Path(output)
        target = ["-f", _CONTAINERS.get(output.partition(":")[0], "mpegts"), output]
        if is_file(output):
            target = [
                *(_MKV if path.suffix.lower() == ".mkv" else _MP4),
                f"file:{path}",
            ]
        self._size, live = size, [*_ENCODER, *target]
        self._encoder = Encoder(output, path, size, None, None, live)
        self._writer = concurrent.futures.ThreadPoolExecutor(1)
        self._last: concurrent.futures.Future[None] | None = None

    def add(self, image: np.ndarray, done: Callable[[], object]) -> None:
        """Waits until the last picture is out; `done` is called once this one is.

        Raises:
          UserError: It has another size; ffmpeg does not run any more.
        """
        if image.shape[:2] != self._size:
            raise UserError(
                f"a picture has {video.text(image.shape[:2])} pixels (height x width): "
                f"expected {video.text(self._size)}, as those before"
            )

        def write() -> None:
            self._encoder.add(image)
            done()

        if self._last is not None:
            self._last.result()
        self._last = self._writer.submit(write)

    def close(self) -> None:
        """Waits until all is written, but not for ever where nobody takes it."""
        patience = threading.Timer(_PATIENCE, self._encoder.interrupt)
        patience.start()
        try:
            self._writer.shutdown()
            self._encoder.finish()
        finally:
            patience.cancel()
            self._encoder.kill()


class Page(http.server.ThreadingHTTPServer):
    """Shows the picture and a line of numbers to this machine, until it is closed."""

    daemon_threads = True
    line = "no picture yet"
    image: Any = None

    def __init__(self):
        """Starts, on any port that is free."""
        super().__init__(("127.0.0.1", 0), _Answer)
        self.address = f"http://127.0.0.1:{self.server_port}/"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address) -> None:
        """Says nothing: a page that is closed breaks its connection."""

    def close(self) -> None:
        """Ends."""
        self.shutdown()
        self.server_close()


class _Answer(http.server.BaseHTTPRequestHandler):
    server: Page

    def do_GET(self) -> None:
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        text = {"/": _PAGE, "/numbers": _AGAIN + html.escape(self.server.line)}
        refused = loopback.refusal(host, origin, "127.0.0.1")
        if refused or self.path not in (*text, "/picture"):
            self.send_error(403 if refused else 404, explain=refused)
            return
        self.send_response(200)
        kind = "text/html" if self.path in text else _MULTIPART
        self.send_header("Content-Type", kind)
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.end_headers()
        if self.path in text:
            self.wfile.write(text[self.path].encode())
            return
        shown = None
        while True:
            while self.server.image is shown:
                time.sleep(_SOON)
            shown, data = self.server.image, io.BytesIO()
            Image.fromarray(shown).save(data, "JPEG", quality=85)
            self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n")
            self.wfile.write(b"Content-Length: %d\r\n\r\n" % data.tell())
            self.wfile.write(data.getvalue() + b"\r\n")

    def log_message(self, format, *args) -> None:
        """Says nothing."""
