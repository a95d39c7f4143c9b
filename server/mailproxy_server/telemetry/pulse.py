"""The pulse of a process: how late it comes, and what is looked at once a second."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.telemetry.meters import LOOP_LAG

TICK = 0.25
_TICKS = 4

Look = Callable[[], Awaitable[None]]
"""Writes numbers; raises `Unavailable` when it cannot now."""

log = structlog.get_logger()


class Pulse:
    """Of one process, of this role ("front", "dispatcher"), with what it looks at."""

    def __init__(self, role: str, looks: Sequence[Look]) -> None:
        self._lag = LOOP_LAG.labels(role)
        self._looks = looks

    async def run(self) -> None:
        """Beat until cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            for _ in range(_TICKS):
                planned = clock() + TICK
                await asyncio.sleep(TICK)
                self._lag.observe(max(clock() - planned, 0.0))
            await self.look()

    async def look(self) -> None:
        """Look once, as at the end of a process.

        A look that fails stops no other one, and is made again with the next beat.
        """
        for look in self._looks:
            try:
                await look()
            except Unavailable:
                pass
            except Exception:
                log.exception("numbers of this process were not written")
