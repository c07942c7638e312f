"""Two cameras that ffmpeg plays, with the time of each frame in its pixels."""

import pathlib
import socket
import subprocess
import threading
import time

import imageio_ffmpeg
import numpy as np

HEIGHT, WIDTH = 240, 320
BITS = 32
# The rows of the stamps: where one source has its own, the other is flat.
ROWS = {"ir": 32, "vis": 176}
STEP, SIDE = 16, WIDTH // BITS
FFMPEG = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin"]


def milliseconds() -> int:
    """The monotonic clock, which all processes share."""
    return int(1000 * time.monotonic())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def stamped(name: str, value: int) -> np.ndarray:
    """A frame with a number in it: each bit above its opposite."""
    frame = np.full((HEIGHT, WIDTH), 128, np.uint8)
    for bit in range(BITS):
        for row in range(2):
            top, left = ROWS[name] + row * STEP, bit * SIDE
            is_on = (value >> bit) & 1 != row
            frame[top : top + STEP, left : left + SIDE] = 235 if is_on else 20
    return frame


def read_stamp(name: str, frame: np.ndarray) -> int:
    """The number in a frame, or in a fused picture."""
    top = ROWS[name]
    rows = [frame[top + row * STEP + 5 : top + row * STEP + 11] for row in range(2)]
    means = [row.reshape(6, BITS, SIDE)[:, :, 3:7].mean(axis=(0, 2)) for row in rows]
    return sum(1 << bit for bit in np.flatnonzero(means[0] > means[1]).tolist())


class Camera:
    """Sends stamped frames through an ffmpeg that waits for one to connect."""

    def __init__(self, name: str, rate: float, port: int | None = None):
        self.name, self.rate, self.port = name, rate, port or free_port()
        self.sent = 0
        self._ended = threading.Event()
        self.start()

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *(*FFMPEG, "-fflags", "nobuffer", "-f", "rawvideo", "-pix_fmt", "gray"),
                *("-s", f"{WIDTH}x{HEIGHT}", "-framerate", str(self.rate), "-i", "-"),
                *("-fps_mode", "passthrough", "-threads", "1", "-flush_packets", "1"),
                *("-c:v", "mjpeg", "-q:v", "3", "-f", "nut"),
                f"{self.address}?listen=1",
            ],
            stdin=subprocess.PIPE,
            # That it is left is no error here.
            stderr=subprocess.DEVNULL,
        )
        threading.Thread(target=self._feed, args=[self.process], daemon=True).start()

    def _feed(self, process) -> None:
        due = time.monotonic()
        while not self._ended.is_set():
            try:
                process.stdin.write(stamped(self.name, milliseconds()).tobytes())
                process.stdin.flush()
            except OSError:
                return
            self.sent += 1
            due = max(due + 1 / self.rate, time.monotonic())
            time.sleep(max(0.0, due - time.monotonic()))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self._ended.set()
        self.kill()


class Follower:
    """Decodes a file while it grows: when each frame is there, and its stamps."""

    def __init__(self, path: pathlib.Path, options=()):
        self.pictures: list[tuple[int, int, int]] = []
        self._path = path
        self._ended = threading.Event()
        self.process = subprocess.Popen(
            [
                *(*FFMPEG, "-flags", "low_delay", "-analyzeduration", "0", *options),
                *("-probesize", "2000", "-threads", "1", "-i", "-", "-fps_mode"),
                *("passthrough", "-threads", "1", "-flush_packets", "1", "-pix_fmt"),
                *("gray", "-f", "rawvideo", "-"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._threads = [
            threading.Thread(target=work, daemon=True)
            for work in (self._follow, self._read)
        ]
        for thread in self._threads:
            thread.start()

    def _follow(self) -> None:
        while not self._path.exists():
            if self._ended.wait(0.005):
                return
        with open(self._path, "rb") as file:
            while True:
                has_ended = self._ended.is_set()
                data = file.read()
                if data:
                    self.process.stdin.write(data)
                    self.process.stdin.flush()
                elif has_ended:
                    break
                time.sleep(0.005)
        self.process.stdin.close()

    def _read(self) -> None:
        while len(data := self.process.stdout.read(HEIGHT * WIDTH)) == HEIGHT * WIDTH:
            now = milliseconds()
            frame = np.frombuffer(data, np.uint8).reshape(HEIGHT, WIDTH)
            self.pictures.append(
                (now, read_stamp("ir", frame), read_stamp("vis", frame))
            )

    def close(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(20)
        self.process.kill()


def wait_for(condition, seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} in {seconds} s"
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    """The processes whose parent is this one."""
    found = []
    for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.append(int(status.parent.name))
    return found


def is_running(pid: int) -> bool:
    try:
        status = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
