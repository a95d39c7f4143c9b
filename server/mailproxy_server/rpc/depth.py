"""How deep a tenant's queue is, seconds old: the bound on what is let in."""

import asyncio
import time
from dataclasses import dataclass
from uuid import UUID

from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue import counts
from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed

_FRESH_SECONDS = 2.0
_SHARE = 0.02  # of the time that counting may take
_RETRY_SECONDS = 5.0


@dataclass(slots=True)
class _Depth:
    queued: int = 0
    let_in: int = 0
    until: float = 0.0
    counting: asyncio.Task[None] | None = None


class Depth:
    """Counts again when its figure is old; in between it adds what was let in here."""

    def __init__(self, pool: Pool, limit: int) -> None:
        self._pool = pool
        self._limit = limit
        self._tenants: dict[UUID, _Depth] = {}

    async def admit(self, tenant_id: UUID, recipients: int) -> None:
        """Let `recipients` deliveries in, or raise `Unavailable` (QUEUE_FULL).

        Only a tenant's first callers wait for the count, all for the same one.
        """
        known = self._tenants.setdefault(tenant_id, _Depth())
        if known.counting is None and time.monotonic() > known.until:
            known.counting = asyncio.create_task(self._count(tenant_id, known))
            known.counting.add_done_callback(lambda task: _counted(known, task))
        if known.counting is not None and not known.until:
            await asyncio.shield(known.counting)
        if known.queued + recipients > self._limit:
            raise Unavailable(
                "QUEUE_FULL",
                f"{known.queued} deliveries are queued of {self._limit} that this tenant may "
                "have; wait until some are sent, or raise MAILPROXY_QUEUE_DEPTH",
                _RETRY_SECONDS,
                {"queued": str(known.queued), "limit": str(self._limit)},
            )
        known.queued += recipients
        known.let_in += recipients

    async def _count(self, tenant_id: UUID, known: _Depth) -> None:
        began, before = time.monotonic(), known.let_in
        async with borrowed(self._pool) as link:
            queued = await counts.depth(link, tenant_id, self._limit + 1)
        ended = time.monotonic()
        known.queued = queued + known.let_in - before
        known.until = ended + max(_FRESH_SECONDS, (ended - began) / _SHARE)


def _counted(known: _Depth, task: asyncio.Task[None]) -> None:
    known.counting = None
    if not task.cancelled() and task.exception() and known.until:
        known.until = time.monotonic() + _RETRY_SECONDS  # until then the old figure serves
