"""Owns one child process of a run: starts it, starts it again when it dies, drains it at the end.

Children are spawned, never forked, each in a process group of its own, so that Ctrl-C reaches
the supervisor alone. A child reports on a pipe, in one line: an empty one when it serves, else
the words with which it refuses to start.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from mailproxy_server.app.lifeline import MARGIN
from mailproxy_server.app.refusal import Refusal

_FIRST_PAUSE = 0.1  # seconds before a dead child is started again, doubling
_LONGEST_PAUSE = 10.0
_STEADY = 5.0  # seconds of life after which the pause begins anew

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all children of a run share: program, environment, lifeline, fds to hold, patience."""

    program: Sequence[str]
    environment: Mapping[str, str]
    supervisor: int
    anchors: tuple[int, ...]
    drain_seconds: float


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
        try:
            self._process = await self._spawn(writing)
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        words = await self._report(reading)
        await self._process.wait()
        return words

    async def _spawn(self, report: int) -> asyncio.subprocess.Process:
        around = self._around
        numbers = map(str, (self.number, around.supervisor, report))
        return await asyncio.create_subprocess_exec(
            *around.program, self.role, *numbers,
            env=around.environment, process_group=0,
            pass_fds=(around.supervisor, report, *around.anchors),
        )  # fmt: skip

    async def _report(self, fd: int) -> str:
        with os.fdopen(fd, "rb", buffering=0) as pipe:
            reader = asyncio.StreamReader()
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), pipe
            )
            try:
                line = await reader.readline()
            finally:
                transport.close()
        if line == b"\n":
            self.served.set()
        return line.decode(errors="replace").strip()

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
