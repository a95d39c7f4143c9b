"""Pauses: of an account, of labels, or of labels of an account.

One of an account alone rewrites no delivery: its lanes look. One with labels takes its
deliveries out of the claim's index, in batches, and gives them back with their due time. What
slips by (it was being taken in, or came back to the queue) is held by `apply`, again and again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from mailproxy_server.queue.hot import Connection
from mailproxy_server.queue.wake import ACCOUNTS, DUE


@dataclass(frozen=True, slots=True)
class Paused:
    """What a pause holds; "" and {} do not restrict, and never both."""

    account_id: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause that is in force."""

    paused: Paused
    paused_at: datetime
    note: str


_MATCHES = """
    SELECT 1 FROM mailproxy.pauses p JOIN mailproxy.messages m
      ON m.tenant_id = p.tenant_id AND m.labels @> p.labels
    WHERE p.tenant_id = d.tenant_id AND p.labels <> '{}' AND p.account_id IN ('', d.account_id)
      AND m.message_id = d.message_id AND m.labels IS NOT NULL"""

_HOLD = """
WITH slipped AS MATERIALIZED (
    SELECT d.tenant_id, d.message_id, d.recipient_no
    FROM mailproxy.pauses p
    JOIN mailproxy.messages m
      ON m.tenant_id = p.tenant_id AND m.labels @> p.labels AND m.labels IS NOT NULL
    JOIN mailproxy.deliveries d ON d.tenant_id = m.tenant_id AND d.message_id = m.message_id
    WHERE p.labels <> '{}' AND p.account_id IN ('', d.account_id)
      AND d.worker_id IS NULL AND NOT d.held
    LIMIT $1 FOR UPDATE OF d SKIP LOCKED
)
UPDATE mailproxy.deliveries d SET held = true FROM slipped s
WHERE d.tenant_id = s.tenant_id AND d.message_id = s.message_id
  AND d.recipient_no = s.recipient_no
"""

_FREE = f"""
WITH free AS MATERIALIZED (
    SELECT d.tenant_id, d.message_id, d.recipient_no FROM mailproxy.deliveries d
    WHERE d.tenant_id = $1 AND d.held AND ($2 = '' OR d.account_id = $2)
      AND NOT EXISTS ({_MATCHES})
    LIMIT $3 FOR UPDATE OF d SKIP LOCKED
)
UPDATE mailproxy.deliveries d SET held = false FROM free f
WHERE d.tenant_id = f.tenant_id AND d.message_id = f.message_id
  AND d.recipient_no = f.recipient_no
RETURNING d.account_id
"""  # noqa: S608 - no input is in the text

_COUNT = """
SELECT count(*) FILTER (WHERE d.worker_id IS NULL), count(*) FILTER (WHERE d.worker_id IS NOT NULL)
FROM mailproxy.deliveries d
WHERE d.tenant_id = $1 AND ($2 = '' OR d.account_id = $2)
  AND ($3::jsonb = '{}' OR EXISTS (
        SELECT 1 FROM mailproxy.messages m WHERE m.tenant_id = d.tenant_id
        AND m.message_id = d.message_id AND m.labels IS NOT NULL AND m.labels @> $3))
"""


async def of_tenant(link: Connection, tenant_id: UUID) -> list[Pause]:
    """List what is paused. Takes no lock; relies on the primary key."""
    rows = await link.fetch(
        """SELECT account_id, labels::text, paused_at, note FROM mailproxy.pauses
           WHERE tenant_id = $1 ORDER BY account_id, labels""",
        tenant_id,
    )
    return [Pause(Paused(row[0], json.loads(row[1])), row[2], row[3]) for row in rows]


async def begin(link: Connection, tenant_id: UUID, paused: Paused, note: str) -> None:
    """Put a pause in force, or note something else with it, and tell all lanes of it."""
    await link.execute(
        """INSERT INTO mailproxy.pauses (tenant_id, account_id, labels, note)
           VALUES ($1, $2, $3::jsonb, $4)
           ON CONFLICT (tenant_id, account_id, labels) DO UPDATE SET note = excluded.note""",
        tenant_id,
        paused.account_id,
        _json(paused),
        note,
    )
    await _announce(link, tenant_id, paused.account_id)


async def end(link: Connection, tenant_id: UUID, paused: Paused) -> bool:
    """Take a pause out of force; False when there was none. What it held is still to be freed."""
    status = await link.execute(
        """DELETE FROM mailproxy.pauses
           WHERE tenant_id = $1 AND account_id = $2 AND labels = $3::jsonb""",
        tenant_id,
        paused.account_id,
        _json(paused),
    )
    return status != "DELETE 0"


async def apply(link: Connection, limit: int) -> None:
    """Hold what pauses of labels match and do not hold yet, in batches of `limit`.

    Locks the rows it changes, skipping those that others hold; relies on messages_labels.
    """
    if not await link.fetchval("SELECT 1 FROM mailproxy.pauses WHERE labels <> '{}' LIMIT 1"):
        return
    while int((await link.execute(_HOLD, limit)).split()[-1]) == limit:
        pass


async def free(link: Connection, tenant_id: UUID, account_id: str, limit: int) -> int:
    """Free what no pause holds any more, in batches; give how many deliveries there were.

    Their due time is what it was, so the low-water bounds of their accounts are reset. Locks the
    rows it changes, skipping those that others hold; relies on deliveries_held.
    """
    freed, touched = 0, {account_id} - {""}
    while rows := await link.fetch(_FREE, tenant_id, account_id, limit):
        freed += len(rows)
        touched |= {row["account_id"] for row in rows}
    await link.execute(
        """UPDATE mailproxy.accounts SET generation = generation + 1
           WHERE tenant_id = $1 AND account_id = ANY($2)""",
        tenant_id,
        sorted(touched),
    )
    for one in sorted(touched):
        await _announce(link, tenant_id, one)
    return freed


async def counts(link: Connection, tenant_id: UUID, paused: Paused) -> tuple[int, int]:
    """Count the deliveries that a pause concerns: those that wait, and those under way."""
    row = await link.fetchrow(_COUNT, tenant_id, paused.account_id, _json(paused))
    assert row is not None, "an aggregate always has a row"
    return row[0], row[1]


async def _announce(link: Connection, tenant_id: UUID, account_id: str) -> None:
    payload = f"{tenant_id}/{account_id}" if account_id else ""
    for channel in (ACCOUNTS, DUE):
        await link.execute("SELECT pg_notify($1, $2)", channel, payload)


def _json(paused: Paused) -> str:
    return json.dumps(dict(paused.labels))
