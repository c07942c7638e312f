"""Starts Dask clusters on this machine, for tests and benchmarks.

Workers are processes on loopback addresses, or on hosts of their own: network
namespaces whose only link is a virtual cable to a virtual switch.
"""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

ROOT = pathlib.Path(__file__).resolve().parents[1]
# How long a machine with other work to do may take for a start.
_PATIENCE = 120
# Where workers find the jobs of the benchmarks.
_ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "benchmarks"))),
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": f"{_PATIENCE}s",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",
}


class Cluster:
    """A scheduler and workers, each a process that can be killed by itself.

    Attributes:
      address: The scheduler's.
    """

    def __init__(self, folder: pathlib.Path, hosts: Sequence["Host"] = ()):
        """Starts the scheduler.

        Args:
          folder: Where logs and the workers' own files go.
          hosts: Where the processes run, the scheduler on the first; by default all on
            this machine.
        """
        self._folder = folder
        self._hosts = hosts
        self._processes: list[subprocess.Popen] = []
        folder.mkdir(parents=True, exist_ok=True)
        ip = hosts[0].ip if hosts else "127.0.0.1"
        port = _free_port()
        self.address = f"tcp://{ip}:{port}"
        self.scheduler = self._start(
            0, "scheduler", f"--host={ip}", f"--port={port}", "--no-dashboard"
        )
        self._wait_for("scheduler", "Scheduler at:")

    def add_worker(self, host: int = 0) -> subprocess.Popen:
        """Starts a worker on the host of this index and waits until it is connected."""
        name, process = self._start_worker(host)
        self._wait_for(name, "Registered to:")
        return process

    def add_workers(self, count: int) -> None:
        """Starts workers on the first host, all at once."""
        names = [self._start_worker(0)[0] for _ in range(count)]
        for name in names:
            self._wait_for(name, "Registered to:")

    def _start_worker(self, host: int) -> tuple[str, subprocess.Popen]:
        name = f"worker{len(self._processes)}"
        where = self._folder / name
        ip = self._hosts[host].ip if self._hosts else f"127.0.0.{host + 1}"
        process = self._start(
            *(host, name, self.address, f"--host={ip}", "--nthreads=1"),
            *("--no-nanny", "--memory-limit=0", "--no-dashboard"),
            f"--local-directory={where}",
        )
        return name, process

    def run(self, command: Sequence[str], **settings) -> subprocess.Popen:
        """Starts a command of this project on the scheduler's host."""
        return subprocess.Popen(
            [*self._on(0), sys.executable, *command],
            cwd=ROOT,
            env=os.environ | _ENVIRONMENT,
            text=True,
            **settings,
        )

    def close(self) -> None:
        """Kills what is left."""
        for process in self._processes:
            process.kill()
            process.wait()

    def processor_seconds(self) -> float:
        """Returns the processor time of all processes so far, on Linux."""
        ticks = 0
        for process in self._processes:
            stat = pathlib.Path(f"/proc/{process.pid}/stat").read_text()
            fields = stat.rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def _on(self, host: int) -> Sequence[str]:
        return self._hosts[host].command if self._hosts else ()

    def _start(self, host: int, *arguments: str) -> subprocess.Popen:
        kind, *rest = arguments
        log = self._folder / f"{kind}.log"
        role = "scheduler" if kind == "scheduler" else "worker"
        with open(log, "wb") as file:
            process = subprocess.Popen(
                # Started as a module, so that workers find this package here.
                [*self._on(host), sys.executable, "-m", "dask", role, *rest],
                cwd=ROOT,
                env=os.environ | _ENVIRONMENT,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self._processes.append(process)
        return process

    def _wait_for(self, name: str, line: str) -> None:
        log = self._folder / f"{name}.log"
        latest = time.monotonic() + _PATIENCE
        while line not in log.read_text():
            if time.monotonic() > latest or self._processes[-1].poll() is not None:
                raise RuntimeError(f"{name} did not start: {log.read_text()}")
            time.sleep(0.1)


class Host:
    """One of the hosts of `network`.

    Attributes:
      ip: Its address.
      command: What starts a command on it.
    """

    def __init__(self, name: str, number: int):
        self.ip = f"10.213.77.{number}"
        self.command = ("ip", "netns", "exec", name)


@contextlib.contextmanager
def network(count: int) -> Iterator[list[Host]]:
    """Joins hosts by virtual cables to a virtual switch.

    Yields:
      The hosts.

    Raises:
      OSError: The machine has no `ip`, or does not allow it.
    """
    prefix = f"dense{os.getpid() % 10_000}"
    names = [f"{prefix}s", *(f"{prefix}h{number}" for number in range(count))]
    switch, *hosts = names

    def ip(*arguments: str) -> None:
        command = ["ip", *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")

    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", switch, "link", "set", "bridge", "up")
        made = []
        for number, name in enumerate(hosts, start=1):
            host, port = Host(name, number), f"port{number}"
            ip(
                *("-n", switch, "link", "add", port, "type", "veth"),
                *("peer", "name", "cable", "netns", name),
            )
            ip("-n", switch, "link", "set", port, "master", "bridge")
            ip("-n", switch, "link", "set", port, "up")
            ip("-n", name, "address", "add", f"{host.ip}/24", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
            made.append(host)
        yield made
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def kill(process: subprocess.Popen) -> None:
    """Ends a process as a machine that loses its power does."""
    process.send_signal(signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
