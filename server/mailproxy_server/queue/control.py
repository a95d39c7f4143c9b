"""Hurrying the queue: what waits becomes due now. Touches queued rows only, and none on hold."""

from collections import Counter
from uuid import UUID

from mailproxy_server.queue.chosen import Chosen, keys, locked, walk
from mailproxy_server.queue.hot import Connection

SCHEDULED = "(d.attempts + d.spared = 0 OR d.due_at IS NOT DISTINCT FROM d.send_at)"
"""A delivery that waits, waits for its send_time, and not for its next attempt."""

_WAITS = "d.worker_id IS NULL AND NOT d.held AND d.due_at > now()"

RUN_NOW = f"""
WITH waiting AS MATERIALIZED (
    SELECT d.* FROM {
    locked(
        f"{_WAITS} AND CASE WHEN {SCHEDULED} THEN $5::boolean ELSE $4::boolean END",
        "FOR UPDATE OF d SKIP LOCKED",
    )
})
UPDATE mailproxy.deliveries d SET due_at = now() FROM waiting w
WHERE d.tenant_id = $1 AND d.message_id = w.message_id AND d.recipient_no = w.recipient_no
RETURNING d.account_id
"""  # noqa: S608 - no input is in the text


async def run_now(
    link: Connection, tenant_id: UUID, chosen: Chosen, *, retries: bool, scheduled: bool
) -> Counter[str]:
    """Make waiting deliveries due; give of each account how many became so.

    Those that wait for a retry, and those whose send_time has not come, each only if asked
    for. Locks the rows it changes by the primary key and skips those that others hold.
    """
    made_due: Counter[str] = Counter()
    async for found in walk(link, tenant_id, chosen, also=_WAITS):
        rows = await link.fetch(RUN_NOW, *keys(tenant_id, found), retries, scheduled)
        made_due.update(row["account_id"] for row in rows)
    return made_due
