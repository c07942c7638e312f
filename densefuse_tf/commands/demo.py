"""Serves a page on this machine on which two images are fused.

  densefuse-demo
  densefuse-demo --port=8000 --examples=pairs

Open the address that it prints in a browser; Ctrl-C ends it. The page listens on this
machine only, asks nothing of any other one, and forgets all images when it ends. From
another machine it is reached through ssh: ssh -L 7860:127.0.0.1:7860 HOST.

Exit status: 0, or 2 for a mistake.
"""

import ipaddress
import os
import pathlib
import signal
import socket
import sys
import tempfile
import threading

from absl import flags

from densefuse_tf import extras
from densefuse_tf import startup
from densefuse_tf.commands import common_flags
from densefuse_tf.commands import runner
from densefuse_tf.demo import examples
from densefuse_tf.errors import UserError

# Where `make docs` builds them, in a checkout.
_DOCUMENTS = pathlib.Path(__file__).parents[2] / "docs" / "_build"

_FLAGS = flags.FlagValues()
_PORT = flags.DEFINE_integer(
    "port",
    7860,
    "The port of the page.",
    lower_bound=1,
    upper_bound=65535,
    flag_values=_FLAGS,
)
_HOST = flags.DEFINE_string(
    "host",
    "127.0.0.1",
    "The address of this machine that it listens on: a loopback address.",
    flag_values=_FLAGS,
)
_EXAMPLES = common_flags.define_path(
    "examples",
    "A folder with the sub-folders ir and vis, whose pairs the page offers; by default "
    "the pairs that come with the project.",
    _FLAGS,
)
_MAX_MEGAPIXELS = flags.DEFINE_float(
    "max_megapixels",
    16.0,
    "The largest image that is read, in millions of pixels.",
    lower_bound=0.001,
    flag_values=_FLAGS,
)
_FOLDER_MEGABYTES = flags.DEFINE_integer(
    "folder_megabytes",
    2000,
    "How large the temporary folder of uploads and results becomes, in MB: the oldest "
    "files go. At least four of the largest uploads find room.",
    lower_bound=1,
    flag_values=_FLAGS,
)


def main() -> None:
    _check_host(_HOST.value)
    _check_port(_HOST.value, _PORT.value)
    extras.require("demo", "the page")
    max_pixels = int(_MAX_MEGAPIXELS.value * 1e6)
    pairs = examples.find(_EXAMPLES.value)
    startup.import_tensorflow()
    from densefuse_tf.demo import server

    with server.own_folder() as root:
        # Uploads and results go into folders that end with the page. Gradio reads where
        # when it is imported, and it calls nobody.
        cache, tempfile.tempdir = (
            os.path.join(root, "cache"),
            os.path.join(root, "work"),
        )
        for folder in (cache, tempfile.tempdir):
            os.mkdir(folder)
        os.environ["GRADIO_TEMP_DIR"] = cache
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        from densefuse_tf.demo import page

        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        with page.serving(
            pairs,
            host=_HOST.value,
            port=_PORT.value,
            max_pixels=max_pixels,
            cache=cache,
            cache_bytes=_FOLDER_MEGABYTES.value * 10**6,
            icon=pathlib.Path(root) / "icon.png",
            documents=_DOCUMENTS if (_DOCUMENTS / "index.html").is_file() else None,
        ) as address:
            print(f"page: {address} (Ctrl-C ends it)", flush=True)
            ended.wait()


def _check_host(host: str) -> None:
    """Refuses to listen to other machines."""
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise UserError(
            f"--host={host}: expected a loopback address, 127.0.0.1 for instance: from "
            "another machine the page is reached through ssh, see --help"
        )


def _check_port(host: str, port: int) -> None:
    """Refuses a port that cannot be listened on, before all that takes long."""
    try:
        (family, *_), *_ = socket.getaddrinfo(host, port)
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise UserError(
            f"--port={port}: cannot be used on {host}: {error.strerror}: expected "
            "another one"
        ) from error


def run(argv: list[str] | None = None) -> int:
    """Runs the command `densefuse-demo` and returns its exit status."""
    return runner.run(main, _FLAGS, __doc__, argv)


if __name__ == "__main__":
    sys.exit(run())
