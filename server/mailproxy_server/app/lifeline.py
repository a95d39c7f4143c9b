"""Owns how a child learns that it shall drain, says that it is ready, and shows that it lives.

It drains on SIGTERM, or when the supervisor is gone (the pipe it holds ends). From then on it has
a bounded time: past it the kernel ends the process, however stuck its loop may be.
"""

import asyncio
import contextlib
import gc
import math
import os
import signal
from dataclasses import dataclass, field
from typing import Any

MARGIN = 3.0  # seconds past the drain after which a child is ended
BEAT = 1.0  # seconds between two signs of life
LIFE = b"\0"
"""A sign of life on the report pipe. It comes from the event loop: when that hangs, so does it."""


@dataclass
class Lifeline:
    """A child's tie to its supervisor.

    `number` counts the children of a run from 0. `supervisor` is the read end of a pipe that
    the supervisor holds, `report` the write end of one that it reads; -1 for a process that
    has no supervisor.
    """

    number: int = 0
    supervisor: int = -1
    report: int = -1
    drain_seconds: float = 20.0
    _draining: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _ready: bool = field(default=False, repr=False)

    @property
    def draining(self) -> bool:
        """Whether the drain has begun."""
        return self._draining.is_set()

    async def until_drain(self, *parts: asyncio.Future[None]) -> None:
        """Wait until the drain begins. A part of the process that ends before ends the wait, with
        what it raised if it raised."""
        drain = asyncio.create_task(self._draining.wait())
        either: list[asyncio.Future[Any]] = [drain, *parts]
        try:
            done, _ = await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            drain.cancel()
        for part in done - {drain}:
            part.result()

    def attach(self) -> None:
        """Begin to listen, on the running loop; call once, early."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.drain)
        loop.add_signal_handler(signal.SIGINT, self.drain)
        for fd in (self.supervisor, self.report):
            if fd >= 0:
                os.set_inheritable(fd, False)
        if self.supervisor >= 0:
            os.set_blocking(self.supervisor, False)
            loop.add_reader(self.supervisor, self._lost)
        if self.report >= 0:
            os.set_blocking(self.report, False)  # a supervisor that does not read stops nobody
            self._beat()

    def drain(self) -> None:
        """Begin the drain; idempotent."""
        if not self.draining:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(math.ceil(self.drain_seconds + MARGIN))
            self._draining.set()

    def ready(self) -> None:
        """Say that this child serves; idempotent. What was built by now stays, and no collection
        of garbage need look at it again."""
        if self.report >= 0 and not self._ready:
            self._ready = True
            gc.collect()
            gc.freeze()
            with contextlib.suppress(OSError):
                os.write(self.report, b"\n")

    def _beat(self) -> None:
        """Show life from now on, until the supervisor does not want to know any more."""
        try:
            os.write(self.report, LIFE)
        except BlockingIOError:
            pass  # it has more of them than it reads
        except OSError:
            return
        asyncio.get_running_loop().call_later(BEAT, self._beat)

    def _lost(self) -> None:
        """Nothing is ever written to the pipe, so that readable means ended."""
        asyncio.get_running_loop().remove_reader(self.supervisor)
        self.drain()
