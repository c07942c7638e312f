"""fuse.py from its flags to its files, in this process."""

import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import choices
import numpy as np
import pytest
import videos
from PIL import Image

import densefuse_tf
from densefuse_tf import baselines
from densefuse_tf import startup
from densefuse_tf.baselines.deepfuse import DeepFuse
from densefuse_tf.commands import fuse
from densefuse_tf.commands import progress
from densefuse_tf.fusion import methods
from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.fusion.output_range import to_pixels
from densefuse_tf.fusion.settings import COLOR_MODES
from densefuse_tf.fusion.settings import OUTPUT_RANGES
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import images
from densefuse_tf.io import pixels
from densefuse_tf.model import deepfuse
from tests.commands import conftest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIZE = (9, 12)


def photograph(seed, channels=()):
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, *channels), np.uint8)


@pytest.fixture
def pairs(tmp_path, monkeypatch):
    """ir/ and vis/ of three pairs, of which the third is 10, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for seed, number in enumerate((1, 2, 10)):
        images.write(tmp_path / f"ir/IR{number}.png", photograph(seed))
        images.write(tmp_path / f"vis/VIS{number}.png", photograph(seed + 9))
    return tmp_path


@pytest.fixture
def run(checkpoint, ended):
    """Runs fuse.py with flags; returns its status, output and errors."""

    def call(*arguments, checkpoint=checkpoint):
        flags = [f"--checkpoint={checkpoint}"] if checkpoint else []
        return ended(fuse, *flags, *arguments)

    return call


def names(folder):
    return sorted(path.name for path in pathlib.Path(folder).iterdir())


mistake = functools.partial(conftest.mistake, fuse)


PAIR = ("--ir=ir/IR1.png", "--vis=vis/VIS1.png")
FOLDERS = ("--ir=ir", "--vis=vis")


@pytest.mark.guard
def test_a_preset_says_what_is_not_given(pairs, run):
    images.write(pairs / "vis/VIS1.png", photograph(5, (3,)))

    def fused(*flags):
        status, _, errors = run(*PAIR, "--output=f.png", *flags)
        assert status == 0, errors
        return images.read("f.png")

    camera = fused("--preset=camera")
    expected = fused("--strategy=L1-norm", "--color=LUMA")
    np.testing.assert_array_equal(camera, expected)
    given = fused("--preset=Camera", "--strategy=addition", "--output_range=average")
    expected = fused("--color=luma", "--output_range=average")
    np.testing.assert_array_equal(given, expected)
    assert (fused("--preset=paper") != camera).any()


def test_a_hint_ends_no_run(pairs, run):
    """The second pair is so long that no shift is left to look at."""
    long = np.random.default_rng(0).integers(0, 256, (2, 6000), np.uint8)
    images.write(pairs / "ir/IR2.png", long)
    images.write(pairs / "vis/VIS2.png", long.T.reshape(2, 6000))
    status, _, errors = run(*FOLDERS, "--output=out")
    assert status == 0
    assert "Traceback" not in errors
    assert names("out") == ["VIS1.png", "VIS10.png", "VIS2.png"]
    assert images.read(pathlib.Path("out/VIS2.png")).shape == (2, 6000)


def test_one_pair_into_a_file(pairs, run, checkpoint):
    status, output, _ = run(*PAIR, "--output=new/fused.png", "--strategy=l1_norm")
    assert status == 0
    plan, summary = output.splitlines()
    assert plan == "ir/IR1.png + vis/VIS1.png -> new/fused.png"
    assert re.fullmatch(r"1 pair fused in \d+\.\d s: new/fused\.png", summary)
    expected = densefuse_tf.fuse(
        [photograph(0), photograph(9)], checkpoint, strategy="l1_norm"
    )
    np.testing.assert_array_equal(images.read("new/fused.png"), expected)
    assert names("new") == ["fused.png"]


def test_folders_in_natural_order_with_raw_output(pairs, run, checkpoint):
    status, output, _ = run(*FOLDERS, "--output=out", "--save_raw")
    assert status == 0
    *plan, summary, raw = output.splitlines()
    assert plan == [
        f"ir/IR{number}.png + vis/VIS{number}.png -> out/VIS{number}.png"
        for number in (1, 2, 10)
    ]
    assert re.fullmatch(r"3 of 3 pairs fused in \d+\.\d s: out", summary)
    assert raw == (
        "raw output, float32: NAME.npy beside each NAME: the sum over 2 sources, about "
        "0..510"
    )
    assert names("out") == [
        f"VIS{number}.{end}" for number in (1, 10, 2) for end in ("npy", "png")
    ]
    fuser = Fuser(FusionSettings(checkpoint))
    for seed, number in enumerate((1, 2, 10)):
        expected = fuser.fuse([photograph(seed), photograph(seed + 9)])
        found = images.read(f"out/VIS{number}.png")
        np.testing.assert_array_equal(found, expected.image)
        raw = np.load(f"out/VIS{number}.npy")
        assert raw.dtype == np.float32
        np.testing.assert_array_equal(raw, expected.raw)


def test_a_long_plan_is_shown_by_its_first_pairs(pairs, run):
    for number in (3, 4):
        images.write(f"ir/IR{number}.png", photograph(number))
        images.write(f"vis/VIS{number}.png", photograph(number))
    status, output, _ = run(*FOLDERS, "--output=out")
    assert status == 0
    assert output.splitlines()[2:4] == [
        "ir/IR3.png + vis/VIS3.png -> out/VIS3.png",
        "... 5 pairs in all",
    ]


def test_nothing_is_printed_before_the_settings_are_checked(pairs, run):
    status, output, _ = run(*FOLDERS, "--output=out", "--strategy=middle")
    assert (status, output) == (2, "")


def test_results_that_exist_are_replaced_unless_overwriting_is_refused(pairs, run):
    flags = (*FOLDERS, "--output=out", "--save_raw", "--nooverwrite")
    assert run(*flags)[0] == 0
    for name in ("VIS1.png", "VIS10.npy"):
        path = pathlib.Path("out", name)
        whole = path.read_bytes()
        for other in pathlib.Path("out").iterdir():
            other.unlink()
        path.write_text("older")
        line = mistake(run(*flags))
        assert f"out/{name}: exists, and is not overwritten" in line
        assert names("out") == [name]
        assert run(*flags[:-1])[0] == 0
        assert path.read_bytes() == whole


@pytest.mark.guard
@pytest.mark.parametrize("output", ("fused.mp4", "fused"))
def test_results_of_frames_are_replaced_as_those_of_images(clips, run, output):
    flags = (*FRAMES, "--video", f"--output={output}")
    assert run(*flags)[0] == 0
    assert run(*flags)[0] == 0
    line = mistake(run(*flags, "--nooverwrite"))
    assert f"{output}: exists, and is not overwritten" in line


def test_unequal_sizes_are_refused_before_tensorflow_starts(pairs, run, monkeypatch):
    monkeypatch.setattr(startup, "import_tensorflow", None)
    images.write("ir/IR1.png", np.zeros((5, 5), np.uint8))
    assert "ir/IR1.png is 5x5 and vis/" in mistake(run(*PAIR, "--output=f.png"))
    frames = (*PAIR, "--video", "--output=f")
    assert "ir/IR1.png is 5x5 and vis/" in mistake(run(*frames))


def test_three_sources(pairs, run, checkpoint):
    flags = [f"--sources={folder}" for folder in ("ir", "vis", "ir")]
    status, output, _ = run(*flags, "--output=out", "--panel=out/panel.png")
    assert status == 0
    first = output.splitlines()[0]
    assert first == "ir/IR1.png + vis/VIS1.png + ir/IR1.png -> out/IR1.png"
    sources = [photograph(0), photograph(9), photograph(0)]
    expected = densefuse_tf.fuse(sources, checkpoint)
    np.testing.assert_array_equal(images.read("out/IR1.png"), expected)


def test_a_memory_budget_changes_no_result(pairs, run, checkpoint):
    flags = ("--strategy=l1_norm", "--save_raw")
    status, output, _ = run(*PAIR, "--output=whole.png", "--memory_budget=0", *flags)
    assert status == 0
    assert output.endswith("\nraw output, float32: whole.npy: about 0..255\n")
    assert run(*PAIR, "--output=banded.png", "--memory_budget=1e-5", *flags)[0] == 0
    whole = np.load("whole.npy")
    scale = 255 / np.ptp(whole)
    assert np.abs(np.load("banded.npy") - whole).max() * scale < 1e-3


@pytest.mark.parametrize(
    ("color", "output_range"),
    choices.each_with_each(COLOR_MODES, OUTPUT_RANGES),
)
def test_colour_and_range(pairs, run, checkpoint, color, output_range):
    visible = photograph(5, (3,))
    images.write("vis/VIS1.png", visible)
    settings = {"color": color, "output_range": output_range}
    flags = [f"--{name}={value}" for name, value in settings.items()]
    status, *_ = run(*PAIR, "--output=fused.png", "--window_radius=0", *flags)
    assert status == 0
    fused = images.read("fused.png")
    assert fused.ndim == (2 if color == "gray" else 3)
    expected = densefuse_tf.fuse(
        [photograph(0), visible], checkpoint, window_radius=0, **settings
    )
    np.testing.assert_array_equal(fused, expected)


@pytest.mark.parametrize(
    ("flag", "low", "high"),
    [
        (None, 7000, 9000),
        ("auto", 7000, 9000),
        ("6000,10000", 6000, 10000),
        ("0%,100%", 7000, 9000),
    ],
)
def test_infrared_in_16_bits(pairs, run, checkpoint, flag, low, high):
    deep = np.linspace(7000, 9000, np.prod(SIZE)).round().astype(np.uint16)
    Image.fromarray(deep.reshape(SIZE)).save("ir/IR1.png")
    flags = [] if flag is None else [f"--ir_range={flag}"]
    status, _, errors = run(*PAIR, "--output=fused.png", *flags)
    assert status == 0
    assert f"ir/IR1.png: {low}..{high} brought to 0..255" in errors
    infrared = (deep.reshape(SIZE) - float(low)) * 255 / (high - low)
    expected = densefuse_tf.fuse([infrared, photograph(9)], checkpoint)
    difference = images.read("fused.png").astype(int) - expected
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("index", (0, 1))
def test_outliers_that_spoil_the_range_are_warned_of(pairs, run, index):
    deep = np.random.default_rng(0).integers(7000, 7401, (80, 100)).astype(np.uint16)
    # A cold and a hot spot.
    deep[3, 4:7], deep[20, 30:33] = (0, 9, 3), (65535, 65500, 65400)
    gray = np.full_like(deep, 90, np.uint8)
    kind, path = (("ir", "ir/IR1.png"), ("vis", "vis/VIS1.png"))[index]
    for name in ("ir/IR1.png", "vis/VIS1.png"):
        Image.fromarray(deep if name == path else gray).save(name)
    status, _, errors = run(*PAIR, "--output=fused.png")
    assert status == 0
    assert (
        f"warning: {path}: its extremes 0 and 65535, which become 0 and 255" in errors
    )
    assert f"--{kind}_range=1%,99% leaves such dead or hot pixels out\n" in errors
    status, _, errors = run(*PAIR, "--output=clear.png", f"--{kind}_range=1%,99%")
    assert status == 0 and "its extremes" not in errors
    assert images.read("clear.png").std() > 3 * images.read("fused.png").std()


@pytest.mark.parametrize(
    "video", ((), pytest.param(("--video",), marks=pytest.mark.guard))
)
def test_an_infrared_image_in_false_colours_is_warned_of_once(pairs, run, video):
    ramp = np.arange(256)
    palette = np.stack([ramp, ramp**2 // 255, 255 - ramp], axis=-1).astype(np.uint8)
    for number in (1, 2, 10):
        images.write(f"ir/IR{number}.png", palette[photograph(number)])
    status, _, errors = run(*FOLDERS, "--output=grey/", "--color=luma", *video)
    assert status == 0
    warnings = [line for line in errors.splitlines() if "false colours" in line]
    assert len(warnings) == 1 and "warning: ir" in warnings[0]
    # What is done already is no advice.
    assert "whose luma is fused" in warnings[0] and "--color" not in warnings[0]
    # The visible ones are grey, so that it may be the other way round.
    assert "swap --ir and --vis" in warnings[0]
    for color in ("gray", "auto"):
        _, _, errors = run(*FOLDERS, f"--output={color}/", f"--color={color}", *video)
        (warning,) = [line for line in errors.splitlines() if "false colours" in line]
        assert ("--color=luma keeps" in warning) == (color == "auto")
    # The visible images have no colour, and a palette's is none.
    assert images.read("grey/VIS1.png").ndim == 2
    images.write("vis/VIS1.png", photograph(3, (3,)))
    status, _, errors = run(*FOLDERS, "--output=color/", "--color=luma", *video)
    assert status == 0 and "false colours" in errors and "swap" not in errors
    assert pixels.is_color(images.read("color/VIS1.png"))
    sources = ("--sources=vis", "--sources=ir", "--output=last/", "--color=luma")
    status, _, errors = run(*sources, *video)
    assert status == 0 and "false colours" not in errors
    assert pixels.is_color(images.read("last/IR1.png"))


def test_panel(pairs, run):
    status, output, _ = run(*FOLDERS, "--output=out", "--panel=panel.png")
    assert status == 0
    assert "panel: panel.png" in output.splitlines()
    panel = images.read("panel.png")
    assert panel.ndim == 3
    assert panel.shape[1] > 3 * SIZE[1]


def test_goes_on_after_bad_pairs(pairs, run):
    images.write("ir/IR2.png", np.zeros((5, 5), np.uint8))
    status, _, errors = run(*FOLDERS, "--output=out", "--panel=panel.png")
    assert status == 1
    assert errors.splitlines()[-2:] == [
        "1 of 3 pairs were not fused:",
        "  ir/IR2.png is 5x5 and vis/VIS2.png is 9x12: the source images of a pair "
        "must have the same size; register and crop them first: fuse.py --register "
        "does (docs/registration.md)",
    ]
    assert names("out") == ["VIS1.png", "VIS10.png"]
    assert pathlib.Path("panel.png").exists()


def test_a_report_of_what_failed(pairs, run):
    images.write("ir/IR2.png", np.zeros((5, 5), np.uint8))
    status, _, errors = run(*FOLDERS, "--output=out", "--report=new/failed.csv")
    assert status == 1
    assert errors.splitlines()[-1] == "report: new/failed.csv"
    assert pathlib.Path("new/failed.csv").read_text() == (
        "output,source_1,source_2,error\n"
        "out/VIS2.png,ir/IR2.png,vis/VIS2.png,ir/IR2.png is 5x5 and vis/VIS2.png is "
        "9x12: the source images of a pair must have the same size; register and crop "
        "them first: fuse.py --register does (docs/registration.md)\n"
    )
    assert names("out") == ["VIS1.png", "VIS10.png"]
    status, *_ = run(*PAIR, "--output=out", "--report=new/failed.csv")
    assert status == 0
    header = "output,source_1,source_2,error\n"
    assert pathlib.Path("new/failed.csv").read_text() == header


def test_many_errors_are_all_in_the_report(pairs, run, monkeypatch):
    monkeypatch.setattr(progress, "_ERRORS_SHOWN", 2)
    for path in pathlib.Path("ir").iterdir():
        path.write_text("no image")
    status, _, errors = run(*FOLDERS, "--output=out", "--report=failed.csv")
    assert status == 1
    assert len(errors.splitlines()) == 4
    assert len(pathlib.Path("failed.csv").read_text().splitlines()) == 4


def test_status_1_when_no_pair_can_be_fused(pairs, run):
    for path in pathlib.Path("ir").iterdir():
        path.write_text("no image")
    status, _, errors = run(*FOLDERS, "--output=out", "--panel=panel.png")
    assert status == 1
    assert "3 of 3 pairs were not fused:" in errors
    assert names("out") == []
    assert not pathlib.Path("panel.png").exists()


BAD_FILES = {
    "text": lambda path: path.write_text("this is no image"),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:60]),
    "other size": lambda path: Image.new("L", (12, 8)).save(path),
    "missing": lambda path: path.unlink(),
    "folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("bad", BAD_FILES)
def test_a_bad_source_is_one_line(pairs, run, bad):
    BAD_FILES[bad](pathlib.Path("vis/VIS1.png"))
    line = mistake(run(*PAIR, "--output=out/fused.png", "--save_raw"))
    assert "vis/VIS1.png" in line
    assert not pathlib.Path("out").exists() or names("out") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--ir is missing"),
        (("--ir=ir",), "--vis is missing"),
        (FOLDERS, "--output is missing"),
        ((*FOLDERS, "--sources=ir", "--output=out"), "--sources is given as well as"),
        (("--sources=ir", "--output=out"), "1 source given: expected two or more"),
        (("--sources=ir,vis", "--output=o"), "expected --sources=ir --sources=vis"),
        ((*FOLDERS, "--output=a", "--output=b"), "--output is given 2 times: expected"),
        (
            ("--sources=ir", "--sources=vis", "--ir_range=auto", "--output=out"),
            "--ir_range goes with --ir",
        ),
        (
            ("--sources=ir", "--sources=vis", "--vis_range=auto", "--output=out"),
            "--vis_range goes with --vis",
        ),
        (("--ir=ir", "--vis=vis/VIS1.png", "--output=out"), "different numbers"),
        (("--ir=nowhere", "--vis=vis", "--output=out"), "nowhere: no such file"),
        ((*FOLDERS, "--output=fused.png"), "named as an image: expected a folder"),
        ((*FOLDERS, "--output=fused.webp"), "named as an image: expected a folder"),
        ((*FOLDERS, "--output=movie.avi"), "cannot write a video named .avi: expect"),
        (("--ir=ir", "--vis=./ir", "--output=o"), "is given as each of the 2 source"),
        ((*PAIR, "--output="), "--output is missing: expected a file, or a folder"),
        ((*PAIR, "--output=fused.gif"), "cannot write an image named .gif"),
        ((*PAIR, "--output=vis"), "vis/VIS1.png: would overwrite a source image"),
        ((*PAIR, "--output=./ir/../vis/VIS1.png"), "would overwrite a source image"),
        ((*PAIR, "--output=f.png", "--panel=f.png"), "would be written twice"),
        ((*PAIR, "--output=f.png", "--panel=ir/IR1.png"), "would overwrite a source"),
        ((*PAIR, "--output=f.png", "--panel=f.pdf"), "--panel=f.pdf: expected .png"),
        ((*PAIR, "--output=ir/IR2.png/out/"), "a part of this path is a file"),
        (
            (*FOLDERS, "--output=file"),
            "file: cannot be written: a part of this path is",
        ),
        ((*PAIR, "--output=f.png", "--report=f.png"), "f.png: expected a name that"),
        ((*PAIR, "--output=f.png", "--report=d.csv"), "d.csv: cannot be written: it"),
        ((*PAIR, "--output=gs://b/f.png"), "gs://b/f.png: is a URL: expected a path"),
        ((*PAIR, "--output=f.png", "--strategy=medium"), "unknown strategy 'medium'"),
        (
            (*PAIR, "--output=f.png", "--strategy_module=mine.py"),
            "strategy_module mine.py: no such file",
        ),
        ((*PAIR, "--output=f.png", "--color=red"), "--color=red: expected one"),
        (
            (*PAIR, "--output=f.png", "--output_range=x"),
            "--output_range=x: expected one",
        ),
        ((*PAIR, "--output=f.png", "--window_radius=-1"), "window_radius is -1"),
        (
            (*PAIR, "--output=f.png", "--strategy=choose_max", "--precision=bfloat16"),
            "--precision is 'bfloat16' with the strategy 'choose_max': expected float",
        ),
        ((*PAIR, "--output=f.png", "--window_radius=one"), "--window_radius=one"),
        ((*PAIR, "--output=f.png", "--max_pixels=100"), "IR1.png"),
        ((*PAIR, "--output=f.png", "--ir_range=5"), "--ir_range: value range '5': exp"),
        ((*PAIR, "--output=f.png", "--vis_range=5"), "--vis_range: value range '5'"),
        ((*PAIR, "--output=f.png", "more.png"), "unexpected argument 'more.png'"),
        ((*PAIR, "--output=f.png", "--no_such_flag"), "no_such_flag"),
    ],
)
def test_a_mistake_is_one_line(pairs, run, arguments, message):
    pathlib.Path("file").touch()
    pathlib.Path("d.csv").mkdir()
    before = {path: path.read_bytes() for path in pairs.rglob("*.*") if path.is_file()}
    assert message in mistake(run(*arguments))
    after = {path: path.read_bytes() for path in pairs.rglob("*.*") if path.is_file()}
    assert after == before


@pytest.mark.parametrize("name", ("1e9", "absent.keras", "ir", "ir/IR1.png"))
def test_an_unknown_checkpoint_is_one_line(pairs, run, name):
    line = mistake(run(*FOLDERS, "--output=out", checkpoint=name))
    assert line.startswith(f"fuse.py: {name}: ")
    assert not pathlib.Path("out").exists()


def test_a_source_in_the_place_of_the_raw_output(pairs, run):
    """What an image is, its content says: it may be named .npy."""
    os.rename("vis/VIS1.png", "vis/VIS1.npy")
    flags = ("--ir=ir/IR1.png", "--vis=vis/VIS1.npy", "--output=vis/VIS1.png")
    line = mistake(run(*flags, "--save_raw"))
    assert "vis/VIS1.npy: would overwrite a source image" in line
    assert names("vis") == ["VIS1.npy", "VIS10.png", "VIS2.png"]
    assert run(*flags)[0] == 0


def test_two_results_of_one_name(pairs, run):
    images.write("vis/VIS1.jpg", photograph(3))
    images.write("ir/IR3.png", photograph(4))
    line = mistake(run(*FOLDERS, "--output=out"))
    assert "VIS1.png: would be written twice" in line
    assert not pathlib.Path("out").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_the_right_to_write(pairs, run):
    pathlib.Path("closed").mkdir(mode=0o500)
    line = mistake(run(*FOLDERS, "--output=closed"))
    assert "closed: cannot be written: Permission denied" in line


def test_a_full_disk_keeps_what_was_done(pairs, run, small_disk):
    """It has room for two pairs of files, of a block of 4 kB each."""
    disk = small_disk(16)
    status, _, errors = run(*FOLDERS, f"--output={disk}", "--save_raw")
    assert status == 1
    assert "1 of 3 pairs were not fused:" in errors
    assert "cannot be written: No space left on device" in errors.splitlines()[-1]
    done = {path.stem for path in disk.iterdir()}
    assert len(done) == 2 and len(list(disk.iterdir())) == 4
    assert run(*FOLDERS, "--output=whole", "--save_raw")[0] == 0
    for path in disk.iterdir():
        assert path.read_bytes() == pathlib.Path("whole", path.name).read_bytes()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What `clips` and `odd_clips` copy."""
    folder = tmp_path_factory.mktemp("made")
    for seed, name in enumerate(("ir", "vis")):
        frames = videos.scene(6, seed=seed)
        videos.write(folder / f"good/{name}.mp4", frames, fps=30)
        for number, frame in enumerate(frames, 7):
            images.write(folder / f"good/frames/{name}/{number}.png", frame)
            frame = frame[:9, :12] if number == 8 else frame
            images.write(folder / f"odd/odd/{number}.png", frame)
    videos.write(folder / "odd/vis5.mp4", videos.scene(5), fps=30)
    videos.write(folder / "odd/small.mp4", videos.scene(6, (32, 40)), fps=30)
    videos.write(folder / "odd/slow.mp4", videos.scene(6), fps=25)
    (folder / "odd/text.mp4").write_text("this is no video")
    cut = videos.write(folder / "odd/cut.mkv", videos.scene(60), fps=30)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    return folder


@pytest.fixture
def clips(made, tmp_path, monkeypatch):
    """ir.mp4 and vis.mp4 of 6 frames, and the same as PNG in frames/ir, frames/vis."""
    shutil.copytree(made / "good", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def odd_clips(made, clips):
    """Videos and frames besides that do not go with those of `clips`."""
    shutil.copytree(made / "odd", clips, dirs_exist_ok=True)
    return clips


CLIPS = ("--ir=ir.mp4", "--vis=vis.mp4")
FRAMES = ("--ir=frames/ir", "--vis=frames/vis")


def test_a_video(clips, run):
    status, output, errors = run(*CLIPS, "--output=fused.mp4", checkpoint="1e2")
    assert status == 0
    plan, summary = output.splitlines()
    assert plan == "ir.mp4 + vis.mp4 -> fused.mp4: 6 frames, grey"
    assert re.fullmatch(r"written in \d+\.\d s: fused.mp4", summary)
    assert errors == ""
    assert names(".") == ["frames", "fused.mp4", "ir.mp4", "vis.mp4"]
    found, about = videos.read("fused.mp4")
    assert found.shape == (6, 32, 48, 3)
    assert about["fps"] == 30
    # Average is the default, with which a frame depends on no other.
    fuser = Fuser(FusionSettings("1e2", output_range="average"))
    pairs = zip(videos.read("ir.mp4")[0], videos.read("vis.mp4")[0], strict=True)
    expected = [pixels.rgb(fuser.fuse(pair).image) for pair in pairs]
    assert np.abs(found.astype(int) - expected).mean() < 1.5


@pytest.mark.parametrize(
    "flags",
    (
        ("--strategy=l1_norm", "--output_range=minmax"),
        pytest.param(
            ("--strategy=l1_norm", "--window_radius=0", "--memory_budget=1e-4"),
            marks=pytest.mark.guard,
        ),
    ),
)
def test_frames_to_frames(clips, run, flags):
    status, *_ = run(*FRAMES, "--video", "--output=out", *flags, checkpoint="1e2")
    assert status == 0
    assert names("out") == sorted(f"{number}.png" for number in range(7, 13))
    found = np.stack([images.read(f"out/{number}.png") for number in range(7, 13)])
    radius = 0 if "--window_radius=0" in flags else 1
    fuser = Fuser(FusionSettings("1e2", strategy="l1_norm", window_radius=radius))
    pairs = zip(videos.scene(6), videos.scene(6, seed=1), strict=True)
    raws = np.stack([fuser.raw(pair) for pair in pairs])
    is_minmax = "--output_range=minmax" in flags
    expected = to_pixels(raws, "minmax" if is_minmax else "average")
    # Tiles and whole images differ by rounding.
    assert np.abs(found.astype(int) - expected).max() <= (0 if is_minmax else 1)


def test_frames_to_a_video_with_its_rate(clips, run):
    for flags, rate in (((), 25), (("--fps=30000/1001",), 29.97)):
        status, *_ = run(*FRAMES, "--output=fused.mp4", *flags)
        assert status == 0
        frames, about = videos.read("fused.mp4")
        assert (len(frames), about["fps"]) == (6, rate)


VIDEO_OUT = (*CLIPS, "--output=fused.mp4")
FRAMES_OUT = (*FRAMES, "--output=fused.mp4")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--ir=ir.mp4", "--vis=vis5.mp4"), "frames: ir.mp4 has 6, vis5.mp4 has 5"),
        (("--ir=ir.mp4", "--vis=small.mp4"), "height and width: ir.mp4 has 32x48, sm"),
        (("--ir=ir.mp4", "--vis=slow.mp4"), "frames per second: ir.mp4 has 30, slow"),
        (("--ir=ir.mp4", "--vis=text.mp4"), "text.mp4: cannot be read as a video: mo"),
        (("--ir=ir.mp4", "--vis=cut.mkv"), "cut.mkv: c"),
        (("--ir=ir.mp4", "--vis=nowhere.mp4"), "nowhere.mp4: no such file or folder"),
        (("--ir=ir.mp4", "--vis=frames/vis/7.png"), "has 6, frames/vis/7.png has 1"),
        (("--ir=ir.mp4",), "--vis is missing"),
        (("--sources=ir.mp4",), "1 source given: expected two or more"),
        (("--ir=frames/ir", "--vis=odd"), "8.png is 9x12: the frames of a sequence"),
        ((*VIDEO_OUT, "--fps=25"), "--fps=25 goes with folders of frames: ir.mp4 has"),
        ((*FRAMES_OUT, "--fps=0"), "--fps=0: expected frames per second"),
        ((*FRAMES_OUT, "--fps=1/0"), "--fps=1/0: expected frames per second"),
        ((*FRAMES_OUT, "--fps=fast"), "--fps=fast: expected frames per second"),
        ((*FRAMES, "--output=o", "--fps=9", "--video"), "with a video as --output"),
        ((*FRAMES, "--output=o", "--fps=9"), "--fps goes with a video: give --video"),
        ((*VIDEO_OUT, "--panel=panel.png"), "--panel goes with images, not with a vi"),
        ((*VIDEO_OUT, "--save_raw"), "--save_raw goes with images, not with a video"),
        ((*CLIPS, "--output=fused.png"), "cannot write a video named .png: expected"),
        ((*CLIPS, "--output=vis.mp4"), "vis.mp4: would overwrite a source"),
        ((*CLIPS, "--output=frames"), "frames: exists, and is not replaced, since ir"),
        ((*CLIPS, "--output=slow.mp4", "--nooverwrite"), "slow.mp4: exists, and is n"),
        ((*FRAMES, "--video", "--output=frames/vis"), "would overwrite a source"),
        ((*FRAMES, "--output=movie.avi"), "cannot write a video named .avi: expected"),
        ((*CLIPS, "--output=ir.mp4/fused"), "ir.mp4: cannot be written: a part of"),
        ((*VIDEO_OUT, "--max_pixels=100"), "of 32x48 pixels (height x width): expec"),
        ((*VIDEO_OUT, "--color=red"), "--color=red: expected one"),
        ((*VIDEO_OUT, "--ir_range=9,1"), "--ir_range: value range '9,1': expected"),
        ((*VIDEO_OUT, "--ir_range=1%,99%"), "is given by percentiles: expected two n"),
        ((*VIDEO_OUT, "--strategy=medium"), "unknown strategy 'medium'"),
    ],
)
def test_a_mistake_with_a_video_is_one_line(odd_clips, run, arguments, message):
    def contents():
        return {path: path.read_bytes() for path in odd_clips.rglob("*.*")}

    if len(arguments) < 3:
        arguments = (*arguments, "--output=fused.mp4")
    before = contents()
    assert message in mistake(run(*arguments))
    assert contents() == before


def test_frames_per_second_in_the_progress_bar(clips, run, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    status, _, errors = run(*CLIPS, "--output=fused.mp4", "--output_range=minmax")
    assert status == 0
    for what in ("checking ir.mp4", "looking through", "finding the range", "fusing"):
        assert f"\r{what}: " in errors
    assert "fusing: 100%|" in errors
    assert " frames/s]" in errors.split("fusing: 100%|")[-1]


# Other methods


def test_another_method_takes_folders_colour_and_options(pairs, run):
    visible = photograph(5, (3,))
    images.write("vis/VIS2.png", visible)
    flags = ("--method=gtf", "--method_options=lambda=2.5", "--panel=panel.png")
    status, _, _ = run(*FOLDERS, "--output=out", *flags, checkpoint=None)
    assert status == 0
    assert names("out") == ["VIS1.png", "VIS10.png", "VIS2.png"]
    method = baselines.create("gtf", {"lambda": 2.5})
    np.testing.assert_array_equal(
        images.read("out/VIS1.png"), method.fuse(photograph(0), photograph(9))
    )
    channels = [method.fuse(photograph(1), visible[..., c]) for c in range(3)]
    np.testing.assert_array_equal(
        images.read("out/VIS2.png"), np.stack(channels, axis=-1)
    )
    assert images.read("panel.png").ndim == 3


def test_method_of_the_user_is_fused_by_its_name(pairs, run, monkeypatch):
    module = sys.modules["densefuse_tf.baselines.method"]
    monkeypatch.setattr(module, "_METHODS", dict(module._METHODS))
    pathlib.Path("own.py").write_text(
        "import dataclasses, densefuse_tf\n"
        "@densefuse_tf.method('darker')\n"
        "@dataclasses.dataclass(frozen=True)\n"
        "class Darker:\n"
        "    offset: int = 0\n"
        "    def fuse(self, ir, vis):\n"
        "        return ir * 0 + self.offset\n"
    )
    flags = (*PAIR, "--output=fused.png", "--method_module=own.py")
    status, _, err = run(*flags)
    assert status == 2
    assert err == "fuse.py: --method_module goes with another method than densefuse\n"
    options = ("--method=darker", "--method_options=offset=7")
    status, _, _ = run(*flags, *options, checkpoint=None)
    assert status == 0
    assert (images.read("fused.png") == 7).all()


def test_checkpoint_is_that_of_the_method(pairs, run, tmp_path):
    path = tmp_path / "weights.keras"
    deepfuse.autoencoder().save(path)
    status, _, _ = run(
        *PAIR, "--output=fused.png", "--method=deepfuse", checkpoint=path
    )
    assert status == 0
    method = DeepFuse(checkpoint=str(path))
    np.testing.assert_array_equal(
        images.read("fused.png"), method.fuse(photograph(0), photograph(9))
    )


def test_a_pair_that_another_method_cannot_fuse_is_in_the_report(pairs, run):
    for path in ("ir/IR2.png", "vis/VIS2.png"):
        images.write(path, np.zeros((5, 5), np.uint8))
    flags = ("--method=dchwt", "--method_options=levels=3", "--report=report.csv")
    status, _, _ = run(*FOLDERS, *flags, "--output=out", checkpoint=None)
    assert status == 1
    assert names("out") == ["VIS1.png", "VIS10.png"]
    assert (
        "ir/IR2.png and vis/VIS2.png: the images are 5x5: dchwt expects at least 8x8"
        in (pathlib.Path("report.csv").read_text("utf-8"))
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--method=soup",), "--method=soup: unknown: expected one of densefuse, cbf"),
        (("--method=gtf", "--method_options=mu=1"), "method gtf has no option 'mu'"),
        (("--method=gtf", "--method_options=4"), "has '4': expected OPTION=VALUE"),
        (("--method=gtf", "--checkpoint=1e2"), "--checkpoint: method gtf has no weig"),
        (("--method=cnn", "--checkpoint=no.npz"), "no.npz"),
        (("--method=gtf", "--strategy=l1_norm"), "--strategy goes with densefuse, not"),
        (("--method=gtf", "--window_radius=0"), "--window_radius goes with densefuse"),
        (
            ("--method=gtf", "--memory_budget=0"),
            "--memory_budget goes with densefuse, ",
        ),
        (("--method=gtf", "--output_range=minmax"), "--output_range goes with dense"),
        (("--method=gtf", "--save_raw"), "--save_raw goes with densefuse, not with"),
        (("--method=gtf", "--runner=DirectRunner"), "--runner goes with densefuse"),
        (("--method=gtf", "--color=pink"), "--color=pink: expected one of auto"),
        (("--method_options=lambda=4",), "--method_options goes with another method"),
        (
            (
                *("--method=cnn", "--checkpoint=no.npz"),
                "--method_options=checkpoint=no.npz",
            ),
            "--checkpoint is given in --method_options as well",
        ),
    ],
)
def test_a_mistake_with_another_method_is_one_line(pairs, run, arguments, message):
    result = run(*FOLDERS, "--output=out", *arguments, checkpoint=None)
    assert message in mistake(result)
    assert not pathlib.Path("out").exists()


def test_another_method_fuses_exactly_two_sources(pairs, run):
    flags = [f"--sources={folder}" for folder in ("ir", "vis", "ir")]
    result = run(*flags, "--output=out", "--method=cbf", checkpoint=None)
    assert "method cbf fuses two sources: 3 are given" in mistake(result)


def test_help_imports_nothing_heavy():
    code = (
        "import json, sys; from densefuse_tf.commands import fuse; "
        "status = fuse.run(['fuse.py', '--help']); "
        "print(json.dumps([status, *sys.modules]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    status, *modules = json.loads(result.stdout.splitlines()[-1])
    assert status == 0
    assert not {"tensorflow", "keras", "numba"} & set(modules)
    for method in baselines.names():
        assert f"\n  {method:<10} {methods.summary(method)}\n" in result.stdout
        options = ", ".join(methods.options(method))
        assert f"\n  {method:<10} {options}\n" in result.stdout
    for flag in ("--ir", "--vis", "--sources", "--[no]save_raw", "--ir_range", "--fps"):
        assert f"\n  {flag}:" in result.stdout


def test_the_script_itself(pairs, checkpoint):
    """A process of its own: nothing on standard error but what went wrong."""
    command = [
        *(sys.executable, str(ROOT / "fuse.py"), f"--checkpoint={checkpoint}"),
        *(*PAIR, "--output=fused.png"),
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0
    assert result.stdout.startswith("ir/IR1.png + vis/VIS1.png -> fused.png\n1 pair ")
    assert result.stderr == ""
    assert images.read("fused.png").shape == SIZE
    Image.fromarray(photograph(0).astype(np.uint16)).save("ir/IR1.png")
    result = subprocess.run(command, capture_output=True, text=True)
    (line,) = result.stderr.splitlines()
    assert line.startswith("ir/IR1.png: ") and line.endswith("brought to 0..255")


@pytest.mark.guard
def test_a_file_name_of_any_bytes(pairs, checkpoint):
    """Standard output that cannot encode it gets escapes; line breaks stay out."""
    good, bad = os.fsdecode(b"vis/\xff.png"), "ir/x\ny.png"
    os.rename("vis/VIS1.png", good)
    os.rename("ir/IR10.png", bad)
    pathlib.Path(bad).write_text("no image")
    command = [
        *(sys.executable, str(ROOT / "fuse.py"), f"--checkpoint={checkpoint}"),
        *(*FOLDERS, "--output=out"),
    ]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.returncode == 1
    assert "\\udcff.png -> out/" in result.stdout
    lines = result.stderr.splitlines()
    assert lines[-2] == "1 of 3 pairs were not fused:"
    assert lines[-1].startswith("  ir/x\\ny.png: starts with")
    assert len(names("out")) == 2


def test_log_lines_stand_above_the_progress_bar(pairs, run, capsys, monkeypatch):
    deep = np.linspace(7000, 9000, np.prod(SIZE)).round().astype(np.uint16)
    for path in pathlib.Path("ir").iterdir():
        Image.fromarray(deep.reshape(SIZE)).save(path)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    status, _, errors = run(*FOLDERS, "--output=out")
    assert status == 0
    assert "pairs/s]" in errors
    # A log line starts at a line's start, which is where "\r" goes back to as well.
    for line in errors.replace("\r", "\n").splitlines():
        assert "brought to" not in line or line.startswith("ir/IR")
    assert errors.count("brought to") == 3


def test_the_time_of_a_slow_method_is_shown_for_one_pair(pairs, run, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    flags = (*PAIR, "--output=fused.png", "--method=gtf")
    status, _, errors = run(*flags, checkpoint=None)
    assert status == 0
    assert "\rfusing with gtf [00:00]" in errors
    monkeypatch.undo()


def test_a_mistake_in_a_setting_names_its_flag(pairs, run):
    flags = (*PAIR, "--output=fused.png", "--strategy=l1_norm")
    line = mistake(run(*flags, "--window_radius=-1"))
    assert line == "fuse.py: --window_radius is -1: expected 0 or more"
    line = mistake(run(*flags, "--color=yes"))
    expected = "expected one of auto, gray, rgb, luma, thermal"
    assert line == f"fuse.py: --color=yes: {expected}"
    line = mistake(run(*flags, "--color=grey"))
    assert line == f"fuse.py: --color=grey: {expected}; did you mean gray?"


def test_version_says_the_name_and_the_version(capsys):
    assert fuse.run(["fuse.py", "--version"]) == 0
    version = densefuse_tf.__version__
    assert capsys.readouterr().out == f"fuse.py (densefuse_tf {version})\n"


@pytest.mark.parametrize("name", ["curves", "evaluate", "export", "fuse", "train"])
def test_python_m_runs_each_command(name):
    command = [sys.executable, "-m", f"densefuse_tf.commands.{name}", "--help"]
    run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert "\nflags:\n  --" in run.stdout
    assert str(ROOT) not in run.stdout and run.stderr == ""


def test_the_script_itself_with_a_method_that_needs_no_tensorflow(pairs):
    command = (sys.executable, str(ROOT / "fuse.py"), "--method=gtf")
    command = (*command, *PAIR, "--output=fused.png")
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0
    assert result.stderr == ""


def test_one_pair_imports_nothing_that_is_not_used(pairs, checkpoint):
    code = (
        "import gc, json, sys; from densefuse_tf.commands import fuse; "
        "status = fuse.run(['fuse.py', *sys.argv[1:]]); "
        "print(json.dumps([status, gc.isenabled(), *sys.modules])); "
        "import matplotlib.pyplot, scipy.sparse"
    )
    flags = (*PAIR, f"--checkpoint={checkpoint}", "--output=fused.png")
    result = subprocess.run(
        [sys.executable, "-c", code, *flags],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")
    status, collects, *modules = json.loads(result.stdout.splitlines()[-1])
    assert (status, collects) == (0, True)
    unused = {"matplotlib", "scipy", "skimage", "numba", "tifffile", "imagecodecs"}
    unused |= {"pandas", "pywt", "tqdm", "imageio_ffmpeg"}
    assert "tensorflow" in modules and not unused & set(modules)
