"""Reading why a message waits: its deliveries, what goes before them, and its accounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from mailproxy_server.queue.hot import Connection

AHEAD_MOST = 100_000
"""Deliveries that go first are counted up to this."""
BACKLOG_MOST = 10_000
"""An account's due deliveries are counted up to this, where they are counted again and again."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One recipient that is not final.

    `fetching`: not all files of its message are here. `attempts` is 0 while it waits for its
    send_time. `ahead` of it are those of its account that
    are due and go first, counted up to AHEAD_MOST.
    """

    recipient_no: int
    recipient: str
    account_id: str
    due_at: datetime
    attempts: int
    sending: bool
    fetching: bool
    held: bool
    ahead: int


@dataclass(frozen=True, slots=True)
class Means:
    """What an account has to send with. `limits` is JSON as the table has it."""

    account_id: str
    max_connections: int
    limits: str
    rate_key: str
    live: bool


@dataclass(frozen=True, slots=True)
class Speed:
    """`sent` deliveries were sent in the `seconds` before now, all of which had more to send.

    What an account sent while it waited for mail says nothing of how fast it can.
    """

    sent: int = 0
    seconds: float = 0.0


_WAITING = """
SELECT d.recipient_no, d.recipient, d.account_id, d.due_at,
       CASE WHEN d.due_at IS NOT DISTINCT FROM d.send_at THEN 0 ELSE d.attempts + d.spared END,
       d.worker_id IS NOT NULL, EXISTS (
           SELECT 1 FROM mailproxy.messages m
           WHERE m.tenant_id = $1 AND m.message_id = $2 AND ''::bytea = ANY(m.blobs)), d.held, (
           SELECT count(*) FROM (
               SELECT 1 FROM (VALUES (10::smallint), (20::smallint), (30::smallint), (40::smallint)
                    ) AS band(priority)
               CROSS JOIN LATERAL (
                   SELECT 1 FROM mailproxy.deliveries o
                   WHERE o.tenant_id = d.tenant_id AND o.account_id = d.account_id
                     AND o.priority = band.priority AND o.worker_id IS NULL AND NOT o.held
                     AND o.due_at <= CASE WHEN band.priority = d.priority
                                          THEN least(d.due_at, now()) ELSE now() END
                     AND (band.priority < d.priority
                          OR (o.due_at, o.message_id, o.recipient_no)
                             < (d.due_at, d.message_id, d.recipient_no))
                   LIMIT $3) each
               WHERE band.priority <= d.priority LIMIT $3) first)
FROM mailproxy.deliveries d WHERE d.tenant_id = $1 AND d.message_id = $2
ORDER BY d.recipient_no
"""

_MEANS = """
SELECT account_id, max_connections, limits::text,
       CASE WHEN rate_group = '' THEN 'account/' || account_id ELSE 'group/' || rate_group END,
       deleted_at IS NULL
FROM mailproxy.accounts WHERE tenant_id = $1 AND account_id = ANY($2)
"""

_SPEED = """
WITH busy AS MATERIALIZED (
    SELECT each.account_id, greatest(
        now() - interval '1 minute',
        (SELECT min(first.due_at)
         FROM (VALUES (10::smallint), (20::smallint), (30::smallint), (40::smallint)
              ) AS band(priority)
         CROSS JOIN LATERAL (
             SELECT o.due_at FROM mailproxy.deliveries o
             WHERE o.tenant_id = $1 AND o.account_id = each.account_id
               AND o.priority = band.priority AND o.worker_id IS NULL AND NOT o.held
               AND o.due_at <= now()
             ORDER BY o.due_at LIMIT 1) first),
        (SELECT reported_at FROM mailproxy.report_log
         WHERE tenant_id = $1 AND log_offset = $3 AND reported_at > now() - interval '1 minute')
        ) AS since
    FROM unnest($2::text[]) each(account_id))
SELECT account_id, count(*), extract(epoch FROM now() - since)::float8
FROM busy JOIN mailproxy.report_log r USING (account_id)
WHERE r.tenant_id = $1 AND r.log_offset > $3 AND r.reported_at > now() - interval '1 minute'
  AND r.reported_at > since AND r.event = 2
GROUP BY account_id, since
"""


async def waiting(link: Connection, tenant_id: UUID, message_id: UUID) -> list[Waiting]:
    """Read the recipients of a message that are not final, with how many go first.

    Takes no lock; relies on the primary key, and on deliveries_due for the count.
    """
    rows = await link.fetch(_WAITING, tenant_id, message_id, AHEAD_MOST)
    return [Waiting(*row) for row in rows]


async def means(link: Connection, tenant_id: UUID, account_ids: Sequence[str]) -> list[Means]:
    """Read what accounts have to send with, deleted ones too. No lock; primary key."""
    return [Means(*row) for row in await link.fetch(_MEANS, tenant_id, account_ids)]


async def speeds(
    link: Connection, tenant_id: UUID, account_ids: Sequence[str], after: int
) -> dict[str, Speed]:
    """Read how fast accounts sent since their oldest due delivery was due, within the last minute
    and the reports after an offset.

    Takes no lock; relies on the primary keys of the newest days, and on deliveries_due.
    """
    rows = await link.fetch(_SPEED, tenant_id, account_ids, after)
    return {row[0]: Speed(row[1], row[2]) for row in rows}


async def backlog(link: Connection, tenant_id: UUID, account_id: str) -> int:
    """Count an account's due deliveries, up to BACKLOG_MOST. No lock; deliveries_due."""
    found: int = await link.fetchval(
        """SELECT count(*) FROM (
               SELECT 1 FROM mailproxy.deliveries
               WHERE tenant_id = $1 AND account_id = $2 AND worker_id IS NULL AND NOT held
                 AND due_at <= now() LIMIT $3) due""",
        tenant_id,
        account_id,
        BACKLOG_MOST,
    )
    return found


async def clock(link: Connection) -> tuple[datetime, int]:
    """Give the snapshot's time, and how many dispatchers hold their lease."""
    row = await link.fetchrow(
        """SELECT now(), (SELECT count(*) FROM mailproxy.workers
               WHERE beat_at + lease_seconds * interval '1 second' > clock_timestamp())"""
    )
    assert row is not None, "a SELECT without FROM has a row"
    return row[0], row[1]
