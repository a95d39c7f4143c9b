"""Marking deliveries that are to be sent at most once, before their attempt begins.

Whoever finds a mark on a delivery of a dead worker knows that its final dot may have left,
and never sends it again. A settle or a release takes the mark away.
"""

from collections.abc import Sequence
from uuid import UUID

from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.hot import Connection

_MARK = """
UPDATE mailproxy.deliveries d SET marked = true
FROM unnest($4::smallint[], $5::integer[]) AS held(recipient_no, claim_no)
WHERE d.tenant_id = $2 AND d.message_id = $3
  AND d.recipient_no = held.recipient_no AND d.claim_no = held.claim_no AND d.worker_id = $1
"""


async def mark(link: Connection, worker_id: UUID, rows: Sequence[Claimed]) -> bool:
    """Mark deliveries of one message; False when not all of them are this worker's any more.

    Locks the rows by their primary key, fenced by worker and claim_no. Repeatable.
    """
    status = await link.execute(
        _MARK,
        worker_id,
        rows[0].tenant_id,
        rows[0].message_id,
        [row.recipient_no for row in rows],
        [row.claim_no for row in rows],
    )
    return status == f"UPDATE {len(rows)}"
