"""Bringing failed and expired deliveries back to the queue: a new round of the same bytes.

Under the lock of the tenant's head, under which every outcome is appended: so what is read
after it is how things stand, and two that do this at once bring nothing back twice.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from mailproxy_server.mail.delivery import TRANSITIONS, Event, State
from mailproxy_server.queue.hot import Connection

_FROM = sorted(int(Event[state.name]) for state, event in TRANSITIONS if event is Event.REQUEUED)
"""Events of the states that a requeue leads out of: each bears its state's name."""
assert all(State[Event(each).name].final for each in _FROM)

_REQUEUE = f"""
WITH newest AS MATERIALIZED (
    SELECT DISTINCT ON (r.recipient_no) r.* FROM mailproxy.report_log r
    WHERE r.tenant_id = $1 AND r.message_id = $2 AND r.reported_at >= $3
    ORDER BY r.recipient_no, r.log_offset DESC
), back AS (
    INSERT INTO mailproxy.deliveries AS d (tenant_id, message_id, recipient_no, account_id,
        recipient, priority, due_at, claim_no, doubtful, expire_at, round_at, held)
    SELECT n.tenant_id, n.message_id, n.recipient_no, m.account_id, n.recipient, m.priority, now(),
        n.claim_no, n.possible_duplicate, $5, now(),
        m.labels IS NOT NULL AND EXISTS (
          SELECT 1 FROM mailproxy.pauses p
          WHERE p.tenant_id = m.tenant_id AND p.account_id IN ('', m.account_id)
            AND p.labels <> '{{}}' AND m.labels @> p.labels)
    FROM newest n
    JOIN mailproxy.messages m ON m.tenant_id = n.tenant_id AND m.message_id = n.message_id
    WHERE n.event = ANY('{{{",".join(map(str, _FROM))}}}')
      AND (cardinality($4::text[]) = 0 OR n.recipient = ANY($4))
    ON CONFLICT DO NOTHING
    RETURNING d.tenant_id, d.message_id, d.recipient_no, d.account_id, d.recipient, d.claim_no,
        d.doubtful
), raised AS (
    UPDATE mailproxy.report_heads h
    SET last_offset = h.last_offset + (SELECT count(*) FROM back),
        last_at = greatest(h.last_at, clock_timestamp())
    WHERE h.tenant_id = $1 AND EXISTS (SELECT 1 FROM back)
    RETURNING h.last_offset - (SELECT count(*) FROM back) AS base, h.last_at
)
INSERT INTO mailproxy.report_log (tenant_id, log_offset, reported_at, message_id, recipient_no,
    account_id, recipient, event, reason, attempt, possible_duplicate, claim_no)
SELECT b.tenant_id, raised.base + row_number() OVER (ORDER BY b.recipient_no), raised.last_at,
    b.message_id, b.recipient_no, b.account_id, b.recipient, {int(Event.REQUEUED)}, 0, 0,
    b.doubtful, b.claim_no
FROM back b CROSS JOIN raised
RETURNING account_id
"""  # noqa: S608 - no input is in the text


async def requeue(
    link: Connection,
    tenant_id: UUID,
    message_id: UUID,
    since: datetime,
    recipients: Sequence[str],
    expire_at: datetime | None,
) -> list[str]:
    """Bring back the failed and expired of a message's recipients (none named: all of them);
    give the account of each.

    `since` is before the message's first report. Attempts are counted anew, claims go on. Locks
    the tenant's head, then the message (retention must not empty it meanwhile); reads
    report_log_message of its days. Raises LookupError when the content is no longer kept.
    """
    async with link.transaction():
        await link.execute(
            "SELECT 1 FROM mailproxy.report_heads WHERE tenant_id = $1 FOR NO KEY UPDATE", tenant_id
        )
        kept = await link.fetchval(
            """SELECT octet_length(content) > 0 FROM mailproxy.messages
               WHERE tenant_id = $1 AND message_id = $2 FOR NO KEY UPDATE""",
            tenant_id,
            message_id,
        )
        if not kept:
            raise LookupError(f"the content of {message_id} is no longer kept")
        rows = await link.fetch(_REQUEUE, tenant_id, message_id, since, list(recipients), expire_at)
    return [row["account_id"] for row in rows]
