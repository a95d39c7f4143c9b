"""The outbox as the mover sees it: rows that wait, taken out in the transaction that queues them.

A row that is not valid stays, with what is wrong with it, and leaves a FAILED report.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from mailproxy_server.mail.delivery import Event, Reason
from mailproxy_server.queue.hot import Connection

CHANNEL = "mailproxy_outbox"
"""Where `mailproxy.submit` announces rows, at the commit of the application's transaction."""
BATCH_OCTETS = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Waiting:
    """A committed row. `email` is None when it is larger than was asked for."""

    outbox_id: int
    tenant: str
    request_id: str | None
    email: str | None
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that cannot be queued: why, and the field that is at fault.

    `tenant_id` None: there is no such tenant, and so no log to report to.
    """

    outbox_id: int
    tenant_id: UUID | None
    message_id: UUID
    field: str
    error: str


_TAKE = """
WITH waiting AS MATERIALIZED (
    SELECT outbox_id, tenant, request_id, email, traceparent FROM mailproxy.outbox
    WHERE refused_at IS NULL AND ($3::bigint[] IS NULL OR outbox_id = ANY($3))
    ORDER BY outbox_id LIMIT $1 FOR UPDATE SKIP LOCKED
), sized AS (
    SELECT *, octet_length(email::text) AS octets FROM waiting
), summed AS (
    SELECT *, sum(octets) OVER (ORDER BY outbox_id) - octets AS before FROM sized
)
SELECT outbox_id, tenant, request_id, CASE WHEN octets <= $2 THEN email::text END, traceparent
FROM summed WHERE before < $4 ORDER BY outbox_id
"""

_REFUSE = f"""
WITH v AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[])
      WITH ORDINALITY AS t(outbox_id, tenant_id, message_id, field, error, no)
), refused AS (
    UPDATE mailproxy.outbox o SET refused_at = now(), field = v.field, error = v.error
    FROM v WHERE o.outbox_id = v.outbox_id
    RETURNING v.*
), settled AS MATERIALIZED (
    SELECT * FROM refused WHERE tenant_id IS NOT NULL
), heads AS MATERIALIZED (
    SELECT tenant_id FROM mailproxy.report_heads
    WHERE tenant_id IN (SELECT tenant_id FROM settled) ORDER BY tenant_id FOR NO KEY UPDATE
), raised AS (
    UPDATE mailproxy.report_heads h
    SET last_offset = h.last_offset + c.n, last_at = greatest(h.last_at, clock_timestamp())
    FROM (SELECT tenant_id, count(*) AS n FROM settled JOIN heads USING (tenant_id)
          GROUP BY tenant_id) c
    WHERE h.tenant_id = c.tenant_id
    RETURNING h.tenant_id, h.last_offset - c.n AS base, h.last_at
)
INSERT INTO mailproxy.report_log (tenant_id, log_offset, reported_at, message_id, recipient_no,
    account_id, recipient, event, reason, attempt, possible_duplicate, detail)
SELECT s.tenant_id, raised.base + row_number() OVER (PARTITION BY s.tenant_id ORDER BY s.no),
    raised.last_at, s.message_id, 0, '', '', {int(Event.FAILED)}, {int(Reason.SUBMISSION_INVALID)},
    0, false, left(concat_ws(': ', nullif(s.field, ''), s.error), 2000)
FROM settled s JOIN raised ON raised.tenant_id = s.tenant_id
"""  # noqa: S608 - no input is in the text


async def any_waiting(link: Connection) -> bool:
    """Whether there is a committed row. No lock; one probe of outbox_waiting."""
    return bool(
        await link.fetchval("SELECT 1 FROM mailproxy.outbox WHERE refused_at IS NULL LIMIT 1")
    )


async def take(
    link: Connection, limit: int, largest: int, only: Collection[int] | None = None
) -> list[Waiting]:
    """Take committed rows, the oldest first: at most `limit`, and about BATCH_OCTETS.

    Locks them until the transaction's end, skipping those that another mover has; relies on
    outbox_waiting. Emails of more than `largest` octets are left in the table.
    """
    ids = None if only is None else list(only)
    rows = await link.fetch(_TAKE, limit, largest, ids, BATCH_OCTETS)
    return [Waiting(*row) for row in rows]


async def remove(link: Connection, outbox_ids: Sequence[int]) -> None:
    """Remove rows that were queued. Locks them by the primary key."""
    await link.execute("DELETE FROM mailproxy.outbox WHERE outbox_id = ANY($1)", list(outbox_ids))


async def refuse(link: Connection, refused: Sequence[Refused]) -> None:
    """Keep rows with what is wrong with them, and report it.

    Locks the rows by the primary key, then the tenants' heads, in their order.
    """
    ordered = sorted(refused, key=lambda each: each.outbox_id)
    await link.execute(
        _REFUSE,
        [each.outbox_id for each in ordered],
        [each.tenant_id for each in ordered],
        [each.message_id for each in ordered],
        [each.field for each in ordered],
        [each.error for each in ordered],
    )


async def tenants(link: Connection, names: Collection[str]) -> dict[str, UUID]:
    """Give the ids of the tenants that there are. No lock; the unique index of names."""
    rows = await link.fetch(
        "SELECT name, tenant_id FROM mailproxy.tenants WHERE name = ANY($1)", list(names)
    )
    return {row["name"]: row["tenant_id"] for row in rows}


async def accounts(link: Connection, tenant_ids: Collection[UUID]) -> dict[tuple[UUID, str], str]:
    """Give the live accounts of tenants by (tenant, id), the default one by (tenant, "") too.

    Takes no lock; relies on the primary key.
    """
    rows = await link.fetch(
        """SELECT tenant_id, account_id, is_default FROM mailproxy.accounts
           WHERE tenant_id = ANY($1) AND deleted_at IS NULL""",
        list(tenant_ids),
    )
    found = {(row["tenant_id"], row["account_id"]): row["account_id"] for row in rows}
    return found | {(row["tenant_id"], ""): row["account_id"] for row in rows if row["is_default"]}
