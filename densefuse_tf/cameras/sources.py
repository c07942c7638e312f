"""Reads a camera, a stream or a file through ffmpeg, with as little delay as it has."""

import itertools
import math
import os
import pathlib
import re
import select
import shlex
import threading
import time
from collections.abc import Iterator

import numpy as np
from absl import logging

from densefuse_tf.errors import UserError
from densefuse_tf.errors import without_passwords
from densefuse_tf.io import video
from densefuse_tf.io.ffmpeg import Ffmpeg

# Nothing waits for the next frame, and a damaged one is left out.
_AT_ONCE = [
    *("-fflags", "nobuffer+discardcorrupt", "-flags", "low_delay", "-threads", "1"),
    *("-err_detect", "explode", "-analyzeduration", "500000", "-fpsprobesize", "0"),
]
# What an address may open, by its scheme: its own alone by default.
_PROTOCOLS = {"rtsp": "rtsp,rtp,udp,tcp", "rtp": "rtp,udp"}
_PROTOCOLS |= {"http": "http,tcp", "https": "https,tls,tcp"}
# A playlist names other addresses: from a network only streams themselves are read.
_CONTAINERS = (
    "rtsp,rtp,mpegts,matroska,mov,flv,live_flv,nut,ogg,avi,mpjpeg,mjpeg,jpeg_pipe,h264,"
    "hevc,m4v,mpegvideo,mpeg,rawvideo,yuv4mpegpipe"
)
_RAW = [
    *("-map", "0:V:0", "-fps_mode", "passthrough", *video.DECODER_PARAMS, "-vf"),
    "format=gray|gray9le|gray10le|gray12le|gray14le|gray16le|grayf32le|rgb24",
    *("-threads", "1", "-flush_packets", "1", "-f", "rawvideo", "-"),
]
_STREAM = re.compile(r"Output #0, .*?: Video: [^\n,]*, (\w+)[^\n]*?, (\d+)x(\d+)", re.S)
# In seconds: the pauses before a source is opened again, what opening takes at most,
# and how soon reading ends.
_PAUSE, _LONGEST, _OPENING, _SOON = 0.1, 1.5, 5.0, 0.1
# What ffmpeg has said is forgotten after so many frames.
_OFTEN = 1000


def frames(
    source: str,
    options: str,
    *,
    name: str,
    timeout: float,
    max_pixels: int,
    ended: threading.Event,
) -> Iterator[tuple[float, np.ndarray]]:
    """Yields the frames of a source, each with the time at which it came.

    A source that ends, fails or is silent is opened again, but for a file.

    Args:
      source: A file, an address, v4l2: and a device, or what the format takes that is
        in the options.
      options: ffmpeg's, for this source.
      name: What messages call it.
      timeout: How long it may be silent, in seconds.
      max_pixels: The largest frame that is read.
      ended: Ends ffmpeg and the frames, once it is set.
    """
    arguments, is_file = _arguments(source, options, name)
    name = without_passwords(name)
    pause, lost, came = _PAUSE, 0.0, False
    while not ended.is_set():
        with Ffmpeg("info", [*arguments, *_RAW]) as ffmpeg:
            try:
                for frame in _read(ffmpeg, timeout, max_pixels, ended):
                    if lost:
                        away = time.monotonic() - lost
                        logging.info("%s: is back after %.1f s", name, away)
                    pause, lost, came = _PAUSE, 0.0, True
                    yield time.monotonic(), frame
                reason = "" if ended.is_set() else ffmpeg.complaint()
            except TimeoutError:
                reason = f"silent for {timeout:g} s"
        reason = without_passwords(reason)
        if is_file and reason and not came:
            raise UserError(f"{name}: cannot be read: {reason}")
        if is_file and reason:
            logging.warning("%s: was not read whole: %s", name, reason)
        if is_file or ended.is_set():
            return
        if not lost:
            lost, reason = time.monotonic(), reason or "has ended"
            logging.warning("%s: %s: opened again until it answers", name, reason)
        ended.wait(pause)
        pause = min(2 * pause, _LONGEST)


def _arguments(source: str, options: str, name: str) -> tuple[list[str], bool]:
    """Returns ffmpeg's arguments up to the input, and whether that is a file."""
    try:
        given = shlex.split(options)
    except ValueError as error:
        raise UserError(f"{name}: options {options!r}: {error}") from error
    scheme, is_address, _ = source.partition("://")
    is_file = not is_address and os.path.isfile(source)
    allowed = _PROTOCOLS.get(scheme, scheme) if is_address else "file"
    before = ["-nostdin", "-protocol_whitelist", allowed]
    before += ["-re", "-readrate_initial_burst", "0.001"] if is_file else _AT_ONCE
    if is_file:
        source = f"file:{source}"
    elif is_address:
        before += ["-format_whitelist", _CONTAINERS]
        before += ["-max_redirects", "0"] * scheme.startswith("http")
    elif source.startswith("v4l2:"):
        before, source = [*before, "-f", "v4l2"], source.removeprefix("v4l2:")
    elif "-f" not in given:
        wrong = "there is no such file"
        if pathlib.Path(source).is_char_device():
            wrong = f"is a device: expected v4l2:{source}"
        elif os.path.exists(source):
            flag = name.partition("=")[0]
            wrong = f"is no regular file: expected {flag}_input='-f FORMAT' as well"
        raise UserError(f"{name}: {wrong}")
    return [*before, *given, "-i", source], is_file


def _read(ffmpeg, timeout, max_pixels, ended) -> Iterator[np.ndarray]:
    """Yields frames to the end of ffmpeg's output; a part of one is dropped.

    Raises a TimeoutError once nothing has come for so long.
    """

    def is_there(patience: float = timeout) -> bool:
        end = time.monotonic() + patience
        while not ended.is_set():
            if select.select([ffmpeg.output], [], [], _SOON)[0]:
                return True
            if time.monotonic() > end:
                raise TimeoutError
        return False

    if not is_there(timeout + _OPENING):
        return
    stream = _STREAM.search(ffmpeg.said(so_far=True))
    if stream is None:
        return
    size = int(stream[3]), int(stream[2])
    if math.prod(size) > max_pixels:
        raise UserError(f"a source has {video.text(size)} pixels: see --max_pixels")
    dtype, shape = video.layout(stream[1], size)
    for count in itertools.count(1):
        data, got = memoryview(bytearray(math.prod(shape) * dtype.itemsize)), 0
        while got < len(data):
            read = is_there() and os.readv(ffmpeg.output.fileno(), [data[got:]])
            if not read:
                return
            got += read
        yield np.frombuffer(data, dtype).reshape(shape)
        if count % _OFTEN == 0:
            ffmpeg.forget()
