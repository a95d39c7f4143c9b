"""How much memory a run of the server takes, as the kernel shares it out (PSS)."""

import contextlib
from pathlib import Path

import psutil

from tests.support.serving import Run

MIB = 1 << 20


def pss(run: Run) -> float:
    """MiB of all processes of a run but PostgreSQL's own."""
    processes = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
    return sum(map(_pss, processes))


def _pss(process: psutil.Process) -> float:
    with contextlib.suppress(OSError, psutil.NoSuchProcess):
        if Path(process.exe()).name.startswith("postgres"):
            return 0.0
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0
