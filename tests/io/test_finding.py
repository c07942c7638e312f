"""Tests of densefuse_tf.io.finding: natural order, folders, patterns and pairs."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from densefuse_tf.errors import UserError
from densefuse_tf.io import finding
from densefuse_tf.io import images


@pytest.fixture
def folder(tmp_path):
    def make(name: str, *files: str) -> pathlib.Path:
        for file in files:
            path = tmp_path / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        return tmp_path / name

    return make


def names(paths) -> list[str]:
    return [path.name for path in paths]


def test_find_lists_a_folder_in_natural_order(folder):
    place = folder(
        "ir", "IR10.png", "IR2.PNG", "IR1.Tiff", "ir3.tif", "IR4.jpeg", "IR05.JPG",
        "IR6.bmp", "IR11.WebP", "notes.txt", "README", ".IR0.png", "IR7.png.part",
        "IR8.gif", "sub/IR9.png",
    )  # fmt: skip
    (place / "trap.png").mkdir()
    expected = ["IR1.Tiff", "IR2.PNG", "ir3.tif", "IR4.jpeg", "IR05.JPG", "IR6.bmp"]
    assert names(finding.find(place)) == [*expected, "IR10.png", "IR11.WebP"]
    assert names(finding.find(str(place))) == names(finding.find(place))


def test_natural_order_compares_numbers_and_leaves_the_suffix_apart(folder):
    expected = ["7.png", "b12c3.png", "b12c20.png", "x.png", "x9.png", "x10.png"]
    assert names(finding.find(folder("a", *expected[::-1]))) == expected


def test_find_takes_a_single_file_of_any_name(folder):
    place = folder("a", "image.dat", ".hidden.png", "odd[1].png", "odd1.png")
    for name in ("image.dat", ".hidden.png", "odd[1].png"):
        assert finding.find(place / name) == [place / name]
    (place / "link.png").symlink_to("missing.png")
    assert finding.find(place / "link.png") == [place / "link.png"]


def test_find_takes_a_pattern(folder):
    place = folder("a", "IR10.png", "IR9.png", "VIS1.png", "IR1.txt", "sub/IR11.png")
    assert names(finding.find(f"{place}/IR*")) == ["IR9.png", "IR10.png"]
    assert names(finding.find(place / "IR?.png")) == ["IR9.png"]
    assert len(finding.find(f"{place}/**/IR*.png")) == 3


def test_find_takes_subfolders_and_other_suffixes_on_demand(folder):
    place = folder("a[1]", "2.png", "deep/er/10.JPG", "deep/1.tif", ".git/3.png")
    found = finding.find(place, suffixes=(".png", ".jpg"), in_subfolders=True)
    assert found == [place / "2.png", place / "deep/er/10.JPG"]
    with pytest.raises(UserError, match=r"no image: expected files named \.bmp"):
        finding.find(place, suffixes=[".bmp"], in_subfolders=True)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("missing", "no such file or folder"),
        ("empty", "the folder has no image"),
        ("*.png", "the pattern matches nothing"),
        ("empty/*", "the pattern matches no image"),
        ("null\0byte", "no such file or folder"),
        ("", "is empty"),
    ],
)
def test_find_refuses_sources_without_images(folder, monkeypatch, source, found):
    monkeypatch.chdir(folder("empty", "notes.txt").parent)
    with pytest.raises(UserError, match=r"expected|no such") as caught:
        finding.find(source)
    assert found in str(caught.value) and "\n" not in str(caught.value)


def test_pair_matches_in_natural_order(folder):
    ir = folder("ir", "IR1.png", "IR2.png", "IR10.png")
    vis = folder("vis", "VIS10.bmp", "VIS1.bmp", "VIS2.bmp")
    pairs = finding.pair([ir, str(vis / "*")])
    assert [tuple(names(each)) for each in pairs] == [
        ("IR1.png", "VIS1.bmp"),
        ("IR2.png", "VIS2.bmp"),
        ("IR10.png", "VIS10.bmp"),
    ]
    triples = finding.pair([ir, vis, ir])
    assert len(triples) == 3 and all(len(each) == 3 for each in triples)


@pytest.mark.parametrize(
    ("first", "second", "lonely"),
    [
        # By number, though the names differ, and by name where there is none.
        (["IR1.png", "IR2.png", "IR3.png"], ["VIS1.png", "VIS3.png"], "IR2.png"),
        (["a.png", "b.png"], ["a.jpg", "b.jpg", "ab.jpg"], "ab.jpg"),
        (["x.png", "y.png", "z.png"], ["cam.png"], "x.png, y.png, z.png, ..."),
        (["1.png"], [f"{n}.png" for n in range(1, 7)], "2.png, 3.png, 4.png, ..."),
        (["IR01.png", "IR02.png"], ["VIS1.png"], "IR02.png"),
    ],
)
def test_pair_names_counts_and_images_without_partner(folder, first, second, lonely):
    ir, vis = folder("ir", *first), folder("vis", *second)
    with pytest.raises(UserError) as caught:
        finding.pair([ir, vis])
    line = str(caught.value)
    assert f"{ir} has {len(first)}, {vis} has {len(second)}" in line
    assert f"without partner: {lonely};" in line


@pytest.mark.parametrize("sources", [[], ["a.png"]])
def test_pair_needs_two_sources(sources):
    with pytest.raises(UserError, match="expected two or more"):
        finding.pair(sources)


def test_tno_pairs_are_found_and_read(shared):
    pairs = finding.pair([shared / "tno" / "IR*.png", shared / "tno" / "VIS*.png"])
    assert [ir.name[2:] for ir, _ in pairs] == [vis.name[3:] for _, vis in pairs]
    assert len(pairs) == 21 and pairs[1][0].name == "IR2.png"
    for path in pairs[0]:
        image = images.read(path)
        np.testing.assert_array_equal(image, np.asarray(Image.open(path)))
        assert image.shape == (270, 360) and image.dtype == np.uint8
