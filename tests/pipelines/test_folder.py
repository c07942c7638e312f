"""Whole runs by the library alone, as in a notebook: nothing is printed."""

import contextlib
import csv

import numpy as np
import pytest

from densefuse_tf.errors import UserError
from densefuse_tf.fusion import methods
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import images
from densefuse_tf.pipelines import folder
from densefuse_tf.pipelines import sequences
from densefuse_tf.pipelines.events import Events
from densefuse_tf.pipelines.settings import FileOptions
from densefuse_tf.pipelines.settings import FusionRequest
from densefuse_tf.pipelines.settings import RegistrationSettings
from densefuse_tf.pipelines.settings import RunOptions

# It needs neither weights nor TensorFlow.
GTF = methods.settings("gtf")


class Heard(Events):
    """Writes down what it is told."""

    def __init__(self):
        self.lines = []

    def planned(self, todo, count):
        self.lines.append(f"{len(todo)} of {count}")

    @contextlib.contextmanager
    def fusing(self, count):
        yield lambda done: self.lines.append(f"{done} of {count} done")

    def surveyed(self, footage):
        self.lines.append(f"{footage.count} frames")

    def wrote(self, what, path):
        self.lines.append(f"{what}: {path.name}")


@pytest.fixture
def request_of(five, tmp_path):
    """Makes the request that fuses five pairs into a folder of their own."""

    def make(**others):
        sources = str(tmp_path / "ir"), str(tmp_path / "vis")
        return FusionRequest(sources, str(tmp_path / "out"), GTF, **others)

    return make


def test_a_folder_is_fused_without_a_word(request_of, five, capfd):
    summary = folder.fuse(request_of())
    assert (len(summary.planned), len(summary.todo), summary.failed) == (5, 5, [])
    for pair in five:
        expected = methods.build(GTF).fuse([images.read(each) for each in pair.sources])
        np.testing.assert_array_equal(images.read(pair.output), expected.image)
    assert capfd.readouterr() == ("", "")


def test_events_tell_how_the_run_goes_on(request_of, five, tmp_path, capfd):
    five[1].sources[0].write_text("no image")
    folder.fuse(request_of())
    five[0].output.unlink()
    run = RunOptions(panel=tmp_path / "p.png", report=tmp_path / "r.csv")
    heard = Heard()
    summary = folder.fuse(
        request_of(options=FileOptions(skip_existing=True), run=run), heard
    )
    done = ["1 of 2 done"] * 2
    assert heard.lines == ["2 of 5", *done, "panel: p.png"]
    assert [outcome.pair for outcome in summary.failed] == [five[1]]
    _, row = csv.reader((tmp_path / "r.csv").open())
    assert row[-1] == summary.failed[0].reason
    assert str(five[1].sources[0]) in row[-1]
    assert capfd.readouterr() == ("", "")


def test_the_only_pair_that_fails_is_an_error(five, tmp_path):
    five[0].sources[0].write_text("no image")
    sources = tuple(map(str, five[0].sources))
    with pytest.raises(UserError, match="ir/0.png"):
        folder.fuse(FusionRequest(sources, str(tmp_path / "f.png"), GTF))


def test_a_sequence_is_fused_without_a_word(request_of, five, capfd):
    heard = Heard()
    assert sequences.fuse(request_of(), heard)
    assert heard.lines == ["5 frames"]
    assert all(pair.output.is_file() for pair in five)
    assert not sequences.fuse(request_of(options=FileOptions(skip_existing=True)))
    assert capfd.readouterr() == ("", "")


def test_a_request_is_for_as_many_sources_as_are_given():
    with pytest.raises(UserError, match="num_sources is 2: expected 3, the kinds"):
        FusionRequest(("a", "b", "c"), "out")
    align = RegistrationSettings(register="each")
    with pytest.raises(UserError, match="3 kinds of sources are given: expected two"):
        FusionRequest(("a", "b", "c"), "out", registration=align)
    three = FusionSettings(num_sources=3)
    names = FusionRequest(("a", "b", "c"), "out", three).names
    assert names == ("source 1", "source 2", "source 3")


def test_a_result_that_comes_meanwhile_is_not_overwritten(request_of, five, tmp_path):
    report = tmp_path / "r.csv"

    class Another(Heard):
        """Stands for a run that writes two of the results, or its report, first."""

        def planned(self, todo, count):
            for pair in todo[1:3]:
                pair.output.write_text("theirs")

    class Reporting(Heard):
        def planned(self, todo, count):
            report.write_text("theirs")

    options = FileOptions(overwrite=False)
    with pytest.raises(UserError, match="r.csv: exists, and is not overwritten"):
        folder.fuse(
            request_of(options=options, run=RunOptions(report=report)), Reporting()
        )
    assert report.read_text() == "theirs"
    for pair in five:
        pair.output.unlink()
    summary = folder.fuse(request_of(options=options), Another())
    assert [outcome.pair for outcome in summary.failed] == five[1:3]
    assert "exists, and is not overwritten" in summary.failed[0].reason
    for index, pair in enumerate(five):
        assert (pair.output.read_bytes() == b"theirs") == (index in (1, 2))
