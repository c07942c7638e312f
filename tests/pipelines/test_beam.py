"""The Apache Beam pipeline: the files of fuse.py, on one process and on several."""

import csv
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading

import numpy as np
import pytest

from densefuse_tf import extras
from densefuse_tf.commands import fuse
from densefuse_tf.errors import UserError
from densefuse_tf.fusion import fuser as fuser_module
from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import finding
from densefuse_tf.io import images
from densefuse_tf.pipelines.pairs import fuse_pairs
from densefuse_tf.pipelines.planning import Pair
from densefuse_tf.pipelines.planning import plan
from densefuse_tf.pipelines.planning import texts
from densefuse_tf.pipelines.settings import FileOptions

pytest.importorskip("apache_beam", reason="needs apache-beam: pip install '.[beam]'")

from densefuse_tf.pipelines import beam
from densefuse_tf.pipelines import jobs
from tests.pipelines.conftest import contents

SIZE = (23, 31)
ROOT = pathlib.Path(__file__).resolve().parents[2]
OPTIONS = FileOptions(save_raw=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """ir/ and vis/ of seven pairs, of which two cannot be fused.

    The third has sizes that differ, the sixth a file that is no image.
    """
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    for number in range(1, 8):
        for kind in ("ir", "vis"):
            size = (9, 9) if (number, kind) == (3, "ir") else SIZE
            image = rng.integers(0, 256, size, dtype=np.uint8)
            images.write(folder / f"{kind}/{number}.png", image)
    (folder / "vis/6.png").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def expected(made, checkpoint):
    """The files that `fuse_pairs` makes of them, by name."""
    fuser = Fuser(FusionSettings(checkpoint, strategy="l1_norm"))
    folder = made / "expected"
    folder.mkdir()
    planned = list(plan(finding.pair([made / "ir", made / "vis"]), folder))
    results = list(fuse_pairs(fuser, planned, OPTIONS))
    assert [result.error is None for result in results] == [1, 1, 0, 1, 1, 0, 1]
    return contents(folder)


@pytest.fixture
def pairs(made, tmp_path, monkeypatch):
    """The pairs in the current folder."""
    monkeypatch.chdir(tmp_path)
    for kind in ("ir", "vis"):
        shutil.copytree(made / kind, kind)
    return tmp_path


def plan_into(folder) -> list[Pair]:
    pathlib.Path(folder).mkdir()
    return list(plan(finding.pair(["ir", "vis"]), folder))


def launch(checkpoint, planned, *options, **others) -> dict[int, str]:
    """Returns the errors by the index of the pair."""
    launcher = beam.Launcher("DirectRunner", options)
    settings = FusionSettings(checkpoint=checkpoint, strategy="l1_norm")
    job = jobs.Fusing(jobs.with_absolute_paths(settings), OPTIONS)
    items = texts(planned)
    folder = planned[0].output.parent
    return dict(launcher.run(job, items, len(planned), folder, **others))


def check_failed(failed: dict[int, str]) -> None:
    assert list(failed) == [2, 5]
    assert "ir/3.png is 9x9 and " in failed[2]
    assert "vis/6.png: starts with the bytes" in failed[5]


@pytest.mark.parametrize(
    "options",
    ((), ("--direct_runner_bundle_repeat=1",)),
    ids=("once", "each bundle twice"),
)
def test_same_files_in_this_process(pairs, expected, checkpoint, monkeypatch, options):
    monkeypatch.setattr(jobs, "_CHUNKS", 3)
    planned, finished = plan_into("out"), []
    failed = launch(
        os.path.relpath(checkpoint), planned, *options, progress=finished.append
    )
    assert sum(finished) == 7
    check_failed(failed)
    assert contents("out") == expected


class Echo:
    """A job that says the paths of every other pair."""

    def prepare(self):
        return None

    def do(self, prepared, items):
        for paths in items:
            number = int(os.path.basename(paths[0]))
            yield paths if number % 2 else None


def test_what_a_job_says_comes_with_the_index_of_its_pair(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "_CHUNKS", 4)
    items = [(f"/a/{n}", f"/b/{n}") for n in range(11)]
    said = beam.Launcher("DirectRunner").run(Echo(), items, 11, tmp_path)
    assert list(said) == [(n, list(items[n])) for n in range(1, 11, 2)]


def test_pairs_that_a_runner_has_lost_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "_CHUNKS", 4)
    run = beam._run

    def lose(pipeline):
        state = run(pipeline)
        (working,) = tmp_path.iterdir()
        (working / f"{jobs.DONE}3").unlink()
        return state

    monkeypatch.setattr(beam, "_run", lose)
    items = [(f"/a/{n}", f"/b/{n}") for n in range(11)]
    with pytest.raises(beam.PipelineError, match="stopped with 3 of 11 pairs to do"):
        list(beam.Launcher("DirectRunner").run(Echo(), items, 11, tmp_path))


def test_threads_share_one_model_and_do_not_use_it_at_once(
    pairs, expected, checkpoint, monkeypatch
):
    loaded, at_once = [], []
    lock = threading.Lock()

    class Watched(Fuser):
        def __init__(self, *arguments, **settings):
            super().__init__(*arguments, **settings)
            loaded.append(self)

        def fuse(self, *arguments, **settings):
            at_once.append(lock.acquire(blocking=False))
            try:
                return super().fuse(*arguments, **settings)
            finally:
                lock.release()

    monkeypatch.setattr(fuser_module, "Fuser", Watched)
    planned = plan_into("out")
    options = ("--direct_num_workers=3", "--direct_running_mode=multi_threading")
    failed = launch(checkpoint, planned, *options)
    check_failed(failed)
    assert contents("out") == expected
    assert len(loaded) == 1
    assert len(at_once) == 6 and all(at_once)


@pytest.mark.guard
def test_processes_give_the_same_files(pairs, expected, checkpoint):
    """Where the package is not installed, workers find it in the current folder.

    The strategy is one of a user's own module, which each worker imports.
    """
    module = pairs / "own_l1_norm.py"
    module.write_text(
        "import densefuse_tf\n"
        "from densefuse_tf.model import strategies\n"
        "own = densefuse_tf.strategy(\n"
        "    'own_l1_norm', scales_with_sources=False, takes_window_radius=True,\n"
        "    takes_offset=True, takes_parts=True,\n"
        ")(lambda maps, **settings: strategies.l1_norm(maps, **settings))\n"
    )
    command = [
        *(sys.executable, str(ROOT / "fuse.py"), f"--checkpoint={checkpoint}"),
        *(
            f"--ir={pairs / 'ir'}",
            f"--vis={pairs / 'vis'}",
            f"--output={pairs / 'out'}",
        ),
        *("--strategy=own_l1_norm", "--save_raw", "--runner=DirectRunner"),
        f"--strategy_module={os.path.relpath(module, ROOT)}",
        "--beam_options=--direct_num_workers=2 --direct_running_mode=multi_processing",
    ]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert run.returncode == 1, run.stderr
    assert "5 of 7 pairs fused in " in run.stdout
    # Where it takes long, a line before it says how far it is.
    assert "2 of 7 pairs were not fused:" in run.stderr.splitlines()
    (pairs / "out/fuse_report.csv").unlink()
    assert contents(pairs / "out") == expected


def test_the_command(
    pairs, expected, checkpoint, capsys, tmp_path_factory, monkeypatch
):
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    status = fuse.run(
        [
            *("fuse.py", "--ir=ir", "--vis=vis", "--output=out", "--save_raw"),
            *("--runner=direct", f"--checkpoint={checkpoint}", "--strategy=l1_norm"),
            "--beam_options=--direct_runner_bundle_repeat=1 --job_name=fuse",
        ]
    )
    output, errors = capsys.readouterr()
    assert status == 1
    lines = output.splitlines()
    assert lines[0] == "ir/1.png + vis/1.png -> out/1.png"
    assert lines[3] == "... 7 pairs in all"
    assert lines[4].startswith("5 of 7 pairs fused in ")
    lines = errors.splitlines()
    assert lines[0] == "2 of 7 pairs were not fused:"
    assert "must have the same size; register and crop them first: " in lines[1]
    assert lines[3:] == ["report: out/fuse_report.csv"]
    with open("out/fuse_report.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["output", "source_1", "source_2", "error"]
    assert list(temporary.iterdir()) == []
    assert [row[:3] for row in rows] == [
        [f"out/{number}.png", f"ir/{number}.png", f"vis/{number}.png"]
        for number in (3, 6)
    ]
    assert [f"  {row[3]}" for row in rows] == lines[1:3]
    pathlib.Path("out/fuse_report.csv").unlink()
    assert contents("out") == expected


@pytest.mark.parametrize(
    "mode", ("in_memory", pytest.param("multi_threading", marks=pytest.mark.guard))
)
def test_pairs_are_aligned_as_without_beam(pairs, checkpoint, capsys, mode):
    points = pathlib.Path("points.csv")
    points.write_text("0,0,6,4\n20,0,26,4\n20,15,26,19\n0,15,6,19\n")
    command = ("fuse.py", "--ir=ir", "--vis=vis", f"--checkpoint={checkpoint}")
    flags = [*command, "--save_raw", "--points=points.csv"]
    assert fuse.run([*flags, "--output=here"]) == 1
    options = f"--beam_options=--direct_num_workers=1 --direct_running_mode={mode}"
    assert fuse.run([*flags, "--output=out", "--runner=direct", options]) == 1
    assert "ir/3.png is 9x9: expected 23x31" in capsys.readouterr().err
    pathlib.Path("out/fuse_report.csv").unlink()
    assert contents("out") == contents("here")
    assert images.read("out/1.png").shape == (19, 25)


@pytest.mark.guard
def test_each_pair_is_registered_on_beam(pairs, checkpoint, capsys):
    """Noise does not match; that is found out for every pair."""
    for path in pathlib.Path("ir").iterdir():
        images.write(path, np.full((40, 40), 7, np.uint8))
    command = ["fuse.py", "--ir=ir", "--vis=vis", f"--checkpoint={checkpoint}"]
    flags = ("--output=out", "--runner=direct", "--register")
    assert fuse.run([*command, *flags]) == 1
    errors = capsys.readouterr().err
    assert "7 of 7 pairs were not fused" in errors
    assert errors.count("to register it") + errors.count("no image") >= 6


def test_the_command_on_one_bad_pair(pairs, checkpoint, capsys):
    """One line and status 2, as without a runner."""
    status = fuse.run(
        [
            *("fuse.py", "--ir=ir/3.png", "--vis=vis/3.png", "--output=out/f.png"),
            *("--runner=DirectRunner", f"--checkpoint={checkpoint}"),
            "--report=failed.csv",
        ]
    )
    assert status == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fuse.py: ") and "the same size" in line
    assert pathlib.Path("failed.csv").read_text().count("\n") == 2
    assert contents("out") == {}


def test_a_pipeline_that_fails_is_one_line_and_status_1(
    pairs, checkpoint, monkeypatch, capsys
):
    """Memory that runs out is not the pair's fault, and goes to no report."""

    def read(path, **settings):
        raise UserError("there is not enough memory") from MemoryError("not enough")

    monkeypatch.setattr(images, "read", read)
    flags = ("--ir=ir", "--vis=vis", "--output=out", "--runner=direct")
    assert fuse.run(["fuse.py", *flags, f"--checkpoint={checkpoint}"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("not all pairs were fused: the pipeline failed: MemoryError")
    assert contents("out") == {}


def test_names_of_any_bytes(pairs, checkpoint):
    name = os.fsdecode(b"\xff \n \xe2\x82\xac.png")
    shutil.copy("vis/1.png", f"vis/{name}")
    pair = Pair(
        (pathlib.Path("ir/1.png"), pathlib.Path(f"vis/{name}")),
        pathlib.Path(f"out/{name}"),
    )
    bad = Pair((pair.sources[0], pathlib.Path(f"vis/no{name}")), pair.output)
    pathlib.Path("out").mkdir()
    failed = launch(checkpoint, [pair, bad])
    assert list(failed) == [1]
    assert f"no{name}".replace("\n", "\\n") in failed[1]
    assert pair.output.exists()


FLAGS = ("--ir=ir", "--vis=vis", "--output=out", "--checkpoint=none.keras")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--runner=NoRunner",), "runner NoRunner: Unexpected pipeline runner"),
        (("--runner=pathlib.Path",), "runner pathlib.Path: is no runner of Beam"),
        (("--runner=no.module.Here",), "runner no.module.Here: No module named 'no'"),
        (("--runner=direct", "--beam_options=--x=1"), "--x is unknown: expected"),
        (
            ("--runner=direct", "--beam_options=--direct_num_workers two"),
            "argument --direct_num_workers: invalid int value: 'two'",
        ),
        (
            ("--runner=direct", "--beam_options=--direct_num_workers=4"),
            "=4 needs --direct_running_mode=multi_processing or multi_threading",
        ),
        (("--runner=direct", "--beam_options=--help"), "--help is not for here"),
        (("--runner=direct", "--beam_options='--x"), "No closing quotation"),
        (("--runner=direct", "--beam_options=--runner=x"), "--runner is given"),
        (("--beam_options=--x=1",), "--beam_options goes with --runner"),
        (("--runner=direct", "--panel=p.png"), "--panel does not go with --runner"),
        (("--runner=direct", "--report=r.txt"), "--report=r.txt: expected a name"),
        (("--runner=direct",), "none.keras: no such checkpoint"),
    ],
)
def test_a_mistake_is_one_line(pairs, capsys, flags, message):
    assert fuse.run(["fuse.py", *FLAGS, *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fuse.py: ")
    assert message in line
    assert not pathlib.Path("out").exists()


def test_a_missing_beam_says_what_to_install(pairs, capsys, monkeypatch):
    monkeypatch.setitem(extras._PACKAGES, "beam", {"no_beam": "apache-beam"})
    assert fuse.run(["fuse.py", *FLAGS, "--runner=direct"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--runner needs apache-beam: pip install '.[beam]' in a checkout" in line


@pytest.mark.parametrize("flags", ((), ("--runner=direct",)))
def test_skip_existing_finishes_what_is_left(pairs, checkpoint, capsys, flags):
    for name in ("3.png", "6.png"):
        for kind in ("ir", "vis"):
            pathlib.Path(kind, name).unlink()
    command = ["fuse.py", "--ir=ir", "--vis=vis", "--output=out", "--skip_existing"]
    command += [f"--checkpoint={checkpoint}", *flags]
    assert fuse.run(command) == 0
    whole = contents("out")
    for path in ("out/1.png", "out/7.png"):
        pathlib.Path(path).unlink()
    kept = pathlib.Path("out/2.png").stat().st_mtime_ns
    capsys.readouterr()
    assert fuse.run(command) == 0
    output = capsys.readouterr().out
    assert "3 of 5 pairs have their results already" in output
    assert "2 of 2 pairs fused in " in output
    assert contents("out") == whole
    assert pathlib.Path("out/2.png").stat().st_mtime_ns == kept
    assert fuse.run(command) == 0
    assert "0 of 0 pairs fused in " in capsys.readouterr().out
    assert fuse.run([*command, "--nooverwrite"]) == 2
    assert "--skip_existing does not go with" in capsys.readouterr().err
