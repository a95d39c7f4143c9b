"""The senders of one lane: as many as there are parcels to carry and connections to use."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from mailproxy_server.dispatcher import sending
from mailproxy_server.dispatcher.budget import Budget
from mailproxy_server.dispatcher.parcels import Parcel, Rack
from mailproxy_server.dispatcher.relays import Route
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue import contents
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.settle import Settlement

LARGE_BUDGET = 64 * 2**20
"""Octets of large contents that one lane holds in memory at once."""

Done = Callable[[Sequence[Settlement]], None]
"""Told what a sender settled, when its parcel is done."""
Bug = Callable[[UUID, Exception], None]
"""Told of an exception that a message caused."""


class Crew:
    """Carries parcels from the rack to the relay."""

    def __init__(self, pool: Pool, terms: sending.Terms, done: Done, bug: Bug) -> None:
        self._pool = pool
        self._terms = terms
        self._done = done
        self._bug = bug
        self._rack = Rack()
        self._budget = Budget(LARGE_BUDGET)
        self._senders: set[asyncio.Task[None]] = set()
        self._route: Route | None = None

    @property
    def lowest_priority(self) -> int:
        """The priority of the least urgent parcel that waits; 0 when none does."""
        return self._rack.lowest_priority

    def carry(self, parcels: Sequence[Parcel], route: Route) -> None:
        """Send these, now or when their turn comes."""
        self._route = route
        for parcel in parcels:
            self._rack.put(parcel)
        free = route.account.max_connections - len(self._senders)
        for _ in range(min(free, len(self._rack))):
            sender = asyncio.create_task(self._send_all(), name="sender")
            self._senders.add(sender)
            sender.add_done_callback(self._senders.discard)

    async def drain(self, seconds: float) -> list[Claimed]:
        """Stop; let sends in flight finish within `seconds`; give what was not begun."""
        unsent = self._rack.clear()
        if self._senders:
            _, late = await asyncio.wait(self._senders, timeout=seconds)
            for sender in late:
                sender.cancel()
        return unsent

    async def _send_all(self) -> None:
        while self._rack:
            parcel = self._rack.take()
            try:
                settlements = await self._send(parcel)
            except Exception as bug:
                self._bug(parcel.content.message_id, bug)
                settlements = sending.faulty(parcel)
            self._done(settlements)

    async def _send(self, parcel: Parcel) -> list[Settlement]:
        assert self._route is not None, "carry() has set it"
        if parcel.content.content is not None:
            return await sending.send(parcel, self._route, self._terms)
        async with self._budget.hold(3 * parcel.content.octets):  # stored, composed, stuffed
            loaded = await self._load(parcel)
            return await sending.send(loaded, self._route, self._terms)

    async def _load(self, parcel: Parcel) -> Parcel:
        tenant_id, message_id = parcel.claimed[0].tenant_id, parcel.content.message_id
        while True:
            try:
                async with borrowed(self._pool) as link:
                    whole = await contents.read(link, tenant_id, [message_id], 2**31 - 1)
                return replace(parcel, content=whole[message_id])
            except Unavailable as error:
                await asyncio.sleep(error.retry_after)
