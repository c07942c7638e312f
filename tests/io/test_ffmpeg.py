"""Tests of densefuse_tf.io.ffmpeg: the program that is started."""

import imageio_ffmpeg
import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.io.ffmpeg import Ffmpeg


def test_missing_ffmpeg_is_reported(monkeypatch):
    def missing():
        raise RuntimeError("No ffmpeg exe could be found")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", missing)
    with pytest.raises(UserError, match="videos need ffmpeg: No ffmpeg exe"):
        Ffmpeg("error", ["-version"])
