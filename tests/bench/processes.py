"""Owns the processes that a benchmark starts: their lines, their logs, their end.

Ends only what it started, by its own process object. Everything listens on loopback.
"""

import contextlib
import os
import queue
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"


class BenchError(Exception):
    """The benchmark cannot go on; the text is one line that says why and what helps."""


def free_port() -> int:
    """Give a port of loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, timeout: float) -> None:
    """Wait until somebody listens on a port of loopback; raises BenchError."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise BenchError(f"nothing listens on port {port}: {error}") from None
            time.sleep(0.02)


def clean_environment(**more: str) -> dict[str, str]:
    """Give our environment without settings of the proxy or of tracing, and `more`."""
    ours = ("MAILPROXY_", "OTEL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | more


class Program:
    """A process that speaks in lines: `say` writes one to it, `hear` waits for the next.

    What it writes to stderr goes to the file `log`.
    """

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ):
        self._log = log
        self._lines: queue.Queue[str | None] = queue.Queue()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=clean_environment() if environment is None else environment,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def hear(self, timeout: float) -> str:
        """Give its next line of standard output; raises BenchError with its last words."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise BenchError(f"{self._name()} said nothing for {timeout:.0f} s") from None
        if line is None:
            words = self._log.read_text(errors="replace").strip().splitlines()[-8:]
            raise BenchError("\n  ".join([f"{self._name()} ended early; its last words:", *words]))
        return line

    def stop(self, patience: float = 60) -> None:
        """End it by SIGTERM, after `patience` seconds by SIGKILL."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(patience)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join()
        assert self._process.stdin
        assert self._process.stdout
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()

    def _name(self) -> str:
        assert isinstance(self._process.args, Sequence)
        return " ".join(Path(str(word)).name for word in self._process.args[:4])

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)
