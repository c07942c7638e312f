"""The tf.data pipeline: what is read, in which order, and what is skipped."""

import errno
import io
import logging
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from densefuse_tf.errors import UserError
from densefuse_tf.io import files
from densefuse_tf.training import photographs
from densefuse_tf.training.crops import CropCache
from densefuse_tf.training.crops import Crops
from densefuse_tf.training.settings import TrainingSettings

SIZE = 16


@pytest.fixture
def folder(tmp_path):
    """Seven photographs whose grey level is their number times ten, in a tree."""
    for number in range(7):
        path = tmp_path / "photos" / f"set{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 30), number * 10, np.uint8)).save(path)
    return tmp_path / "photos"


def source_of(folder, **options):
    crops = Crops(size=SIZE)
    paths = photographs.find_photographs(folder)
    return photographs.Photographs(paths, crops, **options)


def levels(batches):
    """The grey levels of each batch, and the positions it says it has."""
    found = []
    for crops, positions in batches.as_numpy_iterator():
        assert crops.dtype == np.float32 and crops.shape[1:] == (SIZE, SIZE, 1)
        assert (positions == positions[0]).all()
        found.append((crops[:, 0, 0, 0].tolist(), tuple(positions[0].tolist())))
    return found


def test_finds_a_tree_and_a_glob(folder):
    (folder / "notes.txt").write_text("not a photograph")
    assert len(photographs.find_photographs(folder)) == 7
    assert len(photographs.find_photographs(f"{folder}/set0/*.png")) == 4


def test_each_epoch_has_its_own_order_and_drops_the_remainder(folder):
    batches = levels(source_of(folder, seed=1).training_batches(2, epochs=2))
    assert len(batches) == 6
    first = [level for values, _ in batches[:3] for level in values]
    second = [level for values, _ in batches[3:] for level in values]
    assert len(set(first)) == 6 and len(set(second)) == 6
    assert first != second
    assert batches == levels(source_of(folder, seed=1).training_batches(2, epochs=2))
    assert batches != levels(source_of(folder, seed=2).training_batches(2, epochs=2))


@pytest.mark.parametrize("done", range(7))
def test_batches_go_on_where_a_batch_ended(folder, done):
    def train(**options):
        return source_of(folder, seed=1).training_batches(2, **options)

    batches = levels(train().take(8))
    start = 0 if done == 0 else batches[done - 1][1][1] + 1
    assert levels(train(start=start).take(8 - done)) == batches[done:]


def test_corrupt_file_is_skipped_and_named(folder, caplog):
    bad = folder / "set1" / "3.png"
    bad.write_bytes(bad.read_bytes()[:40])
    source = source_of(folder, seed=1)
    with caplog.at_level(logging.WARNING, logger="absl"):
        batches = levels(source.training_batches(2, epochs=2))
    assert len(batches) == 6
    assert not any(30.0 in values for values, _ in batches)
    assert source.num_corrupt == 1
    named = [r for r in caplog.records if str(bad) in r.getMessage()]
    assert len(named) == 1
    assert named[0].getMessage().count(str(bad)) == 1
    first, last = batches[0][1]
    assert bad not in source.files_between(first, last)
    assert len(source.files_between(first, last)) == 2


def test_resume_with_a_corrupt_file_gives_the_same_batches(folder):
    (folder / "set1" / "3.png").write_bytes(b"")
    whole = levels(source_of(folder, seed=1).training_batches(2, epochs=3))
    for done in range(1, len(whole)):
        start = whole[done - 1][1][1] + 1
        rest = source_of(folder, seed=1).training_batches(2, epochs=3, start=start)
        assert levels(rest) == whole[done:]


def test_require_counts_what_can_be_read(folder):
    for path in folder.rglob("*.png"):
        if path.name != "0.png":
            path.write_bytes(b"text")
    source = source_of(folder)
    source.require(1)
    with pytest.raises(UserError, match="1 of 7 photographs can be read"):
        source.require(2)


def test_validation_keeps_the_order_and_the_remainder(folder):
    batches = levels(source_of(folder).validation_batches(1, limit=5))
    assert [values for values, _ in batches] == [[0.0], [20.0], [40.0], [60.0], [10.0]]
    sizes = [len(crops) for crops, _ in source_of(folder).validation_batches(3)]
    assert sizes == [3, 3, 1]


def test_a_random_crop_is_another_one_in_each_epoch(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(grey).save(path)
    crops = Crops(size=SIZE, random_crop=True)
    batches = photographs.Photographs([path], crops, seed=4).training_batches(1)
    for position, (crop, _) in enumerate(batches.take(4).as_numpy_iterator()):
        expected = crops.read(path, np.random.default_rng([4, position]))
        np.testing.assert_array_equal(crop[0, ..., 0], expected)


def test_photographs_are_held_out_by_the_seed(folder):
    paths = photographs.find_photographs(folder)
    held_out = set(np.random.default_rng(5).permutation(7)[:3].tolist())
    settings = TrainingSettings(folder, num_val_images=3, image_size=SIZE, seed=5)
    training, validation = photographs.split(settings)
    assert validation.paths == [paths[i] for i in sorted(held_out)]
    assert training.paths == [path for path in paths if path not in validation.paths]


def test_the_first_photographs_of_a_folder_validate_and_are_taken_whole(folder):
    settings = TrainingSettings(
        folder / "set0",
        folder / "set1",
        num_val_images=2,
        image_size=SIZE,
        random_crop=True,
    )
    training, validation = photographs.split(settings)
    assert [path.name for path in training.paths] == [f"{n}.png" for n in (0, 2, 4, 6)]
    assert [path.name for path in validation.paths] == ["1.png", "3.png"]
    grey = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    Image.fromarray(grey).save(validation.paths[0])
    ((crop, _),) = validation.validation_batches(2, limit=1).as_numpy_iterator()
    expected = Crops(SIZE).read(validation.paths[0], np.random.default_rng(0))
    np.testing.assert_array_equal(crop[0, ..., 0], expected)


def test_interleaved_batch_alternates_two_photographs_along_the_row(tmp_path):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (SIZE, SIZE), dtype=np.uint8) for _ in range(2)]
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    source = source_of(tmp_path)
    ((plain, _),) = source.training_batches(2, epochs=1).as_numpy_iterator()
    ((mixed, _),) = source.training_batches(
        2, epochs=1, interleaved=True
    ).as_numpy_iterator()
    # The release's own words in NumPy: transpose each, stack last, reshape.
    stacked = np.stack([image[..., 0].T for image in plain], axis=-1)
    np.testing.assert_array_equal(mixed, stacked.reshape(2, SIZE, SIZE, 1))
    first_row = mixed[0, 0, :, 0]
    np.testing.assert_array_equal(first_row[0::2], plain[0, : SIZE // 2, 0, 0])
    np.testing.assert_array_equal(first_row[1::2], plain[1, : SIZE // 2, 0, 0])


@pytest.mark.parametrize("kind", ["memory", "file", "file on macOS"])
def test_cache_gives_the_same_batches_without_the_files(
    folder, tmp_path, kind, caplog, monkeypatch
):
    if kind == "file on macOS":
        monkeypatch.delattr(os, "posix_fallocate")
    paths = photographs.find_photographs(folder)
    (folder / "set1" / "3.png").write_bytes(b"")
    crops = Crops(size=SIZE)
    file = None if kind == "memory" else tmp_path / "crops.cache"
    expected = levels(source_of(folder, seed=1).training_batches(2, epochs=2))
    with caplog.at_level(logging.INFO, logger="absl"):
        cache = CropCache(paths, crops, file)
    assert "7 crops take 0.0 MB" in caplog.text
    source = photographs.Photographs(paths, crops, seed=1, cache=cache)
    assert levels(source.training_batches(2, epochs=1)) == expected[:3]
    for path in paths:
        path.unlink()
    if file is not None:
        cache = CropCache(paths, crops, file)
        source = photographs.Photographs(paths, crops, seed=1, cache=cache)
    # One file was in no batch of the first epoch and is gone now, hence "in".
    for values, _ in levels(source.training_batches(2, epochs=2))[:3]:
        assert values in [values for values, _ in expected[:3]]


def missing(path, patch):
    path.rename(path.with_suffix(".away"))


def missing_behind_a_link(path, patch):
    missing(path, patch)
    path.symlink_to(path.with_suffix(".gone"))


def a_folder(path, patch):
    missing(path, patch)
    path.mkdir()


def failing(error):
    """Lets an error come when a file is opened."""

    def fail(path, patch):
        def open_or_fail(name, mode):
            if name == str(path):
                raise error
            return open(name, mode)

        patch.setattr(files, "open", open_or_fail, raising=False)

    return fail


def failing_in_the_middle(path, patch):
    class File(io.BytesIO):
        def read(self, *size):
            if self.tell() > 40:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(*size)

    def open_to_fail(name, mode):
        return File(path.read_bytes()) if name == str(path) else open(name, mode)

    patch.setattr(files, "open", open_to_fail, raising=False)


@pytest.mark.parametrize(
    "spoil",
    [
        missing,
        missing_behind_a_link,
        a_folder,
        failing(OSError(errno.ESTALE, "Stale file handle")),
        failing(PermissionError(errno.EACCES, "Permission denied")),
        failing(OSError(errno.EMFILE, "Too many open files")),
        failing(MemoryError()),
        failing_in_the_middle,
    ],
)
def test_cache_forgets_what_could_not_be_opened(
    folder, tmp_path, spoil, monkeypatch, caplog
):
    paths = photographs.find_photographs(folder)
    damaged, away = folder / "set1" / "3.png", folder / "set0" / "4.png"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:50])
    cache = CropCache(paths, Crops(size=SIZE), tmp_path / "crops.cache")
    with monkeypatch.context() as patch:
        spoil(away, patch)
        source = photographs.Photographs(paths, Crops(size=SIZE), cache=cache)
        shown = {
            v for values, _ in levels(source.validation_batches(1)) for v in values
        }
    assert shown == {0, 10, 20, 50, 60} and source.num_corrupt == 2
    if away.with_suffix(".away").exists():
        if away.is_dir():
            away.rmdir()
        away.with_suffix(".away").replace(away)
    # Damage is remembered, since the cache need not read such files again.
    damaged.write_bytes(whole)
    cache = CropCache(paths, Crops(size=SIZE), tmp_path / "crops.cache")
    source = photographs.Photographs(paths, Crops(size=SIZE), cache=cache)
    with caplog.at_level(logging.WARNING, logger="absl"):
        batches = levels(source.validation_batches(1))
    assert {v for values, _ in batches for v in values} == {0, 10, 20, 40, 50, 60}
    assert f"{damaged}: was not readable when it was cached" in caplog.text


@pytest.mark.parametrize("start", [0, 1, 4, 6])
def test_batches_end_after_an_epoch_without_any(folder, start):
    source = source_of(folder, seed=1)
    batches = source.training_batches(2, start=start).as_numpy_iterator()
    next(batches)
    shutil.rmtree(folder)
    assert len(list(batches)) < 20
    assert source.are_gone
    rest = source.training_batches(2, epochs=2, start=start).as_numpy_iterator()
    assert list(rest) == [] and source.are_gone


@pytest.mark.parametrize(
    ("start", "count"), [(0, 6), (1, 6), (6, 3), (7, 3), (12, 1), (13, 0), (14, 0)]
)
def test_batches_end_with_the_epochs(folder, start, count):
    source = source_of(folder, seed=1)
    assert len(levels(source.training_batches(2, epochs=2, start=start))) == count
    assert not source.are_gone
