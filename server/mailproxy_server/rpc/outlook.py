"""When a message that is submitted now is likely to be sent: seconds old, and never waited for."""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue import explain, read
from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.rpc import explaining, waits

_FRESH_SECONDS = 5.0
_FORGET_SECONDS = 600.0

Key = tuple[UUID, str]
"""Tenant and account."""


@dataclass(slots=True)
class _View:
    moment: datetime | None = None
    """When what was due as it was read will have been attempted; None when nobody can tell."""
    read_at: float = 0.0
    reading: asyncio.Task[None] | None = None


class Outlook:
    """Looks at an account again when its figure is old; whoever asks gets the one there is."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._views: dict[Key, _View] = {}

    def estimate(self, key: Key, due_at: datetime) -> datetime | None:
        """Give when a delivery that is due at `due_at` is likely to be attempted, if that is
        known."""
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = _View()
        now = time.monotonic()
        if view.reading is None and now - view.read_at > _FRESH_SECONDS:
            view.reading = asyncio.create_task(self._look(key, view), name="outlook")
        known = view.read_at and now - view.read_at < _FORGET_SECONDS
        return max(due_at, view.moment) if known and view.moment is not None else None

    async def _look(self, key: Key, view: _View) -> None:
        try:
            view.moment = await self._moment(*key)
            view.read_at = time.monotonic()
        except (Unavailable, asyncpg.PostgresError):
            view.read_at = 0.0
        finally:
            view.reading = None

    async def _moment(self, tenant_id: UUID, account_id: str) -> datetime | None:
        async with borrowed(self._pool) as link:
            head = await read.head(link, tenant_id)
            found = await explaining.accounts(link, tenant_id, [account_id], head)
            ahead = await explain.backlog(link, tenant_id, account_id)
        if account_id not in found:
            return None
        at = found[account_id]
        fresh = explain.Waiting(
            0, "", account_id, at.now, 0, sending=False, fetching=False, held=False, ahead=ahead
        )
        return waits.estimate(fresh, at)
