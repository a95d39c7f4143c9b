"""The roster of lanes: one for each account that has something to send.

Lanes are found by hints (NOTIFY names the accounts) and by the poll, which asks the
database; the poll is the mechanism, the hint only makes it quick.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from mailproxy_server.dispatcher.desk import Desk
from mailproxy_server.dispatcher.lanes import Lane
from mailproxy_server.dispatcher.relays import Key
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue import claim, lookout
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.settle import Settlement


class Roster:
    """All lanes of this dispatcher."""

    def __init__(self, desk: Desk, failed: asyncio.Future[None]) -> None:
        self._desk = desk
        self._failed = failed
        self._lanes: dict[Key, tuple[Lane, asyncio.Task[None]]] = {}
        self._look = asyncio.Event()

    def hint(self, lines: Sequence[str]) -> None:
        """Deliveries of these accounts ("tenant/account") may be due; none named: of any."""
        for tenant, _, account_id in _parts(lines):
            self._wake((UUID(tenant), account_id))
        if not lines:
            self._look.set()

    def changed(self, lines: Sequence[str]) -> None:
        """These accounts have changed; none named: any may have."""
        if not lines:
            self._desk.relays.expire(None)
        keys = [(UUID(tenant), account_id) for tenant, _, account_id in _parts(lines)]
        for key in keys:
            self._desk.relays.expire(key)
        for key, (lane, _) in self._lanes.items():
            if not keys or key in keys:
                lane.changed()

    def settled(self, batch: Sequence[Settlement]) -> None:
        """Outcomes were written: tell the lanes that held these deliveries."""
        for settlement in batch:
            row, final = settlement.claimed, settlement.outcome.final
            key = (row.tenant_id, row.account_id)
            if key in self._lanes:
                self._lanes[key][0].settled(row, final=final)
            elif not final:
                self._wake(key)

    async def run(self) -> None:
        """Look for accounts with work until cancelled."""
        while True:
            self._look.clear()
            try:
                async with borrowed(self._desk.pool) as link:
                    keys = await lookout.waiting(link)
            except (Unavailable, asyncpg.PostgresError):
                keys = []
            for key in keys:
                self._wake(key)
            try:
                async with asyncio.timeout(self._desk.scope.poll_seconds):
                    await self._look.wait()
            except TimeoutError:
                pass  # nobody hinted: this is the poll

    async def drain(self, seconds: float) -> None:
        """Claim no more, finish what is in flight, hand the rest back."""
        lanes = [lane for lane, _ in self._lanes.values()]
        for lane in lanes:
            lane.stop()
        await asyncio.gather(*(task for _, task in self._lanes.values()))
        drained = await asyncio.gather(*(lane.drain(seconds) for lane in lanes))
        unsent = [row for rows in drained for row in rows]
        await self._flush(seconds)
        if unsent:
            async with borrowed(self._desk.pool) as link:
                await claim.release(link, self._desk.scope.worker_id, unsent)

    async def _flush(self, seconds: float) -> None:
        """Have what is known written, as far as the time of the drain allows."""
        try:
            async with asyncio.timeout(seconds):
                await self._desk.settler.flush()
        except TimeoutError:
            pass  # said by who is told of what is blocked; the rescuer takes these deliveries over

    def _wake(self, key: Key) -> None:
        if key not in self._lanes:
            lane = Lane(key, self._desk)
            task = asyncio.create_task(lane.run(), name=f"lane {key[1]}")
            task.add_done_callback(self._ended)
            self._lanes[key] = (lane, task)
        self._lanes[key][0].wake()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A lane fails by a bug only: the dispatcher must not limp on without it."""
        if not task.cancelled() and (bug := task.exception()) and not self._failed.done():
            self._failed.set_exception(bug)


def _parts(lines: Sequence[str]) -> list[tuple[str, str, str]]:
    return [line.partition("/") for line in lines]
