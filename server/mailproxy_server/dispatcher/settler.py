"""Gathers settlements and writes them together.

Flushes after a gathering time or a full batch, whichever is first: that time bounds the
window in which a crash sends a message twice. While the database is away settlements are
kept and tried again; the fence decides then whether they still hold.
"""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

import asyncpg

from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.settle import Settlement, settle

BATCH = 100
_RETRY_SECONDS = 0.5

Settled = Callable[[Sequence[Settlement], int], None]
"""Told after each commit: the batch, and how many of it had lost their lease."""


class Settler:
    """Writes outcomes of one worker."""

    def __init__(
        self, pool: Pool, worker_id: UUID, settled: Settled, gather_seconds: float = 0.01
    ) -> None:
        self._pool = pool
        self._worker_id = worker_id
        self._settled = settled
        self._gather_seconds = gather_seconds
        self._waiting: list[Settlement] = []
        self._full = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, settlements: Sequence[Settlement]) -> None:
        """Take settlements to be written soon."""
        self._waiting.extend(settlements)
        if len(self._waiting) >= BATCH:
            self._full.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_all(), name="settler")

    async def flush(self) -> None:
        """Return once everything that was added is written."""
        while self._task is not None and not self._task.done():
            self._full.set()
            await asyncio.wait([self._task])

    async def _write_all(self) -> None:
        while self._waiting:
            if len(self._waiting) < BATCH:
                await self._gather()
            self._full.clear()
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            await self._write(batch)

    async def _gather(self) -> None:
        try:
            async with asyncio.timeout(self._gather_seconds):
                await self._full.wait()
        except TimeoutError:
            pass  # the usual end: the gathering time is over

    async def _write(self, batch: list[Settlement]) -> None:
        while True:
            try:
                async with borrowed(self._pool) as link:
                    held = await settle(link, self._worker_id, batch)
                    break
            except (Unavailable, asyncpg.PostgresError):
                await asyncio.sleep(_RETRY_SECONDS)
        self._settled(batch, len(batch) - len(held))
