"""Giving what has not been sent another time."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from mailproxy_server.queue.hot import Connection

_MOVE = """
WITH queued AS MATERIALIZED (
    SELECT recipient_no FROM mailproxy.deliveries
    WHERE tenant_id = $1 AND message_id = $2 AND worker_id IS NULL AND NOT cancel_requested
    ORDER BY recipient_no FOR UPDATE SKIP LOCKED
)
UPDATE mailproxy.deliveries d
SET due_at = greatest($3, now()), send_at = greatest($3, now()),
    expire_at = coalesce($4, d.expire_at)
FROM queued q WHERE d.tenant_id = $1 AND d.message_id = $2 AND d.recipient_no = q.recipient_no
RETURNING d.account_id, d.claim_no
"""

_LEFT = """
SELECT count(*), EXISTS (
    SELECT 1 FROM mailproxy.report_log WHERE tenant_id = $1 AND message_id = $2)
FROM mailproxy.deliveries WHERE tenant_id = $1 AND message_id = $2
"""

_FOLLOW = """
UPDATE mailproxy.messages
SET send_at = CASE WHEN $4 THEN $3 ELSE send_at END,
    expire_at = (SELECT min(expire_at) FROM mailproxy.deliveries
                 WHERE tenant_id = $1 AND message_id = $2)
WHERE tenant_id = $1 AND message_id = $2
"""


@dataclass(frozen=True, slots=True)
class Rescheduled:
    """How many deliveries were moved, how many are under way, and the accounts of the moved."""

    moved: int
    in_progress: int
    accounts: frozenset[str]


async def expiry(link: Connection, tenant_id: UUID, message_id: UUID) -> datetime | None:
    """Give when the first of a message's deliveries expires, None for never.

    Takes no lock; relies on the primary key.
    """
    found: datetime | None = await link.fetchval(
        """SELECT min(expire_at) FROM mailproxy.deliveries
           WHERE tenant_id = $1 AND message_id = $2""",
        tenant_id,
        message_id,
    )
    return found


async def move(
    link: Connection,
    tenant_id: UUID,
    message_id: UUID,
    send_at: datetime,
    expire_at: datetime | None,
) -> Rescheduled:
    """Make a message's queued deliveries due at `send_at`, or now if that has passed.

    One transaction. The message's own send_at, which its Date is made from, follows as long as
    no delivery of it was ever claimed, and none can be now: later attempts must send the same
    bytes. Locks the queued rows by the primary key, skipping those that others hold, then the
    message's.
    """
    key = tenant_id, message_id
    async with link.transaction():
        rows = await link.fetch(_MOVE, *key, send_at, expire_at)
        left = await link.fetchrow(_LEFT, *key)
        assert left is not None, "an aggregate always has a row"
        untried = not left[1] and left[0] == len(rows) and not any(row[1] for row in rows)
        if rows:
            await link.execute(_FOLLOW, *key, send_at, untried)
    return Rescheduled(len(rows), left[0] - len(rows), frozenset(row[0] for row in rows))
