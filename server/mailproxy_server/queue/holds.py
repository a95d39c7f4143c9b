"""Deliveries follow the pauses of labels: held where one is in force, freed where none is any more.

What was being taken in, brought back or moved while a pause began or ended is decided by what
was seen of the pauses then. So a change is seen to again until every statement from before it
has surely ended; whoever comes first does it, and whoever dies over it leaves it to the others.
"""

import json
from uuid import UUID

from mailproxy_server.queue.chosen import HELD, Chosen, keys, locked, walk
from mailproxy_server.queue.hot import Connection
from mailproxy_server.queue.pauses import Paused, let_go, to_json

AGAIN_SECONDS = 15.0
"""After which a change is seen to again."""
SURE_SECONDS = 60.0
"""After which no statement is left that began before the change."""

_UNHELD = "NOT d.held"

HOLD = f"""
WITH slipped AS MATERIALIZED (SELECT d.* FROM {locked(_UNHELD)})
UPDATE mailproxy.deliveries d SET held = true FROM slipped s
WHERE d.tenant_id = $1 AND d.message_id = s.message_id AND d.recipient_no = s.recipient_no
"""  # noqa: S608 - no input is in the text

_UNPAUSED = """NOT EXISTS (
    SELECT 1 FROM mailproxy.pauses p
    WHERE p.tenant_id = $1 AND p.labels <> '{}' AND p.account_id IN ('', d.account_id)
      AND (SELECT m.labels FROM mailproxy.messages m
           WHERE m.tenant_id = $1 AND m.message_id = d.message_id) @> p.labels)"""

FREE = f"""
WITH free AS MATERIALIZED (SELECT d.* FROM {locked(f"{HELD} AND {_UNPAUSED}")})
UPDATE mailproxy.deliveries d SET held = false FROM free f
WHERE d.tenant_id = $1 AND d.message_id = f.message_id AND d.recipient_no = f.recipient_no
RETURNING d.account_id, d.worker_id IS NULL
"""  # noqa: S608 - no input is in the text

TAKE = """
UPDATE mailproxy.pause_changes c SET looked_at = clock_timestamp()
FROM (SELECT tenant_id, account_id, labels FROM mailproxy.pause_changes
      WHERE looked_at < clock_timestamp() - $1 * interval '1 second'
      LIMIT 1 FOR UPDATE SKIP LOCKED) old
WHERE c.tenant_id = old.tenant_id AND c.account_id = old.account_id AND c.labels = old.labels
RETURNING c.tenant_id, c.account_id, c.labels::text, c.changed_at,
    c.changed_at < clock_timestamp() - $2 * interval '1 second' AS last,
    EXISTS (SELECT 1 FROM mailproxy.pauses p WHERE p.tenant_id = c.tenant_id
            AND p.account_id = c.account_id AND p.labels = c.labels) AS in_force
"""

_DONE = """
DELETE FROM mailproxy.pause_changes
WHERE tenant_id = $1 AND account_id = $2 AND labels = $3::jsonb AND changed_at = $4
"""


async def hold(
    link: Connection, tenant_id: UUID, paused: Paused, also: str = "true"
) -> tuple[int, int]:
    """Hold what a pause of labels matches; give how many of that are queued, and under way.

    What is under way goes on, and is held when it comes back to the queue. `also` is a condition
    of the walk, for who need not count all. Locks the rows that it changes by the primary key, in
    its order, a batch at a time.
    """
    queued = under_way = 0
    async for found in walk(link, tenant_id, _chosen(paused), also=also):
        queued += sum(one.queued for one in found)
        under_way += sum(not one.queued for one in found)
        if missing := [one for one in found if not one.held]:
            await link.execute(HOLD, *keys(tenant_id, missing))
    return queued, under_way


async def free(link: Connection, tenant_id: UUID, paused: Paused) -> int:
    """Free what a pause of labels held and no other one holds; give how much of it is queued.

    Locks the rows that it changes by the primary key, in its order, a batch at a time; relies
    on deliveries_held.
    """
    freed = 0
    touched: set[str] = set()
    async for found in walk(link, tenant_id, _chosen(paused), among=HELD):
        rows = await link.fetch(FREE, *keys(tenant_id, found))
        freed += sum(row[1] for row in rows)
        touched.update(row[0] for row in rows)
    await let_go(link, tenant_id, sorted(touched))
    return freed


async def follow(
    link: Connection, again: float = AGAIN_SECONDS, sure: float = SURE_SECONDS
) -> None:
    """See to the changes of pauses that nobody has seen to for `again` seconds.

    Each is done with when it is seen to `sure` seconds after it was made. Takes each by moving
    its `looked_at` on, skipping those that others take.
    """
    while row := await link.fetchrow(TAKE, again, sure):
        paused = Paused(row["account_id"], json.loads(row["labels"]))
        if row["in_force"]:
            await hold(link, row["tenant_id"], paused, also=_UNHELD)
        else:
            await free(link, row["tenant_id"], paused)
        if row["last"]:
            key = row["tenant_id"], paused.account_id, to_json(paused)
            await link.execute(_DONE, *key, row["changed_at"])


def _chosen(paused: Paused) -> Chosen:
    return Chosen(account_id=paused.account_id, labels=paused.labels)
