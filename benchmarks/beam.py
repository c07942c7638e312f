"""Times fuse.py on Apache Beam's DirectRunner against fuse.py without a runner.

    python benchmarks/beam.py --data_dir=tno
    python benchmarks/beam.py --processes=1,2,4 --pairs=200

- Rate: results per second from the first one to the last, and the ratio to that of the
  plain run. Only the total includes the start-up (imports, Beam, the models).
- Processor time: that of all processes together, start-up included; it says more than
  the rate on a machine that has other work to do.
- Memory: the largest amount that the launching process and each worker hold, on Linux.
- Equality: whether all runs gave the same bytes.
"""

import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

import measuring
import numpy as np
from absl import flags

from densefuse_tf import extras
from densefuse_tf.commands import runner
from densefuse_tf.io import images

_FLAGS = flags.FlagValues()
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "A folder of pairs IR<n>.png and VIS<n>.png; by default they are made up, 576x768.",
    flag_values=_FLAGS,
)
_PAIRS = flags.DEFINE_integer(
    "pairs",
    42,
    "The number of pairs, repeated.",
    2,
    flag_values=_FLAGS,
)
_PROCESSES = flags.DEFINE_list(
    "processes", ["1", "2"], "The numbers of workers.", flag_values=_FLAGS
)
_STRATEGY = flags.DEFINE_string(
    "strategy", "l1_norm", "See fuse.py.", flag_values=_FLAGS
)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "1e2", "See fuse.py.", flag_values=_FLAGS
)

_SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "fuse.py"
_SIZE = (576, 768)
# The interval between looks at the memory; the system keeps the peak of each process.
_SECONDS = 0.2


def main() -> None:
    extras.require("beam", "this benchmark")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        put_pairs(folder)
        plain = run(folder, "plain", [])
        for count in _PROCESSES.value:
            options = [
                "--runner=DirectRunner",
                f"--beam_options=--direct_num_workers={count} "
                "--direct_running_mode=multi_processing",
            ]
            rate = run(folder, f"{count} processes", options)
            same = contents(folder / "plain") == contents(folder / f"{count} processes")
            print(
                f"    ratio {rate / plain:.2f}; "
                f"{'the same bytes' if same else 'OTHER BYTES'}",
                flush=True,
            )


def put_pairs(folder: pathlib.Path) -> None:
    found = measuring.pairs_of(_DATA_DIR.value)
    rng = np.random.default_rng(0)
    for kind in ("ir", "vis"):
        (folder / kind).mkdir()
    for number in range(_PAIRS.value):
        targets = [folder / kind / f"{number}.png" for kind in ("ir", "vis")]
        for index, target in enumerate(targets):
            if found:
                shutil.copy(found[number % len(found)][index], target)
                continue
            y, x = np.mgrid[: _SIZE[0], : _SIZE[1]]
            wave = 128 + 60 * np.sin(x / (9 + number) + index) * np.cos(y / 17)
            noisy = wave + rng.normal(0, 3, _SIZE)
            images.write(target, np.clip(noisy, 0, 255).astype(np.uint8))


def run(folder: pathlib.Path, name: str, options: list[str]) -> float:
    """Fuses into `folder / name`; prints and returns the rate."""
    output = folder / name
    command = [
        *(sys.executable, str(_SCRIPT), f"--ir={folder / 'ir'}"),
        *(f"--vis={folder / 'vis'}", f"--output={output}"),
        *(f"--strategy={_STRATEGY.value}", f"--checkpoint={_CHECKPOINT.value}"),
        *options,
    ]
    start, used = time.perf_counter(), processor_seconds()
    # Beam's workers find this package in the current folder.
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=_SCRIPT.parent)
    peaks: dict[int, float] = {}
    while process.poll() is None:
        for pid in [process.pid, *children(process.pid)]:
            peaks[pid] = max(peaks.get(pid, 0), peak_memory(pid))
        time.sleep(_SECONDS)
    seconds, used = time.perf_counter() - start, processor_seconds() - used
    if process.returncode:
        sys.exit(f"{' '.join(command)}: status {process.returncode}")
    times = sorted(path.stat().st_mtime for path in output.glob("*.png"))
    rate = (len(times) - 1) / (times[-1] - times[0])
    workers = [f"{peak:.2f}" for pid, peak in peaks.items() if pid != process.pid]
    print(
        f"{name}: {rate:.2f} pairs/s, {len(times)} pairs in {seconds:.1f} s, "
        f"processor time {used:.1f} s; peak memory {peaks[process.pid]:.2f} GB"
        + (f", of the workers {', '.join(workers)}" if workers else ""),
        flush=True,
    )
    return rate


def processor_seconds() -> float:
    """Returns the processor time of this process's children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def children(pid: int) -> list[int]:
    threads = pathlib.Path(f"/proc/{pid}/task")
    try:
        found = [path.read_text() for path in threads.glob("*/children")]
    except OSError:
        return []
    return [int(child) for text in found for child in text.split()]


def peak_memory(pid: int) -> float:
    """Returns the most memory a process has held so far, in GB; 0 if unknown."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    peak = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peak[0].split()[1]) * 1024 / 1e9 if peak else 0


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


if __name__ == "__main__":
    sys.exit(runner.run(main, _FLAGS, __doc__))
