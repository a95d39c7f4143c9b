"""Claiming the rest of a message: recipients that can share the transaction of one just claimed."""

from uuid import UUID

from mailproxy_server.queue.claim import Claimed, claiming
from mailproxy_server.queue.hot import Connection

_REST = claiming(
    """SELECT ctid FROM mailproxy.deliveries
    WHERE tenant_id = $1 AND message_id = $2 AND account_id = $3 AND priority = $4
      AND due_at = $5 AND expire_at IS NOT DISTINCT FROM $6 AND round_at IS NOT DISTINCT FROM $7
      AND worker_id IS NULL AND NOT held
    ORDER BY recipient_no LIMIT $9 FOR UPDATE SKIP LOCKED""",
    "$8",
    sends=True,
    where="d.tenant_id = $1",
)


async def rest(link: Connection, worker_id: UUID, last: Claimed, limit: int) -> list[Claimed]:
    """Claim at most `limit` recipients of the message of `last` that follow it in the queue.

    They have its due time, priority, expiry and round, so that a low-water bound at `last` passes
    over none. Locks the rows it takes, skipping locked ones; relies on the primary key, or
    on deliveries_due.
    """
    rows = await link.fetch(
        _REST,
        last.tenant_id,
        last.message_id,
        last.account_id,
        last.priority,
        last.due_at,
        last.expire_at,
        last.round_at,
        worker_id,
        limit,
    )
    return sorted((Claimed(*row) for row in rows), key=lambda c: c.recipient_no)
