"""Withdrawing: what is queued is seized, to be ended; what is under way is asked to end.

A delivery under way is not stopped. Should it come back to the queue, whoever finds it there
ends it in place of a retry.
"""

import json
from uuid import UUID

from mailproxy_server.queue.claim import Claimed, seizing
from mailproxy_server.queue.control import Chosen
from mailproxy_server.queue.hot import Connection

_CHOSEN = """d.tenant_id = $2 AND ($3 = '' OR d.account_id = $3)
      AND (cardinality($4::uuid[]) = 0 OR d.message_id = ANY($4))
      AND ($5::jsonb = '{}' OR EXISTS (
            SELECT 1 FROM mailproxy.messages m WHERE m.tenant_id = d.tenant_id
            AND m.message_id = d.message_id AND m.labels IS NOT NULL AND m.labels @> $5))"""

_SEIZE = seizing(
    f"""SELECT d.ctid FROM mailproxy.deliveries d
    WHERE {_CHOSEN} AND d.worker_id IS NULL
    LIMIT $6 FOR UPDATE OF d SKIP LOCKED""",  # noqa: S608 - no input is in the text
    "SET worker_id = $1, claim_no = d.claim_no + 1, cancel_requested = true",
)

_SEIZE_REQUESTED = seizing(
    """SELECT ctid FROM mailproxy.deliveries
    WHERE cancel_requested AND worker_id IS NULL LIMIT $2 FOR UPDATE SKIP LOCKED""",
    "SET worker_id = $1, claim_no = d.claim_no + 1",
)

_REQUEST = f"""
WITH asked AS MATERIALIZED (
    SELECT d.tenant_id, d.message_id, d.recipient_no FROM mailproxy.deliveries d
    WHERE {_CHOSEN} AND d.worker_id IS NOT NULL AND d.worker_id <> $1
    ORDER BY d.tenant_id, d.message_id, d.recipient_no FOR UPDATE OF d
)
UPDATE mailproxy.deliveries d SET cancel_requested = true FROM asked a
WHERE d.tenant_id = a.tenant_id AND d.message_id = a.message_id
  AND d.recipient_no = a.recipient_no
RETURNING d.message_id, d.recipient
"""  # noqa: S608 - no input is in the text


async def seize(
    link: Connection, tenant_id: UUID, chosen: Chosen, seizer: UUID, limit: int
) -> list[Claimed]:
    """Claim queued deliveries under an id that no worker has; the caller settles them.

    Should it die before, the keeper finds by `cancel_requested` what they were seized for.
    Locks the rows it takes, skipping locked ones; relies on the primary key.
    """
    rows = await link.fetch(_SEIZE, seizer, *_arguments(tenant_id, chosen), limit)
    return [Claimed(*row) for row in rows]


async def request(
    link: Connection, tenant_id: UUID, chosen: Chosen, seizer: UUID
) -> list[tuple[UUID, str]]:
    """Ask that deliveries under way end rather than be tried again; give message and recipient.

    Those of `seizer` are left out. Locks the rows by the primary key, in its order: waits for
    settles of them, which decide.
    """
    rows = await link.fetch(_REQUEST, seizer, *_arguments(tenant_id, chosen))
    return [(row["message_id"], row["recipient"]) for row in rows]


async def seize_requested(link: Connection, seizer: UUID, limit: int) -> list[Claimed]:
    """Claim what came back to the queue after it was withdrawn; the caller settles it.

    Locks the rows it takes, skipping locked ones; relies on deliveries_cancel.
    """
    return [Claimed(*row) for row in await link.fetch(_SEIZE_REQUESTED, seizer, limit)]


def _arguments(tenant_id: UUID, chosen: Chosen) -> tuple[object, ...]:
    labels = json.dumps(dict(chosen.labels))
    return tenant_id, chosen.account_id, list(chosen.message_ids), labels
