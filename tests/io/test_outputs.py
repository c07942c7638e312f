"""What may be written: nothing that is read, nothing twice."""

import itertools
import pathlib

import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.io import outputs


def clash(read, written):
    uses = [
        *((path, f"reads {path}", True) for path in read),
        *((path, f"writes {path}", False) for path in written),
    ]
    return outputs.clash(lambda: iter(uses))


def test_names_of_one_file_clash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("a").mkdir()
    pathlib.Path("a/1.png").touch()
    pathlib.Path("folder").symlink_to("a")
    pathlib.Path("link.png").symlink_to("a/1.png")
    one = ("a/1.png", "./a/1.png", tmp_path / "a/1.png", "folder/1.png", "link.png")
    for first, second in itertools.product(one, one):
        found = clash(["b.png", first], ["c.png", second])
        assert found == (second, f"writes {second}", f"reads {first}", True)
        found = clash(["b.png"], [first, second])
        assert found == (second, f"writes {second}", f"writes {first}", False)
    assert clash(one, ["a/2.png", "folder/3.png"]) is None
    assert clash([], []) is None and clash([], one[:1]) is None


def test_a_name_in_the_root_is_none_of_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "a.png"
    assert clash(["/b.png", "a.png"], ["/c.png", own]).path == own
    assert clash(["b.png", "a.png"], ["/b.png", "/a.png"]) is None


def test_hashes_that_are_equal_are_no_clash(monkeypatch):
    """Some of a million names may have one hash."""
    monkeypatch.setattr(outputs, "hash", lambda text: 7, raising=False)
    assert clash(["a", "b"], ["c", "d"]) is None
    assert clash(["a", "b"], ["c", "b"]).path == "b"


def test_the_first_clash_is_named():
    found = clash(["a", "b"], ["x", "b", "x", "a"])
    assert found == ("b", "writes b", "reads b", True)
    found = clash(["a", "b"], ["x", "y", "x", "a"])
    assert found == ("x", "writes x", "writes x", False)


def test_collisions_of_very_many_files_are_named(tmp_path):
    """A link to a source is that source, and each output has one origin."""
    (tmp_path / "ir").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/9.png").touch()
    (tmp_path / "ir/link.png").symlink_to(tmp_path / "other/9.png")
    planned = [
        (f"{tmp_path}/{n}.png", f"{tmp_path}/ir/a.png", f"{tmp_path}/vis/{n}.png")
        for n in range(1000)
    ]
    outputs.check_pairs(planned, [tmp_path / "other/8.png"])
    linked = (f"{tmp_path}/x.png", f"{tmp_path}/ir/link.png", f"{tmp_path}/vis/x.png")
    with pytest.raises(UserError, match=r"other/9.png: would overwrite a source"):
        outputs.check_pairs([*planned, linked], [tmp_path / "other/9.png"])
    with pytest.raises(UserError, match=r"/7.png: would be written twice, for .*7.png"):
        outputs.check_pairs([*planned, planned[7]])


def test_a_frame_is_no_place_for_another_output(tmp_path):
    sources = [tmp_path / f"in/{n}.png" for n in (1, 2)]
    frames = ["1.png", "2.png"]
    outputs.check_sequence(tmp_path / "out", frames, sources, [tmp_path / "3.png"])
    with pytest.raises(UserError, match="2.png: would overwrite a source, an input or"):
        outputs.check_sequence(
            tmp_path / "out", frames, sources, [tmp_path / "out/2.png"]
        )
