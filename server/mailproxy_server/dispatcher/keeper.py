"""Keeps the queue in order: rescues what dead dispatchers held, ends what expired or was
withdrawn, and holds what a pause of labels missed.

Every dispatcher runs one; that two do the same thing at once is harmless.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from uuid import UUID, uuid4

import asyncpg

from mailproxy_server.dispatcher.lease import Deaths, Lease
from mailproxy_server.mail.delivery import Outcome
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.policy.retry import interrupted
from mailproxy_server.queue import cancel, claim, contents, expire, holds, retention, workers
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.hot import Connection, Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.settle import Settlement, settle

BATCH = 500

Seize = Callable[[Connection, UUID, int], Awaitable[list[Claimed]]]
"""Claims deliveries that are to end under an id; at most so many."""
Told = Callable[[Sequence[Settlement]], None]


class Keeper:
    """The keeper of one dispatcher.

    `rescued` is told of each batch that was brought back from a dead dispatcher, `ended` of
    each that was ended here.
    """

    def __init__(
        self,
        pool: Pool,
        lease: Lease,
        every_seconds: float,
        rescued: Told,
        ended: Told,
        deaths: type[Deaths] = Deaths,
    ) -> None:
        self._pool = pool
        self._worker_id = lease.worker.worker_id
        self._deaths = deaths(lease)
        self._every_seconds = every_seconds
        self._rescued = rescued
        self._ended = ended

    async def run(self) -> None:
        """Look after the queue until cancelled; a database that is away is waited for."""
        while True:
            try:
                async with borrowed(self._pool) as link:
                    await self._rescue(link)
                    await self._end(link, expire.seize, Outcome.expired())
                    await self._end(link, cancel.seize_requested, Outcome.cancelled())
                    await holds.follow(link)
            except (Unavailable, asyncpg.PostgresError):
                pass  # the next round finds the same work
            await asyncio.sleep(self._every_seconds)

    async def _rescue(self, link: Connection) -> None:
        for dead in self._deaths.judge(await workers.others(link, self._worker_id)):
            await workers.declare_dead(link, dead.worker.worker_id, dead.beat_at)
        for nobody in await workers.orphaned(link):
            await self._take_over(link, nobody)

    async def _take_over(self, link: Connection, dead: UUID) -> None:
        """Claim and settle under an id that no worker has: if this fails half-way, what it
        held is an orphan's again, and is found by the next round."""
        sent = not claim.is_seizer(dead)
        rescuer = uuid4() if sent else claim.seizer()
        while rows := await claim.take_over(link, dead, rescuer, BATCH):
            origins = await contents.origins(link, rows)
            now = await retention.now(link)
            judged = [(row, rescued(row, now, sent=sent)) for row in rows]
            batch = [
                Settlement(
                    row, outcome, attempted=sent, mail_at=row.claimed_at if sent else None,
                    origin=origins.get((row.tenant_id, row.message_id)),
                )
                for row, outcome in judged
                if outcome is not None
            ]  # fmt: skip
            await settle(link, rescuer, batch)
            await claim.release(link, rescuer, [row for row, outcome in judged if outcome is None])
            self._rescued(batch)

    async def _end(self, link: Connection, seize: Seize, outcome: Outcome) -> None:
        seizer = claim.seizer()
        while rows := await seize(link, seizer, BATCH):
            batch = [Settlement(row, outcome, attempted=False) for row in rows]
            await settle(link, seizer, batch)
            self._ended(batch)


def rescued(row: Claimed, now: datetime, *, sent: bool) -> Outcome | None:
    """Give the outcome of what a dead process held, at the database's time `now`.

    What it had claimed to send (`sent`) may have been delivered, and every outcome says so. What it
    had seized to end was not: it ends as was meant, or (None) goes back to the queue as it was.
    """
    if sent:
        if row.cancel_requested and not row.marked:
            return Outcome.cancelled(possible_duplicate=True)
        return interrupted(row.attempts, marked=row.marked)
    if row.cancel_requested:
        return Outcome.cancelled()
    if row.expire_at is not None and row.expire_at <= now:
        return Outcome.expired()
    return None
