"""Which values of thermal images become 0 and 255, from files to results."""

import logging
import re

import numpy as np
import pytest
import tifffile
import videos

from densefuse_tf.errors import UserError
from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import images
from densefuse_tf.pipelines import pairs
from densefuse_tf.pipelines import surveying
from densefuse_tf.pipelines.footage import open_sources
from densefuse_tf.pipelines.planning import Pair
from densefuse_tf.pipelines.settings import FileOptions

SHAPE = (40, 50)
FLAGS = ("--ir_range=", "--vis_range=")


@pytest.fixture(scope="module")
def fuser():
    return Fuser(FusionSettings("1e2"))


@pytest.mark.parametrize(
    "name",
    (
        "two_telemetry_rows.png",
        "dead_row.png",
        "uncovered_border.png",
        "nodata_-9999.tif",
    ),
)
def test_temperatures_are_seen_in_the_result(shared, fuser, tmp_path, caplog, name):
    right = np.load(shared / "cases/right.npz")
    temperature, where = right[name].astype(float), right[f"{name}.temperature"]
    files = shared / "cases" / name, shared / "cases/vis.png"
    pair = Pair(files, tmp_path / "fused.png")
    (outcome,) = pairs.fuse_pairs(fuser, [pair], FileOptions(range_flags=FLAGS))
    assert outcome.error is None
    values = temperature[where]
    careful = np.where(where, temperature - values.min(), 0) * 255 / np.ptp(values)
    expected = fuser.fuse([careful.astype(np.float32), images.read(files[1])]).image

    def correlation(image):
        return np.corrcoef(image[where], values)[0, 1]

    assert correlation(expected) > 0.55
    assert correlation(images.read(pair.output)) > correlation(expected) - 0.02
    said = [line for line in caplog.messages if "no temperatures" in line]
    assert len(said) == 1
    assert re.match(rf".*{name}: no temp.*black: .*; --ir_range=LOW,HIGH sets", said[0])


def frames(count=8):
    return [
        (7000 + 2 * image.astype(np.uint16)) for image in videos.scene(count, SHAPE)
    ]


def footage_of(folder, deep, **options):
    for index, image in enumerate(deep):
        (folder / "ir").mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / f"ir/{index}.tif", image)
        images.write(folder / f"vis/{index}.png", np.full(SHAPE, 90, np.uint8))
    opened = open_sources([folder / "ir", folder / "vis"])
    return surveying.survey(opened, range_flags=FLAGS, **options)


def warned(caplog) -> list[str]:
    """The warnings: whether what is less is logged, tests before this one decide."""
    return [each.getMessage() for each in caplog.records if each.levelno > logging.INFO]


@pytest.mark.parametrize("value", (0, 16383, 65535))
def test_a_closed_shutter_does_not_spoil_a_sequence(tmp_path, caplog, value):
    deep = frames()
    clean = footage_of(tmp_path / "clean", deep)
    assert not warned(caplog)
    deep[3] = np.full_like(deep[3], value)
    spoiled = footage_of(tmp_path / "spoiled", deep)
    others = [image for index, image in enumerate(deep) if index != 3]
    extremes = np.min(others), np.max(others)
    assert spoiled.value_ranges == (extremes, None)
    assert len(warned(caplog)) == 1
    assert f"empty frames, {tmp_path / 'spoiled/ir/3.tif'}; --ir_range=" in caplog.text
    scaled = [moment[0] for moment in spoiled.frames()]
    for index, moment in enumerate(clean.frames()):
        if index != 3:
            np.testing.assert_allclose(scaled[index], moment[0], atol=3)
            assert scaled[index].std() > 20


def test_each_frame_is_judged_for_itself(tmp_path, caplog):
    deep = frames()
    extremes = np.min(deep[1:-1]), np.max(deep[1:-1])
    for index, image in enumerate(deep):
        image[-1] = np.random.default_rng(index).integers(0, 65536, SHAPE[1])
    deep[5][7, 7] = 65535
    deep[2] = np.where(np.arange(50) < 10, 0, deep[2]).astype(np.uint16)
    footage = footage_of(tmp_path, deep)
    assert footage.value_ranges[0] == pytest.approx(extremes, abs=10)
    assert "0.tif: row 39, and pixels of 7 other frames" in caplog.text
    for index, (infrared, _) in enumerate(footage.frames()):
        assert not infrared[-1].any() and infrared[:-1].std() > 20
        assert index != 5 or infrared[7, 7] == 0
        assert index != 2 or not infrared[:, :10].any()


def test_a_range_by_hand_holds_for_all_pixels(tmp_path, caplog):
    deep = frames()
    for image in deep:
        image[-1] = 65535
    footage = footage_of(tmp_path, deep, value_ranges=((7000, 7500), None))
    assert not warned(caplog) and footage.value_ranges[0] == (7000, 7500)
    assert all((infrared[-1] == 255).all() for infrared, _ in footage.frames())


def test_frames_of_a_video_are_judged_as_files_are(tmp_path):
    deep = frames()
    deep[3][:] = 0
    for image in deep:
        image[0] = 65535
    ir = videos.write(tmp_path / "ir.mkv", deep, codec="ffv1")
    vis = videos.write(tmp_path / "vis.mkv", videos.scene(8, SHAPE), codec="ffv1")
    footage = surveying.survey(open_sources([ir, vis]))
    files = footage_of(tmp_path / "files", deep)
    assert footage.value_ranges[0] == files.value_ranges[0]
    for video, file in zip(footage.frames(), files.frames(), strict=True):
        np.testing.assert_array_equal(video[0], file[0])


def pair_of(folder, infrared, name="1.tif"):
    (folder / "ir").mkdir(exist_ok=True)
    tifffile.imwrite(folder / "ir" / name, infrared)
    images.write(folder / "vis" / name, np.full(SHAPE, 90, np.uint8))
    return Pair((folder / "ir" / name, folder / "vis" / name), folder / "out" / name)


@pytest.mark.parametrize(
    ("image", "value_range", "said"),
    (
        (frames(1)[0], (20.0, 40.0), "become 255 with the value range 20,40"),
        (
            frames(1)[0] / np.float32(300),
            (7e3, 9e3),
            "become 0 with the value range 7000,9000",
        ),
        (
            videos.scene(1, SHAPE)[0],
            (7e3, 9e3),
            "become 0 with the value range 7000,9000",
        ),
    ),
)
def test_a_range_that_leaves_nothing_is_refused(
    tmp_path, caplog, image, value_range, said
):
    bad = pair_of(tmp_path, image)
    options = FileOptions(value_ranges=(value_range, None), range_flags=FLAGS)
    for planned in ([bad], [bad, bad, bad]):
        with pytest.raises(
            UserError, match=f"ir/1.tif: its values of .* {said}, and so"
        ):
            pairs.check_ranges(planned, options)
    fitting = (np.linspace(*value_range, 2000).reshape(SHAPE)).astype(np.float32)
    # A shutter's frame among others is named, and fused.
    good = pair_of(tmp_path, fitting, "2.tif")
    pairs.check_ranges([bad, good, bad], options)
    fuser = Fuser(FusionSettings("1e2"))
    outcomes = list(pairs.fuse_pairs(fuser, [bad, good], options))
    assert [outcome.error for outcome in outcomes] == [None, None]
    (line,) = [line for line in caplog.messages if "with the value range" in line]
    assert re.match(f".*ir/1.tif: its values of .* {said}$", line)


def test_a_range_for_a_few_hot_objects_is_none_that_leaves_nothing(tmp_path):
    image = frames(1)[0]
    image[20:22, 30:33] = 20000
    options = FileOptions(value_ranges=((15000.0, 21000.0), None))
    pairs.check_ranges([pair_of(tmp_path, image)], options)


def test_a_range_that_leaves_nothing_of_a_sequence(tmp_path, caplog):
    deep = frames()
    with pytest.raises(
        UserError, match="0.tif: its values .* all frames: .*--ir_range="
    ):
        footage_of(tmp_path / "all", deep, value_ranges=((20.0, 40.0), None))
    deep[3][:] = 0
    footage_of(tmp_path / "one", deep, value_ranges=((7000.0, 7500.0), None))
    (line,) = warned(caplog)
    assert re.match(r".*ir/3.tif: its values of 0 to 0 become 0 with the", line)
    ir = videos.write(tmp_path / "ir.mkv", deep, codec="ffv1")
    vis = videos.write(tmp_path / "vis.mkv", videos.scene(8, SHAPE), codec="ffv1")
    opened = open_sources([ir, vis])
    surveying.survey(opened, value_ranges=((7000.0, 7500.0), None))
    with pytest.raises(UserError, match="ir.mkv, frame 1: its values .* all frames"):
        surveying.survey(opened, value_ranges=((20.0, 40.0), None))
