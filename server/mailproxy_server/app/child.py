"""Owns one child process of a run: starts it, starts it again when it dies or hangs, drains it at
the end.

Children are spawned, never forked, each in a process group of its own, so that Ctrl-C reaches
the supervisor alone. A child reports on a pipe: signs of life from its event loop, and one line,
which is empty when it serves, else the words with which it refuses to start.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from mailproxy_server.app.lifeline import LIFE, MARGIN
from mailproxy_server.app.refusal import Refusal

_FIRST_PAUSE = 0.1  # seconds before a dead child is started again, doubling
_LONGEST_PAUSE = 10.0
_STEADY = 5.0  # seconds of life after which the pause begins anew
_TICK = 1.0  # seconds between two looks whether a child showed life
_STARTING = 60.0  # seconds more may a child be silent that imports what it needs
_PIPE = 65536  # octets: what a pipe holds

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all children of a run share: program, environment, lifeline, fds to hold, patience.

    A child that shows no life for `hung_seconds` is killed; with 0 none is.
    """

    program: Sequence[str]
    environment: Mapping[str, str]
    supervisor: int
    anchors: tuple[int, ...]
    drain_seconds: float
    hung_seconds: float


class Report:
    """What a child says in one life, on the pipe whose read end is `fd`; calls `serves` once."""

    def __init__(self, fd: int, serves: Callable[[], None]):
        self.serving = False
        self._fd = fd
        self._serves = serves
        self._said = b""
        self._lives = True
        os.set_blocking(fd, False)
        asyncio.get_running_loop().add_reader(fd, self.read)

    @property
    def words(self) -> str:
        """The words of a refusal; empty without one."""
        return self._said.decode(errors="replace").strip()

    def lives(self) -> bool:
        """Whether the child showed life since this was asked last."""
        lives, self._lives = self._lives, False
        return lives

    def read(self) -> None:
        """Take in what was said so far."""
        try:
            said = os.read(self._fd, _PIPE)
        except BlockingIOError:
            return
        if not said:
            asyncio.get_running_loop().remove_reader(self._fd)
            return
        self._lives = True
        self._said += said.replace(LIFE, b"")
        if self._said.startswith(b"\n") and not self.serving:
            self.serving = True
            self._serves()

    def close(self) -> None:
        """Hear no more of it."""
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)


class Child:
    """One child, over all its lives. `clean` is False once it had to be killed in a drain."""

    def __init__(self, role: str, number: int, surroundings: Surroundings):
        self.role = role
        self.number = number
        self.served = asyncio.Event()
        self.clean = True
        self._around = surroundings
        self._process: asyncio.subprocess.Process | None = None

    async def keep(self) -> None:
        """Keep the child running until cancelled, then drain it.

        Raises Refusal when it refuses its very first start.
        """
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            try:
                words = await self._live()
            finally:
                await self._drain()
            if words and not self.served.is_set():
                raise Refusal(words)
            if time.monotonic() - began > _STEADY:
                pause = _FIRST_PAUSE
            log.warning(
                "a child ended and is started again",
                child=self.role, number=self.number, exit_code=self._code(), pause=pause,
                **({"reason": words} if words else {}),
            )  # fmt: skip
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def kill(self) -> None:
        """End the child at once."""
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _live(self) -> str:
        """Run the child until it ends; gives the words of its refusal, or nothing."""
        reading, writing = os.pipe()
        report = Report(reading, self.served.set)
        try:
            try:
                self._process = await self._spawn(writing)
            finally:
                os.close(writing)
            watch = asyncio.create_task(self._watch(self._process, report))
            try:
                await self._process.wait()
            finally:
                watch.cancel()
            report.read()
            return report.words
        finally:
            report.close()

    async def _spawn(self, report: int) -> asyncio.subprocess.Process:
        around = self._around
        numbers = map(str, (self.number, around.supervisor, report))
        return await asyncio.create_subprocess_exec(
            *around.program, self.role, *numbers,
            env=around.environment, process_group=0,
            pass_fds=(around.supervisor, report, *around.anchors),
        )  # fmt: skip

    async def _watch(self, process: asyncio.subprocess.Process, report: Report) -> None:
        """Kill the process once it was silent for too long.

        Silence is counted in ticks of our own: when we, or the whole machine, were stopped or
        had no CPU, that is one tick, and nobody's silence.
        """
        patience, silent = self._around.hung_seconds, 0.0
        if not patience:
            return
        while silent < patience + (0 if report.serving else _STARTING):
            await asyncio.sleep(_TICK)
            silent = 0.0 if report.lives() else silent + _TICK
        log.error(
            "a child hangs and is killed",
            child=self.role, number=self.number, pid=process.pid, silent_seconds=silent,
        )  # fmt: skip
        self.kill()

    async def _drain(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        # Not asyncio.timeout: in a task that is being cancelled, early 3.11 loses its TimeoutError.
        ending = asyncio.ensure_future(process.wait())
        _, late = await asyncio.wait({ending}, timeout=self._around.drain_seconds + MARGIN)
        if late:
            log.error("a child did not drain in time and is killed", child=self.role)
            self.kill()
            await process.wait()
        # Before it listens to SIGTERM a child has nothing to drain, and simply ends by it.
        self.clean = process.returncode in (0, -signal.SIGTERM)

    def _code(self) -> int | None:
        return self._process.returncode if self._process else None
