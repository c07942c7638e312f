"""Crops of photographs, and the cache of them."""

import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from densefuse_tf.errors import UserError
from densefuse_tf.training.crops import CropCache
from densefuse_tf.training.crops import Crops

SIZE = 16


def test_crop_is_grey_and_nearest_as_pillow_has_them(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(rgb).save(path)
    crop = Crops(size=32).read(path, np.random.default_rng(0))
    luma = (
        rgb[..., 0].astype(int) * 19595
        + rgb[..., 1].astype(int) * 38470
        + rgb[..., 2].astype(int) * 7471
        + 0x8000
    ) >> 16
    rows = ((np.arange(32) + 0.5) * 48 / 32).astype(int)
    columns = ((np.arange(32) + 0.5) * 64 / 32).astype(int)
    np.testing.assert_array_equal(crop, luma[np.ix_(rows, columns)])


def test_random_crop_is_a_part_of_the_photograph(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(grey).save(path)
    crops = Crops(size=16, random_crop=True)
    seen = set()
    for seed in range(20):
        crop = crops.read(path, np.random.default_rng(seed))
        places = [
            (top, left)
            for top in range(25)
            for left in range(35)
            if (grey[top : top + 16, left : left + 16] == crop).all()
        ]
        assert len(places) == 1
        seen.add(places[0])
    assert len(seen) > 10
    # Each place of a crop comes, the first and the last ones too.
    Image.fromarray(grey[:17, :18]).save(path)
    seen = {
        crops.read(path, np.random.default_rng(seed)).tobytes() for seed in range(60)
    }
    places = np.ndindex(2, 3)
    assert seen == {grey[y : y + 16, x : x + 16].tobytes() for y, x in places}
    # Enlarged until the shorter side, 17 pixels, has 64, the longer one has 68.
    small = Crops(size=64, random_crop=True).read(path, np.random.default_rng(0))
    rows = ((np.arange(64) + 0.5) * 17 / 64).astype(int)
    columns = ((np.arange(68) + 0.5) * 18 / 68).astype(int)
    enlarged = grey[np.ix_(rows, columns)]
    assert any((enlarged[:, x : x + 64] == small).all() for x in range(5))


def test_cache_of_other_photographs_is_refused(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(7)]
    file = tmp_path / "crops.cache"
    CropCache(paths, Crops(size=SIZE), file)
    before = file.read_bytes()
    with pytest.raises(UserError, match="not a crop cache of these"):
        CropCache(paths, Crops(size=SIZE + 1), file)
    assert file.read_bytes() == before
    file.unlink()
    file.mkdir()
    with pytest.raises(UserError, match="cache: cannot be written: Is a directory"):
        CropCache(paths, Crops(size=SIZE), file)
    pathlib.Path(f"{file}.json").write_text("{")
    with pytest.raises(UserError, match="not a crop cache of these"):
        CropCache(paths, Crops(size=SIZE), file)
    with pytest.raises(UserError, match="cannot be cached"):
        CropCache(paths, Crops(random_crop=True))


def test_a_cached_crop_is_whole_before_it_counts_as_there(tmp_path):
    cache = CropCache([tmp_path / "0.png"], Crops(size=SIZE))
    written = []

    class Watched(dict):
        def __getitem__(self, name):
            written.append(name)
            return np.zeros((1, SIZE, SIZE) if name == "crop" else 1, np.uint8)

    cache._records = Watched()
    cache.put(0, 1, np.zeros((SIZE, SIZE), np.uint8))
    assert written == ["crop", "state"]


def test_cache_of_photographs_with_names_of_any_bytes(tmp_path):
    paths = [tmp_path / os.fsdecode(name) for name in (b"\xff.png", b"\xfe.png")]
    file = tmp_path / "crops.cache"
    for _ in range(2):
        CropCache(paths, Crops(size=SIZE), file)
    with pytest.raises(UserError, match="not a crop cache of these"):
        CropCache(paths[::-1], Crops(size=SIZE), file)
