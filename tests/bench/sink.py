"""Owns the relay that the benchmarks send to: smtp-sink, of Debian's postfix package.

It counts what it accepted, and when: its running counter is read as it is written, with the
clock that every process of the machine shares (CLOCK_MONOTONIC).
"""

import bisect
import os
import re
import shutil
import subprocess
import threading
import time
from types import TracebackType
from typing import Self

from tests.bench.processes import LOOPBACK, BenchError, free_port, wait_for_port

PATH = "/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", "")
COUNTER = re.compile(rb"mesg=(\d+)\r")


def find(program: str) -> str | None:
    """Give the path of one of Postfix's programs, if it is installed."""
    return shutil.which(program, path=PATH)


class Sink:
    """A running smtp-sink. `counts` and `times` grow together, one entry for each reading."""

    def __init__(self) -> None:
        self.port = free_port()
        self.counts = [0]
        self.times = [time.monotonic()]
        self._news = threading.Condition()

    def __enter__(self) -> Self:
        program = find("smtp-sink")
        if not program:
            raise BenchError("smtp-sink is not installed: apt-get install postfix")
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self._process = subprocess.Popen(
            [program, *user, "-c", f"{LOOPBACK}:{self.port}", "1024"], stdout=subprocess.PIPE
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        wait_for_port(self.port, 10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def count(self) -> int:
        """How many messages it has accepted since it started."""
        return self.counts[-1]

    def wait(self, count: int, timeout: float) -> float:
        """Wait until `count` messages were accepted; gives when that was, in monotonic seconds."""
        with self._news:
            if not self._news.wait_for(lambda: self.count >= count, timeout):
                raise BenchError(f"the sink got {self.count} of {count} in {timeout:.0f} s")
            return self.when(count)

    def when(self, count: int) -> float:
        """Give the time at which the `count`th message was accepted."""
        return self.times[bisect.bisect_left(self.counts, count)]

    def _read(self) -> None:
        assert self._process.stdout
        descriptor, rest = self._process.stdout.fileno(), b""
        while chunk := os.read(descriptor, 65536):
            now = time.monotonic()
            found = COUNTER.findall(rest + chunk)
            rest = (rest + chunk)[-64:]
            if found and int(found[-1]) > self.count:
                with self._news:
                    self.times.append(now)
                    self.counts.append(int(found[-1]))
                    self._news.notify_all()
