"""Withdrawing: what is queued is seized, to be ended; what is under way is asked to end.

A delivery under way is not stopped. Should it come back to the queue, whoever finds it there
ends it in place of a retry.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from mailproxy_server.queue.chosen import Found, keys, locked
from mailproxy_server.queue.claim import Claimed, claiming
from mailproxy_server.queue.hot import Connection

LOCK = "FOR UPDATE OF d"
_RETURNING = ", ".join(f"d.{name}" for name in Claimed._fields)


def statement(lock: str = LOCK) -> str:
    """Give the SQL; with another lock only in a test that shows what waiting is good for."""
    return f"""
WITH chosen AS MATERIALIZED (SELECT d.* FROM {locked(lock=lock)})
UPDATE mailproxy.deliveries d
SET worker_id = coalesce(d.worker_id, $4), claim_no = d.claim_no + (d.worker_id IS NULL)::integer,
    cancel_requested = true
FROM chosen c
WHERE d.tenant_id = $1 AND d.message_id = c.message_id AND d.recipient_no = c.recipient_no
RETURNING {_RETURNING}, d.worker_id = $4
"""  # noqa: S608 - no input is in the text


WITHDRAW = statement()

_SEIZE_REQUESTED = claiming(
    """SELECT ctid FROM mailproxy.deliveries
    WHERE cancel_requested AND worker_id IS NULL LIMIT $2 FOR UPDATE SKIP LOCKED""",
    "$1",
    sends=False,
)


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What was queued and is seized, for the caller to settle, and what is under way."""

    seized: list[Claimed]
    under_way: list[Claimed]


async def withdraw(
    link: Connection,
    tenant_id: UUID,
    found: Sequence[Found],
    seizer: UUID,
    sql: str = WITHDRAW,
) -> Withdrawn:
    """Claim what is queued under an id that no worker has, and ask what is claimed to end.

    One statement for both, so that nothing slips through between a queued and a claimed one.
    Should the caller die before it has settled, the keeper finds by `cancel_requested` what they
    were seized for. Locks the rows by the primary key, in its order, and waits for those that
    others hold: a settle of them comes first, and decides.
    """
    rows = await link.fetch(sql, *keys(tenant_id, found), seizer)
    claimed = [(Claimed(*row[:-1]), row[-1]) for row in rows]
    claimed.sort(key=lambda each: (each[0].message_id.int, each[0].recipient_no))
    return Withdrawn(
        [one for one, seized in claimed if seized], [one for one, seized in claimed if not seized]
    )


async def seize_requested(link: Connection, seizer: UUID, limit: int) -> list[Claimed]:
    """Claim what came back to the queue after it was withdrawn; the caller settles it.

    Locks the rows it takes, skipping locked ones; relies on deliveries_cancel.
    """
    return [Claimed(*row) for row in await link.fetch(_SEIZE_REQUESTED, seizer, limit)]
