"""Pauses: of an account, of labels, or of labels of an account.

One of an account alone rewrites no delivery: its lanes look. One with labels marks its
deliveries as held, which takes them out of the claim's index once they are queued, and gives
them back with their due time. `follow` does that, and for a while again and again, so that what
was being taken in or moved meanwhile does not slip by.
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


_BEGIN = """
WITH begun AS (
    INSERT INTO mailproxy.pauses (tenant_id, account_id, labels, note)
    VALUES ($1, $2, $3::jsonb, $4)
    ON CONFLICT (tenant_id, account_id, labels) DO UPDATE SET note = excluded.note
    RETURNING tenant_id, account_id, labels
)
INSERT INTO mailproxy.pause_changes (tenant_id, account_id, labels)
SELECT tenant_id, account_id, labels FROM begun WHERE labels <> '{}'
ON CONFLICT (tenant_id, account_id, labels) DO UPDATE SET changed_at = now(), looked_at = now()
"""

_END = """
WITH ended AS (
    DELETE FROM mailproxy.pauses WHERE tenant_id = $1 AND account_id = $2 AND labels = $3::jsonb
    RETURNING tenant_id, account_id, labels
), changed AS (
    INSERT INTO mailproxy.pause_changes (tenant_id, account_id, labels)
    SELECT tenant_id, account_id, labels FROM ended WHERE labels <> '{}'
    ON CONFLICT (tenant_id, account_id, labels) DO UPDATE SET changed_at = now(), looked_at = now()
)
SELECT count(*) FROM ended
"""

_COUNT = """
SELECT count(*) FILTER (WHERE worker_id IS NULL), count(*) FILTER (WHERE worker_id IS NOT NULL)
FROM mailproxy.deliveries WHERE tenant_id = $1 AND account_id = $2
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
    """Put a pause in force, or note something else with it, and tell all lanes of it.

    One with labels is still to be followed. Locks its rows by their key.
    """
    await link.execute(_BEGIN, tenant_id, paused.account_id, to_json(paused), note)
    await _announce(link, tenant_id, paused.account_id)


async def end(link: Connection, tenant_id: UUID, paused: Paused) -> bool:
    """Take a pause out of force; False when there was none.

    What one with labels held is still to be freed by `follow`; one of an account alone lets go
    at once. Locks its rows by their key, then the account's.
    """
    if not await link.fetchval(_END, tenant_id, paused.account_id, to_json(paused)):
        return False
    if not paused.labels:
        await let_go(link, tenant_id, [paused.account_id])
    return True


async def let_go(link: Connection, tenant_id: UUID, account_ids: list[str]) -> None:
    """Tell the lanes of these accounts that what was held may go.

    It has the due time that it had, so the low-water bounds of the accounts are reset. Locks
    their rows by their keys.
    """
    await link.execute(
        """UPDATE mailproxy.accounts SET generation = generation + 1
           WHERE tenant_id = $1 AND account_id = ANY($2)""",
        tenant_id,
        account_ids,
    )
    for account_id in account_ids:
        await _announce(link, tenant_id, account_id)


async def concerned(link: Connection, tenant_id: UUID, account_id: str) -> tuple[int, int]:
    """Count the deliveries of an account: those that are queued, and those under way."""
    row = await link.fetchrow(_COUNT, tenant_id, account_id)
    assert row is not None, "an aggregate always has a row"
    return row[0], row[1]


async def _announce(link: Connection, tenant_id: UUID, account_id: str) -> None:
    payload = f"{tenant_id}/{account_id}" if account_id else ""
    for channel in (ACCOUNTS, DUE):
        await link.execute("SELECT pg_notify($1, $2)", channel, payload)


def to_json(paused: Paused) -> str:
    """Give the labels as JSON."""
    return json.dumps(dict(paused.labels))
