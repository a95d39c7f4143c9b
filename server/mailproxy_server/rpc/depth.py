"""How deep a tenant's queue is, seconds old: the bound on what is let in."""

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
    queued: int
    until: float


class Depth:
    """Counts again when its figure is old; in between it adds what was let in here."""

    def __init__(self, pool: Pool, limit: int) -> None:
        self._pool = pool
        self._limit = limit
        self._tenants: dict[UUID, _Depth] = {}

    async def admit(self, tenant_id: UUID, recipients: int) -> None:
        """Let `recipients` deliveries in, or raise `Unavailable` (QUEUE_FULL)."""
        known = self._tenants.get(tenant_id)
        began = time.monotonic()
        if known is None or began > known.until:
            if known is not None:
                known.until = began + _RETRY_SECONDS  # meanwhile the others use the old figure
            async with borrowed(self._pool) as link:
                queued = await counts.depth(link, tenant_id, self._limit + 1)
            ended = time.monotonic()
            fresh = max(_FRESH_SECONDS, (ended - began) / _SHARE)
            known = self._tenants[tenant_id] = _Depth(queued, ended + fresh)
        if known.queued + recipients > self._limit:
            raise Unavailable(
                "QUEUE_FULL",
                f"{known.queued} deliveries are queued of {self._limit} that this tenant may "
                "have; wait until some are sent, or raise MAILPROXY_QUEUE_DEPTH",
                _RETRY_SECONDS,
                {"queued": str(known.queued), "limit": str(self._limit)},
            )
        known.queued += recipients
