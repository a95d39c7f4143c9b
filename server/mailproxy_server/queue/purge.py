"""Removing messages that are over and whose reports have aged out, and their request_ids.

A pass over a tenant's old messages goes in their order, in small steps; how far it is stands in
`retention`, so that custodians of several replicas share it. Those that are still needed are
passed over, and looked at again by the next pass.
"""

from collections.abc import Iterable
from uuid import UUID

from mailproxy_server.queue.hot import Connection

BATCH = 500
OCTETS = 16 * 2**20
"""Contents that one step touches, unless a single one has more: each is kept in pieces of 2 KB."""
PASS_SECONDS = 3600.0
"""From the end of a pass to the next one's begin."""
_NIL = UUID(int=0)

IN_ORDER = """
SELECT set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true)
"""
"""Keeps the planner, for this transaction, from reading all that is old to sort it for one step."""

_DUE = "SELECT tenant_id FROM mailproxy.retention WHERE sweep_at <= now() ORDER BY sweep_at"

_MINE = """
SELECT swept_id FROM mailproxy.retention WHERE tenant_id = $1 AND sweep_at <= now()
FOR UPDATE SKIP LOCKED
"""

OVER = """NOT EXISTS (SELECT 1 FROM mailproxy.deliveries d
        WHERE d.tenant_id = $1 AND d.message_id = m.message_id OFFSET 0)
    AND NOT EXISTS (SELECT 1 FROM mailproxy.report_log r
        WHERE r.tenant_id = $1 AND r.message_id = m.message_id
          AND r.reported_at < now() + interval '1 day' OFFSET 0)"""
"""OFFSET 0 keeps each a look-up by key: as a join it was seen to read all of a table, which had
looked empty when the plan was made, for each message."""

_LOOK = """
WITH page AS MATERIALIZED (
    SELECT message_id, octet_length(content) AS octets FROM mailproxy.messages
    WHERE tenant_id = $1 AND message_id > $2 AND message_id < $3 ORDER BY message_id LIMIT $4
)
SELECT message_id, octets, {over} FROM page m ORDER BY message_id
"""

_LOCK = """
SELECT held.ctid FROM unnest($2::uuid[]) AS given(message_id) CROSS JOIN LATERAL (
    SELECT ctid FROM mailproxy.messages m
    WHERE m.tenant_id = $1 AND m.message_id = given.message_id FOR UPDATE SKIP LOCKED) held
"""
"""A look-up by key for each, as `= ANY` is not before PostgreSQL 17. A row's place (ctid) stays
what it is while the row is locked."""

_REMOVE = """
WITH gone AS (
    DELETE FROM mailproxy.messages m WHERE ctid = ANY($2::tid[]) AND tenant_id = $1 AND {over}
    RETURNING message_id, request_id
), forgotten AS (
    DELETE FROM mailproxy.requests WHERE ctid = ANY(ARRAY(
        SELECT asked.ctid FROM gone CROSS JOIN LATERAL (
            SELECT ctid FROM mailproxy.requests q
            WHERE q.tenant_id = $1 AND q.request_id = gone.request_id
              AND q.message_id = gone.message_id LIMIT 1) asked))
)
SELECT count(*) FROM gone
"""

_ON = """
UPDATE mailproxy.retention
SET swept_id = $2, sweep_at = CASE WHEN $3 THEN sweep_at ELSE now() + $4 * interval '1 second' END
WHERE tenant_id = $1
"""


async def due(link: Connection) -> list[UUID]:
    """Give the tenants whose messages are to be looked through. Takes no lock."""
    return [row[0] for row in await link.fetch(_DUE)]


async def purge(
    link: Connection, tenant_id: UUID, before: UUID, over: str = OVER
) -> tuple[int, bool]:
    """Take one step among the messages older than `before`; give how many went, and whether the
    pass goes on.

    One short transaction. Locks the tenant's row of `retention` (when another has it, there is
    nothing to do), then the messages that may go, skipping locked ones: a requeue holds its
    message. What is over is asked once more under that lock. Relies on the primary keys of
    messages, deliveries and requests, and report_log_message of all days.
    """
    async with link.transaction():
        await link.execute(IN_ORDER)
        reached = await link.fetchval(_MINE, tenant_id)
        if reached is None:
            return 0, False
        page = await link.fetch(_LOOK.format(over=over), tenant_id, reached, before, BATCH)
        step = page[: within(OCTETS, (row[1] if row[2] else 0 for row in page))]
        gone = await _remove(link, tenant_id, [row[0] for row in step if row[2]], over)
        more = len(step) == BATCH or len(step) < len(page)
        await link.execute(_ON, tenant_id, step[-1][0] if more else _NIL, more, PASS_SECONDS)
    return gone, more


async def _remove(link: Connection, tenant_id: UUID, ids: list[UUID], over: str) -> int:
    if not ids:
        return 0
    locked = [row[0] for row in await link.fetch(_LOCK, tenant_id, ids)]
    gone: int = await link.fetchval(_REMOVE.format(over=over), tenant_id, locked)
    return gone


def within(octets: int, sizes: Iterable[int]) -> int:
    """Give how many of `sizes` fit into `octets`, at least one."""
    total = count = 0
    for size in sizes:
        total += size
        if count and total > octets:
            break
        count += 1
    return count
