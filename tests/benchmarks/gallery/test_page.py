"""The page of the gallery: what is fused, how it is scored and laid out."""

import dataclasses
import pathlib
import re

import numpy as np
import pytest

from benchmarks.gallery import page
from benchmarks.gallery import problems
from densefuse_tf import metrics
from densefuse_tf.demo import scenes
from densefuse_tf.errors import UserError
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import images

ROOT = pathlib.Path(__file__).resolve().parents[3]
INFRARED, FOCUS, EXPOSURE = problems.PROBLEMS


def two_focus() -> problems.Scene:
    truth = scenes.photograph("coffee.png", 72)
    sources = scenes.focal_planes(truth, scenes.strips(truth.shape[:2], 2))
    return problems.Scene("cup", "A cup", "", "", sources, ("left", "right"), truth)


def short(problem: problems.Problem, checkpoint, *strategies: str) -> problems.Problem:
    """The problem with these strategies alone, by an untrained model."""
    settings = [
        FusionSettings(checkpoint, strategy=name, output_range="average")
        for name in strategies
    ]
    return dataclasses.replace(problem, settings=settings)


@pytest.mark.parametrize("problem", problems.PROBLEMS, ids=lambda each: each.name)
def test_the_example_scenes_have_sources_of_one_size(problem):
    for scene in problems.examples(problem, ROOT / "examples"):
        assert len(scene.sources) == len(scene.captions) >= 2
        shapes = {image.shape for image in scene.sources}
        assert len(shapes) == 1
        assert scene.truth is None or scene.truth.shape in shapes
        assert scene.made.endswith(".") and scene.look.endswith(".")


def test_multi_exposure_has_three_exposures():
    for scene in problems.examples(EXPOSURE, ROOT / "examples"):
        assert len(scene.sources) >= 3


def test_a_missing_example_is_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match="hut"):
        problems.examples(INFRARED, tmp_path)


def test_rows_are_the_sources_the_strategies_and_the_methods(checkpoint):
    scene = two_focus()
    problem = short(FOCUS, checkpoint, "addition", "choose_max")
    found = page.rows(problem, scene, ["wls"])
    assert [row.name for row in found] == [
        *("left", "right", "addition", "choose_max, r = 1", "wls")
    ]
    assert [row.is_source for row in found] == [True, True, False, False, False]
    for row in found:
        assert row.image.shape == scene.truth.shape and row.image.dtype == np.uint8
        assert tuple(row.scores) == FOCUS.metrics
    assert page.picture(scene, found).ndim == 3
    assert page.differences(scene, found).ndim == 2


def test_three_sources_are_scored_by_what_is_defined_for_them(checkpoint):
    truth = scenes.photograph("coffee.png", 72)
    sources = scenes.focal_planes(truth, scenes.strips(truth.shape[:2], 3))
    scene = problems.Scene("cup", "A cup", "", "", sources, "abc", truth)
    found = page.rows(short(FOCUS, checkpoint, "maximum"), scene, ["wls"])
    for row in found:
        assert list(row.scores) == ["PSNR to the truth", "SSIM to the truth"]


def test_exposures_are_scored_by_mef_ssim(checkpoint):
    sources = scenes.exposures(scenes.photograph("coffee.png", 72), (-3, 0, 3))
    scene = problems.Scene("cup", "A cup", "", "", sources, "abc")
    found = page.rows(short(EXPOSURE, checkpoint, "detail_softmax"), scene, [])
    grey = [page._grey(image) for image in sources]
    for row in found:
        expected = metrics.mef_ssim(grey, page._grey(row.image))
        assert row.scores == {"MEF-SSIM": expected}


def test_the_best_of_a_column_is_bold_and_no_source_is():
    blank = np.zeros((4, 4), np.uint8)
    found = [
        page.Row("near", blank, {"MEF-SSIM": 0.99}, is_source=True),
        page.Row("addition", blank, {"MEF-SSIM": 0.5}),
        page.Row("detail_softmax, r = 32", blank, {"MEF-SSIM": 0.75}),
    ]
    assert page.table(EXPOSURE, found).splitlines() == [
        "|  | MEF-SSIM ↑ |",
        "|---|---|",
        "| source: near | 0.9900 |",
        "| `addition` | 0.5000 |",
        "| `detail_softmax, r = 32` | **0.7500** |",
    ]


def stored_tables() -> dict[str, dict[str, list[float]]]:
    """The tables of docs/gallery.md by heading: the numbers of each row."""
    text = (ROOT / "docs" / "gallery.md").read_text()
    tables = {}
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        rows = re.findall(r"^\| (?:`|source: )(.+?)`? \| (.*) \|$", section, re.M)
        tables[title] = {
            name: [float(cell.strip("* ")) for cell in cells.split("|")]
            for name, cells in rows
        }
    return tables


def test_the_stored_page_shows_every_scene_and_its_pictures():
    text = (ROOT / "docs" / "gallery.md").read_text()
    shown = re.findall(r"!\[.*?\]\((gallery/\w+\.jpg)\)", text)
    titles = []
    for problem in problems.PROBLEMS:
        for scene in problems.examples(problem, ROOT / "examples"):
            assert f"gallery/{scene.name}.jpg" in shown
            titles.append(scene.title)
    assert list(stored_tables()) == titles
    folder = ROOT / "docs" / "gallery"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        name.partition("/")[2] for name in shown
    )
    assert sum(path.stat().st_size for path in folder.iterdir()) < 5_000_000
    for path in folder.iterdir():
        assert images.read(path).std() > 10


def test_the_advice_of_the_stored_page_is_that_of_its_tables():
    tables = stored_tables()
    for problem, best in ((FOCUS, "detail_choose_max, r = 1"),):
        for scene in problems.examples(problem, ROOT / "examples"):
            psnr = {name: cells[-2] for name, cells in tables[scene.title].items()}
            assert psnr[best] > max(psnr["addition"], psnr["l1_norm, r = 1"]) + 5
    for scene in problems.examples(EXPOSURE, ROOT / "examples"):
        score = {name: cells[0] for name, cells in tables[scene.title].items()}
        singles = [score[caption] for caption in scene.captions]
        assert score["detail_softmax, r = 32"] > max(singles)
