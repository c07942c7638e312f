"""Measures what a Dask cluster costs, on the processes of one machine.

    python benchmarks/cluster.py --data_dir=tno
    python benchmarks/cluster.py --waits=1,4,16,32 --million=1000000 --pairs=0

- Processor time of a pair on two workers against fuse.py alone: what is left when that
  of a run of fewer pairs is taken away, so that starts are left out. The bytes are
  compared.
- The engine's overhead: the computing is replaced by a wait of 0.3 s, which takes no
  processor, so that one machine may stand for many workers. The time of the run, times
  the workers, less the waits, is the engine's, a pair.
- A million pairs: names are made up, and only the first pair has images. The time until
  fuse.py alone has fused that one, and until one of two workers is done with the first
  part of the list; until two workers are done with an empty job on all of them. The
  largest memory of the launching process and of the scheduler by then.
"""

import dataclasses
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import dask_cluster
import measuring
import numpy as np
from absl import flags
from beam import peak_memory

from densefuse_tf import extras
from densefuse_tf.commands import runner
from densefuse_tf.io import images

_FLAGS = flags.FlagValues()
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "A folder of pairs IR<n>.png and VIS<n>.png; by default they are made up.",
    flag_values=_FLAGS,
)
_PAIRS = flags.DEFINE_integer(
    "pairs", 40, "The number of pairs that are fused; 0 for none.", flag_values=_FLAGS
)
_SIZE = flags.DEFINE_integer(
    "size", 256, "Height and width of the pairs.", flag_values=_FLAGS
)
_WAITS = flags.DEFINE_list(
    "waits", ["1", "4", "16", "32"], "The numbers of workers.", flag_values=_FLAGS
)
_MILLION = flags.DEFINE_integer(
    "million", 1_000_000, "The number of made-up names; 0 for none.", flag_values=_FLAGS
)
_NAMES_DIR = flags.DEFINE_string(
    "names_dir",
    None,
    "A folder that keeps the made-up names for the next run; making them takes minutes "
    "on a disk.",
    flag_values=_FLAGS,
)
_SECONDS = 0.3
_WAITS_EACH = 20


@dataclasses.dataclass(frozen=True)
class Waiting:
    """Waits instead of computing."""

    seconds: float

    def prepare(self) -> None:
        """There is no model."""

    def do(self, prepared: Any, items: Sequence[Sequence[str]]) -> Iterator[None]:
        """Waits for each pair, if for any time."""
        for _ in items:
            if self.seconds:
                time.sleep(self.seconds)
            yield None


def main() -> None:
    extras.require("dask", "this benchmark")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if _PAIRS.value:
            compare(folder)
        for count in map(int, _WAITS.value):
            wait(folder, count)
        if _MILLION.value:
            names = make_names(folder, _MILLION.value)
            start_many(folder, names, on_cluster=False)
            start_many(folder, names, on_cluster=True)
            launch_many(folder, names)


def compare(folder: pathlib.Path) -> None:
    """Compares the processor time of a pair with fuse.py's."""
    few, all_ = _PAIRS.value // 4, _PAIRS.value
    for count, name in ((few, "few"), (all_, "all")):
        put_pairs(folder / name, count)
    cluster = dask_cluster.Cluster(folder / "cluster")
    try:
        for host in range(2):
            cluster.add_worker(host)
        on = on_dask(cluster)
        # The workers load the model.
        fuse(cluster, folder / "few", "warm", on)
        seconds: dict[str, list[float]] = {}
        for kind, options in (("alone", ()), ("cluster", on)):
            for name in ("few", "all"):
                used = processor_seconds(cluster)
                fuse(cluster, folder / name, kind, options)
                used = processor_seconds(cluster) - used
                seconds.setdefault(kind, []).append(used)
    finally:
        cluster.close()
    pair = {kind: (used[1] - used[0]) / (all_ - few) for kind, used in seconds.items()}
    made = [
        {path.name: path.read_bytes() for path in (folder / "all" / kind).glob("*.png")}
        for kind in pair
    ]
    same = "the same bytes" if made[0] == made[1] else "OTHER BYTES"
    print(
        f"processor time a pair of {_SIZE.value}x{_SIZE.value}: fuse.py alone "
        f"{pair['alone']:.3f} s, cluster {pair['cluster']:.3f} s, ratio "
        f"{pair['cluster'] / pair['alone']:.2f}; {same}",
        flush=True,
    )


def on_dask(cluster) -> tuple[str, str]:
    address = f"--beam_options=--dask_client_address={cluster.address}"
    return "--runner=DaskRunner", address


def fuse(cluster, folder: pathlib.Path, kind: str, options: Sequence[str]) -> None:
    command = [
        *("fuse.py", f"--ir={folder / 'ir'}", f"--vis={folder / 'vis'}"),
        *(f"--output={folder / kind}", *options),
    ]
    process = cluster.run(command, stdout=subprocess.DEVNULL)
    if process.wait():
        sys.exit(f"{' '.join(command)}: status {process.returncode}")


def processor_seconds(cluster) -> float:
    """Returns the processor time of the cluster and of the commands that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime + cluster.processor_seconds()


def put_pairs(folder: pathlib.Path, count: int) -> None:
    found = measuring.pairs_of(_DATA_DIR.value)
    size, rng = _SIZE.value, np.random.default_rng(0)
    for number in range(count):
        for index, kind in enumerate(("ir", "vis")):
            image = rng.integers(0, 256, (size, size), dtype=np.uint8)
            if found:
                image = images.read(found[number % len(found)][index])[:size, :size]
            images.write(folder / f"{kind}/{number}.png", image)


def wait(folder: pathlib.Path, workers: int) -> None:
    """Measures the engine's overhead a pair."""
    count = _WAITS_EACH * workers
    cluster = dask_cluster.Cluster(folder / f"cluster{workers}")
    try:
        # All at once; one after the other they take seconds each.
        cluster.add_workers(workers)
        launch(cluster, folder, workers, 0)
        start = processor_seconds(cluster)
        seconds = launch(cluster, folder, count, _SECONDS)
        used = processor_seconds(cluster) - start
    finally:
        cluster.close()
    overhead = seconds * workers / count - _SECONDS
    print(
        f"{workers} workers, {count} pairs of {_SECONDS} s: {seconds:.1f} s, "
        f"{count / seconds:.1f} pairs/s, overhead {1000 * overhead:.0f} ms a pair "
        f"({100 * overhead / _SECONDS:.0f} %), of the processor "
        f"{1000 * used / count:.0f} ms",
        flush=True,
    )


def launch(cluster, folder: pathlib.Path, count: int, seconds: float) -> float:
    """Runs a pipeline of waits and returns its time."""
    from densefuse_tf.pipelines import beam

    options = [f"--dask_client_address={cluster.address}"]
    launcher = beam.Launcher("DaskRunner", options)
    items = ((f"{number}.png",) for number in range(count))
    start = time.perf_counter()
    said = list(launcher.run(Waiting(seconds), items, count, folder))
    assert not said
    return time.perf_counter() - start


_CHILD = """
import json, os, pathlib, sys, time
from beam import peak_memory
from densefuse_tf.io import finding
from densefuse_tf.io import outputs
from densefuse_tf.pipelines import planning
from densefuse_tf.pipelines.settings import FileOptions
start = time.perf_counter()
names, output, address = sys.argv[1:]
def say(what):
    seconds = time.perf_counter() - start
    print(json.dumps([what, seconds, peak_memory(os.getpid())]), flush=True)
planned = planning.plan(finding.pair([f"{names}/ir", f"{names}/vis"]), f"{output}/")
outputs.check_pairs(planning.texts(planned))
planned = planning.without_result(planned, FileOptions())
say(f"list of {len(planned)} pairs made and checked")
pathlib.Path(output).mkdir()
import cluster
from densefuse_tf.pipelines import beam
launcher = beam.Launcher("DaskRunner", [f"--dask_client_address={address}"])
first = []
def progress(count):
    if count and not first:
        first.append(count)
        say("first pairs done on the cluster")
job, items = cluster.Waiting(0), planning.texts(planned)
said = launcher.run(job, items, len(planned), output, progress=progress)
assert not list(said)
say("all done on the cluster")
"""


def make_names(folder: pathlib.Path, count: int) -> pathlib.Path:
    """Makes pairs that are names, but for the first one; returns their folder."""
    place = pathlib.Path(_NAMES_DIR.value or folder) / f"names{count}"
    image = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    for kind, start in (("ir", "IR"), ("vis", "VIS")):
        if not (place / kind).exists():
            (place / kind).mkdir(parents=True)
            for number in range(count):
                (place / kind / f"{start}{number}.png").touch()
        images.write(place / kind / f"{start}0.png", image)
    return place


def start_many(folder: pathlib.Path, names: pathlib.Path, *, on_cluster: bool) -> None:
    """Measures time and memory of fuse.py until it has fused the first pair."""
    what = "cluster" if on_cluster else "alone"
    cluster = dask_cluster.Cluster(folder / f"start_{what}")
    try:
        flags: tuple[str, ...] = ("--skip_existing",)
        if on_cluster:
            cluster.add_workers(2)
            flags = (*flags, *on_dask(cluster))
        output = folder / f"first_{what}"
        start = time.perf_counter()
        process = cluster.run(
            [
                *("fuse.py", f"--ir={names / 'ir'}", f"--vis={names / 'vis'}"),
                *(f"--output={output}", *flags),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        # The plan is printed when all is checked and the model is made.
        first_line = process.stdout.readline()
        if not first_line:
            sys.exit(f"fuse.py: status {process.wait()}")
        planned = time.perf_counter() - start
        # Dask takes the chunks of the list in an order of its own.
        done = ".fuse-*/done_*" if on_cluster else "VIS0.png"
        while not any(output.glob(done)):
            time.sleep(0.05)
        seconds = time.perf_counter() - start
        memory = f"at most {peak_memory(process.pid):.2f} GB"
        if on_cluster:
            memory += f", scheduler {peak_memory(cluster.scheduler.pid):.2f} GB"
        print(
            f"fuse.py {what}: plan after {planned:.1f} s, first "
            f"{'part' if on_cluster else 'pair'} done after {seconds:.1f} s, {memory}",
            flush=True,
        )
        dask_cluster.kill(process)
    finally:
        cluster.close()


def launch_many(folder: pathlib.Path, names: pathlib.Path) -> None:
    """Measures time and memory of an empty job on made-up names."""
    cluster = dask_cluster.Cluster(folder / "many")
    try:
        cluster.add_workers(2)
        child = cluster.run(
            ["-c", _CHILD, str(names), str(folder / "out"), cluster.address],
            stdout=subprocess.PIPE,
        )
        for line in child.stdout:
            what, seconds, peak = json.loads(line)
            print(f"{what}: {seconds:.1f} s, at most {peak:.2f} GB", flush=True)
        if child.wait():
            sys.exit("the launching process failed")
        memory = peak_memory(cluster.scheduler.pid)
        print(f"scheduler: at most {memory:.2f} GB", flush=True)
    finally:
        cluster.close()


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
