"""The Apache Beam pipeline: the files of fuse.py, on one process and on several."""

import contextlib
import csv
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from densefuse_tf.commands import fuse
from densefuse_tf.errors import UserError
from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import images
from densefuse_tf.pipelines import batch

pytest.importorskip("apache_beam", reason="needs apache-beam: pip install '.[beam]'")

from densefuse_tf.pipelines import beam

SIZE = (23, 31)
PROCESSES = ("--direct_num_workers=2", "--direct_running_mode=multi_processing")
# What the worker processes of a test do besides: a line for each model they load, and
# one of them dies at its second pair if it finds the file "kill".
WATCHED = """
import os
import pathlib
import signal

HERE = pathlib.Path(__file__).parent


def prepare():
    from densefuse_tf.fusion import fuser

    class Watched(fuser.Fuser):
        calls = 0

        def __init__(self, *arguments, **settings):
            super().__init__(*arguments, **settings)
            with open(HERE / "loaded", "a") as file:
                file.write(f"{os.getpid()}\\n")

        def fuse(self, *arguments, **settings):
            self.calls += 1
            if self.calls == 2:
                try:
                    (HERE / "kill").unlink()
                except FileNotFoundError:
                    pass
                else:
                    os.kill(os.getpid(), signal.SIGKILL)
            return super().fuse(*arguments, **settings)

    fuser.Fuser = Watched
"""

SLOW_SECONDS = 300
# Workers that say that they have a pair, and then take their time.
SLOW = f"""
import pathlib
import time

from densefuse_tf.commands.runner import import_tensorflow


def prepare():
    import_tensorflow()
    from densefuse_tf.fusion import fuser

    def fuse(*arguments, **settings):
        (pathlib.Path(__file__).parent / "started").touch()
        time.sleep({SLOW_SECONDS})

    fuser.Fuser.fuse = fuse
"""


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
    """The files that `batch.fuse_files` makes of them, by name."""
    fuser = Fuser(FusionSettings(checkpoint, strategy="l1_norm"))
    folder = made / "expected"
    folder.mkdir()
    jobs = batch.plan(images.pair([made / "ir", made / "vis"]), folder)
    done = list(batch.fuse_files(fuser, jobs, save_raw=True))
    assert [finished.error is None for finished in done] == [1, 1, 0, 1, 1, 0, 1]
    return contents(folder)


@pytest.fixture
def pairs(made, tmp_path, monkeypatch):
    """The pairs in the current folder."""
    monkeypatch.chdir(tmp_path)
    for kind in ("ir", "vis"):
        shutil.copytree(made / kind, kind)
    return tmp_path


def jobs_into(folder) -> list[batch.Job]:
    pathlib.Path(folder).mkdir()
    return batch.plan(images.pair(["ir", "vis"]), folder)


def launch(checkpoint, jobs, *options, **settings):
    settings = beam.Settings(
        {"checkpoint": checkpoint, "strategy": "l1_norm"}, save_raw=True, **settings
    )
    launcher = beam.Launcher("DirectRunner", options)
    return launcher.run(jobs, settings, jobs[0].output.parent)


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}


def check_failed(failed, jobs) -> None:
    assert [done.job for done in failed] == [jobs[2], jobs[5]]
    assert "ir/3.png is 9x9 and " in str(failed[0].error)
    assert "vis/6.png: starts with the bytes" in str(failed[1].error)


@pytest.mark.parametrize(
    "options",
    ((), ("--direct_runner_bundle_repeat=1",)),
    ids=("once", "each bundle twice"),
)
def test_same_files_in_this_process(pairs, expected, checkpoint, monkeypatch, options):
    monkeypatch.setattr(beam, "_CHUNK", 3)
    jobs = jobs_into("out")
    failed = launch(os.path.relpath(checkpoint), jobs, *options)
    check_failed(failed, jobs)
    assert contents("out") == expected


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

    monkeypatch.setattr("densefuse_tf.fusion.fuser.Fuser", Watched)
    jobs = jobs_into("out")
    options = ("--direct_num_workers=3", "--direct_running_mode=multi_threading")
    failed = launch(checkpoint, jobs, *options)
    check_failed(failed, jobs)
    assert contents("out") == expected
    assert len(loaded) == 1
    assert len(at_once) == 6 and all(at_once)


def test_processes_of_which_one_is_killed(pairs, expected, checkpoint, monkeypatch):
    """An error without results that are half written; the next run makes all."""
    helpers = pairs / "helpers"
    helpers.mkdir()
    (helpers / "watched_workers.py").write_text(WATCHED)
    (helpers / "kill").touch()
    monkeypatch.syspath_prepend(helpers)
    monkeypatch.setenv("PYTHONPATH", str(helpers), prepend=os.pathsep)
    import watched_workers

    jobs = jobs_into("out")
    with pytest.raises(beam.PipelineError, match="a worker is lost .*status 137"):
        launch(checkpoint, jobs, *PROCESSES, prepare=watched_workers.prepare)
    whole = {name: data for name, data in contents("out").items() if name[0] != "."}
    assert whole.items() < expected.items()
    assert not (helpers / "kill").exists()
    assert not list(pathlib.Path("out").glob(".fuse-*"))

    (helpers / "loaded").unlink()
    shutil.rmtree("out")
    jobs = jobs_into("out")
    failed = launch(checkpoint, jobs, *PROCESSES, prepare=watched_workers.prepare)
    check_failed(failed, jobs)
    assert contents("out") == expected
    loaded = (helpers / "loaded").read_text().split()
    assert len(loaded) == len(set(loaded)) == 2
    assert str(os.getpid()) not in loaded


def test_the_command(pairs, expected, checkpoint, capsys):
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
    assert lines[7].startswith("5 of 7 pairs fused in ")
    lines = errors.splitlines()
    assert lines[0] == "2 of 7 pairs were not fused:"
    assert lines[1].endswith("must have the same size; register and crop them first")
    assert lines[3:] == ["report: out/fuse_report.csv"]
    with open("out/fuse_report.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["output", "source_1", "source_2", "error"]
    assert [row[:3] for row in rows] == [
        [f"out/{number}.png", f"ir/{number}.png", f"vis/{number}.png"]
        for number in (3, 6)
    ]
    assert [f"  {row[3]}" for row in rows] == lines[1:3]
    pathlib.Path("out/fuse_report.csv").unlink()
    assert contents("out") == expected


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


def test_memory_that_runs_out_is_not_the_pairs_fault(pairs, checkpoint, monkeypatch):
    def read(path, **settings):
        raise UserError("there is not enough memory") from MemoryError("not enough")

    monkeypatch.setattr(images, "read", read)
    with pytest.raises(MemoryError, match="not enough"):
        launch(checkpoint, jobs_into("out"))
    assert contents("out") == {}


def test_names_of_any_bytes(pairs, checkpoint):
    name = os.fsdecode(b"\xff \n \xe2\x82\xac.png")
    shutil.copy("vis/1.png", f"vis/{name}")
    job = batch.Job(
        (pathlib.Path("ir/1.png"), pathlib.Path(f"vis/{name}")),
        pathlib.Path(f"out/{name}"),
    )
    bad = batch.Job((job.sources[0], pathlib.Path(f"vis/no{name}")), job.output)
    pathlib.Path("out").mkdir()
    (failed,) = launch(checkpoint, [job, bad])
    assert failed.job == bad
    assert f"no{name}".replace("\n", "\\n") in str(failed.error)
    assert job.output.exists()


def test_ctrl_c_ends_the_workers_and_is_no_loss(pairs, checkpoint):
    """It goes to all processes of a terminal; the workers leave it to the first."""
    helpers = pairs / "helpers"
    helpers.mkdir()
    (helpers / "slow_workers.py").write_text(SLOW)
    code = (
        "import signal, sys, slow_workers\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from densefuse_tf.commands import fuse, runner\n"
        "runner.import_tensorflow = slow_workers.prepare\n"
        "sys.exit(fuse.run(sys.argv))"
    )
    out = pairs / "out"
    out.mkdir()
    (out / "fuse_report.csv").write_text("of an earlier run")
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", code, "--ir=ir", "--vis=vis", "--output=out"),
            *("--runner=direct", f"--checkpoint={checkpoint}"),
            f"--beam_options={' '.join(PROCESSES)}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(helpers), *sys.path])},
        start_new_session=True,
    )
    try:
        while not (helpers / "started").exists():
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=SLOW_SECONDS / 2)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert (process.returncode, errors) == (130, "-c: interrupted\n")
    assert contents("out") == {}


def test_another_version_of_beam(pairs, checkpoint, monkeypatch):
    """The internal part of Beam that several processes need may be gone."""
    from apache_beam.transforms import environments

    monkeypatch.delattr(environments, "SubprocessSDKEnvironment")
    with pytest.raises(UserError, match="Beam 2.* starts its processes in a way"):
        launch(checkpoint, jobs_into("out"), *PROCESSES)
    assert contents("out") == {}


FLAGS = ("--ir=ir", "--vis=vis", "--output=out", "--checkpoint=none.keras")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--runner=NoRunner",), "unknown runner 'NoRunner': expected one of Data"),
        (("--runner=pathlib.Path",), "runner pathlib.Path: is no runner of Beam"),
        (("--runner=no.module.Here",), "runner no.module.Here: No module named 'no'"),
        (("--runner=direct", "--beam_options=x=1"), "'x=1': expected --NAME=VALUE"),
        (("--runner=direct", "--beam_options=--x=1"), "--x is unknown: expected"),
        (
            ("--runner=direct", "--beam_options=--direct_num_workers two"),
            "argument --direct_num_workers: invalid int value: 'two'",
        ),
        (
            ("--runner=direct", "--beam_options=--direct_num_workers=4"),
            "=4 needs --direct_running_mode=multi_processing or multi_threading",
        ),
        (
            ("--runner=direct", "--beam_options=--direct_num_workers=-1"),
            "--direct_num_workers=-1: expected how many",
        ),
        (("--runner=direct", "--beam_options=--help"), "--help is not for here"),
        (("--runner=direct", "--beam_options='--x"), "No closing quotation"),
        (("--runner=direct", "--beam_options=--runner=x"), "--runner is given"),
        (("--beam_options=--x=1",), "--beam_options goes with --runner"),
        (("--runner=direct", "--panel=p.png"), "--panel does not go with --runner"),
        (("--runner=direct", "--report=r.txt"), "--report=r.txt: expected a name"),
        (("--runner=direct",), "none.keras: no such checkpoint"),
        (("--runner=direct", "--ir=gs://b/ir"), "gs://b/ir: is a URL: expected a path"),
    ],
)
def test_a_mistake_is_one_line(pairs, capsys, flags, message):
    assert fuse.run(["fuse.py", *FLAGS, *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("fuse.py: ")
    assert message in line
    assert not pathlib.Path("out").exists()


def test_without_beam(pairs, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    monkeypatch.delitem(sys.modules, "densefuse_tf.pipelines.beam")
    monkeypatch.delattr("densefuse_tf.pipelines.beam")
    assert fuse.run(["fuse.py", *FLAGS, "--runner=direct"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("which is not installed: pip install '.[beam]'")
