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
SET due_at = greatest($3, now()), expire_at = coalesce($4, d.expire_at)
FROM queued q WHERE d.tenant_id = $1 AND d.message_id = $2 AND d.recipient_no = q.recipient_no
RETURNING d.account_id
"""

_BEGUN = """
SELECT EXISTS (SELECT 1 FROM mailproxy.report_log WHERE tenant_id = $1 AND message_id = $2)
    OR EXISTS (SELECT 1 FROM mailproxy.deliveries
               WHERE tenant_id = $1 AND message_id = $2 AND claim_no > 0)
"""


@dataclass(frozen=True, slots=True)
class Rescheduled:
    """How many deliveries were moved, how many are under way, and the accounts of the moved."""

    moved: int
    in_progress: int
    accounts: frozenset[str]


async def move(
    link: Connection,
    tenant_id: UUID,
    message_id: UUID,
    send_at: datetime,
    expire_at: datetime | None,
) -> Rescheduled:
    """Make a message's queued deliveries due at `send_at`, or now if that has passed.

    One transaction. The message's own send_at, which its Date is made from, follows as long as
    no delivery of it was ever claimed: later attempts must send the same bytes. Locks the queued
    rows by the primary key, skipping those that others hold, then the message's.
    """
    async with link.transaction():
        rows = await link.fetch(_MOVE, tenant_id, message_id, send_at, expire_at)
        left: int = await link.fetchval(
            """SELECT count(*) FROM mailproxy.deliveries
               WHERE tenant_id = $1 AND message_id = $2""",
            tenant_id,
            message_id,
        )
        if rows and not await link.fetchval(_BEGUN, tenant_id, message_id):
            await link.execute(
                """UPDATE mailproxy.messages
                   SET send_at = $3, expire_at = coalesce($4, expire_at)
                   WHERE tenant_id = $1 AND message_id = $2""",
                tenant_id,
                message_id,
                send_at,
                expire_at,
            )
    return Rescheduled(len(rows), left - len(rows), frozenset(row["account_id"] for row in rows))
