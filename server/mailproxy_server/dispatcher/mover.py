"""The mover: takes what applications have committed to the outbox into the queue.

In one short transaction a row is locked, checked as any submission is, queued and removed, so
it is queued exactly once. Nothing of ours is locked while an application's transaction is open:
its rows are not seen before it commits.

It reads on from the row that it took last, so that what it has removed costs nothing even while
an application's open transaction keeps vacuum from forgetting it; and it sweeps from the
beginning, for a row that was committed after later ones: at every look while that is quick, as it
ordinarily is, else for 2 % of its time.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence

import asyncpg

from mailproxy_server.dispatcher.judging import Bug, Judge, reused, unforeseen
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue import enqueue, outbox
from mailproxy_server.queue.hot import Connection, Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.outbox import Refused

BATCH = 500
_RETRY_SECONDS = 0.5
_SWEEP_SHARE = 0.02
_QUICK_SECONDS = 0.002
_DATA = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)

Moved = Callable[[Collection[str], Sequence[Refused]], None]
"""Told after a commit: the accounts ("tenant/account") that got mail, the rows refused."""


class Mover:
    """Moves emails of up to `largest` octets; looks every `poll_seconds` and when it is told.

    `bug` is told of a row that failed by a fault of ours.
    """

    def __init__(
        self, pool: Pool, largest: int, poll_seconds: float, moved: Moved, bug: Bug
    ) -> None:
        self._pool = pool
        self._largest = largest
        self._poll_seconds = poll_seconds
        self._moved = moved
        self._bug = bug
        self._awake = asyncio.Event()
        self._after = 0
        self.newest = 0
        """The number of the newest row that was taken."""
        self._next_sweep = 0.0
        self._swept = False

    def hint(self, _lines: Sequence[str]) -> None:
        """Rows were committed."""
        self._awake.set()

    async def run(self) -> None:
        """Move until cancelled; a database that is away is waited for."""
        while True:
            hinted = self._awake.is_set()
            self._awake.clear()
            try:
                while await self.move():
                    pass
                pause = self._poll_seconds
                if hinted and not self._swept:  # perhaps by a row that only a sweep finds
                    pause = min(pause, max(0.0, self._next_sweep - time.monotonic()))
            except (Unavailable, asyncpg.PostgresError):
                pause = _RETRY_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._awake.wait()
            except TimeoutError:
                pass  # a plain INSERT tells nobody: this is the poll

    async def move(self) -> int:
        """Move one batch; give how many rows it was."""
        async with borrowed(self._pool) as link:
            if not await self._look(link):
                return 0
            try:
                return await self._move(link, None)
            except _DATA:
                return await self._move_apart(link)

    async def _look(self, link: Connection) -> bool:
        """Whether a row waits: past the last one that was taken or, by a sweep, anywhere."""
        began = time.monotonic()
        self._swept = began >= self._next_sweep
        if self._swept:
            self._after = 0
        found = await outbox.any_waiting(link, self._after)
        if self._swept:
            ended = time.monotonic()
            if ended - began > _QUICK_SECONDS:
                self._next_sweep = ended + (ended - began) / _SWEEP_SHARE
        if not found:
            self._after = self.newest
        return found

    async def _move_apart(self, link: Connection) -> int:
        """One of the batch is not to the database's liking: each by itself, the others are fine."""
        async with link.transaction():
            rows = await outbox.take(link, BATCH, 0, self._after)
        tenants = await outbox.tenants(link, {row.tenant for row in rows})
        for row in rows:
            try:
                await self._move(link, [row.outbox_id])
            except _DATA as error:
                refused = unforeseen(row, tenants.get(row.tenant), error)
                await outbox.refuse(link, [refused])
                self._moved((), [refused])
                self._bug(refused.message_id, error)
        return len(rows)

    async def _move(self, link: Connection, only: Collection[int] | None) -> int:
        async with link.transaction():
            rows = await outbox.take(link, BATCH, 2 * self._largest, self._after, only)
            if not rows:  # other movers have them all
                self._after = self.newest
                return 0
            judged = await Judge(link, self._largest, self._bug).all(rows)
            taken = await enqueue.take(link, [message for _, message in judged.accepted])
            refused = judged.refused + reused(judged.accepted, taken)
            kept = {one.outbox_id for one in refused}
            moved = [row.outbox_id for row in judged.rows if row.outbox_id not in kept]
            await outbox.remove(link, moved)
            if refused:
                await outbox.refuse(link, refused)
        if only is None:
            self._after = judged.rows[-1].outbox_id
            self.newest = max(self.newest, self._after)
        lines = {f"{message.tenant_id}/{message.account_id}" for _, message in judged.accepted}
        self._moved(lines, refused)
        return len(judged.rows)
