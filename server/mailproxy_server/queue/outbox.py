"""The outbox as the mover sees it: rows that wait, taken out in the transaction that queues them.

A row that is not valid stays, with what is wrong with it, and leaves a FAILED report.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from mailproxy_server.mail.delivery import Event, Reason
from mailproxy_server.queue.append import appended, same
from mailproxy_server.queue.hot import Connection

CHANNEL = "mailproxy_outbox"
"""Where `mailproxy.submit` announces rows, at the commit of the application's transaction."""
BATCH_OCTETS = 4 * 2**20
_STORED_OCTETS = 2**20
"""Of a batch, as the table keeps them: none of these is unpacked to learn how long it is."""
_FIELD_LIMIT, _ERROR_LIMIT = 300, 500


@dataclass(frozen=True, slots=True)
class Waiting:
    """A committed row. `email` is None when it is larger than was asked for."""

    outbox_id: int
    tenant: str
    request_id: str | None
    email: str | None
    traceparent: str | None
    created_at: datetime


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


ANY = "SELECT 1 FROM mailproxy.outbox WHERE refused_at IS NULL AND outbox_id > $1 LIMIT 1"

TAKE = """
WITH waiting AS MATERIALIZED (
    SELECT outbox_id, tenant, request_id, email, traceparent, created_at FROM mailproxy.outbox
    WHERE refused_at IS NULL AND outbox_id > $5 AND ($3::bigint[] IS NULL OR outbox_id = ANY($3))
    ORDER BY outbox_id LIMIT $1 FOR UPDATE SKIP LOCKED
), stored AS MATERIALIZED (
    SELECT *, sum(pg_column_size(email)) OVER (ORDER BY outbox_id) - pg_column_size(email) AS before
    FROM waiting
), sized AS MATERIALIZED (
    SELECT *, octet_length(email::text) AS octets FROM stored WHERE before < $6
), wanted AS (
    SELECT *, CASE WHEN octets <= $2 THEN octets ELSE 0 END AS read FROM sized
), summed AS (
    SELECT *, sum(read) OVER (ORDER BY outbox_id) - read AS ahead FROM wanted
)
SELECT outbox_id, tenant, request_id, CASE WHEN octets <= $2 THEN email::text END, traceparent,
       created_at
FROM summed WHERE ahead < $4 ORDER BY outbox_id
"""

_COLUMNS = {
    **same("message_id"),
    "recipient_no": "0",
    "account_id": "''",
    "recipient": "''",
    "event": f"{int(Event.FAILED)}",
    "reason": f"{int(Reason.SUBMISSION_INVALID)}",
    "attempt": "0",
    "possible_duplicate": "false",
    "detail": """concat(e.field || ': ', e.error, ' (outbox_id ', e.outbox_id,
                     ', request_id ' || left(e.request_id, 128), ')')""",
}
_REFUSE = f"""
WITH v AS MATERIALIZED (
    SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[])
      WITH ORDINALITY AS t(outbox_id, tenant_id, message_id, field, error, no)
), refused AS (
    UPDATE mailproxy.outbox o SET refused_at = now(), field = v.field, error = v.error
    FROM v WHERE o.outbox_id = v.outbox_id AND o.refused_at IS NULL
    RETURNING v.*, o.request_id
), events AS MATERIALIZED (
    SELECT * FROM refused WHERE tenant_id IS NOT NULL
), {appended(_COLUMNS, "e.no")}"""  # noqa: S608 - no input is in the text


_ACCOUNTS = """
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::text[]) AS t(tenant_id, account_id)
)
SELECT a.tenant_id, asked.account_id AS asked, a.account_id FROM asked
JOIN mailproxy.accounts a ON a.tenant_id = asked.tenant_id AND a.account_id = asked.account_id
WHERE asked.account_id <> '' AND a.deleted_at IS NULL
UNION ALL
SELECT a.tenant_id, '', a.account_id FROM asked
JOIN mailproxy.accounts a ON a.tenant_id = asked.tenant_id
WHERE asked.account_id = '' AND a.is_default AND a.deleted_at IS NULL
"""


async def any_waiting(link: Connection, after: int = 0) -> bool:
    """Whether there is a committed row with a number past `after`. No lock; outbox_waiting.

    One probe, and one for each row that was removed past `after` while somebody's transaction
    keeps vacuum from forgetting it.
    """
    return bool(await link.fetchval(ANY, after))


async def take(
    link: Connection,
    limit: int,
    largest: int,
    after: int = 0,
    only: Collection[int] | None = None,
    statement: str = TAKE,
) -> list[Waiting]:
    """Take committed rows past `after`, the oldest first: at most `limit`, about BATCH_OCTETS.

    Locks them until the transaction's end, and some that follow, skipping those that another
    mover has; relies on outbox_waiting. Emails of more than `largest` octets stay in the table.
    `statement` is another one in tests that show what it is good for.
    """
    ids = None if only is None else list(only)
    rows = await link.fetch(statement, limit, largest, ids, BATCH_OCTETS, after, _STORED_OCTETS)
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
        [_plain(each.field, _FIELD_LIMIT) for each in ordered],
        [_plain(each.error, _ERROR_LIMIT) for each in ordered],
    )


async def tenants(link: Connection, names: Collection[str]) -> dict[str, UUID]:
    """Give the ids of the tenants that there are. No lock; the unique index of names."""
    rows = await link.fetch(
        "SELECT name, tenant_id FROM mailproxy.tenants WHERE name = ANY($1)", list(names)
    )
    return {row["name"]: row["tenant_id"] for row in rows}


async def accounts(
    link: Connection, asked: Collection[tuple[UUID, str]]
) -> dict[tuple[UUID, str], str]:
    """Give the live accounts of these (tenant, id), where "" asks for the tenant's default one.

    Takes no lock; relies on the primary key and on accounts_default.
    """
    rows = await link.fetch(_ACCOUNTS, [each[0] for each in asked], [each[1] for each in asked])
    return {(row["tenant_id"], row["asked"]): row["account_id"] for row in rows}


def _plain(words: str, limit: int) -> str:
    """Text that a column can hold, whatever hostile row it speaks of."""
    return (
        words[:limit].replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()
    )
