"""Failing over: what an account cannot send moves to the next of its fallbacks that works.

Only deliveries of which no attempt may have arrived move, so that nothing goes out by two
accounts. `fallback_no` says how far along its home account's list a delivery has come; it
never goes back, and so never in a circle.
"""

from collections.abc import Collection
from uuid import UUID

from mailproxy_server.queue.hot import Connection
from mailproxy_server.queue.wake import ACCOUNTS

_MOVE = """
WITH due AS MATERIALIZED (
    SELECT d.tenant_id, d.message_id, d.recipient_no, d.fallback_no
    FROM (VALUES (10::smallint), (20::smallint), (30::smallint), (40::smallint)) AS band(priority)
    CROSS JOIN LATERAL (
        SELECT tenant_id, message_id, recipient_no, fallback_no FROM mailproxy.deliveries
        WHERE tenant_id = $1 AND account_id = $2 AND priority = band.priority
          AND worker_id IS NULL AND NOT held AND due_at <= now() - $3 * interval '1 second'
          AND NOT doubtful AND NOT cancel_requested
        ORDER BY due_at, message_id, recipient_no LIMIT $4 FOR UPDATE SKIP LOCKED
    ) d LIMIT $4
), goal AS MATERIALIZED (
    SELECT due.tenant_id, due.message_id, due.recipient_no, fallback.account_id, fallback.no,
           m.labels IS NOT NULL AND EXISTS (
             SELECT 1 FROM mailproxy.pauses p
             WHERE p.tenant_id = $1 AND p.account_id IN ('', fallback.account_id)
               AND p.labels <> '{}' AND m.labels @> p.labels) AS held
    FROM due
    JOIN mailproxy.messages m ON m.tenant_id = due.tenant_id AND m.message_id = due.message_id
    JOIN mailproxy.accounts home
      ON home.tenant_id = m.tenant_id AND home.account_id = m.account_id
    CROSS JOIN LATERAL (
        SELECT a.account_id, listed.no
        FROM unnest(home.fallback_account_ids) WITH ORDINALITY AS listed(account_id, no)
        JOIN mailproxy.accounts a ON a.tenant_id = $1 AND a.account_id = listed.account_id
        WHERE listed.no > due.fallback_no AND listed.account_id <> $2 AND a.deleted_at IS NULL
          AND NOT EXISTS (SELECT 1 FROM mailproxy.relay_health h WHERE h.tenant_id = $1
                          AND h.account_id = a.account_id AND h.breaker = 'open')
          AND NOT EXISTS (SELECT 1 FROM mailproxy.pauses p WHERE p.tenant_id = $1
                          AND p.account_id = a.account_id AND p.labels = '{}')
        ORDER BY listed.no LIMIT 1
    ) fallback
)
UPDATE mailproxy.deliveries d
SET account_id = goal.account_id, fallback_no = goal.no, held = goal.held
FROM goal WHERE d.tenant_id = goal.tenant_id AND d.message_id = goal.message_id
  AND d.recipient_no = goal.recipient_no
RETURNING d.account_id
"""

_RAISE = """
UPDATE mailproxy.accounts SET generation = generation + 1
WHERE tenant_id = $1 AND account_id = ANY($2)
"""


async def move(
    link: Connection, tenant_id: UUID, account_id: str, patience: float, limit: int
) -> Collection[str]:
    """Move at most `limit` deliveries that have been due for `patience` seconds; give where to.

    Locks the rows it moves and skips those that others hold; relies on deliveries_due. They
    keep their due time, so the low-water bounds of the accounts that get them are reset.
    """
    async with link.transaction():
        rows = await link.fetch(_MOVE, tenant_id, account_id, patience, limit)
        goals = sorted({row["account_id"] for row in rows})
        if goals:
            await link.execute(_RAISE, tenant_id, goals)
            for goal in goals:
                await link.execute("SELECT pg_notify($1, $2)", ACCOUNTS, f"{tenant_id}/{goal}")
    return goals
