"""Plans and pairs of files: order, errors, bounded memory."""

import contextlib
import gc
import pathlib
import threading
import weakref

import numpy as np
import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.fusion.channels import Fused
from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.fusion.output_range import to_uint8
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import images
from densefuse_tf.io import outputs
from densefuse_tf.io import pixels
from densefuse_tf.pipelines import pairs
from densefuse_tf.pipelines.settings import FileOptions

RAW = FileOptions(save_raw=True)


class Mean:
    """Fuses by the mean: what `fuse_pairs` needs of a Fuser, without a network."""

    def __init__(self):
        self.calls = 0

    def fuse(self, sources, names, are_scaled):
        assert are_scaled
        self.calls += 1
        pixels.require_same_size([source.shape for source in sources], names)
        raw = np.mean([source.astype(np.float32) for source in sources], axis=0)
        return Fused(to_uint8(raw, "average"), raw)


def paths(*names):
    return tuple(pathlib.Path(name) for name in names)


@pytest.fixture
def five(tmp_path):
    """Five five of tiny images on disk."""
    found = []
    for index in range(5):
        sources = paths(tmp_path / f"ir/{index}.png", tmp_path / f"vis/{index}.png")
        for path, value in zip(sources, (10 * index, 20 * index), strict=True):
            images.write(path, np.full((3, 4), value, np.uint8))
        found.append(pairs.Pair(sources, tmp_path / f"out/{index}.png"))
    return found


def test_plan_of_one_pair_into_a_file(tmp_path):
    pair = paths("ir.png", "vis.jpg")
    assert pairs.plan([pair], tmp_path / "f.tif") == [
        pairs.Pair(pair, tmp_path / "f.tif")
    ]


@pytest.mark.parametrize("end", ("folder", "made.today", "slash.png/"))
def test_plan_of_pairs_into_a_folder(tmp_path, end):
    (tmp_path / "made.today").mkdir()
    sources = [paths("ir/a.png", "vis/b.jpg"), paths("ir/c.png", "vis/d.e.tif")]
    folder = tmp_path / end
    count = 1 if end.endswith("/") else 2
    planned = pairs.plan(sources[:count], f"{tmp_path}/{end}")
    expected = [folder / "b.png", folder / "d.e.png"][:count]
    assert [pair.output for pair in planned] == expected
    assert planned[0].raw_output == folder / "b.npy"


def test_plan_refuses_a_file_for_several_pairs(tmp_path):
    sources = [paths("a.png", "b.png"), paths("c.png", "d.png")]
    with pytest.raises(UserError, match="as an image: expected a folder for 2 pairs"):
        pairs.plan(sources, tmp_path / "fused.png")


def test_plan_refuses_an_unknown_suffix(tmp_path):
    with pytest.raises(UserError, match="cannot write an image named .gif"):
        pairs.plan([paths("a.png", "b.png")], tmp_path / "fused.gif")


def test_refuses_two_results_of_one_name(tmp_path):
    sources = [paths("ir/1.png", "vis/a.jpg"), paths("ir/2.png", "vis/a.png")]
    with pytest.raises(UserError, match=r"a.png: would be written twice, for vis"):
        outputs.check_pairs(pairs.texts(pairs.plan(sources, tmp_path)))


@pytest.mark.parametrize("output", ("vis", "vis/x.png", "ir/x.png", "link"))
def test_refuses_to_overwrite_a_source(tmp_path, output):
    (tmp_path / "vis").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "vis")
    sources = paths(tmp_path / "ir/x.png", tmp_path / "vis/x.png")
    with pytest.raises(UserError, match=r"x.png: would overwrite a source image"):
        outputs.check_pairs(pairs.texts(pairs.plan([sources], tmp_path / output)))


@pytest.mark.parametrize("other", ("out/1.png", "vis/1.png"))
def test_refuses_another_output_that_collides(five, tmp_path, other):
    with pytest.raises(UserError, match=r"1.png: would"):
        outputs.check_pairs(pairs.texts(five), [tmp_path / other])


@pytest.mark.parametrize("save_raw", (False, True))
def test_fuses_all_in_order(five, tmp_path, save_raw):
    done = list(pairs.fuse_pairs(Mean(), five, FileOptions(save_raw=save_raw)))
    assert [finished.pair for finished in done] == five
    for index, finished in enumerate(done):
        assert finished.error is None
        expected = np.full((3, 4), 15 * index, np.uint8)
        np.testing.assert_array_equal(finished.image, expected)
        np.testing.assert_array_equal(images.read(finished.pair.output), expected)
        assert [source[0, 0] for source in finished.sources] == [10 * index, 20 * index]
        if save_raw:
            raw = np.load(finished.pair.raw_output)
            assert raw.dtype == np.float32
            np.testing.assert_array_equal(raw, expected)
    assert len(list((tmp_path / "out").iterdir())) == 5 * (1 + save_raw)


def test_goes_on_after_a_bad_pair(five, tmp_path):
    five[1].sources[0].write_bytes(b"no image")
    images.write(five[2].sources[1], np.zeros((4, 4), np.uint8))
    five[4].sources[0].unlink()
    done = list(pairs.fuse_pairs(Mean(), five, FileOptions()))
    assert [finished.error is None for finished in done] == [1, 0, 0, 1, 0]
    for index, source in ((1, 0), (2, 1), (4, 0)):
        assert str(five[index].sources[source]) in str(done[index].error)
        assert not five[index].output.exists()
        assert done[index].image is None
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "0.png",
        "3.png",
    ]


def test_a_result_that_cannot_be_written_leaves_nothing(five, monkeypatch, tmp_path):
    write = images.writing

    def fail(path, image):
        if path.name == "2.png":
            raise UserError(f"{path}: cannot be written: No space left on device")
        return write(path, image)

    monkeypatch.setattr(images, "writing", fail)
    done = list(pairs.fuse_pairs(Mean(), five, RAW))
    assert [finished.error is None for finished in done] == [1, 1, 0, 1, 1]
    names = {path.stem for path in (tmp_path / "out").iterdir()}
    assert names == {"0", "1", "3", "4"}


@pytest.mark.parametrize("suffix", (".png", ".npy"))
def test_earlier_results_stay_if_one_of_the_two_is_read_only(five, suffix):
    pair = five[1]
    pair.output.parent.mkdir()
    pair.output.write_text("earlier")
    pair.raw_output.write_text("earlier")
    pair.output.with_suffix(suffix).chmod(0o444)
    (done,) = pairs.fuse_pairs(Mean(), [pair], RAW)
    assert f"{suffix}: cannot be written: it is read-only" in str(done.error)
    assert pair.output.read_text() == pair.raw_output.read_text() == "earlier"
    assert len(list(pair.output.parent.iterdir())) == 2


@pytest.mark.parametrize("pixels", (24, 23))
def test_large_images_are_alone(five, monkeypatch, pixels):
    """Pairs of 24 pixels: nothing is held besides the one that is computed."""
    monkeypatch.setattr(pairs, "_MAX_PIXELS_HELD", pixels)
    is_large = pixels < 24
    counts = {"read": 0, "written": 0}
    held, ahead, unwritten = [], [], []
    read, write = images.read, images.writing

    class Watching(Mean):
        def fuse(self, sources, names, are_scaled):
            gc.collect()
            ahead.append(counts["read"] - 2 * (self.calls + 1))
            unwritten.append(self.calls - counts["written"])
            alive = [name for name, reference in held if reference() is not None]
            assert not is_large or sorted(alive) == sorted(map(str, names))
            fused = super().fuse(sources, names, are_scaled)
            held.append(("image", weakref.ref(fused.image)))
            held.append(("raw", weakref.ref(fused.raw)))
            return fused

    def watched_read(path, **settings):
        image = read(path, **settings)
        counts["read"] += 1
        held.append((str(path), weakref.ref(image)))
        return image

    @contextlib.contextmanager
    def watched_write(path, image):
        with write(path, image):
            yield
        counts["written"] += 1

    monkeypatch.setattr(images, "read", watched_read)
    monkeypatch.setattr(images, "writing", watched_write)
    results = pairs.fuse_pairs(Watching(), five * 3, RAW, with_images=False)
    for done in results:
        assert done.error is None
        assert (done.sources, done.image) == ((), None)
    assert len(ahead) == 15
    if is_large:
        assert set(ahead) == set(unwritten) == {0}
    else:
        assert max(ahead) <= 2 and max(unwritten) <= 1


def test_a_large_pair_among_small_ones(five, tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "_MAX_PIXELS_HELD", 2 * 24)
    for path in five[2].sources:
        images.write(path, np.full((30, 40), 7, np.uint8))
    five[3].sources[1].write_bytes(b"no image")
    done = list(pairs.fuse_pairs(Mean(), five, FileOptions()))
    assert [finished.pair for finished in done] == five
    assert [finished.error is None for finished in done] == [1, 1, 1, 0, 1]
    assert done[2].image.shape == (30, 40)


def test_one_job_at_a_time(five, tmp_path):
    lock = threading.Lock()

    class Locked(Mean):
        def fuse(self, sources, names, are_scaled):
            assert lock.locked()
            return super().fuse(sources, names, are_scaled)

    (done,) = pairs.fuse_pairs(Locked(), five[1:2], RAW, computing=lock)
    assert done.error is None
    assert not lock.locked()


def test_brings_16_bits_to_the_network_s_range(tmp_path, five, caplog):
    import tifffile

    deep = np.linspace(7000, 9000, 12).astype(np.uint16).reshape(3, 4)
    infrared = tmp_path / "deep.tif"
    tifffile.imwrite(infrared, deep)
    pair = pairs.Pair((infrared, five[1].sources[1]), tmp_path / "deep.png")
    (done,) = pairs.fuse_pairs(Mean(), [pair], FileOptions())
    assert done.sources[0].dtype == np.float32
    assert (done.sources[0].min(), done.sources[0].max()) == (0, 255)
    (done,) = pairs.fuse_pairs(Mean(), [pair], FileOptions(((6000, 10000), None)))
    assert done.sources[0].min() == pytest.approx(1000 / 4000 * 255)
    assert done.sources[1].dtype == np.uint8


def test_a_dark_image_brought_to_0_to_255_is_fused(five, checkpoint):
    """After that it may have values of 0..1 as much as any."""
    options = FileOptions(value_ranges=((0, 100_000), None))
    (done,) = pairs.fuse_pairs(Fuser(FusionSettings(checkpoint)), five[1:2], options)
    assert done.error is None
    assert 0 < done.sources[0].max() < 1


def test_unequal_sizes_are_found_before_the_work(five, caplog):
    pairs.check_sizes(five)
    assert not caplog.text
    images.write(five[3].sources[1], np.zeros((5, 5), np.uint8))
    five[4].sources[1].write_bytes(b"no image")
    pairs.check_sizes(five)
    assert "1 of 5 pairs cannot be fused, the first of them: " in caplog.text
    assert f"{five[3].sources[1]} is 5x5" in caplog.text
    with pytest.raises(UserError, match="3.png is 3x4 and .* is 5x5: the source"):
        pairs.check_sizes(five[3:4])


def test_only_what_has_no_whole_result_is_left(five):
    raw = FileOptions(save_raw=True)
    list(pairs.fuse_pairs(Mean(), five[:3], FileOptions()))
    list(pairs.fuse_pairs(Mean(), five[1:2], raw))
    left = pairs.without_result(five, FileOptions())
    assert list(left) == five[3:] and len(left) == 2 and left[0] == five[3]
    assert list(pairs.without_result(five, raw)) == [five[0], *five[2:]]
