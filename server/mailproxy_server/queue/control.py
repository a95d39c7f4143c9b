"""Hurrying the queue: what waits becomes due now. Touches queued rows only."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from mailproxy_server.queue.hot import Connection


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which messages of a tenant; an empty field does not restrict."""

    account_id: str = ""
    message_ids: Sequence[UUID] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def everything(self) -> bool:
        """Whether nothing restricts it."""
        return not (self.account_id or self.message_ids or self.labels)


_RUN_NOW = """
WITH chosen AS MATERIALIZED (
    SELECT d.tenant_id, d.message_id, d.recipient_no FROM mailproxy.deliveries d
    WHERE d.tenant_id = $1 AND d.worker_id IS NULL AND d.due_at > now()
      AND ($2 = '' OR d.account_id = $2)
      AND (cardinality($3::uuid[]) = 0 OR d.message_id = ANY($3))
      AND ($4::jsonb = '{}' OR EXISTS (
            SELECT 1 FROM mailproxy.messages m WHERE m.tenant_id = d.tenant_id
            AND m.message_id = d.message_id AND m.labels IS NOT NULL AND m.labels @> $4))
      AND (($5 AND d.attempts > 0) OR ($6 AND d.attempts = 0))
    FOR UPDATE OF d SKIP LOCKED
)
UPDATE mailproxy.deliveries d SET due_at = now() FROM chosen c
WHERE d.tenant_id = c.tenant_id AND d.message_id = c.message_id
  AND d.recipient_no = c.recipient_no
RETURNING d.account_id
"""


async def run_now(
    link: Connection, tenant_id: UUID, chosen: Chosen, *, retries: bool, scheduled: bool
) -> list[str]:
    """Make waiting deliveries due; give the account of each that became so.

    Those that wait for a retry, and those whose send_time has not come, each only if asked
    for. Locks the rows it changes and skips those that others hold.
    """
    rows = await link.fetch(
        _RUN_NOW,
        tenant_id,
        chosen.account_id,
        list(chosen.message_ids),
        json.dumps(dict(chosen.labels)),
        retries,
        scheduled,
    )
    return [row["account_id"] for row in rows]
