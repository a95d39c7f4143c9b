"""Owns what the processes use: CPU by kind of process, peak memory (PSS), and the rest's share.

Reads /proc. CPU of processes that ended in between is counted where their parent reaped them.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil

Groups = Mapping[str, list[psutil.Process]]
SAMPLE_SECONDS = 1.0
MIB = 1024 * 1024


def cpu_seconds(process: psutil.Process) -> float:
    """CPU seconds of a process and of the children that it reaped; 0 when it has gone."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def cpu_by_group(groups: Groups) -> dict[str, float]:
    """CPU seconds so far, by group."""
    return {name: sum(map(cpu_seconds, each)) for name, each in groups.items()}


def pss_bytes(process: psutil.Process) -> int:
    """Proportional set size of a process; 0 when it has gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def pss_by_group(groups: Groups) -> dict[str, float]:
    """MiB of PSS now, by group."""
    return {name: sum(map(pss_bytes, each)) / MIB for name, each in groups.items()}


def busy_seconds() -> float:
    """CPU seconds of the whole machine that were not idle, since it started."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def tree(pid: int) -> list[psutil.Process]:
    """A process and all that descend from it."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


class Usage:
    """What `groups()` used between `start` and `stop`."""

    def __init__(self, groups: Callable[[], Groups]):
        self._groups = groups
        self._over = threading.Event()
        self.cpu: dict[str, float] = {}
        """CPU seconds, by group."""
        self.peak: dict[str, float] = {}
        """Peak MiB of PSS, by group."""
        self.elsewhere = 0.0
        """CPU seconds of everything on the machine that is in no group."""

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Measure while the block runs."""
        sampler = threading.Thread(target=self._sample, daemon=True)
        busy, before = busy_seconds(), cpu_by_group(self._groups())
        sampler.start()
        try:
            yield
        finally:
            after, busy = cpu_by_group(self._groups()), busy_seconds() - busy
            self._over.set()
            sampler.join()
        self.cpu = {name: after[name] - before.get(name, 0.0) for name in after}
        self.elsewhere = max(0.0, busy - sum(self.cpu.values()))

    def _sample(self) -> None:
        while True:
            for name, now in pss_by_group(self._groups()).items():
                self.peak[name] = max(now, self.peak.get(name, 0.0))
            if self._over.wait(SAMPLE_SECONDS):
                return
