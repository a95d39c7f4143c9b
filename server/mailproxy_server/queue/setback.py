"""After the database's clock was set back: what waits by the old clock waits no longer for it."""

from datetime import timedelta
from uuid import UUID

from mailproxy_server.queue.hot import Connection

_BATCH = 5000

ADVANCE = """
WITH found AS MATERIALIZED (
    SELECT d.ctid AS place FROM mailproxy.deliveries d
    WHERE d.tenant_id = $1 AND d.account_id = $2 AND d.priority IN (10, 20, 30, 40)
      AND d.worker_id IS NULL AND NOT d.held AND d.due_at > now()
      AND (d.claimed_at > now()
           OR d.claimed_at IS NULL AND d.due_at < now() + $3::interval + interval '1 minute')
      AND d.due_at IS DISTINCT FROM d.send_at
      AND NOT EXISTS (
        SELECT FROM mailproxy.messages m WHERE m.tenant_id = d.tenant_id
          AND m.message_id = d.message_id AND m.send_at = d.due_at OFFSET 0)
    LIMIT $4 FOR UPDATE OF d SKIP LOCKED
)
UPDATE mailproxy.deliveries d
SET due_at = d.due_at - $3::interval, claimed_at = least(d.claimed_at - $3::interval, now())
FROM found WHERE d.ctid = found.place AND d.tenant_id = $1
"""


async def advance(link: Connection, tenant_id: UUID, account_id: str, step: timedelta) -> None:
    """Make an account's deliveries due by as much sooner as the clock was set back.

    Those that were submitted by the old clock, and retries whose last claim was made by it: what
    a clock that is ahead of this one has stamped. So a replica that notices the step later finds
    nothing left. A send_time is meant by the clock on the wall, and stays; a retry that waits
    since before the time it was set back to comes later than meant, by less than it has waited.
    What is on hold waits for the clock.

    Each statement by itself. Locks the rows it changes, and skips those that others hold; relies
    on deliveries_due, of which it reads what lies ahead, and on the primary key of messages.
    """
    done = f"UPDATE {_BATCH}"
    while done == f"UPDATE {_BATCH}":
        done = await link.execute(ADVANCE, tenant_id, account_id, step, _BATCH)
