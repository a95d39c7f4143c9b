"""The relays this dispatcher speaks to: an account's settings and its pool, kept current."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from mailproxy_server.accounts.account import Account
from mailproxy_server.content.dkim import Signature
from mailproxy_server.content.sources.endpoint import Target
from mailproxy_server.smtp.lineup import PoolFacts
from mailproxy_server.smtp.pool import Pool

if TYPE_CHECKING:
    from mailproxy_server.dispatcher.making import Made

Key = tuple[UUID, str]
"""Tenant and account."""


@dataclass(slots=True)
class Route:
    """How one account's mail goes out: by `pool`, signed by `signatures`, with files from its
    `endpoints`. `late` are messages that were made when their room in the limits was gone."""

    account: Account
    pool: Pool
    signatures: Sequence[Signature] = ()
    endpoints: Mapping[str, Target] = field(default_factory=dict)
    late: dict[UUID, "Made"] = field(default_factory=dict)
    read_at: float = 0.0
    """When the account was read, by the monotonic clock."""


Load = Callable[[UUID, str], Awaitable[Route | None]]
"""Reads an account and makes its route; None when there is no such account any more."""


class Relays:
    """Routes by account, read when first needed and again when they were said to change, or
    after `ttl` seconds: what is said may be lost."""

    def __init__(self, load: Load, ttl: float) -> None:
        self._load = load
        self._ttl = ttl
        self._routes: dict[Key, Route] = {}
        self._stale: set[Key] = set()
        self._opened = 0
        self._closing: set[asyncio.Task[None]] = set()

    def expire(self, key: Key | None) -> None:
        """Read the account again before its next use; None: all of them."""
        self._stale.update([key] if key else self._routes)

    async def route(self, key: Key) -> Route | None:
        """Give the account's route; None when it was deleted. Raises `Unavailable`."""
        known, now = self._routes.get(key), time.monotonic()
        if known and key not in self._stale and now - known.read_at < self._ttl:
            return known
        loaded = await self._load(*key)
        self._stale.discard(key)
        if loaded is None:
            if known:
                self._retire(self._routes.pop(key).pool)
            return None
        if known is None:
            known = self._routes[key] = loaded
        elif loaded.account.revision != known.account.revision:
            self._retire(known.pool)
            known.pool = loaded.pool  # in place: senders that hold the route go on by the new one
            known.signatures, known.endpoints = loaded.signatures, loaded.endpoints
            known.late.clear()
        known.account, known.read_at = loaded.account, now
        return known

    @property
    def facts(self) -> PoolFacts:
        """What all pools hold together, and what they opened so far."""
        busy = idle = 0
        opened = self._opened
        for facts in (route.pool.facts for route in self._routes.values()):
            busy, idle, opened = busy + facts.busy, idle + facts.idle, opened + facts.opened
        return PoolFacts(busy + idle, busy, idle, opened)

    async def close(self) -> None:
        """Say QUIT on all idle connections."""
        for route in self._routes.values():
            self._retire(route.pool)
        self._routes.clear()
        if self._closing:
            await asyncio.wait(self._closing)

    def _retire(self, pool: Pool) -> None:
        self._opened += pool.facts.opened
        task = asyncio.create_task(pool.close(), name="close pool")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
