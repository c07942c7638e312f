"""Fusing sequences: one range, one colour mode, constant memory, all or nothing."""

import contextlib
import dataclasses
import functools
import gc
import itertools
import pathlib
import re
import subprocess
import sys
import weakref

import choices
import numpy as np
import pytest
import videos

from densefuse_tf.errors import UserError
from densefuse_tf.fusion.channels import Fused
from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.fusion.output_range import to_pixels
from densefuse_tf.fusion.settings import COLOR_MODES
from densefuse_tf.fusion.settings import OUTPUT_RANGES
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.pipelines import aligning
from densefuse_tf.pipelines import sequences
from densefuse_tf.pipelines import surveying
from densefuse_tf.pipelines.footage import Footage
from densefuse_tf.pipelines.footage import open_sources
from densefuse_tf.pipelines.settings import RegistrationSettings

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIZE = (32, 48)


@functools.cache
def fuser_for(color, output_range):
    return Fuser(FusionSettings("1e2", output_range=output_range, color=color))


@pytest.fixture(scope="module")
def fusers():
    """Fusers of the shipped model by output range."""
    return {name: fuser_for("auto", name) for name in OUTPUT_RANGES}


def save(folder, frames):
    """Frames as numbered PNG (uint8) or TIFF (other) files; the folder."""
    import tifffile

    for number, frame in enumerate(frames, 1):
        if frame.dtype == np.uint8:
            images.write(folder / f"{number}.png", frame)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / f"{number}.tif", frame)
    return folder


def footage_of(*sources, **settings):
    return surveying.survey(open_sources(sources), **settings)


def fused(fuser, footage):
    return list(sequences.fused_frames(fuser, footage))


def names(folder):
    return sorted(path.name for path in pathlib.Path(folder).iterdir())


def test_frames_are_fused_as_images_are(tmp_path, fusers):
    ir = videos.write(tmp_path / "ir.mp4", videos.scene(7))
    vis = videos.write(tmp_path / "vis.mkv", videos.scene(7, seed=1))
    footage = footage_of(ir, vis)
    assert (footage.count, footage.size, footage.rate) == (7, SIZE, 25)
    assert not footage.has_color
    found = fused(fusers["average"], footage)
    pairs = zip(videos.read(ir)[0], videos.read(vis)[0], strict=True)
    for image, pair in zip(found, pairs, strict=True):
        expected = fusers["average"].fuse([frame[..., 0] for frame in pair]).image
        np.testing.assert_array_equal(image, expected)
        # Three equal channels are grey as well.
        np.testing.assert_array_equal(image, fusers["average"].fuse(pair).image)
        assert image.min() < 100 < image.max()


def test_minmax_is_that_of_the_sequence(tmp_path, fusers):
    sources = [
        save(tmp_path / str(seed), videos.scene(5, seed=seed)) for seed in (0, 1)
    ]
    pairs = list(zip(videos.scene(5), videos.scene(5, seed=1), strict=True))
    raws = np.stack([fusers["minmax"].raw(pair) for pair in pairs])
    found = np.stack(fused(fusers["minmax"], footage_of(*sources)))
    np.testing.assert_array_equal(found, to_pixels(raws, "minmax"))
    assert (found.min(), found.max()) == (0, 255)


@pytest.mark.parametrize("output_range", OUTPUT_RANGES)
def test_what_stays_keeps_its_brightness(tmp_path, fusers, output_range):
    """A hot object enters on the right; on the left nothing changes."""
    still = videos.scene(1, (32, 96))[0] // 2
    ir = [still.copy() for _ in range(4)]
    for index, frame in enumerate(ir[1:]):
        frame[8:24, 80 - 8 * index :] = 255
    sources = save(tmp_path / "ir", ir), save(tmp_path / "vis", [still] * 4)
    found = fused(fusers[output_range], footage_of(*sources))
    for image in found[1:]:
        np.testing.assert_array_equal(image[:, :40], found[0][:, :40])
    assert found[0][:, 80:].max() + 30 < found[1][:, 80:].max()
    # One by one they flicker with minmax: what the fixed range is for.
    alone = [fusers[output_range].fuse([frame, still]).image for frame in ir]
    changes = (alone[1][:, :40] != alone[0][:, :40]).mean()
    assert changes > 0.9 if output_range == "minmax" else changes == 0


@pytest.mark.parametrize("dtype", (np.uint16, np.float32))
@pytest.mark.parametrize("value_range", (None, "auto", (7000.0, 9000.0)))
def test_more_than_8_bits_have_one_range(tmp_path, fusers, dtype, value_range):
    ir = [
        (7500 + 100 * number + 2.0 * frame).astype(dtype)
        for number, frame in enumerate(videos.scene(4))
    ]
    vis = videos.scene(4, seed=1)
    sources = save(tmp_path / "ir", ir), save(tmp_path / "vis", vis)
    footage = footage_of(*sources, value_ranges=[value_range, None])
    low, high = (
        (7000, 9000)
        if value_range == (7000.0, 9000.0)
        else (float(np.min(ir)), float(np.max(ir)))
    )
    assert footage.value_ranges == ((low, high), None)
    found = fused(fusers["average"], footage)
    for image, *pair in zip(found, ir, vis, strict=True):
        pair[0] = (pair[0] - low) * (255 / (high - low))
        expected = fusers["average"].fuse(pair).image
        assert np.abs(image.astype(int) - expected).max() <= 1


def test_a_video_of_16_bits(tmp_path):
    counts = [
        7000 + 9 * frame.astype(np.uint16) + number
        for number, frame in enumerate(videos.scene(3))
    ]
    ir = videos.write(tmp_path / "ir.mkv", counts, codec="ffv1")
    vis = videos.write(tmp_path / "vis.mkv", videos.scene(3, seed=1))
    footage = footage_of(ir, vis)
    assert footage.value_ranges == ((np.min(counts), np.max(counts)), None)
    found = [frames[0] for frames in footage.frames()]
    expected = pixels.to_pixel_range(np.stack(counts), "auto")[0]
    np.testing.assert_array_equal(found, expected)


def test_8_bits_are_stretched_only_when_asked(tmp_path):
    frames = [frame // 2 for frame in videos.scene(3)]
    sources = save(tmp_path / "ir", frames), save(tmp_path / "vis", frames)
    for value_range in (None, "auto", (30.0, 60.0)):
        footage = footage_of(*sources, value_ranges=[value_range, None])
        expected = np.stack(frames).astype(np.float32)
        if value_range is not None:
            expected = pixels.to_pixel_range(np.stack(frames), value_range)[0]
        found = [moment[0] for moment in footage.frames()]
        np.testing.assert_array_equal(found, expected)


def test_a_sequence_of_one_value_becomes_0(tmp_path):
    constant = [np.full(SIZE, 7000, np.uint16)] * 2
    sources = save(tmp_path / "ir", constant), save(tmp_path / "vis", constant)
    for moment in footage_of(*sources).frames():
        assert not np.any(moment)


def colored(count, first=0):
    """Grey frames, from the frame `first` on in colour."""
    grey = videos.scene(count, seed=1)
    color = videos.scene(count, seed=2, channels=(3,))
    return [pixels.rgb(grey[i]) if i < first else color[i] for i in range(count)]


@pytest.mark.parametrize(
    ("color", "output_range"),
    choices.each_with_each(COLOR_MODES, OUTPUT_RANGES),
)
def test_colour_is_decided_once(tmp_path, color, output_range):
    """Colour that comes late is there from the start on."""
    ir, vis = videos.scene(4), colored(4, first=2)
    sources = save(tmp_path / "ir", ir), save(tmp_path / "vis", vis)
    fuser = fuser_for(color, output_range)
    footage = footage_of(*sources, color=color)
    assert footage.has_color == (color != "gray")
    found = fused(fuser, footage)
    as_always = fuser_for("rgb" if color == "auto" else color, output_range)
    pairs = list(zip(ir, vis, strict=True))
    if output_range == "minmax":
        raws = [as_always.raw(pair) for pair in pairs]
        output_range = min(map(np.min, raws)), max(map(np.max, raws))
    for image, pair in zip(found, pairs, strict=True):
        expected = as_always.fuse(pair, output_range=output_range).image
        if color != "gray":
            expected = pixels.rgb(expected)
        np.testing.assert_array_equal(image, expected)


def test_luma_takes_the_chroma_of_one_source(tmp_path):
    """Also where that is grey, and another source is not."""
    ir, vis = colored(3), colored(3, first=2)
    sources = save(tmp_path / "ir", ir), save(tmp_path / "vis", vis)
    footage = footage_of(*sources, color="luma")
    fuser = fuser_for("luma", "average")
    is_color = [pixels.is_color(image) for image in fused(fuser, footage)]
    assert is_color == [False, False, True]


@pytest.mark.parametrize("color", COLOR_MODES)
def test_grey_video_is_fused_in_grey(tmp_path, color):
    """H.264 has three planes; three equal channels are not fused three times."""
    frames = videos.scene(3)
    sources = [videos.write(tmp_path / f"{name}.mp4", frames) for name in ("ir", "vis")]
    footage = footage_of(*sources, color=color)
    assert footage.has_color == (color in ("rgb", "thermal"))
    dimensions = {frame.ndim for moment in footage.frames() for frame in moment}
    assert dimensions == ({3} if color == "rgb" else {2})


def test_a_colour_video_is_looked_at_only_once(tmp_path, monkeypatch):
    sources = [
        videos.write(tmp_path / f"{name}.mp4", videos.scene(30, channels=(3,)))
        for name in ("ir", "vis")
    ]
    opened = open_sources(sources)
    seen = []

    def progress(items, total, what):
        for item in items:
            seen.append(what)
            yield item

    for color, looks in (("auto", 1), ("luma", 1), ("rgb", 0), ("gray", 0)):
        seen.clear()
        surveying.survey(opened, color=color, progress=progress)
        assert len(seen) == looks


def test_three_sources_of_two_kinds(tmp_path):
    sources = [
        save(tmp_path / "first", videos.scene(3)),
        videos.write(tmp_path / "second.mp4", videos.scene(3, seed=1), fps=50),
        save(tmp_path / "third", videos.scene(3, seed=2)),
    ]
    footage = footage_of(*sources)
    assert footage.rate == 50
    fuser = Fuser(FusionSettings("1e2", num_sources=3, output_range="average"))
    found = fused(fuser, footage)
    second = videos.read(sources[1])[0][..., 0]
    moments = zip(videos.scene(3), second, videos.scene(3, seed=2), strict=True)
    for image, moment in zip(found, moments, strict=True):
        np.testing.assert_array_equal(image, fuser.fuse(moment).image)


def make(tmp_path, name, count=5, size=SIZE, fps=25):
    return videos.write(tmp_path / f"{name}.mp4", videos.scene(count, size), fps=fps)


@pytest.mark.parametrize(
    ("other", "message"),
    (
        (
            {"count": 6},
            "differ in frames: {ir} has 5, {vis} has 6; expected one frame of each for "
            "every moment; `ffmpeg -i file:{vis} -frames:v 5 ",
        ),
        ({"size": (32, 50)}, "height and width: {ir} has 32x48, {vis} has 32x50; exp"),
        (
            {"fps": 30},
            "frames per second: {ir} has 25, {vis} has 30; expected the same; "
            "`ffmpeg -i file:{vis} -r 25 -frames:v 5 ",
        ),
        (
            {"fps": 30, "count": 7},
            "frames per second: {ir} has 25, {vis} has 30; expected the same; "
            "`ffmpeg -i file:{vis} -r 25 -frames:v 5 ",
        ),
        ({"fps": 25000 / 1001}, "per second: {ir} has 25, {vis} has 24.975; expected"),
    ),
)
def test_videos_that_differ(tmp_path, other, message):
    ir, vis = make(tmp_path, "ir"), make(tmp_path, "vis", **other)
    with pytest.raises(UserError) as error:
        open_sources([ir, vis])
    assert message.format(ir=ir, vis=vis) in str(error.value)


def test_folders_that_differ(tmp_path):
    ir = save(tmp_path / "ir", videos.scene(3))
    vis = save(tmp_path / "vis", videos.scene(4))
    with pytest.raises(UserError, match="without partner: 4.png"):
        open_sources([ir, vis])
    with pytest.raises(UserError, match=r"frames: .*ir has 3, .*\.mp4 has 5"):
        open_sources([ir, make(tmp_path, "five")])


@pytest.mark.parametrize("number", (1, 3))
def test_a_frame_of_another_size(tmp_path, number):
    frames = videos.scene(4)
    ir, vis = save(tmp_path / "ir", frames), save(tmp_path / "vis", frames)
    images.write(ir / f"{number}.png", frames[0][:-1])
    with pytest.raises(
        UserError, match=rf"{number}\.png is 31x48.* the same size"
    ) as e:
        footage_of(ir, vis)
    assert "\n" not in str(e.value)
    # Beside a video, too.
    with pytest.raises(UserError, match="the same size"):
        footage_of(ir, make(tmp_path, "vis", count=4))


def test_a_frame_of_another_type(tmp_path):
    frames = videos.scene(3)
    ir, vis = save(tmp_path / "ir", frames), save(tmp_path / "vis", frames)
    (ir / "2.png").unlink()
    save(tmp_path / "deep", [frames[0].astype(np.uint16)])
    (tmp_path / "deep/1.tif").rename(ir / "2.tif")
    with pytest.raises(UserError, match="2.tif of uint16: expected one type"):
        footage_of(ir, vis)
    assert footage_of(ir, vis, value_ranges=[(0.0, 255.0), None]).count == 3


def test_a_frame_that_is_damaged(tmp_path):
    frames = videos.scene(4)
    ir, vis = save(tmp_path / "ir", frames), save(tmp_path / "vis", frames)
    (vis / "3.png").write_bytes((vis / "3.png").read_bytes()[:99])
    with pytest.raises(UserError, match=r"vis/3\.png: cut off or damaged"):
        footage_of(ir, vis)


@pytest.mark.parametrize("size", (SIZE, (31, 45)))
def test_a_video_is_written(tmp_path, size):
    frames = videos.scene(9, size)
    sources = save(tmp_path / "ir", frames), save(tmp_path / "vis", frames)
    footage = footage_of(*sources)
    for rate, path in (
        (50, tmp_path / "new/fused.mp4"),
        (None, tmp_path / "fused.mkv"),
    ):
        settings = {"rate": rate} if rate else {}
        sequences.write(path, footage, frames, **settings)
        found, about = videos.read(path)
        assert found.shape == (9, *size, 3)
        assert about["fps"] == (rate or 25)
        assert np.abs(found[..., 0].astype(int) - frames).mean() < 1.5
    assert names(tmp_path / "new") == ["fused.mp4"]


def test_the_rate_is_that_of_the_sources(tmp_path):
    sources = [make(tmp_path, name, fps=30000 / 1001) for name in ("ir", "vis")]
    footage = footage_of(*sources)
    path = tmp_path / "fused.mp4"
    sequences.write(path, footage, videos.scene(5))
    assert open_sources([path, sources[0]])[0].rate == footage.rate


def test_a_folder_is_written(tmp_path):
    frames = videos.scene(11)
    ir = save(tmp_path / "ir", frames)
    for vis, expected in (
        (save(tmp_path / "vis", frames), [f"{n}.png" for n in range(1, 12)]),
        (make(tmp_path, "cam", 11), [f"cam_{n:06}.png" for n in range(1, 12)]),
    ):
        footage = footage_of(ir, vis)
        path = tmp_path / f"fused_{vis.stem}"
        sequences.check_output(path, footage.sources)
        sequences.write(path, footage, frames)
        for name, frame in zip(expected, frames, strict=True):
            np.testing.assert_array_equal(images.read(path / name), frame)
        assert len(names(path)) == 11
        with pytest.raises(UserError, match="exists, and is not overwritten"):
            sequences.check_output(path, footage.sources, overwrite=False)
        # The same frames again replace an earlier result, and nothing else.
        (path / expected[-1]).unlink()
        sequences.check_output(path, footage.sources)
        sequences.write(path, footage, frames[::-1])
        assert names(path) == sorted(expected)
        np.testing.assert_array_equal(images.read(path / expected[0]), frames[-1])
        (path / "notes.txt").touch()
        with pytest.raises(UserError, match="since notes.txt in it is no earlier res"):
            sequences.check_output(path, footage.sources)


def test_outliers_that_spoil_the_range_of_a_sequence_are_warned_of(tmp_path, caplog):
    """A hot spot in one frame is enough."""
    generator = np.random.default_rng(0)
    deep = list(generator.integers(7000, 7401, (3, 80, 100)).astype(np.uint16))
    vis = save(tmp_path / "vis", videos.scene(3, (80, 100)))
    flags = ("--ir_range=", "--vis_range=")
    footage_of(save(tmp_path / "good", deep), vis, range_flags=flags)
    assert "contrast is low" not in caplog.text
    deep[1][3, 4:7] = 65535, 65400, 65500
    ir = save(tmp_path / "ir", deep)
    footage_of(ir, vis, range_flags=flags)
    said = (
        rf"{ir}: the extremes of its frames 7000 and 65535, .*: --ir_range=70\d\d,7\d+"
    )
    assert re.search(said, caplog.text)
    caplog.clear()
    footage_of(ir, vis, value_ranges=((7000, 7400), None), range_flags=flags)
    assert "contrast is low" not in caplog.text


def failing(frames, error):
    yield from frames
    raise error("in between")


@pytest.mark.parametrize("name", ("fused.mp4", "fused"))
@pytest.mark.parametrize("error", (UserError, KeyboardInterrupt, MemoryError))
def test_nothing_is_left_of_a_run_that_fails(tmp_path, name, error):
    frames = videos.scene(8)
    footage = footage_of(
        save(tmp_path / "in/ir", frames), save(tmp_path / "in/vis", frames)
    )
    path = tmp_path / "out" / name
    with pytest.raises(error):
        sequences.write(path, footage, failing(frames[:5], error))
    assert names(tmp_path / "out") == []


@pytest.mark.parametrize("count", (7, 0))
def test_an_older_result_stays_if_the_run_fails(tmp_path, count):
    frames = videos.scene(8)
    footage = footage_of(save(tmp_path / "ir", frames), save(tmp_path / "vis", frames))
    path = tmp_path / "fused.mp4"
    path.write_bytes(b"older")
    with pytest.raises(UserError, match="in between"):
        sequences.write(path, footage, failing(frames[:count], UserError))
    assert path.read_bytes() == b"older"


def test_an_output_that_cannot_be(tmp_path):
    ir, vis = make(tmp_path, "ir"), make(tmp_path, "vis")
    opened = open_sources([ir, vis])
    for name, message in (
        ("fused.png", "cannot write a video named .png: expected .mp4, "),
        ("fused.avi", "cannot write a video named .avi: expected .mp4, "),
        ("./ir.mp4", "would overwrite a source"),
    ):
        with pytest.raises(UserError, match=message):
            sequences.check_output(tmp_path / name, opened)
    vis = save(tmp_path / "frames", videos.scene(5))
    with pytest.raises(UserError, match="frames: would overwrite a source"):
        sequences.check_output(vis, open_sources([ir, vis]))
    save(tmp_path / "twice", videos.scene(5))
    (tmp_path / "twice/5.png").rename(tmp_path / "twice/4.bmp")
    opened = open_sources([ir, tmp_path / "twice"])
    with pytest.raises(UserError, match=r"fused/4\.png: would be written twice"):
        sequences.check_output(tmp_path / "fused", opened)


@dataclasses.dataclass(frozen=True)
class Camera:
    """A source that counts what it has given out and how much of that is alive."""

    count: int
    alive: weakref.WeakSet = dataclasses.field(default_factory=weakref.WeakSet)
    most: list = dataclasses.field(default_factory=lambda: [0])
    closed: list = dataclasses.field(default_factory=list)

    def name(self, index):
        return f"camera, frame {index + 1}"

    def frames(self):
        try:
            for _ in range(self.count):
                frame = np.zeros(SIZE, np.uint8).view(Counted)
                self.alive.add(frame)
                self.most[0] = max(self.most[0], len(self.alive))
                yield frame
        finally:
            self.closed.append(True)


class Counted(np.ndarray):
    """Arrays that can be in a set, by identity."""

    __hash__ = object.__hash__

    def __eq__(self, other):
        return self is other


class Quick:
    """In place of a Fuser."""

    output_range = "average"

    def fuse(self, sources, names, output_range, are_scaled):
        return Fused(np.array(sources[0]), None)


@pytest.mark.parametrize("is_aligned", (False, True))
def test_as_many_frames_are_held_however_many_there_are(tmp_path, is_aligned):
    points = tmp_path / "points.csv"
    points.write_text("0,0,6,4\n40,0,46,4\n40,30,46,34\n0,30,6,34\n")
    aligner = None
    if is_aligned:
        pair = [np.zeros(SIZE, np.uint8)] * 2
        settings = RegistrationSettings(points=points)
        aligner = aligning.prepare(settings, [aligning.Scene(pair, ("ir", "vis"))])
    size = (28, 42) if is_aligned else SIZE
    most = {}
    for count in (10, 300):
        cameras = Camera(count), Camera(count)
        footage = Footage(cameras, size, (None, None), False, (True, True), aligner)
        path = tmp_path / f"{count}.mp4"
        sequences.write(path, footage, sequences.fused_frames(Quick(), footage))
        assert videos.read(path)[0].shape[:3] == (count, *size)
        most[count] = [camera.most[0] for camera in cameras]
        assert [len(camera.closed) for camera in cameras] == [1, 1]
    # Cropped frames wait in one more thread, as views of whole ones.
    assert max(most[300]) <= (10 if is_aligned else 6)


def test_sources_are_closed_when_the_reader_stops(tmp_path):
    cameras = Camera(300), Camera(300)
    footage = Footage(cameras, SIZE, (None, None), False, (True, True))
    with contextlib.closing(sequences.fused_frames(Quick(), footage)) as frames:
        assert len(list(itertools.islice(frames, 3))) == 3
    gc.collect()
    assert [len(camera.closed) for camera in cameras] == [1, 1]


def test_a_source_that_fails_in_the_middle(tmp_path, fusers):
    """The file shrinks between the survey and the fusing."""
    ir, vis = make(tmp_path, "ir", 20), make(tmp_path, "vis", 20)
    footage = footage_of(ir, vis)
    make(tmp_path, "ir", 9)
    with pytest.raises(UserError, match=r"ir\.mp4: only 9 of 20 frames could be read"):
        sequences.write(
            tmp_path / "fused.mp4",
            footage,
            sequences.fused_frames(fusers["average"], footage),
        )
    assert names(tmp_path) == ["ir.mp4", "vis.mp4"]


def test_one_video_as_all_sources_is_refused(tmp_path, caplog):
    ir, vis = make(tmp_path, "ir", 2), make(tmp_path, "vis", 2)
    with pytest.raises(UserError, match=r"ir\.mp4: is given as each of the 2 sources"):
        open_sources([ir, tmp_path / "." / "ir.mp4"])
    open_sources([ir, vis, ir])
    assert "the same file is several of the sources" in caplog.text


def test_tensorflow_is_not_imported():
    code = (
        "import sys; from densefuse_tf.pipelines import sequences; "
        "assert not {'tensorflow', 'keras', 'imageio_ffmpeg'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_memory_of_300_frames_of_640x512(long):
    if not long:
        pytest.skip("minutes: with --long")
    command = [sys.executable, str(ROOT / "benchmarks/video.py"), "--rounds=0"]
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    )
    (line,) = (x for x in result.stdout.splitlines() if x.startswith("memory:"))
    assert 0.9 < float(line.rsplit(" ", 1)[1]) < 1.1
