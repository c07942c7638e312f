"""Plans of runs over pairs: what becomes of what, and what is refused."""

import pathlib

import numpy as np
import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.io import images
from densefuse_tf.io import outputs
from densefuse_tf.pipelines import planning


def paths(*names):
    return tuple(pathlib.Path(name) for name in names)


def test_plan_of_one_pair_into_a_file(tmp_path):
    pair = paths("ir.png", "vis.jpg")
    assert planning.plan([pair], tmp_path / "f.tif") == [
        planning.Pair(pair, tmp_path / "f.tif")
    ]


@pytest.mark.parametrize("end", ("folder", "made.today", "slash.png/"))
def test_plan_of_pairs_into_a_folder(tmp_path, end):
    (tmp_path / "made.today").mkdir()
    sources = [paths("ir/a.png", "vis/b.jpg"), paths("ir/c.png", "vis/d.e.tif")]
    folder = tmp_path / end
    count = 1 if end.endswith("/") else 2
    planned = planning.plan(sources[:count], f"{tmp_path}/{end}")
    expected = [folder / "b.png", folder / "d.e.png"][:count]
    assert [pair.output for pair in planned] == expected
    assert planned[0].raw_output == folder / "b.npy"


def test_results_of_one_name_go_into_folders(tmp_path):
    sources = [
        paths(f"{each}/ir/{name}.jpg", f"{each}/vis/{name}.jpg")
        for each in ("Day", "Night")
        for name in ("1", "2")
    ]
    planned = planning.plan(sources, tmp_path)
    assert [str(pair.output.relative_to(tmp_path)) for pair in planned] == [
        *("Day/1.png", "Day/2.png", "Night/1.png", "Night/2.png")
    ]
    assert [pair.sources for pair in planned] == sources
    assert planning.folder_of(planned, tmp_path) == tmp_path
    outputs.check_pairs(planning.texts(planned))


def test_plan_refuses_a_file_for_several_pairs(tmp_path):
    sources = [paths("a.png", "b.png"), paths("c.png", "d.png")]
    with pytest.raises(UserError, match="as an image: expected a folder for 2 pairs"):
        planning.plan(sources, tmp_path / "fused.png")


def test_plan_refuses_an_unknown_suffix(tmp_path):
    with pytest.raises(UserError, match="cannot write an image named .gif"):
        planning.plan([paths("a.png", "b.png")], tmp_path / "fused.gif")


def test_refuses_two_results_of_one_name(tmp_path):
    sources = [paths("ir/1.png", "vis/a.jpg"), paths("ir/2.png", "vis/a.png")]
    with pytest.raises(UserError, match=r"a.png: would be written twice, for vis"):
        outputs.check_pairs(planning.texts(planning.plan(sources, tmp_path)))


@pytest.mark.parametrize("output", ("vis", "vis/x.png", "ir/x.png", "link"))
def test_refuses_to_overwrite_a_source(tmp_path, output):
    (tmp_path / "vis").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "vis")
    sources = paths(tmp_path / "ir/x.png", tmp_path / "vis/x.png")
    with pytest.raises(UserError, match=r"x.png: would overwrite a source image"):
        outputs.check_pairs(planning.texts(planning.plan([sources], tmp_path / output)))


@pytest.mark.parametrize("other", ("out/1.png", "vis/1.png"))
def test_refuses_another_output_that_collides(five, tmp_path, other):
    with pytest.raises(UserError, match=r"1.png: would"):
        outputs.check_pairs(planning.texts(five), [tmp_path / other])


def test_unequal_sizes_are_found_before_the_work(five, caplog):
    planning.check_sizes(five)
    assert not caplog.text
    images.write(five[3].sources[1], np.zeros((5, 5), np.uint8))
    five[4].sources[1].write_bytes(b"no image")
    planning.check_sizes(five)
    assert "1 of 5 pairs cannot be fused, the first of them: " in caplog.text
    assert f"{five[3].sources[1]} is 5x5" in caplog.text
    with pytest.raises(UserError, match="3.png is 3x4 and .* is 5x5: the source"):
        planning.check_sizes(five[3:4])
