"""densefuse-register from its flags to its files."""

import os

import numpy as np
import pytest
import tifffile

from densefuse_tf import registration
from densefuse_tf.commands import fuse
from densefuse_tf.commands import register
from densefuse_tf.io import images
from tests.registration.conftest import moved
from tests.registration.conftest import noisy
from tests.registration.conftest import scene
from tests.registration.conftest import similarity

PAIR = ("--fixed=vis.png", "--moving=ir.png")
POINTS = "0,0,6,4\n200,0,206,4\n200,150,206,154\n0,150,6,154\n"


@pytest.fixture
def files(tmp_path, monkeypatch):
    """vis.png and ir.png of one scene, and points.csv, in the current folder."""
    monkeypatch.chdir(tmp_path)
    images.write("vis.png", noisy(scene(1), 2))
    images.write("ir.png", noisy(moved(255 - scene(1), similarity(1, 0, (6, 4))), 3))
    (tmp_path / "points.csv").write_text(POINTS)
    return tmp_path


def run(*flags):
    return register.run(["densefuse-register", *flags])


def test_the_pair_comes_out_aligned_and_of_one_size(files, capsys):
    outputs = ("--output=a.png", "--fixed_output=f.png", "--checkerboard=c.png")
    assert run(*PAIR, *outputs, "--save_transform=t.json") == 0
    shapes = {images.read(name).shape for name in ("a.png", "f.png", "c.png")}
    assert len(shapes) == 1
    found = registration.load("t.json")
    np.testing.assert_allclose(found.matrix[:2, 2], (6, 4), atol=1.5)
    assert "distinctness" in capsys.readouterr().out


def test_a_saved_transform_gives_the_same_image_without_a_search(files, monkeypatch):
    assert run(*PAIR, "--points=points.csv", "--save_transform=t.json") == 0
    assert run(*PAIR, "--points=points.csv", "--output=a.png") == 0
    monkeypatch.setattr(registration, "register", None)
    assert run(*PAIR, "--transform=t.json", "--output=b.png") == 0
    np.testing.assert_array_equal(images.read("a.png"), images.read("b.png"))


def test_points_crop_to_what_both_cover(files):
    assert run(*PAIR, "--points=points.csv", "--output=a.png") == 0
    aligned = images.read("a.png")
    np.testing.assert_array_equal(aligned, images.read("ir.png")[4:, 6:])


def test_uncovered_black_keeps_the_size(files):
    flags = ("--points=points.csv", "--output=a.png", "--uncovered=black")
    assert run(*PAIR, *flags) == 0
    assert images.read("a.png").shape == images.read("vis.png").shape


def test_16_bit_images_keep_their_depth_in_tiff(files, capsys):
    deep = images.read("ir.png").astype(np.uint16) * 200
    tifffile.imwrite("deep.tif", deep)
    flags = ("--fixed=vis.png", "--moving=deep.tif", "--points=points.csv")
    assert run(*flags, "--output=a.tif") == 0
    np.testing.assert_array_equal(images.read("a.tif"), deep[4:, 6:])
    assert run(*flags, "--output=a.png") == 2
    assert "expected a name ending in .tif" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags, line",
    [
        (("--fixed=vis.png",), "--moving is missing"),
        ((*PAIR, "--output=ir.png"), "would overwrite what --moving reads"),
        ((*PAIR, "--output=a.png", "--fixed_output=a.png"), "what --output writes"),
        ((*PAIR, "--save_transform=t.png"), "expected .json"),
        ((*PAIR, "--output=a.txt"), "is named .txt: expected .png"),
        ((*PAIR, "--transform=points.csv"), "points.csv: is no JSON"),
        ((*PAIR, "--transform=t.json", "--points=p.csv"), "does not go with"),
        ((*PAIR, "--guess=g.json", "--points=p.csv"), "--guess does not go with"),
        ((*PAIR, "--points=three.csv"), "three.csv: 3 given: expected 4 or more"),
        ((*PAIR, "--points=line.csv"), "line.csv: lie on a line"),
        ((*PAIR, "--points=far.csv", "--output=a.png"), "do not overlap"),
        (("--fixed=vis.png", "--moving=flat.png"), "flat.png: all its pixels"),
        (("--fixed=vis.png", "--moving=other.png"), "is not registered to vis.png"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(files, capsys, flags, line):
    rows = POINTS.splitlines(keepends=True)
    (files / "three.csv").write_text("".join(rows[:3]))
    (files / "line.csv").write_text("".join(f"{x},{x},{x},{x}\n" for x in range(5)))
    (files / "far.csv").write_text(
        POINTS.replace(",6,", ",906,").replace("206", "1106")
    )
    images.write("flat.png", np.full((50, 60), 9, np.uint8))
    images.write("other.png", noisy(scene(5), 6))
    assert run(*flags) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1
    assert not (files / "a.png").exists()


def test_a_guess_is_searched_around_by_its_model(files, monkeypatch, capsys):
    flags = ("--points=points.csv", "--model=similarity", "--save_transform=g.json")
    assert run(*PAIR, *flags) == 0
    given = registration.load("g.json")
    calls = []

    def register(fixed, moving, **options):
        calls.append(options)
        return given

    monkeypatch.setattr(registration, "register", register)
    assert run(*PAIR, "--guess=g.json", "--output=a.png") == 0
    assert run(*PAIR, "--guess=g.json", "--model=affine", "--output=a.png") == 0
    assert [options["model"] for options in calls] == ["similarity", "affine"]
    np.testing.assert_array_equal(calls[0]["guess"], given.matrix)
    images.write("small.png", noisy(scene(1), 2)[:90])
    flags = ("--fixed=small.png", "--moving=ir.png", "--guess=g.json")
    assert run(*flags, "--output=a.png") == 2
    assert "small.png is 90x240: expected 180x240" in capsys.readouterr().err


def test_a_transform_of_other_sizes_is_refused(files, capsys):
    assert run(*PAIR, "--points=points.csv", "--save_transform=t.json") == 0
    images.write("small.png", noisy(scene(1), 2)[:90])
    flags = ("--fixed=small.png", "--moving=ir.png", "--transform=t.json")
    assert run(*flags, "--output=a.png") == 2
    assert "small.png is 90x240: expected 180x240" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", (np.uint16, np.float32))
@pytest.mark.parametrize("offset", (0, 7000))
def test_two_steps_give_what_one_does(files, checkpoint, dtype, offset):
    """What was not covered is known again when the aligned image is fused."""
    deep = (images.read("ir.png").astype(dtype) * 20 + offset)[:130, :170]
    tifffile.imwrite("deep.tif", deep)
    flags = ("--points=points.csv", "--uncovered=black")
    aligned = ("--fixed=vis.png", "--moving=deep.tif", "--output=a.tif", *flags)
    assert run(*aligned) == 0
    read = images.read("a.tif", masked=True)
    assert read.mask[140:].all() and not read.mask[:120, :150].any()
    fused = ("fuse.py", f"--checkpoint={checkpoint}", "--vis=vis.png")
    assert fuse.run([*fused, "--ir=a.tif", "--output=two.png"]) == 0
    assert fuse.run([*fused, "--ir=deep.tif", *flags, "--output=one.png"]) == 0
    one, two = (images.read(name).astype(int) for name in ("one.png", "two.png"))
    assert one.std() > 20
    assert np.abs(one - two).mean() < 1


def test_pixels_without_a_value_have_none_when_they_are_moved(files):
    deep = images.read("ir.png").astype(np.float32)
    deep[50:60, 70:90] = np.nan
    tifffile.imwrite("deep.tif", deep)
    flags = ("--fixed=vis.png", "--moving=deep.tif", "--points=points.csv")
    assert run(*flags, "--output=a.tif") == 0
    read = images.read("a.tif", masked=True)
    expected = np.zeros(read.shape, bool)
    expected[46:56, 64:84] = True
    np.testing.assert_array_equal(read.mask, expected)
    np.testing.assert_allclose(read.data[~expected], deep[4:, 6:][~expected], atol=0.01)


def test_a_pipe_in_the_place_of_a_file_is_refused_at_once(files, capsys):
    os.mkfifo("pipe")
    for flag in ("transform", "points", "moving"):
        others = PAIR[:1] if flag == "moving" else PAIR
        assert run(*others, f"--{flag}=pipe", "--output=a.png") == 2
        line = capsys.readouterr().err
        assert "pipe: is not a regular file: expected a" in line
