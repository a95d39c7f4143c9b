"""A lane: one account's way from the queue to its relay.

Claims no more than it can send within about a second, and beyond that only what is more
urgent than all that waits in it. Lanes share nothing that one of them could exhaust: a
database connection is held for the milliseconds of a claim, connections to relays are each
account's own.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from mailproxy_server.dispatcher import sending
from mailproxy_server.dispatcher.crew import Bug, Crew
from mailproxy_server.dispatcher.pace import Pace
from mailproxy_server.dispatcher.parcels import pack
from mailproxy_server.dispatcher.relays import Key, Relays, Route
from mailproxy_server.dispatcher.settler import Settler
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue import claim, contents
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.hot import Connection, Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.lowwater import PRIORITIES, LowWater
from mailproxy_server.queue.settle import Settlement

SMALL_OCTETS = 16 * 1024
"""Contents up to this are read with the claim; larger ones when their turn has come."""
DELETED_BATCH = 500
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)
_SWEEP_SHARE = 0.02
_RETRY_SECONDS = 0.5
_GATHER_SECONDS = 0.008
"""Between two claims of a lane that has work in hand, so that one claim takes what came."""


Fence = tuple[UUID, int, int]
"""Message, recipient, claim: one holding of one delivery."""


def fence(row: Claimed) -> Fence:
    """Give what tells this holding of a delivery from all others."""
    return row.message_id, row.recipient_no, row.claim_no


@dataclass(frozen=True, slots=True)
class Desk:
    """What all lanes of a dispatcher work with."""

    pool: Pool
    worker_id: UUID
    relays: Relays
    settler: Settler
    terms: sending.Terms
    poll_seconds: float
    sweep_seconds: float
    margin: timedelta
    bug: Bug


class Lane:
    """Claims for one account."""

    def __init__(self, key: Key, desk: Desk) -> None:
        self._key = key
        self._desk = desk
        self._low = LowWater(desk.margin)
        self._pace = Pace(time.monotonic())
        self._crew = Crew(desk.pool, desk.terms, self._done, desk.bug)
        self._held = 0
        self._ours: set[Fence] = set()
        self._unread: list[Claimed] = []
        self._in_doubt = False
        self._target = 1
        self._awake = asyncio.Event()
        self._generation = 0
        self._stopping = False
        self._more = False
        self._next_sweep = time.monotonic() + desk.sweep_seconds

    def wake(self) -> None:
        """Something may be due."""
        self._awake.set()

    def stop(self) -> None:
        """Claim no more; run() returns after the claim that is under way."""
        self._stopping = True
        self._awake.set()

    async def run(self) -> None:
        """Claim and send until stopped."""
        while not self._stopping:
            pause = await self._round()
            try:
                async with asyncio.timeout(pause):
                    await self._awake.wait()
            except TimeoutError:
                pass  # the next delivery is due, or it is time to poll
            if self._held:
                await asyncio.sleep(_GATHER_SECONDS)
            self._awake.clear()

    async def drain(self, seconds: float) -> list[Claimed]:
        """After run() has returned: finish what is in flight, give what was not begun."""
        return self._unread + await self._crew.drain(seconds)

    def settled(self, row: Claimed, *, final: bool) -> None:
        """A delivery's outcome is written; it is not ours any more, and may be due again."""
        self._ours.discard(fence(row))
        if not final:
            self._awake.set()

    async def _round(self) -> float:
        """Claim what there is room for; give the seconds until there may be more to do."""
        try:
            route = await self._desk.relays.route(self._key)
            async with borrowed(self._desk.pool) as link:
                was_in_doubt, self._in_doubt = self._in_doubt, True
                if was_in_doubt:
                    self._keep(await claim.mine(link, *self._key, self._desk.worker_id))
                pause = await (self._end_all(link) if route is None else self._fill(link, route))
                self._in_doubt = False
                return pause
        except Unavailable as error:
            return error.retry_after
        except asyncpg.PostgresError:
            return _RETRY_SECONDS

    def _notice(self, route: Route) -> None:
        if route.account.generation != self._generation:
            self._generation = route.account.generation
            self._low.reset()

    async def _fill(self, link: Connection, route: Route) -> float:
        self._notice(route)
        await self._carry(link, route)
        now = time.monotonic()
        self._target = self._pace.target(now, route.account.max_connections)
        if now >= self._next_sweep:
            return await self._sweep(link, route)
        room = self._target - self._held
        if room * 2 < self._target:
            return await self._claim_urgent(link, route)
        return await self._claim(link, route, room)

    async def _claim(self, link: Connection, route: Route, room: int) -> float:
        got = await claim.claim(link, *self._key, self._desk.worker_id, self._low.bounds, room)
        if got:
            self._keep(got.rows)
            await self._carry(link, route)
            last = got.rows[-1]
            if len(got.rows) == room:
                self._low.taken(got.now, last.priority, last.due_at)
                self._more = True
                return self._desk.poll_seconds  # a sender wakes us when there is room
        self._more = False
        now, due_at = await claim.next_due(link, *self._key, self._low.bounds)
        self._low.exhausted(got.now if got else now)
        wait = (due_at - now).total_seconds() if due_at else self._desk.poll_seconds
        return min(max(wait, 0.0), self._desk.poll_seconds)

    async def _claim_urgent(self, link: Connection, route: Route) -> float:
        """Although the lane is full: what is more urgent than all that waits in it."""
        self._more = True
        waiting = self._crew.lowest_priority
        if waiting > PRIORITIES[0]:
            bounds = [
                bound if priority < waiting else _NEVER
                for priority, bound in zip(PRIORITIES, self._low.bounds, strict=True)
            ]
            room = 2 * route.account.max_connections
            got = await claim.claim(link, *self._key, self._desk.worker_id, bounds, room)
            if got:
                self._keep(got.rows)
                await self._carry(link, route)
        return self._desk.poll_seconds

    async def _sweep(self, link: Connection, route: Route) -> float:
        """Claim from the beginning: finds what a low-water bound has passed over."""
        self._low.reset()
        began = time.monotonic()
        pause = await self._claim(link, route, max(1, self._target - self._held))
        took = time.monotonic() - began
        self._next_sweep = began + max(self._desk.sweep_seconds, took / _SWEEP_SHARE)
        return pause

    def _keep(self, rows: Sequence[Claimed]) -> None:
        """Remember what is ours from here on, until it is settled."""
        fresh = [row for row in rows if fence(row) not in self._ours]
        self._ours.update(map(fence, fresh))
        self._held += len(fresh)
        self._unread += fresh

    async def _carry(self, link: Connection, route: Route) -> None:
        """Read what the kept ones hold and hand them to the crew."""
        if not self._unread:
            return
        ids = {row.message_id for row in self._unread}
        texts = await contents.read(link, self._key[0], list(ids), SMALL_OCTETS)
        rows, self._unread = self._unread, []
        most = route.account.max_recipients_per_transaction
        self._crew.carry(list(pack(rows, texts, most)), route)

    async def _end_all(self, link: Connection) -> float:
        """The account is gone: what is still queued for it fails."""
        got = await claim.claim(
            link, *self._key, self._desk.worker_id, self._low.bounds, DELETED_BATCH
        )
        self._keep(got.rows if got else ())
        rows, self._unread = self._unread, []
        if not rows:
            return self._desk.poll_seconds
        self._done(sending.account_deleted(rows))
        return 0.0

    def _done(self, settlements: Sequence[Settlement]) -> None:
        self._held -= len(settlements)
        self._pace.done(len(settlements))
        self._desk.settler.add(settlements)
        if self._more and self._held * 2 <= self._target:
            self._awake.set()
