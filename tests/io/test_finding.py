"""Tests of densefuse_tf.io.finding: natural order, folders, patterns and pairs."""

import pathlib

import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.io import finding


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


def test_natural_order_compares_numbers_of_any_length(folder):
    long = "9" * 200
    names_in_order = ["7.png", "b12c3.png", "b12c20.png", "x.png", "x9.png", "x10.png"]
    place = folder("a", *names_in_order[::-1], f"x{long}.png", f"x{long}0.png")
    expected = [*names_in_order, f"x{long}.png", f"x{long}0.png"]
    assert names(finding.find(place)) == expected


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


def test_find_enters_each_folder_once(folder, monkeypatch):
    """Two links that make rings: without an end, to all practical purposes."""
    place = folder("a", "IR1.png", "sub/IR2.png", ".hidden/IR3.png", "other/IR4.txt")
    for name in ("one", "two", "sub/three"):
        (place / name).symlink_to(place)
    (place / "other/linked").symlink_to(folder("b", "IR5.png"))
    assert names(finding.find(f"{place}/**/IR*.png")) == [
        "IR1.png",
        "IR5.png",
        "IR2.png",
    ]
    monkeypatch.chdir(place)
    assert finding.find("**/*2.png") == [pathlib.Path("sub/IR2.png")]
    assert names(finding.find("**")) == ["IR1.png", "IR5.png", "IR2.png"]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("missing", "no such file or folder"),
        ("empty", "the folder has no image"),
        (".", "; './**' takes those of its subfolders"),
        ("*.png", "the pattern matches nothing"),
        ("empty/*", "the pattern matches no image"),
        ("null\0byte", "no such file or folder"),
        ("", "is empty"),
    ],
)
def test_find_refuses_sources_without_images(folder, monkeypatch, source, found):
    monkeypatch.chdir(folder("empty", "notes.txt").parent)
    folder("deep/er", "IR1.PNG")
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
        # By number, though the names differ; by name; by place where neither helps.
        (["IR1.png", "IR2.png", "IR3.png"], ["VIS1.png", "VIS3.png"], "IR2.png"),
        (["a.png", "b.png"], ["a.jpg", "b.jpg", "ab.jpg"], "ab.jpg"),
        (["x.png", "y.png", "z.png"], ["cam.png"], "y.png, z.png"),
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


def test_pair_names_each_image_without_partner_once(folder):
    sources = [folder("ir", "1.png", "2.png"), folder("vis", "1.png", "2.png")]
    with pytest.raises(UserError, match="without partner: 2.png;"):
        finding.pair([*sources, folder("fused", "1.png")])


@pytest.mark.parametrize(
    ("first", "second", "other"),
    [
        # One of three is another scene; each is shifted by one; no numbers in them.
        (["1", "2", "9"], ["1", "2", "7"], "1 of 3 pairs.* 9.png + 7.png; check"),
        (
            ["IR1", "IR2", "IR3", "IR4"],
            ["VIS2", "VIS3", "VIS4", "VIS5"],
            "4 of 4 pairs.* IR3.png + VIS4.png, ...; check",
        ),
        (
            ["bench_ir", "road_ir", "tank_ir"],
            ["bench_vis", "road_vis", "tent_vis"],
            "1 of 3 pairs.* tank_ir.png + tent_vis.png; check",
        ),
        # A dropped frame; a name of two; no name and no number at all.
        (
            ["cam1_001", "cam1_002", "cam1_004"],
            ["cam2_001", "cam2_003", "cam2_004"],
            "1 of 3 pairs.* cam1_002.png + cam2_003.png; check",
        ),
        (
            ["cam1_1", "cam1_2"],
            ["cam2_2", "cam2_3"],
            "2 of 2 pairs.* cam1_2.png + cam2_3",
        ),
        (["0", "1"], ["1", "2"], "2 of 2 pairs.* 0.png + 1.png, 1.png + 2.png; check"),
        (["IR10", "IR11"], ["VIS0", "VIS1"], "2 of 2 pairs.* IR10.png + VIS0.png"),
        (["a", "b", "c"], ["a", "x", "y"], "2 of 3 pairs.* b.png + x.png, c.png + y"),
        (
            ["red", "blue", "sea"],
            ["x", "y", "z"],
            "3 of 3 pairs.* blue.png + x.png, red.png + y.png, sea.png + z.png; check",
        ),
        # Zeros behind a point count, and no part of a decimal number is left out.
        (["17.05", "17.1"], ["17.1", "17.5"], "2 of 2 pairs.* 17.05.png + 17.1.png"),
        (["17.05_ir", "17.1_ir"], ["18.05", "18.1"], "2 of 2 pairs.* 17.05_ir.png + 1"),
        (["1.05a", "1.1b"], ["1.1c", "1.5d"], "1 of 2 pairs.* : 1.05a.png + 1.5d.png;"),
        # Nothing to be said.
        (["IR01", "IR2", "IR10"], ["VIS1", "VIS2", "VIS10"], None),
        (["a_ir", "b_ir"], ["a_vis", "b_vis"], None),
        (["one"], ["two"], None),
    ],
)
def test_pair_warns_of_names_that_do_not_match(folder, caplog, first, second, other):
    sources = [
        folder(kind, *(f"{name}.png" for name in names))
        for kind, names in (("ir", first), ("vis", second))
    ]
    assert len(finding.pair(sources)) == len(first)
    said = caplog.text.replace(f"{sources[0]}/", "").replace(f"{sources[1]}/", "")
    if other is None:
        assert not said
    else:
        count, names = other.split(".* ")
        assert f"names do not match in {count}" in said and names in said


@pytest.mark.parametrize(
    ("first", "second", "matched"),
    [
        # As a Mac writes accents, and others.
        (["\u00e9tage", "ferme"], ["e\u0301tage", "ferme"], ["ferme", "e\u0301tage"]),
        (["e\u0301_ir", "f_ir"], ["\u00e9", "f"], ["f", "\u00e9"]),
        # Temperatures and times.
        (["17.05", "17.1", "17.15", "17.2"], ["t1", "t2", "t3", "t4"], None),
        (["9.5", "10.05", "10.5"], ["9.5", "10.05", "10.5"], None),
        (["17.05", "17.1"], ["17.050", "17.10"], None),
        (["17.05_ir", "17.1_ir", "17.5_ir"], ["t17.050", "t17.10", "t17.5"], None),
        # What is left of a name may be the start of another.
        (["a_ir", "a_b_ir"], ["a", "a_b"], ["a_b", "a"]),
        (["ir_a", "ir_b_a"], ["a", "b_a"], ["a", "b_a"]),
        (["ir_a", "ir_a_b"], ["a", "a_b"], ["a", "a_b"]),
        (
            ["kaptein_ir", "kaptein_1654_ir"],
            ["kaptein", "kaptein_1654"],
            ["kaptein_1654", "kaptein"],
        ),
        # Another order by another start or end.
        (["day2_ir", "day_ir"], ["vis day", "vis day2"], ["vis day2", "vis day"]),
        (["b 01", "a 02"], ["y 2", "z 1"], ["y 2", "z 1"]),
        (["A_IR", "b_IR"], ["B_vis", "a_vis"], ["a_vis", "B_vis"]),
    ],
)
def test_pair_matches_by_name(folder, caplog, first, second, matched):
    sources = [
        folder(kind, *(f"{name}.png" for name in names))
        for kind, names in (("ir", first), ("vis", second))
    ]
    pairs = list(finding.pair(sources))
    assert [vis.stem for _, vis in pairs] == (matched or second)
    if matched is None:
        assert [ir.stem for ir, _ in pairs] == first
    assert ("do not match" in caplog.text) == (second[0] == "t1")
    # The same where sources change places, and with a third.
    swapped = finding.pair(sources[::-1])
    assert {(ir, vis) for vis, ir in swapped} == set(pairs)
    third = finding.pair([*sources, sources[0]])
    assert list(third) == [(ir, vis, ir) for ir, vis in pairs]


def test_decimal_numbers_are_in_their_order_and_others_as_they_were(folder):
    decimals = ["9.9", "10", "10.05", "10.1", "10.15", "10.2", "1305031102.175304"]
    place = folder("a", *(f"{name}.png" for name in decimals[::-1]))
    assert [path.stem for path in finding.find(place)] == decimals
    # Frames of a clip, and versions.
    others = ["1.2.9", "1.2.10", "clip1.9", "clip1.10", "v2.9_x", "v2.10_x"]
    place = folder("b", *(f"{name}.png" for name in others[::-1]))
    assert [path.stem for path in finding.find(place)] == others


@pytest.mark.parametrize(
    "expected",
    [
        ["17.05_ir", "17.1_ir", "17.15_ir", "17.2_ir"],
        ["t9.5", "t17", "t17.05", "t17.1", "t17.15"],
        ["cam1_9.25.ir", "cam1_10.05.ir", "cam1_10.5.ir"],
        ["frame-9.5", "frame-17.05", "frame-17.1"],
        ["-10.5", "-9.15", "-9.1"],
        ["t-10.5C", "t-9.1C", "t-9.05C", "t0C", "t2.5C"],
        # Versions, and a counter behind a point.
        ["v1.2.9", "v1.2.10"],
        ["v1.9.0", "v1.10.0"],
        ["clip1.1", "clip1.2", "clip1.10"],
    ],
)
def test_decimal_numbers_in_names_are_in_their_order(folder, expected):
    place = folder("a", *(f"{name}.png" for name in expected[::-1]))
    assert [path.stem for path in finding.find(place)] == expected
    assert [path.stem for path in finding.find(f"{place}/*")] == expected
    pairs = finding.pair([place, folder("b", *(f"{name}.png" for name in expected))])
    assert [path.stem for path, _ in pairs] == expected


def test_pair_refuses_the_same_files_as_all_sources(folder):
    place = folder("ir", "1.png", "2.png")
    for first, second in (
        (place, place),
        (place, f"{place}/../ir/*.png"),
        (place / "1.png", f"{place}/1.*"),
    ):
        with pytest.raises(UserError, match=r"1.png: is given as each of the 2 sour"):
            finding.pair([first, second])


def test_pair_warns_of_a_folder_given_twice_of_three(folder, caplog):
    ir, vis = folder("ir", "1.png"), folder("vis", "1.png")
    finding.pair([ir, vis, ir])
    assert (
        f"the same file is several of the sources: {ir}/1.png + {vis}/1.png + "
        f"{ir}/1.png" in caplog.text
    )


@pytest.mark.parametrize("sources", [[], ["a.png"]])
def test_pair_needs_two_sources(sources):
    with pytest.raises(UserError, match="expected two or more"):
        finding.pair(sources)


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        # As KAIST and others lay theirs out, and a folder for each scene.
        (("*/V0/lwir/*", "*/V0/vis/*"), ["{}/V0/lwir/1", "{}/V0/vis/1"]),
        (("*/FIR/*", "*/Vis/*/*"), ["{}/FIR/1_ir", "{}/Vis/x/1_vis"]),
        (("*/IR.png", "*/VIS.png"), ["{}/IR", "{}/VIS"]),
    ],
)
def test_folders_tell_images_of_one_name_apart(folder, caplog, patterns, names):
    scenes = ["day2", "day10", "night"]
    files = [f"{name.format(each)}.png" for each in scenes for name in names]
    place = folder("data", *files)
    expected = [
        tuple(place / f"{name.format(each)}.png" for name in names) for each in scenes
    ]
    sources = [f"{place}/{pattern}" for pattern in patterns]
    assert list(finding.pair(sources)) == expected
    assert not caplog.text
    # A name alone does not say which one it is.
    lonely = expected.pop()[1]
    lonely.unlink()
    missing = f"without partner: {place}/{names[0].format('night')}.png; expected"
    with pytest.raises(UserError, match=missing):
        finding.pair(sources)


def test_folders_of_their_own_are_those_that_differ():
    paths = ["a/x/b/1.png", "a/y/b/1.png", "a/y/c/d/2.png", "a/x/3.png"]
    assert list(finding.own_folders(paths)) == ["x/b", "y/b", "y/c/d", "x"]
    assert list(finding.own_folders(["a/1.png", "a/2.png"])) == ["", ""]
    assert list(finding.own_folders(["1.png", "/2.png"])) == ["", ""]
