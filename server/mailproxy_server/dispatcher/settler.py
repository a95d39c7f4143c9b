"""Gathers settlements and writes them together.

Flushes after a gathering time or a full batch, whichever is first: that time bounds the
window in which a crash sends a message twice. While the database is away settlements are
kept and tried again; the fence decides then whether they still hold.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
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
Bug = Callable[[UUID, Exception], None]
"""Told of a message whose settlement the database does not take."""


class Settler:
    """Writes outcomes of one worker."""

    def __init__(
        self, pool: Pool, worker_id: UUID, settled: Settled, bug: Bug, gather_seconds: float
    ) -> None:
        self._pool = pool
        self._worker_id = worker_id
        self._settled = settled
        self._bug = bug
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
            except (Unavailable, asyncpg.TransactionRollbackError):
                await asyncio.sleep(_RETRY_SECONDS)
            except (asyncpg.PostgresError, ValueError) as error:
                await self._write_apart(batch, error)
                return
        self._settled(batch, len(batch) - len(held))

    async def _write_apart(self, batch: list[Settlement], error: Exception) -> None:
        """One of them cannot be written: the others can, and it can without what was said."""
        if len(batch) > 1:
            for one in batch:
                await self._write([one])
            return
        (one,) = batch
        self._bug(one.claimed.message_id, error)
        bare = one._replace(outcome=replace(one.outcome, reply=None), transcript=None)
        if bare != one:
            await self._write([bare])
