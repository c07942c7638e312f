"""Pairs of files: order, errors, bounded memory."""

import contextlib
import gc
import threading
import weakref

import numpy as np
import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.fusion.channels import Fused
from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.fusion.output_range import to_pixels
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.pipelines import pairs
from densefuse_tf.pipelines import planning
from densefuse_tf.pipelines.planning import Pair
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
        return Fused(to_pixels(raw, "average"), raw)


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

    def fail(path, image, **options):
        if path.name == "2.png":
            raise UserError(f"{path}: cannot be written: No space left on device")
        return write(path, image, **options)

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
    def watched_write(path, image, **options):
        with write(path, image, **options):
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
    pair = Pair((infrared, five[1].sources[1]), tmp_path / "deep.png")
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


def test_only_what_has_no_whole_result_is_left(five):
    raw = FileOptions(save_raw=True)
    list(pairs.fuse_pairs(Mean(), five[:3], FileOptions()))
    list(pairs.fuse_pairs(Mean(), five[1:2], raw))
    left = planning.without_result(five, FileOptions())
    assert list(left) == five[3:] and len(left) == 2 and left[0] == five[3]
    assert list(planning.without_result(five, raw)) == [five[0], *five[2:]]
