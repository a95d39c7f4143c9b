"""Owns a proxy under measurement: real processes, a data directory and PostgreSQL of its own.

`python` may be another checkout's, so that two versions are measured by one benchmark.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.bench.processes import LOOPBACK, BenchError, Program, clean_environment
from tests.bench.usage import tree

TOKEN = "bench-token-of-a-throwaway-server"
READY = "mailproxy is ready:"
GROUPS = ("supervisor", "front", "dispatcher", "PostgreSQL")


def role(command: list[str], name: str) -> str:
    """Tell what a process of the proxy is by its command line."""
    if name.startswith("postgres") or any("watcher" in word for word in command):
        return "PostgreSQL"
    for each in ("front", "dispatcher"):
        if each in command:
            return each
    return "supervisor"


class Proxy:
    """`mailproxy serve` in `folder`, with fsync on and tracing off; `target` once entered."""

    def __init__(self, python: Path, folder: Path, **settings: str):
        self._python = python
        self._folder = folder
        self._settings = settings
        self.target = ""

    def __enter__(self) -> Self:
        self._folder.mkdir(mode=0o755, parents=True)
        environment = clean_environment(
            MAILPROXY_DATA_DIR=str(self._folder / "data"),
            MAILPROXY_GRPC_LISTEN=f"{LOOPBACK}:0",
            MAILPROXY_HTTP_LISTEN=f"{LOOPBACK}:0",
            MAILPROXY_BOOTSTRAP_TOKEN=TOKEN,
            **self._settings,
        )
        command = [str(self._python), "-P", "-m", "mailproxy_server", "serve"]
        self._program = Program(command, self._folder / "server.log", environment)
        try:
            line = self._program.hear(120)
            while not line.startswith(READY):
                line = self._program.hear(120)
        except BaseException:
            self._program.stop()
            raise
        words = dict(word.split("=", 1) for word in line.removeprefix(READY).split())
        self.target = words["grpc"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._program.stop()
        if kind is None and (left := [each.pid for each in tree(self._program.pid)]):
            raise BenchError(f"the proxy left processes behind: {left}")

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Its processes by role, PostgreSQL's among them."""
        groups: dict[str, list[psutil.Process]] = {name: [] for name in GROUPS}
        for process in tree(self._program.pid):
            try:
                groups[role(process.cmdline(), process.name())].append(process)
            except psutil.NoSuchProcess:
                continue
        return groups
