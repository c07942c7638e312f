"""Tests of densefuse_tf.io.video: frames, times and damaged files."""

import contextlib
import fractions
import os
import pathlib
import re
import socket
import subprocess
import threading

import imageio_ffmpeg
import numpy as np
import pytest
import videos
from image_bytes import encoded
from image_bytes import with_segment

from densefuse_tf.errors import UserError
from densefuse_tf.io import formats
from densefuse_tf.io import video

MAX_PIXELS = 10**6


def open_video(path):
    return video.open_video(pathlib.Path(path), MAX_PIXELS, video.unseen)


@pytest.mark.parametrize("suffix", (".mp4", ".mkv", ".avi", ".mov", ".ts"))
@pytest.mark.parametrize("fps", (25, fractions.Fraction(30000, 1001)))
def test_count_size_and_rate_are_exact(tmp_path, suffix, fps):
    frames = videos.scene(21)
    path = videos.write(tmp_path / f"ir{suffix}", frames, fps=fps)
    opened = open_video(path)
    assert (opened.count, opened.size, opened.rate) == (21, (32, 48), fps)
    assert not opened.is_deep
    found = list(opened.frames())
    assert len(found) == 21
    expected, _ = videos.read(path)
    np.testing.assert_array_equal(found, expected)
    # Grey stays grey, and what it was but for the codec.
    assert (expected == expected[..., :1]).all()
    assert np.abs(expected[..., 0].astype(int) - frames).mean() < 3


@pytest.mark.parametrize(
    ("kind", "dtype", "high"),
    (("gray16le", "<u2", 65536), ("gray12le", "<u2", 4096), ("gray", "|u1", 256)),
)
def test_lossless_grey_is_exact(tmp_path, kind, dtype, high):
    frames = np.random.default_rng(0).integers(0, high, (3, 9, 12)).astype(dtype)
    deep = np.uint16 == np.dtype(dtype)
    path = videos.write(tmp_path / "ir.mkv", frames, codec="ffv1", kind=kind)
    opened = open_video(path)
    assert opened.is_deep == deep
    found = np.stack(list(opened.frames()))
    np.testing.assert_array_equal(found if deep else found[..., 0], frames)
    assert found.dtype == dtype


def test_special_characters_in_names_are_taken_literally(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    videos.write("plain.mp4", videos.scene(3))
    for name in ("-i.mp4", "a:b.mp4", "%03d.mp4", "two words.mp4", "ü.mp4"):
        pathlib.Path("plain.mp4").rename(name)
        assert open_video(name).count == len(list(open_video(name).frames())) == 3
        pathlib.Path(name).rename("plain.mp4")


def test_rotation_tag_is_applied(tmp_path):
    path = videos.write(tmp_path / "flat.mp4", videos.scene(3))
    turned = tmp_path / "turned.mp4"
    videos.ffmpeg("-display_rotation", "90", "-i", path, "-c", "copy", turned)
    opened = open_video(turned)
    assert opened.size == (48, 32)
    flat = list(open_video(path).frames())
    np.testing.assert_array_equal(list(opened.frames()), np.rot90(flat, axes=(1, 2)))


def test_sound_is_ignored(tmp_path):
    path = videos.write(tmp_path / "mute.mp4", videos.scene(5))
    loud = tmp_path / "loud.mp4"
    sound = ("-f", "lavfi", "-i", "sine=duration=2", "-c:v", "copy", "-c:a", "aac")
    videos.ffmpeg("-i", path, *sound, loud)
    opened = open_video(loud)
    assert opened.count == len(list(opened.frames())) == 5


def test_variable_frame_rate_is_refused(tmp_path):
    path = videos.write(
        tmp_path / "phone.mp4",
        videos.scene(12),
        options=("-vf", "select=not(eq(n\\,4))", "-fps_mode", "passthrough"),
    )
    with pytest.raises(
        UserError, match="no constant frame rate: of 25 frames per"
    ) as e:
        open_video(path)
    assert "frame 5 is shown when frame 6 is due" in str(e.value)


def timed(path, times, frames=None, **options):
    """Writes frames that are shown at these times, in seconds."""
    frames = videos.scene(len(times)) if frames is None else frames
    flat = videos.write(path.with_name("flat.mkv"), frames, **options)
    # Every frame is looked up by its number: a sum with one term that is not 0.
    terms = (f"eq(N,{n})*{float(time):.6f}" for n, time in enumerate(times))
    select = f"setpts='({'+'.join(terms)})/TB'"
    coded = ("-c:v", options.get("codec", "libx264"), "-fps_mode", "passthrough")
    videos.ffmpeg(
        *("-i", flat, "-vf", f"settb=1/1000000,{select}", *coded),
        *("-enc_time_base", "1/90000", path),
    )
    return path


@pytest.mark.parametrize("suffix", (".mp4", ".mkv", ".ts"))
@pytest.mark.parametrize("rate", (8.7, 29.93, 29.97, 9, 60, 119.88))
def test_steady_recordings_of_any_rate_are_constant(tmp_path, suffix, rate):
    path = timed(tmp_path / f"ir{suffix}", np.arange(60) / rate)
    opened = open_video(path)
    assert opened.count == 60
    # Times are rounded to 1 ms at worst.
    assert float(opened.rate) == pytest.approx(rate, abs=rate * 2e-3 / (59 / rate))


@pytest.mark.parametrize("suffix", (".mp4", ".mkv"))
def test_jitter_of_some_ms_is_no_gap(tmp_path, suffix):
    for seed, rate in enumerate((8.7, 25, 30, 60)):
        random = np.random.default_rng(seed)
        times = 0.01 + np.arange(90) / rate + random.uniform(-0.004, 0.004, 90)
        rate_found = open_video(timed(tmp_path / f"{seed}{suffix}", times)).rate
        assert float(rate_found) == pytest.approx(89 / (times[-1] - times[0]), 1e-3)


def test_a_rate_that_ffmpeg_does_not_know_is_measured(tmp_path):
    random = np.random.default_rng(3)
    times = np.cumsum([1, *random.choice([0.019, 0.021, 0.022], 30)])
    rate = float(open_video(timed(tmp_path / "ir.mkv", times)).rate)
    assert rate == pytest.approx(30 / (times[-1] - times[0]), 3e-3)
    one = videos.write(tmp_path / "one.mp4", videos.scene(1), fps=9)
    assert open_video(one).rate == 9
    for written, expected in (("", 25), ("1k", 1000), ("29.97", "30000/1001")):
        assert video._nominal(written) == fractions.Fraction(expected)


@pytest.mark.parametrize(
    ("times", "rate", "gap"),
    [
        ([0, 40, 80, 120], "25", None),
        ([7], "25", None),
        ([5, 5, 5], "25", None),
        # Bursts; a rate that changes little by little; the last frame is late.
        ([0, 0, 0, 0, 40], "1000", (5, 44)),
        (np.cumsum([0, *[30] * 40, *[40] * 40]), "28.57", (41, 35)),
        ([0, 40, 80, 120, 200], "25", (5, 6)),
    ],
)
def test_rate_of_any_times(times, rate, gap):
    times = np.array(times, np.int64)
    found = video._rate(times, fractions.Fraction(1, 1000), fractions.Fraction(25))
    assert (found[0], found[2]) == (fractions.Fraction(rate), gap)


@pytest.mark.parametrize("gap", (1, 45, 88))
def test_a_dropped_frame_is_a_gap_despite_jitter(tmp_path, gap):
    times = np.arange(90) / 25 + np.random.default_rng(1).uniform(0, 0.006, 90)
    times[gap:] += 1 / 25
    with pytest.raises(
        UserError, match="no constant frame rate: of 25 frames per"
    ) as e:
        open_video(timed(tmp_path / "ir.mkv", times))
    assert f"frame {gap + 1} is shown when frame {gap + 2} is due" in str(e.value)


def test_a_rate_that_changes_is_none(tmp_path):
    times = np.concatenate([np.arange(40) / 30, 40 / 30 + np.arange(40) / 20])
    with pytest.raises(UserError, match="no constant frame rate"):
        open_video(timed(tmp_path / "phone.mp4", times))


def tried(message: str, folder: pathlib.Path) -> pathlib.Path:
    """Does what a message says between ``, and returns the file that it makes."""
    (line,) = re.findall("`(.*?)`", message)
    exe = imageio_ffmpeg.get_ffmpeg_exe()
    line = re.sub(r"\bffmpeg (?=-)", f"{exe} -v error ", line)
    subprocess.run(line, shell=True, check=True, cwd=folder, stdin=subprocess.DEVNULL)
    return folder / "NEW.mkv"


@pytest.mark.parametrize("name", ("ir.mkv", "it's $HOME; two.mkv", "-i.mkv", "a:b.mkv"))
def test_the_line_that_makes_a_rate_constant_works_and_keeps_16_bits(
    tmp_path, monkeypatch, name
):
    monkeypatch.chdir(tmp_path)
    frames = np.random.default_rng(0).integers(0, 65536, (5, 16, 24)).astype("<u2")
    times = np.array([0, 1, 2, 4, 5]) / 25
    timed(pathlib.Path("x.mkv"), times, frames, codec="ffv1").rename(name)
    with pytest.raises(UserError, match="no constant frame rate") as caught:
        open_video(name)
    opened = open_video(tried(str(caught.value), tmp_path))
    assert opened.rate == 25 and opened.pixel_format == "gray16le"
    found = np.stack(list(opened.frames()))
    # The frame that is missing is shown for one more.
    assert len(found) == 6 and {bytes(frame) for frame in found} == set(
        map(bytes, frames)
    )


def test_the_line_that_keeps_what_can_be_read_works(tmp_path):
    frames = np.random.default_rng(0).integers(0, 65536, (9, 32, 48)).astype("<u2")
    path = videos.write(tmp_path / "a b.mkv", frames, codec="ffv1")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(UserError, match="cut off or damaged") as caught:
        open_video(path)
    opened = open_video(tried(str(caught.value), tmp_path))
    assert 3 <= opened.count <= 6
    for found, frame in zip(opened.frames(), frames, strict=False):
        np.testing.assert_array_equal(found, frame)


@pytest.mark.parametrize("fourcc", (bytes(4), b"Y16 ", None))
def test_a_raw_y16_avi_or_mov_is_called_that(tmp_path, fourcc):
    frames = np.random.default_rng(0).integers(0, 65536, (3, 16, 24)).astype("<u2")
    (tmp_path / "raw").write_bytes(frames.tobytes())
    path = tmp_path / ("lepton 3.avi" if fourcc is not None else "lepton 3.mov")
    raw = ("-f", "rawvideo", "-pix_fmt", "gray16le", "-s", "24x16", "-r", "9")
    videos.ffmpeg("-v", "quiet", *raw, "-i", tmp_path / "raw", "-c:v", "rawvideo", path)
    if fourcc is not None:
        data = bytearray(path.read_bytes())
        place = data.index(b"strf") + 8 + 16
        data[place : place + 4] = fourcc
        path.write_bytes(data)
    kind = path.suffix[1:].upper()
    with pytest.raises(UserError, match=f"is a raw Y16 {kind}") as caught:
        open_video(path)
    assert "\n" not in str(caught.value)
    opened = open_video(tried(str(caught.value), tmp_path))
    np.testing.assert_array_equal(np.stack(list(opened.frames())), frames)
    assert opened.rate == 9


SETTING = {
    "PQ": "setparams=color_trc=smpte2084:color_primaries=bt2020:colorspace=bt2020nc",
    "HLG": "setparams=color_trc=arib-std-b67:colorspace=bt2020nc",
    "interlaced": "setfield=tff",
    "SDR": "setparams=color_trc=bt709:color_primaries=bt709:colorspace=bt709",
    "plain": "null",
}


@pytest.mark.parametrize("kind", SETTING)
@pytest.mark.parametrize("suffix", (".mkv", ".mp4"))
def test_hdr_and_interlaced_sources_get_one_warning(tmp_path, caplog, kind, suffix):
    flags = ("-flags", "+ilme+ildct") if kind == "interlaced" else ()
    path = videos.write(
        tmp_path / f"vis{suffix}",
        videos.scene(4, channels=(3,)),
        options=("-vf", SETTING[kind], *flags),
    )
    opened = open_video(path)
    assert len(list(opened.frames())) == 4
    said = {"PQ": "is HDR (smpte2084)", "HLG": "is HDR (arib-std-b67)"}
    expected = {**said, "interlaced": "is interlaced"}.get(kind)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == (expected is not None)
    if expected:
        assert lines[0].startswith(f"{path}: {expected}")


@pytest.mark.parametrize(
    ("size", "matrix", "tags", "is_close"),
    [
        ((720, 1280), "bt709", (), True),
        ((720, 1280), "smpte170m", ("-colorspace", "smpte170m"), True),
        ((720, 1280), "bt709", ("-colorspace", "bt709"), True),
        ((240, 320), "smpte170m", (), True),
        ((240, 320), "bt709", (), False),
    ],
)
def test_colours_without_tags_are_those_of_the_size(
    tmp_path, size, matrix, tags, is_close
):
    frames = [np.full((*size, 3), color, np.uint8) for color in ((200, 40, 60),) * 2]
    path = videos.write(
        tmp_path / "vis.mkv",
        frames,
        options=(
            "-vf",
            f"scale=out_color_matrix={matrix},setparams=colorspace=unknown",
        ),
    )
    if tags:
        tagged = tmp_path / "tagged.mkv"
        number = {"smpte170m": 6, "bt709": 1}[tags[1]]
        filter_ = f"h264_metadata=matrix_coefficients={number}"
        videos.ffmpeg("-i", path, "-c", "copy", "-bsf:v", filter_, tagged)
        path = tagged
    found = next(open_video(path).frames())[5, 5].astype(int)
    assert (np.abs(found - frames[0][5, 5]).max() <= 3) == is_close


@pytest.mark.parametrize("suffix", (".avi", ".mkv", ".mov"))
def test_mjpeg_frames_with_broken_metadata_are_whole(tmp_path, suffix):
    frames = videos.scene(5)
    for number, (marker, content) in enumerate(
        [
            (0xE1, b"Exif\0\0junk and more"),
            (0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\0\2"),
            (0xE1, b"Exif\0\0"),
            (0xE2, b"ICC_PROFILE\0\1\1junk"),
            (0xFE, b""),
        ]
    ):
        coded = [encoded(np.asarray(frame), "JPEG", quality=95) for frame in frames]
        broken = b"".join(with_segment(data, marker, content) for data in coded)
        (tmp_path / "raw.mjpeg").write_bytes(broken)
        path = tmp_path / f"{number}{suffix}"
        raw = ("-v", "quiet", "-f", "mjpeg", "-r", "25", "-i", tmp_path / "raw.mjpeg")
        videos.ffmpeg(*raw, "-c", "copy", path)
        opened = open_video(path)
        found = np.stack(list(opened.frames()))[..., 0]
        assert opened.count == 5 and opened.rate == 25
        assert np.abs(found - np.stack(frames).astype(int)).mean() < 3


@pytest.mark.parametrize(
    ("one", "other", "count", "jitter", "same"),
    [
        ("30000/1001", "2997/100", 100_000, 0, True),
        ("25", "25", 2, 0, True),
        ("8.7", "8.703", 90, 0.004, True),
        ("8.7", "8.703", 90, 0, False),
        ("25", "30", 20, 0.004, False),
        ("30", "30000/1001", 1000, 0.004, False),
    ],
)
def test_rates_are_the_same_but_for_rounding_and_jitter(
    one, other, count, jitter, same
):
    opened = [
        video.VideoFile(
            pathlib.Path("x.mp4"), count, (2, 2), rate, jitter, None, "rgb24", False
        )
        for rate in (fractions.Fraction(one), fractions.Fraction(other))
    ]
    assert video.have_same_rate(*opened) == same
    assert video.have_same_rate(*opened[::-1]) == same


@pytest.mark.parametrize("suffix", (".avi", ".ts"))
def test_frames_of_another_size_are_refused(tmp_path, suffix):
    parts = []
    for size in ((32, 48), (48, 64)):
        part = videos.write(
            tmp_path / f"{size[0]}.264", videos.scene(5, size), options=("-f", "h264")
        )
        parts.append(part.read_bytes())
    (tmp_path / "both.264").write_bytes(b"".join(parts))
    path = tmp_path / f"both{suffix}"
    in_order = ("-bsf:v", "setts=ts=N") if suffix == ".ts" else ()
    videos.ffmpeg(
        *("-r", "25", "-i", tmp_path / "both.264", "-c", "copy", *in_order, path)
    )
    with pytest.raises(UserError, match="frame 6 has another size than those before"):
        open_video(path)


def no_process_is_left():
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_stopped_reading_leaves_no_process(tmp_path):
    path = videos.write(tmp_path / "ir.mp4", videos.scene(200))
    no_process_is_left()
    frames = open_video(path).frames()
    next(frames)
    frames.close()
    no_process_is_left()

    def interrupted(items, total, what):
        yield next(iter(items))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        video.open_video(path, MAX_PIXELS, interrupted)
    no_process_is_left()


@pytest.mark.parametrize("name", ("pipe.mp4", "folder.mp4", "x" * 300, "nul\0.mp4"))
def test_paths_that_are_no_regular_file_are_refused(tmp_path, name):
    path = tmp_path / name
    if name == "pipe.mp4":
        os.mkfifo(path)
    elif name == "folder.mp4":
        path.mkdir()
    assert not (name == "folder.mp4" and formats.is_video(path))
    with pytest.raises(UserError, match="as a video: expected a regular file"):
        open_video(path)


def test_no_address_is_opened(tmp_path):
    opened = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    opened.append(connection)
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        address = f"127.0.0.1:{server.getsockname()[1]}"
        hls = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"
        for name, text in (
            ("ir.m3u8", hls.format(f"http://{address}/a.ts")),
            ("ir.mp4", f"ffconcat version 1.0\nfile tcp://{address}\n"),
        ):
            path = tmp_path / name
            path.write_text(text)
            with pytest.raises(UserError, match="cannot be read as a video: "):
                open_video(path)
    assert not opened


@pytest.mark.parametrize("part", (0.3, 0.6, 0.9))
@pytest.mark.parametrize("suffix", (".mp4", ".mkv", ".avi"))
def test_truncated_video_is_refused(tmp_path, suffix, part):
    path = videos.write(
        tmp_path / f"ir{suffix}",
        videos.scene(40, size=(64, 96)),
        # The index comes first, so that a part of the file can be played.
        options=("-movflags", "+faststart") if suffix == ".mp4" else (),
        codec="mpeg4" if suffix == ".avi" else "libx264",
    )
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(UserError) as error:
        open_video(path)
    message = str(error.value)
    assert message.startswith(f"{path}: cut off or damaged, ") or (
        message.startswith(f"{path}: cannot be read as a video: ")
    )
    assert "\n" not in message


@pytest.mark.parametrize("content", ("nothing", "text", "sound"))
def test_content_that_is_no_video_is_refused(tmp_path, content):
    path = tmp_path / "ir.mp4"
    if content == "sound":
        videos.ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac", path)
    else:
        path.write_text("this is no video\n" * 99 if content == "text" else "")
    with pytest.raises(UserError, match="cannot be read as a video: "):
        open_video(path)


def test_max_pixels_limits_frames(tmp_path):
    path = videos.write(tmp_path / "ir.mp4", videos.scene(2))
    with pytest.raises(
        UserError, match="frames of 32x48 pixels .* 1000 pixels at most"
    ):
        video.open_video(path, 1000, video.unseen)


@pytest.mark.parametrize("size", (0, 5000, 10 * 32 * 48 * 3))
def test_end_of_ffmpeg_while_reading_is_reported(tmp_path, monkeypatch, size):
    path = videos.write(tmp_path / "ir.mp4", videos.scene(20))
    opened = open_video(path)
    videos.stand_in(tmp_path, monkeypatch, "rawvideo", f'"$real" "$@" | head -c {size}')
    with pytest.raises(UserError) as error:
        list(opened.frames())
    read = size // (32 * 48 * 3)
    assert f"{path}: only {read} of 20 frames could be read" in str(error.value)


def test_chroma_is_interpolated_and_rounded_to_the_nearest(tmp_path):
    """By ffmpeg's own choice the mean would be off, and edges would be steps."""
    x = np.linspace(0, 1, 64)
    ramp = np.stack([255 * x, 255 - 200 * x, 60 + 90 * x], axis=-1)
    frame = np.tile(np.rint(ramp).astype(np.uint8), (48, 1, 1))
    path = videos.write(
        tmp_path / "vis.mkv",
        [frame] * 2,
        options=("-crf", "0"),
        kind="yuv420p",
    )
    found = next(open_video(path).frames()).astype(float) - frame
    assert np.abs(found.mean(axis=(0, 1))).max() < 0.3
    assert np.abs(found[4:-4, 4:-4]).max() <= 4
