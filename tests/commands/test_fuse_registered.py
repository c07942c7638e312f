"""fuse.py with --register, --transform and --points, from its flags to its files."""

import contextlib
import dataclasses
import functools
import pathlib

import imageio.v3 as iio
import numpy as np
import pytest
import videos
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from densefuse_tf import metrics
from densefuse_tf import registration
from densefuse_tf.commands import fuse
from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import images
from densefuse_tf.pipelines import surveying
from densefuse_tf.pipelines.footage import open_sources
from densefuse_tf.pipelines.settings import RegistrationSettings
from densefuse_tf.registration import transforms
from tests.registration.conftest import SHAPE
from tests.registration.conftest import moved
from tests.registration.conftest import noisy
from tests.registration.conftest import scene
from tests.registration.conftest import similarity

WARP = similarity(1.1, 4.0, (12, -9))
SHIFT = similarity(1, 0, (6, 4))
# These points are moved by SHIFT.
POINTS = "0,0,6,4\n200,0,206,4\n200,150,206,154\n0,150,6,154\n"
PAIR = ("--ir=ir.png", "--vis=vis.png")
FOLDERS = ("--ir=ir", "--vis=vis")


@pytest.fixture
def run(checkpoint, ended):
    """Runs fuse.py with flags; returns its status, output and errors."""
    return functools.partial(ended, fuse, f"--checkpoint={checkpoint}")


@pytest.fixture
def files(tmp_path, monkeypatch):
    """vis.png and ir.png of unequal sizes under WARP; vis/, ir/ and points.csv.

    In the folders, 1.png is a pair under SHIFT, 2.png has a constant image, 3.png has
    noise.
    """
    monkeypatch.chdir(tmp_path)
    visible = noisy(scene(1), 2)
    infrared = noisy(moved(255 * (1 - scene(1) / 255) ** 1.5, WARP), 3)
    images.write("vis.png", visible)
    images.write("ir.png", infrared[:, :-8])
    (tmp_path / "points.csv").write_text(POINTS)
    for number, image in (
        (1, noisy(moved(255 - scene(1), SHIFT), 3)),
        (2, np.full(SHAPE, 9, np.uint8)),
        (3, np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)),
    ):
        images.write(f"vis/{number}.png", visible)
        images.write(f"ir/{number}.png", image)
    return tmp_path


def names(folder):
    return sorted(path.name for path in pathlib.Path(folder).iterdir())


def test_a_pair_of_unequal_sizes_is_registered_and_cropped(files, run):
    flags = ("--save_transform=t.json", "--checkerboard=new/c.png", "--panel=p.png")
    status, output, errors = run(*PAIR, "--output=f.png", "--register", *flags)
    assert status == 0
    for line in ("transform: t.json", "checkerboard: new/c.png", "panel: p.png"):
        assert line in output.splitlines()
    assert errors.startswith("ir.png registered to vis.png: score 0.")
    found = registration.load("t.json")
    assert transforms.distance(found.matrix, WARP, SHAPE) < 1
    fused = images.read("f.png")
    assert fused.shape == registration.common_area(found).shape
    assert images.read("new/c.png").shape == fused.shape
    # The saved transform gives the same result without a search.
    assert run(*PAIR, "--output=g.png", "--transform=t.json")[0] == 0
    assert pathlib.Path("g.png").read_bytes() == pathlib.Path("f.png").read_bytes()


def textured(seed):
    """A scene with texture: no region is flat, as none of a photograph is."""
    noise = np.random.default_rng(seed).normal(size=SHAPE)
    texture = sum(ndimage.gaussian_filter(noise, size) * size for size in (1, 2, 4, 8))
    values = ndimage.gaussian_filter(scene(seed), 1) * 0.7 + 40
    return np.clip(values + 8 * texture / texture.std(), 0, 255)


@pytest.mark.guard
def test_metrics_are_those_of_the_aligned_pair(files, run, checkpoint):
    """The pair is aligned by the transform by which it was warped."""
    values = textured(2)
    bent = 128 + 90 * np.sin(ndimage.gaussian_filter(values, 1) / 40)
    visible, infrared = noisy(values, 2), noisy(moved(bent, WARP), 3)
    images.write("vis.png", visible)
    images.write("ir.png", infrared)
    flags = ("--register", "--save_transform=t.json")
    assert run(*PAIR, "--output=f.png", *flags)[0] == 0
    found = registration.load("t.json")
    true = dataclasses.replace(found, transform=transforms.of_matrix(WARP, "affine"))
    area = registration.common_area(found).slices
    expected, pair = (
        (visible[area], registration.warp(infrared, each)[area])
        for each in (true, found)
    )
    fused = Fuser(FusionSettings(checkpoint)).fuse(expected[::-1]).image
    wanted = metrics.evaluate(*expected[::-1], fused)
    got = metrics.evaluate(*pair[::-1], images.read("f.png"))
    assert got == pytest.approx(wanted, rel=0.02)


def test_a_folder_goes_on_after_pairs_that_are_not_registered(files, run):
    flags = ("--register=each", "--report=r.csv", "--checkerboard=c.png")
    status, _, errors = run(*FOLDERS, "--output=out", *flags)
    assert status == 1
    lines = errors.splitlines()
    assert lines[-4] == "2 of 3 pairs were not fused:"
    assert lines[-3].startswith("  ir/2.png: all its pixels have the value 9")
    assert lines[-2].startswith("  ir/3.png and vis/3.png: not registered: ")
    assert lines[-1] == "report: r.csv"
    assert names("out") == ["1.png"]
    assert images.read("c.png").shape == images.read("out/1.png").shape


@pytest.mark.guard
def test_once_applies_one_transform_to_all_pairs(files, run):
    for number in (2, 3):
        image = images.read("ir/1.png")
        stored = 255 - image if number == 2 else image * np.uint16(50)
        iio.imwrite(f"ir/{number}.png", stored)
    flags = ("--register=once", "--save_transform=t.json", "--uncovered=visible")
    status, _, errors = run(*FOLDERS, "--output=out", *flags)
    assert status == 0
    assert "one transform for all: the median of 3, which differ from it by" in errors
    # Each pair is read twice, and what is said of it is said once.
    assert errors.count("ir/3.png: ") == errors.count(" brought to 0..255") == 1
    found = registration.load("t.json")
    assert transforms.distance(found.matrix, SHIFT, SHAPE) < 1
    assert [images.read(f"out/{n}.png").shape for n in (1, 2, 3)] == [SHAPE] * 3


@pytest.mark.parametrize("to", ("visible", "infrared"))
def test_points_are_of_the_image_that_stays_first(files, run, checkpoint, to):
    if to == "infrared":
        rows = [row.split(",") for row in POINTS.split()]
        swapped = (",".join(row[2:] + row[:2]) for row in rows)
        pathlib.Path("points.csv").write_text("\n".join(swapped))
    flags = ("--points=points.csv", f"--register_to={to}", "--register")
    status, *_ = run("--ir=ir/1.png", "--vis=vis/1.png", "--output=f.png", *flags)
    assert status == 0
    sources = images.read("ir/1.png")[4:, 6:], images.read("vis/1.png")[:-4, :-6]
    expected = Fuser(FusionSettings(checkpoint)).fuse(sources).image
    np.testing.assert_array_equal(images.read("f.png"), expected)


def test_checkerboard_without_a_registration(files, run):
    flags = ("--ir=ir/1.png", "--vis=vis/1.png", "--checkerboard=c.png")
    assert run(*flags, "--output=f.png")[0] == 0
    board = images.read("c.png")
    expected = images.read("ir/1.png"), images.read("vis/1.png")
    np.testing.assert_array_equal(board, registration.checkerboard(*expected[::-1]))


BAD = {
    "three.csv": "".join(POINTS.splitlines(keepends=True)[:3]),
    "line.csv": "".join(f"{x},{x},{x},{x}\n" for x in range(5)),
    "far.csv": POINTS.replace(",6,", ",906,").replace("206", "1106"),
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--vis=flat.png", "--register"), "flat.png: all its pixels have the value"),
        (("--vis=flat.png", "--register=once"), "flat.png: all its pixels have the va"),
        (("--points=far.csv",), "far.csv: the registered images do not overlap"),
        (("--points=three.csv",), "three.csv: 3 given: expected 4 or more"),
        (("--points=line.csv",), "line.csv: lie on a line in the fixed image"),
        (("--points=no.csv",), "no.csv: cannot be read: No such file"),
        (("--transform=points.csv",), "points.csv: is no JSON: expected a transform"),
        (("--transform=vis.png",), "vis.png: is no JSON: expected a transform"),
        (("--register=twice",), "--register=twice: expected one of each, once"),
        (("--register_to=infrared",), "register_to goes with register"),
        (("--points=points.json", "--save_transform=./points.json"), "overwrite an in"),
        (("--register", "--checkerboard=f.png"), "f.png: would be written twice"),
        (("--register", "--checkerboard=f.txt"), "--checkerboard=f.txt: expected .png"),
        ((), "register and crop them first: fuse.py --register does (docs/registra"),
        (("--runner=direct", "--register=once"), "--register=once does not go with"),
        (("--runner=direct", "--checkerboard=c.png"), "--checkerboard does not go wi"),
        (
            (*FOLDERS, "--output=out", "--register", "--save_transform=t.json"),
            "--save_transform goes with one pair, or with --register=once",
        ),
    ],
)
def test_a_mistake_is_one_line_and_status_2(files, run, arguments, message):
    for name, content in BAD.items():
        pathlib.Path(name).write_text(content)
    pathlib.Path("points.json").write_text(POINTS)
    images.write("flat.png", np.full(SHAPE, 9, np.uint8))
    given = {argument.partition("=")[0] for argument in arguments}
    defaults = ("--ir=ir.png", "--vis=vis.png", "--output=f.png")
    flags = [flag for flag in defaults if flag.partition("=")[0] not in given]
    before = set(files.rglob("*"))
    status, _, errors = run(*flags, *arguments)
    assert status == 2
    assert message in errors and errors.count("\n") == 1
    assert set(files.rglob("*")) == before


def test_three_kinds_of_sources_are_refused(files, run):
    flags = [f"--sources={name}.png" for name in ("ir", "vis", "ir")]
    status, _, errors = run(*flags, "--output=f.png", "--register")
    assert status == 2
    assert "3 kinds of sources are given: expected two" in errors


@pytest.fixture
def rig(tmp_path, monkeypatch):
    """Videos that pan over a scene, from two cameras of unequal sizes under SHIFT."""
    monkeypatch.chdir(tmp_path)
    large = scene(1, (SHAPE[0], SHAPE[1] + 30))
    panned = [large[:, 3 * n : 3 * n + SHAPE[1]] for n in range(6)]
    visible = [noisy(frame, n) for n, frame in enumerate(panned)]
    infrared = [
        noisy(moved(255 - frame, SHIFT), 10 + n) for n, frame in enumerate(panned)
    ]
    videos.write("vis.mp4", visible)
    videos.write("ir.mp4", [frame[:, :-10] for frame in infrared])
    return tmp_path


VIDEO = ("--ir=ir.mp4", "--vis=vis.mp4", "--output=fused.mp4")


@pytest.mark.guard
def test_frames_of_a_rig_are_aligned_within_a_pixel_by_one_transform(rig, run):
    flags = ("--register", "--save_transform=t.json", "--checkerboard=c.png")
    status, output, errors = run(*VIDEO, *flags)
    assert status == 0
    assert errors.count("registered to") == 5
    assert errors.count("one transform for all") == 1
    for line in ("transform: t.json", "checkerboard: c.png"):
        assert line in output.splitlines()
    found = registration.load("t.json")
    assert transforms.distance(found.matrix, SHIFT, SHAPE) < 1
    frames, _ = videos.read("fused.mp4")
    assert frames.shape[:3] == (6, *registration.common_area(found).shape)
    assert images.read("c.png").shape == frames.shape[1:3]
    footage = surveying.survey(
        open_sources(["ir.mp4", "vis.mp4"], any_sizes=True),
        registration=RegistrationSettings(transform="t.json"),
    )
    with contextlib.closing(footage.frames()) as moments:
        shifts = [
            phase_cross_correlation(255.0 - ir, vis, upsample_factor=10)[0]
            for ir, vis in moments
        ]
    assert len(shifts) == 6 and np.abs(shifts).max() < 1


@pytest.mark.guard
def test_a_video_by_a_saved_transform_and_by_points(rig, run):
    pathlib.Path("points.csv").write_text(POINTS)
    assert run(*VIDEO, "--points=points.csv", "--save_transform=t.json")[0] == 0
    by_points = pathlib.Path("fused.mp4").read_bytes()
    assert run(*VIDEO, "--transform=t.json")[0] == 0
    assert pathlib.Path("fused.mp4").read_bytes() == by_points
    # 10 columns are missing in the infrared frames.
    assert videos.read("fused.mp4")[0].shape[1:3] == (176, 224)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--register=each",), "register is 'each': expected once for a video"),
        (("--transform=ir.mp4",), "ir.mp4: is no JSON"),
        (("--register", "--checkerboard=fused.txt"), "--checkerboard=fused.txt: expec"),
        ((), "fuse.py --register does (docs/registration.md)"),
    ],
)
def test_a_mistake_with_a_video_is_one_line(rig, run, arguments, message):
    status, _, errors = run(*VIDEO, *arguments)
    assert status == 2
    assert message in errors and errors.count("\n") == 1
    assert names(".") == ["ir.mp4", "vis.mp4"]


def test_one_warning_names_the_pairs_that_look_misaligned(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, shift in (("1", (0, 0)), ("2", (12, 0)), ("3", (0, -12))):
        images.write(f"vis/{name}.png", noisy(scene(1), 2))
        infrared = noisy(moved(255 - scene(1), similarity(1, 0, shift)), 3)
        images.write(f"ir/{name}.png", infrared)
    status, _, errors = run(*FOLDERS, "--output=fused")
    assert status == 0
    (line,) = [line for line in errors.splitlines() if "--register" in line]
    assert "2 of 3 pairs: ir/2.png and vis/2.png, ir/3.png and vis/3.png:" in line


def test_no_warning_of_pairs_that_a_transform_is_given_for(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images.write("vis.png", noisy(scene(1), 2))
    infrared = noisy(moved(255 - scene(1), similarity(1, 0, (12, 0))), 3)
    images.write("ir.png", infrared)
    corners = "0,0,0,0\n200,0,200,0\n200,150,200,150\n0,150,0,150\n"
    (tmp_path / "points.csv").write_text(corners)
    status, _, errors = run(*PAIR, "--points=points.csv", "--output=fused.png")
    assert status == 0
    assert "--register" not in errors
