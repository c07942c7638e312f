"""Serves the page to this machine alone, out of a folder that does not grow."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import uvicorn
from starlette.datastructures import Headers
from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse

from densefuse_tf import loopback

# Gradio's page has inline scripts and styles, and makes functions of text.
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_UPLOAD = "/gradio_api/upload"
# How long it takes at most to begin and to end, in seconds.
_PATIENCE = 20
_PREFIX = "densefuse_demo_"
# A page locks its folder sooner than so many seconds after it has made it.
_LOCKED_WITHIN = 60


@contextlib.contextmanager
def own_folder() -> Iterator[str]:
    """Makes a temporary folder for the page; removes those of pages that were killed.

    A page holds a lock on its folder, which ends with the process.
    """
    for left in pathlib.Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            status = left.lstat()
            is_old = status.st_mtime < time.time() - _LOCKED_WITHIN
            if is_old and status.st_uid == os.geteuid():
                with _locked(left):
                    shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as root, _locked(root):
        yield root


@contextlib.contextmanager
def _locked(folder: str | os.PathLike) -> Iterator[None]:
    """Locks a folder; raises an OSError where another process has."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(opened)


class Folder:
    """Holds uploads and results; the oldest files go where it would grow too large."""

    def __init__(self, path: str | os.PathLike, max_bytes: int):
        self._path = pathlib.Path(path)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        # The bytes that are on their way, and how many requests read each file.
        self._coming = 0
        self._in_use: dict[pathlib.Path, int] = {}

    def make_room(self, coming: int = 0) -> bool:
        """Deletes the oldest files until so many bytes fit; returns whether they do."""
        with self._lock:
            files = []
            for path in self._path.rglob("*"):
                with contextlib.suppress(OSError):
                    if path.is_file():
                        files.append((path.stat().st_ctime, path, path.stat().st_size))
            size = sum(size for _, _, size in files) + self._coming + coming
            for _, path, own in sorted(files):
                if size <= self._max_bytes:
                    break
                if path not in self._in_use:
                    path.unlink(missing_ok=True)
                    size -= own
            return size <= self._max_bytes

    @contextlib.contextmanager
    def expecting(self, coming: int) -> Iterator[None]:
        """Counts bytes that are on their way."""
        with self._lock:
            self._coming += coming
        try:
            yield
        finally:
            with self._lock:
                self._coming -= coming

    @contextlib.contextmanager
    def using(self, *paths: pathlib.Path) -> Iterator[None]:
        """Keeps files, which are read meanwhile."""
        with self._lock:
            for path in paths:
                self._in_use[path] = self._in_use.get(path, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                for path in paths:
                    self._in_use[path] -= 1
                    if not self._in_use[path]:
                        del self._in_use[path]


class Guard:
    """Lets in what is asked of this machine by its own page, and adds headers."""

    def __init__(self, app: Callable, host: str, folder: Folder):
        """Takes the ASGI application, the address it is bound to, and its folder."""
        self._app = app
        self._host = host
        self._folder = folder

    async def __call__(self, scope, receive, send) -> None:
        """Answers a request, as ASGI asks for it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # The page has no WebSocket.
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_with_headers(message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        async def refuse(text: str, status: int) -> None:
            answer = PlainTextResponse(f"{text}\n", status_code=status)
            await answer(scope, receive, send_with_headers)

        headers = Headers(scope=scope)
        refused = loopback.refusal(
            headers.get("host", ""), headers.get("origin"), self._host
        )
        if refused is not None:
            await refuse(refused, 403)
            return
        with contextlib.ExitStack() as stack:
            if scope["method"] == "POST" and scope["path"].rstrip("/") == _UPLOAD:
                length = headers.get("content-length", "")
                if not length.isdecimal():
                    await refuse("the size is missing", 411)
                    return
                if not self._folder.make_room(int(length)):
                    text = "the page has no room for this file now: try again later"
                    await refuse(text, 507)
                    return
                stack.enter_context(self._folder.expecting(int(length)))
            await self._app(scope, receive, send_with_headers)


class Server:
    """Serves an ASGI application in a thread of its own."""

    def __init__(self, app: Callable, host: str, port: int):
        """Starts; returns once requests are answered."""
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            log_level="critical",
            server_header=False,
            # A page that is open listens for ever.
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        end = time.monotonic() + _PATIENCE
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                raise RuntimeError("the page could not be served")
            time.sleep(0.01)

    def close(self) -> None:
        """Ends, even where a page is open."""
        self._server.should_exit = True
        self._thread.join(_PATIENCE)
