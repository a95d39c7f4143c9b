"""Removing the contents of messages that are over, when they need not be kept as long as these.

The report log says which: each final report is looked at once, in the log's order, when it is old
enough. How far that is stands in `retention`, so that custodians of several replicas share it.
"""

from uuid import UUID

from mailproxy_server.mail.delivery import FINAL_EVENTS
from mailproxy_server.queue.hot import Connection
from mailproxy_server.queue.purge import IN_ORDER, OCTETS, within

BATCH = 500
_FINAL = f"'{{{','.join(str(int(event)) for event in sorted(FINAL_EVENTS))}}}'"

_BEHIND = """
SELECT t.tenant_id FROM mailproxy.retention t JOIN mailproxy.report_heads h
  ON h.tenant_id = t.tenant_id WHERE h.last_offset > t.emptied_offset
"""

_MINE = """
SELECT emptied_offset, emptied_at, now() - $2 * interval '1 second' FROM mailproxy.retention
WHERE tenant_id = $1 FOR UPDATE SKIP LOCKED
"""

_LOOK = f"""
SELECT r.log_offset, r.reported_at, r.message_id,
       CASE WHEN r.event = ANY({_FINAL}) THEN m.octets END
FROM (SELECT log_offset, reported_at, message_id, event FROM mailproxy.report_log
      WHERE tenant_id = $1 AND log_offset > $2 AND reported_at >= $3 AND reported_at <= $4
      ORDER BY log_offset LIMIT $5) r
LEFT JOIN LATERAL (SELECT octet_length(content) AS octets FROM mailproxy.messages
                   WHERE tenant_id = $1 AND message_id = r.message_id LIMIT 1) m ON true
ORDER BY r.log_offset
"""  # noqa: S608 - no input is in the text

_LOCK = """
SELECT held.ctid FROM unnest($2::uuid[]) AS given(message_id) CROSS JOIN LATERAL (
    SELECT ctid FROM mailproxy.messages m
    WHERE m.tenant_id = $1 AND m.message_id = given.message_id FOR NO KEY UPDATE) held
"""

_EMPTY = f"""
UPDATE mailproxy.messages m SET content = '', blobs = NULL
WHERE ctid = ANY($2::tid[]) AND tenant_id = $1
  AND NOT EXISTS (SELECT 1 FROM mailproxy.deliveries d
      WHERE d.tenant_id = $1 AND d.message_id = m.message_id OFFSET 0)
  AND NOT EXISTS (SELECT 1 FROM mailproxy.report_log r
      WHERE r.tenant_id = $1 AND r.message_id = m.message_id AND r.reported_at > $3
        AND r.event = ANY({_FINAL}) OFFSET 0)
"""  # noqa: S608 - no input is in the text
"""By what `purge` says of ctid and OFFSET 0."""

_ON = """
UPDATE mailproxy.retention SET emptied_offset = $2, emptied_at = $3 WHERE tenant_id = $1
"""


async def behind(link: Connection) -> list[UUID]:
    """Give the tenants with reports that were not looked at. Takes no lock."""
    return [row[0] for row in await link.fetch(_BEHIND)]


async def empty(link: Connection, tenant_id: UUID, kept_seconds: float) -> tuple[int, bool]:
    """Take one step through the reports older than `kept_seconds`; give how many contents went,
    and whether there may be more.

    One short transaction. Locks the tenant's row of `retention` (when another has it, there is
    nothing to do), then the messages, by the primary key and in its order, so that none is
    requeued meanwhile; what is under way is asked for after that, in a statement of its own.
    A message goes by its newest final report: an older one leaves it to that.
    """
    async with link.transaction():
        await link.execute(IN_ORDER)
        mine = await link.fetchrow(_MINE, tenant_id, kept_seconds)
        if mine is None:
            return 0, False
        rows = await link.fetch(_LOOK, tenant_id, *mine, BATCH)
        step = rows[: within(OCTETS, (row[3] or 0 for row in rows))]
        gone = 0
        if ids := sorted({row[2] for row in step if row[3]}):
            locked = [row[0] for row in await link.fetch(_LOCK, tenant_id, ids)]
            status = await link.execute(_EMPTY, tenant_id, locked, mine[2])
            gone = int(status.rpartition(" ")[2])
        if step:
            await link.execute(_ON, tenant_id, step[-1][0], step[-1][1])
    return gone, len(step) == BATCH or len(step) < len(rows)
