"""What the page shows, computed without the page."""

import json
import logging
import pathlib
import shlex
import shutil

import numpy as np
import pytest
import tifffile
from skimage import transform

from densefuse_tf import extras
from densefuse_tf import registration
from densefuse_tf.commands import fuse
from densefuse_tf.demo import engine as requests
from densefuse_tf.demo import examples
from densefuse_tf.demo import maps
from densefuse_tf.demo.request import OUTPUT
from densefuse_tf.demo.request import Request
from densefuse_tf.errors import UserError
from densefuse_tf.evaluation import scoring
from densefuse_tf.fusion import fuser
from densefuse_tf.fusion import methods
from densefuse_tf.io import images
from densefuse_tf.metrics import METRICS
from densefuse_tf.model import activity
from densefuse_tf.model import checkpoints
from tests import radiometric_files
from tests.registration.conftest import moved
from tests.registration.conftest import noisy
from tests.registration.conftest import scene
from tests.registration.conftest import similarity

SIZE = (48, 64)


def photograph(seed, channels=(), size=SIZE):
    return np.random.default_rng(seed).integers(0, 256, (*size, *channels), np.uint8)


@pytest.fixture(scope="module")
def engine():
    return requests.Engine(10_000)


@pytest.fixture
def grey(tmp_path):
    """A pair of 8-bit grey images of one name in ir/ and vis/."""
    pair = tmp_path / "ir/a b.png", tmp_path / "vis/a b.png"
    for seed, path in enumerate(pair):
        images.write(path, photograph(seed))
    return pair


@pytest.fixture
def deep(tmp_path):
    """A 16-bit infrared and a float32 visible image in colour."""
    pair = tmp_path / "ir.tif", tmp_path / "vis.tiff"
    tifffile.imwrite(pair[0], photograph(1).astype(np.uint16) * 30 + 7000)
    visible = photograph(2, (3,)).astype(np.float32) / 255
    tifffile.imwrite(pair[1], visible, photometric="rgb")
    return pair


@pytest.fixture
def answer(engine, grey, tmp_path):
    return engine.fuse(Request(*grey), tmp_path)


CASES = {
    "defaults": ("grey", {}),
    "all of DenseFuse": (
        "grey",
        {
            "strategy": "l1_norm",
            "checkpoint": "1e0",
            "output_range": "average",
            "color": "rgb",
            "ir_range": "5%,95%",
            "vis_range": "10,200",
        },
    ),
    "more than 8 bits": ("deep", {}),
    "colours of the visible image": ("deep", {"color": "luma", "ir_range": "auto"}),
    "thermal colours": ("deep", {"color": "thermal", "method": "dchwt"}),
    "a scale": (
        "deep",
        {
            "color": "thermal",
            "method": "dchwt",
            "palette": "iron",
            "scale": True,
            "ir_range": "1%,99%",
        },
    ),
    "another method": ("deep", {"method": "dchwt", "vis_range": "0.1,0.9"}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_lines_give_the_same_bytes(name, engine, request, tmp_path, monkeypatch):
    fixture, settings = CASES[name]
    pair = request.getfixturevalue(fixture)
    check_lines(engine, Request(*pair, **settings), tmp_path, monkeypatch)


@pytest.mark.skipif(bool(extras.missing("flir")), reason="needs flyr")
def test_the_lines_give_the_same_bytes_of_a_photo(engine, tmp_path, monkeypatch):
    def register(fixed, moving, *, guess, **_):
        shapes = fixed.shape[:2], moving.shape[:2]
        found = transform.SimilarityTransform(matrix=guess)
        return registration.Registration(found, "similarity", *shapes, 0.5, 0.1)

    monkeypatch.setattr(registration, "register", register)
    celsius, seen = photograph(1) / 4.0, photograph(2, (3,))
    path = radiometric_files.write(
        tmp_path / "photo.jpg", seen, celsius, seen, (1.4, 1, -1)
    )
    wanted = Request(path, None, method="dchwt", ir_range="10,50", scale=True)
    answer = check_lines(engine, wanted, tmp_path, monkeypatch)
    assert json.loads(answer.settings_file.read_text())["visible"] == "embedded"
    assert "--scale" not in answer.command
    # In the colours of the photograph, and in the field of view of both.
    assert answer.image.ndim == 3
    assert answer.image.shape[0] < len(seen)


@pytest.mark.guard
def test_the_lines_give_the_same_bytes_with_registration(tmp_path, monkeypatch):
    pair = tmp_path / "ir.png", tmp_path / "vis.png"
    images.write(pair[0], noisy(moved(255 - scene(1), similarity(1, 0, (6, 4))), 3))
    images.write(pair[1], noisy(scene(1), 2))
    wanted = Request(*pair, register=True)
    answer = check_lines(requests.Engine(10**6), wanted, tmp_path, monkeypatch)
    assert answer.image.shape < images.read(pair[1]).shape


def check_lines(engine, wanted, folder, monkeypatch):
    """Runs the command and the program of an answer where its sources are."""
    monkeypatch.chdir(folder)
    answer = engine.fuse(wanted, folder / "answer")
    expected = answer.fused_file.read_bytes()
    output = pathlib.Path(OUTPUT)
    assert fuse.run(shlex.split(answer.command.replace("\\\n", ""))) == 0
    assert output.read_bytes() == expected
    output.unlink()
    exec(compile(answer.program, "program", "exec"), {})
    assert output.read_bytes() == expected
    return answer


def test_the_settings_name_what_has_an_effect(engine, grey, answer, tmp_path):
    content = json.loads(answer.settings_file.read_text())
    assert content["command"] == answer.command and content["python"] == answer.program
    assert (content["infrared"], content["visible"]) == ("a b.png", "a b.png")
    assert content["strategy"] == "addition" and content["register"] is False
    other = engine.fuse(Request(*grey, method="cbf"), tmp_path / "other")
    content = json.loads(other.settings_file.read_text())
    assert content["method"] == "cbf" and "strategy" not in content


def test_errors_name_the_files_without_their_folder(engine, grey, tmp_path):
    images.write(grey[0], photograph(1, size=(40, 40)))
    with pytest.raises(UserError) as caught:
        engine.fuse(Request(*grey), tmp_path / "answer")
    expected = "infrared image a b.png is 40x40 and visible image a b.png is 64x48"
    assert str(caught.value).startswith(expected)
    assert str(tmp_path) not in str(caught.value)


def test_an_image_above_the_limit_is_refused(engine, grey, tmp_path):
    images.write(grey[1], photograph(1, size=(101, 100)))
    expected = "^visible image a b.png: .*at most 10000 \\(max_pixels"
    with pytest.raises(UserError, match=expected):
        engine.fuse(Request(*grey), tmp_path / "answer")
    with pytest.raises(UserError, match="^a b.png: .*at most 10000 "):
        engine.preview(grey[1])


def test_what_is_no_range_is_refused(engine, grey, tmp_path):
    with pytest.raises(UserError, match="visible image: value range '9,1': expected"):
        engine.fuse(Request(*grey, vis_range="9,1"), tmp_path)


def test_warnings_are_part_of_the_answer(engine, deep, tmp_path, caplog):
    values = np.full(SIZE, 7000, np.uint16)
    values[0, 0], values[1:] = 65535, values[1:] + np.arange(SIZE[1])
    tifffile.imwrite(deep[0], values)
    with caplog.at_level(logging.WARNING):
        warnings = engine.fuse(Request(*deep), tmp_path).warnings
    assert len(warnings) == 1
    assert warnings[0].startswith("infrared image ir.tif: no temperatures, left out of")
    assert (
        '"Infrared values that become 0 and 255" = LOW,HIGH sets a ran' in warnings[0]
    )


def test_an_infrared_image_in_false_colours_is_warned_of(engine, grey, tmp_path):
    colors = np.zeros((*SIZE, 3), np.uint8)
    colors[..., 0], colors[..., 2] = photograph(2), 255 - photograph(2)
    images.write(grey[0], colors)
    (warning,) = engine.fuse(Request(*grey), tmp_path / "answer").warnings
    assert warning.startswith("infrared image a b.png: an infrared image in false col")
    assert "Colour luma keeps" in warning and "swap the two images" in warning
    assert "--" not in warning


def test_a_model_is_loaded_once_for_each_strategy_and_lambda(
    grey, tmp_path, monkeypatch
):
    built = []
    build = methods.build
    monkeypatch.setattr(
        methods, "build", lambda settings: built.append(settings) or build(settings)
    )
    engine = requests.Engine(10_000)
    for settings in (
        {},
        {"color": "rgb"},
        {"output_range": "average"},
        {"strategy": "l1_norm"},
        {"checkpoint": "1e1"},
        {"method": "dchwt"},
        {"method": "dchwt", "color": "luma"},
    ):
        engine.fuse(Request(*grey, **settings), tmp_path)
    assert len(built) == 4


def test_a_preview_shows_more_than_8_bits_in_8(engine, deep):
    picture = engine.preview(deep[0])
    assert picture.dtype == np.uint8
    assert (picture.min(), picture.max()) == (0, 255)


def test_large_pictures_are_reduced_and_the_result_is_not(tmp_path):
    pair = tmp_path / "ir.png", tmp_path / "vis.png"
    for seed, path in enumerate(pair):
        images.write(path, photograph(seed, size=(20, 2000)))
    engine = requests.Engine(10**6)
    answer = engine.fuse(Request(*pair), tmp_path / "answer")
    assert images.read(answer.fused_file).shape == (20, 2000)
    files = [*sum(answer.compared, ()), *engine.maps(answer, tmp_path)]
    assert {images.read(path).shape[:2] for path in files} == {(13, 1280)}


def test_the_sliders_compare_the_sources_with_the_result(grey, answer):
    for source, (path, fused) in zip(grey, answer.compared, strict=True):
        np.testing.assert_array_equal(images.read(path), images.read(source))
        assert fused == answer.fused_file


def test_the_maps_are_those_of_the_strategy(answer):
    found = maps.MapMaker("1e2").compute(answer.sources)
    encoder = checkpoints.load_autoencoder("1e2").get_layer("encoder")
    features = [
        encoder(source[None, :, :, None].astype(np.float32))
        for source in answer.sources
    ]
    for index, weight in enumerate(activity.l1_norm_weights(features)):
        level = activity.activity_level_map(features[index])[0, :, :, 0]
        np.testing.assert_allclose(found.activities[index], level, rtol=1e-4)
        np.testing.assert_allclose(found.weights[index], weight[0, :, :, 0], atol=1e-5)


def test_the_maps_are_the_same_in_bands(answer, monkeypatch):
    maker = maps.MapMaker("1e2")
    whole = maker.compute(answer.sources)
    monkeypatch.setattr(fuser, "rows_of_band", lambda *_: 30)
    banded = maker.compute(answer.sources)
    np.testing.assert_allclose(banded.activities, whole.activities, rtol=1e-5)
    np.testing.assert_allclose(banded.weights, whole.weights, atol=1e-5)


def test_only_densefuse_has_maps(engine, grey, answer, tmp_path):
    assert len(engine.maps(answer, tmp_path)) == 4
    other = engine.fuse(Request(*grey, method="dchwt"), tmp_path / "other")
    assert engine.maps(other, tmp_path) == []


def test_activity_is_black_where_there_is_none_and_weights_are_white_in_the_middle():
    ends = np.array([[0.0, 2.0]])
    picture = maps.activity_picture(ends, 2.0)
    assert picture[0, 0].max() < 10 and picture[0, 1].min() > 180
    assert maps.activity_picture(ends * 0, 0.0).max() < 10
    blue, white, red = maps.weight_picture(np.array([[0.0, 0.5, 1.0]]))[0].astype(int)
    assert blue.argmax() == 2 and white.min() > 240 and red.argmax() == 0


def test_all_metrics_are_computed_that_a_size_allows(answer, tmp_path):
    assert tuple(requests.evaluate(answer)) == tuple(METRICS)
    pair = tmp_path / "s1.png", tmp_path / "s2.png"
    for seed, path in enumerate(pair):
        images.write(path, photograph(seed, size=(20, 20)))
    small = requests.Engine(10_000).fuse(Request(*pair), tmp_path / "small")
    values = requests.evaluate(small)
    assert "En" in values and "MS_SSIM" not in values


def test_the_projects_examples_are_found_and_others_by_their_folder(grey):
    found = examples.find()
    assert [path.name for pair in found for path in pair] == [
        *("hut.png", "hut.png", "street.png", "street.png")
    ]
    assert examples.find(grey[0].parents[1]) == [grey]


def test_an_examples_folder_without_ir_and_vis_is_refused(tmp_path):
    with pytest.raises(UserError, match="ir: no such file or folder"):
        examples.find(tmp_path)


def test_examples_travel_inside_the_package(tmp_path, monkeypatch):
    source = examples.find()[0][0].parents[1]
    installed = tmp_path / "examples"
    shutil.copytree(source, installed)
    monkeypatch.setattr(examples, "_FOLDERS", (installed, tmp_path / "none"))
    assert examples.find()[0][0] == installed / "ir/hut.png"
    shutil.rmtree(installed)
    assert examples.find() == []


def test_metrics_take_no_more_memory_than_fusing(answer, monkeypatch):
    height, width = answer.image.shape
    monkeypatch.setattr(scoring, "MAX_PIXELS_AT_ONCE", height * width - 1)
    assert requests.evaluate(answer) == {}


def test_an_upload_that_has_gone_is_named(engine, grey, tmp_path):
    grey[1].unlink()
    line = "visible image a b.png: is no longer here: the page keeps a file for an hour"
    with pytest.raises(UserError, match=line):
        engine.fuse(Request(*grey), tmp_path)
    with pytest.raises(UserError, match="^a b.png: is no longer here"):
        engine.preview(grey[1])
