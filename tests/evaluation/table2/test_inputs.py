"""What Table II is made of: pairs, checkpoints, and images of other methods."""

import shutil

import numpy as np
import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.evaluation import scoring
from densefuse_tf.evaluation.table2 import inputs
from densefuse_tf.evaluation.table2 import paper
from densefuse_tf.io import images
from densefuse_tf.io import pixels


@pytest.fixture
def data_dir(tiny, tmp_path):
    """The pairs, to change files in."""
    return shutil.copytree(tiny, tmp_path / "pairs")


def test_pairs_are_read(data_dir, photograph):
    color = photograph(7, (3,))
    images.write(data_dir / "VIS3.png", color)
    pairs = inputs.read_pairs(data_dir)
    assert tuple(pair.number for pair in pairs) == paper.PAIRS
    np.testing.assert_array_equal(pairs[-1].ir, photograph(21))
    np.testing.assert_array_equal(pairs[-1].vis, photograph(121))
    np.testing.assert_array_equal(pairs[2].vis, pixels.gray(color))
    assert [pair.colored for pair in pairs if pair.colored] == [
        (data_dir / "VIS3.png",)
    ]
    assert len({pair.digest for pair in pairs}) == 20


def test_pair_20_is_read_only_where_it_is_asked_for(data_dir):
    (data_dir / "IR20.png").unlink()
    assert len(inputs.read_pairs(data_dir)) == 20
    with pytest.raises(UserError, match=r"IR20\.png missing: .* 21 pairs .* 1 to 21"):
        inputs.read_pairs(data_dir, paper.ALL_PAIRS)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda d: (d / "IR7.png").unlink(),
            r"pairs: IR7\.png missing: expected IR<n>",
        ),
        (
            lambda d: (d / "IR7.png").write_text("no image"),
            r"IR7\.png: starts with the bytes .*: expected PNG",
        ),
        (
            lambda d: images.write(d / "IR7.png", np.zeros((50, 60), np.uint8)),
            "is 50x60",
        ),
        (lambda d: shutil.rmtree(d), "pairs: no such folder"),
        (lambda d: (shutil.rmtree(d), d.touch()), "pairs: is not a folder"),
    ],
)
def test_unusable_pairs_are_refused(data_dir, spoil, message):
    spoil(data_dir)
    with pytest.raises(UserError, match=message):
        inputs.read_pairs(data_dir)


@pytest.mark.parametrize(
    "name",
    [
        "densefuse_{}.keras",
        "densefuse_model_bs2_epoch4_all_weight_{}.ckpt.index",
        "{}/model.keras",
        "my-{}.keras",
    ],
)
def test_checkpoints_are_found_by_name(tmp_path, name):
    for lambda_ in ("1e0", "1e2", "1e10", "11e1"):
        path = tmp_path / name.format(lambda_)
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "1e3.txt").touch()
    found = inputs.find_checkpoints(tmp_path)
    expected = {lambda_: tmp_path / name.format(lambda_) for lambda_ in ("1e0", "1e2")}
    if name.endswith(".index"):
        expected = {key: path.with_suffix("") for key, path in expected.items()}
    assert found == expected


def test_name_of_this_project_goes_before_others(tmp_path):
    for name in ("densefuse_1e1.keras", "old_1e1.keras", "older_1e1.keras"):
        (tmp_path / name).touch()
    found = inputs.find_checkpoints(tmp_path)
    assert found == {"1e1": tmp_path / "densefuse_1e1.keras"}
    (tmp_path / "densefuse_1e1.keras").unlink()
    with pytest.raises(UserError, match=r"old_1e1\.keras, older_1e1\.keras are there"):
        inputs.find_checkpoints(tmp_path)


def test_release_is_found(shared, released):
    found = inputs.find_checkpoints(shared / "released_checkpoints")
    assert {name: str(path) for name, path in found.items()} == released


@pytest.mark.parametrize(
    "name", ["{}.png", "fused{}.png", "1e2_fused{}_2.png", "VIS{:02}.png"]
)
def test_images_of_a_method_are_found_by_number(tmp_path, photograph, name):
    for n in range(1, 22):
        images.write(tmp_path / "GTF" / name.format(n), photograph(n))
    (tmp_path / "notes.txt").touch()
    assert scoring.find_methods(tmp_path) == {"GTF": tmp_path / "GTF"}
    expected = {n: tmp_path / "GTF" / name.format(n) for n in paper.ALL_PAIRS}
    assert inputs.find_fused(tmp_path / "GTF", paper.ALL_PAIRS) == expected
    del expected[20]
    assert inputs.find_fused(tmp_path / "GTF") == expected


def test_incomplete_methods_are_refused(tmp_path, photograph):
    with pytest.raises(UserError, match="has no sub-folder: expected one for each"):
        scoring.find_methods(tmp_path)
    with pytest.raises(UserError, match="absent: no such folder"):
        scoring.find_methods(tmp_path / "absent")
    for n in range(1, 20):
        images.write(tmp_path / f"CNN/fused{n}.png", photograph(n))
    with pytest.raises(UserError, match="CNN: no image for pair 21: expected one for"):
        inputs.find_fused(tmp_path / "CNN")
    images.write(tmp_path / "CNN/fused21.png", photograph(21))
    images.write(tmp_path / "CNN/again21.png", photograph(21))
    with pytest.raises(UserError, match="CNN: several images"):
        inputs.find_fused(tmp_path / "CNN")
