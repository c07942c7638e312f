"""fuse.py and evaluate.py on a Dask cluster: processes that are killed and added."""

import pathlib
import subprocess
import time

import numpy as np
import pytest

from densefuse_tf.commands import evaluate
from densefuse_tf.commands import fuse
from densefuse_tf.fusion.fuser import Fuser
from densefuse_tf.fusion.settings import FusionSettings
from densefuse_tf.io import finding
from densefuse_tf.io import images
from densefuse_tf.pipelines.pairs import fuse_pairs
from densefuse_tf.pipelines.planning import plan
from densefuse_tf.pipelines.settings import FileOptions
from tests.pipelines.conftest import contents

pytest.importorskip("apache_beam", reason="needs apache-beam: pip install '.[dask]'")
pytest.importorskip("distributed", reason="needs Dask: pip install '.[dask]'")

from benchmarks import dask_cluster
from tests.conftest import SHARED

SIZE = (48, 56)


def put_pairs(
    folder: pathlib.Path,
    count: int,
    size: tuple[int, int],
    tno: pathlib.Path | None = None,
) -> None:
    """Makes pairs of noise, or of the middle of TNO's images where they are."""
    rng = np.random.default_rng(0)
    height, width = size
    for number in range(count):
        for kind in ("ir", "vis"):
            image = rng.integers(0, 256, size, dtype=np.uint8)
            if tno is not None:
                # Another part of the image each time around.
                image = images.read(tno / f"{kind.upper()}{number % 21 + 1}.png")
                image = image[60 + number // 21 :, 60:][:height, :width]
            images.write(folder / f"{kind}/{number}.png", image)


def visible(folder: pathlib.Path) -> dict[str, bytes]:
    """Leaves out what a killed worker was at: hidden files."""
    return {
        name: content
        for name, content in contents(folder).items()
        if not name.startswith(".densefuse_")
    }


def expected(folder: pathlib.Path, checkpoint) -> dict[str, bytes]:
    """What is there without a runner, with the report of no failures."""
    planned = plan(finding.pair([folder / "ir", folder / "vis"]), f"{folder}/here/")
    fuser = Fuser(FusionSettings(checkpoint))
    assert all(
        result.error is None for result in fuse_pairs(fuser, planned, FileOptions())
    )
    report = b"output,source_1,source_2,error\n"
    return {**contents(folder / "here"), "fuse_report.csv": report}


def start(cluster, *arguments) -> subprocess.Popen:
    return cluster.run(
        command(cluster, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def command(cluster, folder: pathlib.Path, checkpoint, *flags: str) -> list[str]:
    return [
        *("fuse.py", f"--ir={folder / 'ir'}", f"--vis={folder / 'vis'}"),
        *(f"--output={folder / 'out'}", f"--checkpoint={checkpoint}"),
        *(*on(cluster), *flags),
    ]


def on(cluster) -> tuple[str, str]:
    address = f"--beam_options=--dask_client_address={cluster.address}"
    return "--runner=DaskRunner", address


def wait_for_results(folder: pathlib.Path, count: int, process) -> None:
    while len(list(folder.glob("*.png"))) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


@pytest.mark.guard
def test_two_workers_share_the_pairs(tmp_path, checkpoint, capfd):
    """The results and the values are those without a runner; so is what fails."""
    put_pairs(tmp_path, 10, SIZE)
    wanted = expected(tmp_path, checkpoint)
    images.write(tmp_path / "ir/7.png", np.zeros((9, 9), np.uint8))
    cluster = dask_cluster.Cluster(tmp_path / "cluster")
    try:
        cluster.add_workers(2)
        capfd.readouterr()
        # In this process, where TensorFlow is already.
        status = fuse.run(command(cluster, tmp_path, checkpoint))
        fused, errors = capfd.readouterr()
        assert status == 1, errors
        assert "9 of 10 pairs fused in " in fused
        assert "1 of 10 pairs were not fused:" in errors.splitlines()
        assert "ir/7.png is 9x9 and " in errors and "report: " in errors
        report = (tmp_path / "out/fuse_report.csv").read_text()
        assert report.count("\n") == 2 and "vis/7.png,/" in report
        del wanted["7.png"], wanted["fuse_report.csv"]
        (tmp_path / "out/fuse_report.csv").unlink()
        assert contents(tmp_path / "out") == wanted
        (tmp_path / "ir/7.png").unlink()
        (tmp_path / "vis/7.png").unlink()
        check_evaluation(cluster, tmp_path, capfd)
    finally:
        cluster.close()


def check_evaluation(cluster, folder: pathlib.Path, capfd) -> None:
    names = ("--ir=ir", "--vis=vis", "--fused=out")
    flags = [flag.replace("=", f"={folder}/") for flag in (*names, "--csv=cluster.csv")]
    assert evaluate.run(["evaluate.py", *flags, *on(cluster)]) == 0
    output, _ = capfd.readouterr()
    assert "9 pairs in all" in output and "pairs: 9" in output
    flags[-1] = f"--csv={folder}/here.csv"
    assert evaluate.run(["evaluate.py", *flags]) == 0
    rows = (folder / "here.csv").read_text()
    assert rows.count("\n") == 11
    assert (folder / "cluster.csv").read_text() == rows


@pytest.fixture
def hosts():
    """Three hosts joined by cables, where the machine allows it."""
    try:
        with dask_cluster.network(3) as made:
            yield made
    except OSError as error:
        print(f"three addresses of this machine instead of three hosts: {error}")
        yield ()


@pytest.fixture
def two_hundred(tmp_path, long):
    """Pairs of 128x128, big enough for a run to be cut off in the middle."""
    if not long:
        pytest.skip("takes minutes: pytest --long")
    put_pairs(tmp_path, 200, (128, 128), SHARED / "tno" if SHARED.is_dir() else None)
    return tmp_path


def test_a_worker_is_killed_and_one_is_added(two_hundred, checkpoint, hosts):
    folder = two_hundred
    wanted = expected(folder, checkpoint)
    cluster = dask_cluster.Cluster(folder / "cluster", hosts)
    try:
        workers = [cluster.add_worker(host) for host in range(3)]
        process = start(cluster, folder, checkpoint)
        wait_for_results(folder / "out", 60, process)
        dask_cluster.kill(workers[2])
        wait_for_results(folder / "out", 90, process)
        cluster.add_worker(2)
        fused, errors = process.communicate()
        assert (process.returncode, errors) == (0, "")
        assert "200 of 200 pairs fused in " in fused
        assert visible(folder / "out") == wanted
    finally:
        cluster.close()


def test_the_rest_is_fused_after_a_scheduler_died(two_hundred, checkpoint, hosts):
    folder = two_hundred
    wanted = expected(folder, checkpoint)
    cluster = dask_cluster.Cluster(folder / "cluster", hosts)
    try:
        for host in range(3):
            cluster.add_worker(host)
        process = start(cluster, folder, checkpoint)
        wait_for_results(folder / "out", 60, process)
        dask_cluster.kill(cluster.scheduler)
        _, errors = process.communicate()
        assert process.returncode == 1
        (line,) = errors.splitlines()
        assert line.startswith("not all pairs were fused: ")
    finally:
        cluster.close()
    there = {path: path.stat().st_mtime_ns for path in (folder / "out").glob("*.png")}
    assert 60 <= len(there) < 200
    cluster = dask_cluster.Cluster(folder / "cluster", hosts)
    try:
        cluster.add_worker(0)
        process = start(cluster, folder, checkpoint, "--skip_existing")
        fused, errors = process.communicate()
        assert (process.returncode, errors) == (0, "")
        assert f"{len(there)} of 200 pairs have their results already" in fused
    finally:
        cluster.close()
    assert {path: path.stat().st_mtime_ns for path in there} == there
    assert visible(folder / "out") == wanted
