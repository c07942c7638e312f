"""The gallery's command on images of one's own, and its mistakes in one line."""

import pytest

from benchmarks.gallery import make
from densefuse_tf.demo import scenes
from densefuse_tf.io import images


@pytest.fixture
def folders(tmp_path):
    photo = scenes.photograph("coffee.png", 72)
    made = scenes.focal_planes(photo, scenes.strips(photo.shape[:2], 2))
    for folder, image in zip(("near", "far"), made, strict=True):
        images.write(tmp_path / folder / "cup.png", image)
    return f"{tmp_path}/near,{tmp_path}/far"


@pytest.mark.guard
def test_a_page_of_ones_own_images(folders, tmp_path, capsys):
    page = tmp_path / "own" / "page.md"
    flags = [f"--output={page}", "--noexamples", "--methods=wls"]
    assert make.run(["gallery", *flags, f"--multi_focus={folders}"]) == 0
    picture = page.parent / "page" / "multi_focus_cup.jpg"
    assert capsys.readouterr().out.split() == [str(picture), str(page)]
    assert images.read(picture).ndim == 3
    text = page.read_text()
    assert "## Multi-focus" in text and "## Infrared" not in text
    assert "![cup](page/multi_focus_cup.jpg)" in text
    for row in ("source: near", "`detail_choose_max, r = 1`", "`wls`"):
        assert f"| {row} | " in text


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--noexamples"], "there is nothing to show"),
        (["--output=page.html"], "--output=page.html: expected a name that ends in"),
        (["--multi_focus=near"], "--multi_focus=near: expected two or more folders"),
        (["--methods=best"], "unknown method 'best': expected one of cbf"),
    ],
)
def test_mistakes_are_answered_in_one_line(flags, message, capsys):
    assert make.run(["gallery", *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
