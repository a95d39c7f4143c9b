"""Seizing what has expired while it waited, to be ended."""

from uuid import UUID

from mailproxy_server.queue.claim import Claimed, claiming
from mailproxy_server.queue.hot import Connection

_SEIZE = claiming(
    """SELECT ctid FROM mailproxy.deliveries
    WHERE expire_at IS NOT NULL AND expire_at <= now() AND worker_id IS NULL
    ORDER BY expire_at LIMIT $2 FOR UPDATE SKIP LOCKED""",
    "$1",
    sends=False,
)


async def seize(link: Connection, seizer: UUID, limit: int) -> list[Claimed]:
    """Claim expired deliveries under an id that no worker has; the caller settles them.

    Locks the rows it takes, skipping locked ones; relies on deliveries_expire.
    """
    return [Claimed(*row) for row in await link.fetch(_SEIZE, seizer, limit)]
