"""Tests of densefuse_tf.io.encoder: what a written video is, and what ends early."""

import contextlib
import fractions
import os
import time

import numpy as np
import pytest
import videos

from densefuse_tf.errors import UserError
from densefuse_tf.io import formats
from densefuse_tf.io.encoder import Encoder
from densefuse_tf.io.video import open_video
from densefuse_tf.io.video import unseen


def opened(path):
    return open_video(path, 10**6, unseen)


def encode(path, frames, rate=25, pixel_aspect=None):
    encoder = Encoder(
        path, path, frames[0].shape[:2], fractions.Fraction(rate), pixel_aspect
    )
    try:
        for frame in frames:
            encoder.add(frame)
        encoder.finish()
    except UserError:
        encoder.kill()
        raise


@pytest.mark.parametrize("suffix", formats.WRITTEN_VIDEOS)
@pytest.mark.parametrize("size", ((32, 48), (31, 48), (32, 45), (3, 5), (2, 2)))
def test_encoder_keeps_sizes(tmp_path, suffix, size):
    path = tmp_path / f"fused{suffix}"
    encode(path, videos.scene(4, size), "30000/1001")
    frames, about = videos.read(path)
    assert frames.shape == (4, *size, 3)
    assert about["fps"] == 29.97
    expected = "yuv444p" if size[0] % 2 or size[1] % 2 else "yuv420p"
    assert about["pix_fmt"].startswith(f"{expected}(tv, bt709")


@pytest.mark.parametrize("size", ((64, 96), (63, 95)))
def test_encoded_frames_are_close(tmp_path, size):
    path = tmp_path / "fused.mp4"
    # Colours have half the resolution, which costs more than the coding.
    for channels, loss in (((), 1.5), ((3,), 3)):
        frames = videos.scene(5, size, channels=channels)
        encode(path, frames)
        found, _ = videos.read(path)
        expected = np.stack(frames).astype(int)
        if not channels:
            assert (found == found[..., :1]).all()
            expected = expected[..., None]
        assert np.abs(found - expected).mean() < loss
        # With another matrix than the tags say, a channel would be off by more.
        assert np.abs((found - expected).mean(axis=(0, 1, 2))).max() < 0.5


def test_encoded_colours_are_those_of_the_frames(tmp_path):
    """Black and white in the range of a television's, as the tags of the file say."""
    colors = ((0, 0, 0), (255, 255, 255), (200, 40, 60), (20, 90, 220), (128, 128, 128))
    path = tmp_path / "fused.mp4"
    encode(path, [np.full((32, 48, 3), color, np.uint8) for color in colors])
    for found, color in zip(opened(path).frames(), colors, strict=True):
        assert np.abs(found[9:-9, 9:-9].astype(int) - color).max() <= 2
    plane = tmp_path / "luma.raw"
    videos.ffmpeg("-i", path, "-vf", "extractplanes=y", "-f", "rawvideo", plane)
    luma = np.fromfile(plane, np.uint8).reshape(5, 32, 48)[:2, 16, 24]
    assert luma.tolist() == pytest.approx([16, 235], abs=1)


def test_encoder_keeps_pixel_aspect(tmp_path):
    path = tmp_path / "fused.mp4"
    encode(path, videos.scene(2), pixel_aspect=fractions.Fraction(16, 15))
    assert opened(path).pixel_aspect == fractions.Fraction(16, 15)


@pytest.mark.parametrize(
    "action",
    (
        "cat > /dev/null; exit 1",
        "head -c 50000 > /dev/null; exit 1",
        'head -c 50000 | "$real" "$@"',
    ),
)
def test_end_of_ffmpeg_while_writing_is_reported(tmp_path, monkeypatch, action):
    videos.stand_in(tmp_path, monkeypatch, "libx264", action)
    path = tmp_path / "fused.mp4"
    with pytest.raises(
        UserError, match="fused.mp4: cannot be written: ffmpeg was stop"
    ):
        encode(path, videos.scene(100))


def test_killed_encoder_ends_at_once_and_may_be_killed_again(tmp_path, monkeypatch):
    videos.stand_in(tmp_path, monkeypatch, "libx264", "exec sleep 60")
    path = tmp_path / "fused.mp4"
    encoder = Encoder(path, path, (32, 48), fractions.Fraction(25), None)
    encoder.add(np.zeros((32, 48), np.uint8))
    start = time.monotonic()
    encoder.kill()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(-1, 0)
    assert time.monotonic() < start + 30
    encoder.kill()
