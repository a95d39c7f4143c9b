"""Runs of `mailproxy serve` as processes of their own, seen only from outside."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import asyncpg
import psutil

from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
REAL = ("-P", "-m", "mailproxy_server")
# -P: the folder of a program is not where its modules are looked for (tests/support/queue.py).
IDLE = ("-P", str(ROOT / "tests/support/serve_idle.py"))
QUIET = {"MAILPROXY_GRPC_LISTEN": "127.0.0.1:0", "MAILPROXY_HTTP_LISTEN": "127.0.0.1:0"}


_runs: list["Run"] = []
"""Those not yet reaped, so that none is left to the garbage collector."""


class Run:
    """One `mailproxy serve` on `data_dir`, until it ends or is ended.

    `program` is what the interpreter runs: IDLE, whose children do nothing, or REAL.
    `python` and `user` (a uid) are given to run as somebody else.
    """

    def __init__(
        self,
        data_dir: Path,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        program: Sequence[str] = IDLE,
        python: str = sys.executable,
        user: int | None = None,
    ):
        self.data_dir = data_dir
        self._output = data_dir.with_name(f"run-{os.urandom(3).hex()}")
        paths = [str(ROOT), *filter(None, sys.path)] if python != sys.executable else [str(ROOT)]
        everything = {
            "PATH": os.defpath,
            "HOME": str(data_dir.parent),
            "PYTHONPATH": os.pathsep.join(paths),
            "MAILPROXY_DATA_DIR": str(data_dir),
            "MAILPROXY_DRAIN_SECONDS": "2",
            **QUIET,
            **(environment or {}),
        }
        with (
            self._output.with_suffix(".out").open("wb") as out,
            self._output.with_suffix(".err").open("wb") as err,
        ):
            self.process = subprocess.Popen(
                [python, *program, "serve", *arguments],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=everything,
                cwd="/", user=user, group=user, extra_groups=None if user is None else [],
            )  # fmt: skip
        self.pid = self.process.pid
        _runs.append(self)

    @property
    def out(self) -> str:
        return self._output.with_suffix(".out").read_text()

    @property
    def err(self) -> str:
        return self._output.with_suffix(".err").read_text()

    def ready(self) -> "Run":
        """Wait for the ready line; fails with the log when the run ends before it."""
        until(lambda: "is ready" in self.out or self.process.poll() is not None, "ready")
        assert self.process.poll() is None, f"ended: {self.err}"
        return self

    @property
    def grpc(self) -> str:
        """host:port, from the ready line."""
        return self.out.split("grpc=")[1].split()[0]

    def wait(self, seconds: float = 60) -> int:
        return self.process.wait(seconds)

    def stop(self) -> int:
        self.process.terminate()
        return self.wait()

    def kill(self) -> None:
        """kill -9 of everything at once: supervisor, children, watcher, PostgreSQL."""
        doomed = []
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended before
            supervisor = psutil.Process(self.pid)
            doomed = [*supervisor.children(recursive=True), supervisor]
        for process in doomed:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        until(lambda: not left(self.data_dir), "the killed are gone")

    def pid_of(self, part: str) -> int | None:
        """Give the pid of the newest process of the run with `part` in its command line."""
        found = [p.pid for p in left(self.data_dir) if part in line_of(p)]
        return found[-1] if found else None

    def kill_one(self, part: str) -> int:
        """kill -9 of the newest such process; it is gone when this returns."""
        pid = self.pid_of(part)
        assert pid, part
        os.kill(pid, signal.SIGKILL)
        until(lambda: pid not in [process.pid for process in left(self.data_dir)], "it is gone")
        return pid


def line_of(process: psutil.Process) -> str:
    """Give the command line; nothing when the process ended meanwhile."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def left(data_dir: Path) -> list[psutil.Process]:
    """Give the living processes that belong to a run on `data_dir`, whoever their parent is."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            ours = str(data_dir) in (process.environ().get("MAILPROXY_DATA_DIR"), process.cwd())
            ours = ours or f"{data_dir}/" in line_of(process)
            if ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@contextlib.contextmanager
def ended_after(data_dir: Path) -> Iterator[None]:
    """Leave nothing of a run on `data_dir` behind, also when the test fails."""
    try:
        yield
    finally:
        for run in [run for run in _runs if run.data_dir == data_dir]:
            run.process.kill()  # first: it starts again what ends
            run.process.wait()
            _runs.remove(run)
        until(lambda: not _killed(data_dir), "nothing is left")


def _killed(data_dir: Path) -> list[psutil.Process]:
    """Kill what is left of a run; gives what there was."""
    found = left(data_dir)
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return found


async def starts(data_dir: Path) -> list[int]:
    """Give the pids of the IDLE children that have served on this database, oldest first."""
    connection = await asyncpg.connect(
        host=str(data_dir / "postgres"), user="mailproxy", database="mailproxy"
    )
    try:
        return [row["pid"] for row in await connection.fetch("SELECT pid FROM public.starts")]
    finally:
        await connection.close()
