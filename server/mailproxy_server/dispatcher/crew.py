"""The senders of one lane: as many as there are parcels to carry and connections to use."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from mailproxy_server.dispatcher import sending
from mailproxy_server.dispatcher.budget import Budget
from mailproxy_server.dispatcher.parcels import Parcel, Rack
from mailproxy_server.dispatcher.patience import patiently
from mailproxy_server.dispatcher.relays import Route
from mailproxy_server.dispatcher.sending import Sent
from mailproxy_server.dispatcher.shelf import Shelf
from mailproxy_server.queue import contents, marks
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.hot import Pool

LARGE_BUDGET = 64 * 2**20
"""Octets of large contents that one lane holds in memory at once."""

Done = Callable[[Sent], None]
"""Told what came of a parcel."""
Bug = Callable[[UUID, Exception], None]
"""Told of an exception that a message caused."""


class Crew:
    """Carries parcels from the rack to the relay, for the worker `worker_id`."""

    def __init__(
        self,
        pool: Pool,
        worker_id: UUID,
        lease: sending.Lease,
        shelf: Shelf,
        done: Done,
        bug: Bug,
    ) -> None:
        self._pool = pool
        self._shelf = shelf
        self._worker_id = worker_id
        self._lease = lease
        self._done = done
        self._bug = bug
        self._rack = Rack()
        self._budget = Budget(LARGE_BUDGET)
        self._senders: set[asyncio.Task[None]] = set()
        self._most = 1

    @property
    def lowest_priority(self) -> int:
        """The priority of the least urgent parcel that waits; 0 when none does."""
        return self._rack.lowest_priority

    def carry(self, parcels: Sequence[Parcel], route: Route, connections: int) -> None:
        """Send these, now or when their turn comes, over at most so many connections."""
        self._most = connections
        for parcel in parcels:
            self._rack.put(parcel)
        for _ in range(min(connections - len(self._senders), len(self._rack))):
            sender = asyncio.create_task(self._send_all(route), name="sender")
            self._senders.add(sender)

    def reclaim(self) -> list[Claimed]:
        """Take back what was not begun."""
        return self._rack.clear()

    async def drain(self, seconds: float) -> list[Claimed]:
        """Stop; let sends in flight finish within `seconds`; give what was not begun."""
        unsent = self._rack.clear()
        if self._senders:
            _, late = await asyncio.wait(self._senders, timeout=seconds)
            for sender in late:
                sender.cancel()
        return unsent

    async def _send_all(self, route: Route) -> None:
        """Carry until nothing waits. It leaves the senders in the same step in which it finds
        nothing: whoever puts a parcel on the rack after that starts another one."""
        me = asyncio.current_task()
        assert me is not None, "it runs as a task"
        try:
            while self._rack and len(self._senders) <= self._most:
                self._done(await self._settled(self._rack.take(), route))
        finally:
            self._senders.discard(me)

    async def _settled(self, parcel: Parcel, route: Route) -> Sent:
        try:
            return await self._send(parcel, route)
        except Exception as bug:
            self._bug(parcel.content.message_id, bug)
            return sending.faulty(parcel.claimed, parcel.content, route.account.retry)

    async def _send(self, parcel: Parcel, route: Route) -> Sent:
        if parcel.content.at_most_once:
            marked = await patiently(
                self._pool, lambda link: marks.mark(link, self._worker_id, parcel.claimed)
            )
            if not marked:
                return Sent(returned=parcel.claimed)  # the lease is lost: the release is fenced
        if parcel.content.content is not None:
            return await sending.send(parcel, route, self._lease, self._shelf)
        async with self._budget.hold(3 * parcel.content.octets):  # stored, composed, stuffed
            loaded = await self._load(parcel)
            return await sending.send(loaded, route, self._lease, self._shelf)

    async def _load(self, parcel: Parcel) -> Parcel:
        tenant_id, message_id = parcel.claimed[0].tenant_id, parcel.content.message_id
        whole = await patiently(
            self._pool, lambda link: contents.read(link, tenant_id, [message_id], 2**31 - 1)
        )
        return replace(parcel, content=whole[message_id])
