"""Reading the report log, and messages by their key."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg

from mailproxy_server.queue.hot import Connection
from mailproxy_server.queue.ids import born
from mailproxy_server.queue.lineage import Head, Stretch

CLOCKS = timedelta(days=1)
"""How much the clock of who made an id may be ahead of the database's."""


@dataclass(frozen=True, slots=True)
class Report:
    """One event of the log, with what its message says of itself.

    Numbers are those of the contract. `labels` and `metadata` are JSON objects as text, or
    None; `transcript` is JSON as `settle.to_json` writes it, or None when it was not asked for.
    """

    log_offset: int
    reported_at: datetime
    message_id: UUID
    recipient_no: int
    account_id: str
    recipient: str
    event: int
    reason: int
    attempt: int
    reply_code: int | None
    reply_enhanced: str | None
    reply_text: str | None
    reply_stage: str | None
    relay_host: str | None
    relay_message_id: str | None
    next_attempt_at: datetime | None
    possible_duplicate: bool
    request_id: str | None
    traceparent: str | None
    labels: str | None
    metadata: str | None
    detail: str | None
    transcript: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Reports that follow one another, and the log and its newest offset when they were read."""

    log_id: UUID
    last_offset: int
    reports: list[Report]


REPORT = """r.log_offset, r.reported_at, r.message_id, r.recipient_no, r.account_id, r.recipient,
    r.event, r.reason, r.attempt, r.reply_code, r.reply_enhanced, r.reply_text, r.reply_stage,
    r.relay_host, r.relay_message_id, r.next_attempt_at, r.possible_duplicate, m.request_id,
    m.traceparent, m.labels::text, m.metadata::text, r.detail"""

MESSAGE = """LEFT JOIN mailproxy.messages m
  ON m.tenant_id = r.tenant_id AND m.message_id = r.message_id"""

_HEAD = """
SELECT h.log_id, h.last_offset, h.last_at, l.log_id, l.last_offset, l.last_at
FROM mailproxy.report_heads h LEFT JOIN mailproxy.log_lineage l ON l.tenant_id = h.tenant_id
WHERE h.tenant_id = $1 ORDER BY l.log_no
"""

_AFTER = f"""
SELECT h.log_id, h.last_offset, {REPORT}, NULL FROM mailproxy.report_heads h
LEFT JOIN LATERAL (
    SELECT * FROM mailproxy.report_log
    WHERE tenant_id = $1 AND log_offset > $2 AND reported_at >= $3
    ORDER BY log_offset LIMIT $4) r ON true {MESSAGE}
WHERE h.tenant_id = $1 ORDER BY r.log_offset
"""  # noqa: S608 - no input is in the text

_OF_MESSAGE = f"""
SELECT {REPORT}, CASE WHEN $4 THEN r.transcript::text END FROM mailproxy.report_log r {MESSAGE}
WHERE r.tenant_id = $1 AND r.message_id = $2 AND r.reported_at >= $3
ORDER BY r.log_offset
"""  # noqa: S608 - no input is in the text


@dataclass(frozen=True, slots=True)
class Message:
    """What was submitted, but for its digests."""

    message_id: UUID
    request_id: str | None
    account_id: str
    priority: int
    accepted_at: datetime
    send_at: datetime | None
    expire_at: datetime | None
    return_path: str
    labels: str | None
    metadata: str | None
    traceparent: str | None
    recipient_count: int
    content: bytes
    at_most_once: bool


async def head(link: Connection, tenant_id: UUID) -> Head:
    """Read the newest end of the tenant's log, and the logs before it; by their keys."""
    rows = await link.fetch(_HEAD, tenant_id)
    assert rows, "a head is made with its tenant"
    log_id, last_offset, last_at = rows[0][:3]
    ended = tuple(Stretch(*row[3:]) for row in rows if row[3] is not None)
    return Head(log_id, last_offset, last_at, ended)


async def after(
    link: Connection, tenant_id: UUID, offset: int, not_before: datetime, limit: int
) -> Page:
    """Read up to `limit` reports after `offset`, of days from `not_before` on, and the head.

    Takes no lock; reads each day's primary key.
    """
    rows = await link.fetch(_AFTER, tenant_id, offset, not_before, limit)
    assert rows, "a head is made with its tenant"
    log_id, last_offset = rows[0][:2]
    return Page(log_id, last_offset, [Report(*row[2:]) for row in rows if row[2] is not None])


async def of_message(
    link: Connection, tenant_id: UUID, message_id: UUID, *, transcripts: bool = False
) -> list[Report]:
    """Read a message's reports, oldest first; reads report_log_message of its days."""
    since = born(message_id) - CLOCKS
    return reports(await link.fetch(_OF_MESSAGE, tenant_id, message_id, since, transcripts))


async def message(link: Connection, tenant_id: UUID, message_id: UUID) -> Message | None:
    """Read one message by its key."""
    row = await link.fetchrow(
        """SELECT message_id, request_id, account_id, priority, accepted_at, send_at, expire_at,
                  return_path, labels::text, metadata::text, traceparent, recipient_count, content,
                  at_most_once
           FROM mailproxy.messages WHERE tenant_id = $1 AND message_id = $2""",
        tenant_id,
        message_id,
    )
    return Message(*row) if row else None


async def exists(link: Connection, tenant_id: UUID, message_id: UUID) -> bool:
    """Tell whether the tenant has this message; reads the primary key of messages."""
    found: bool = await link.fetchval(
        """SELECT EXISTS (SELECT 1 FROM mailproxy.messages
                          WHERE tenant_id = $1 AND message_id = $2)""",
        tenant_id,
        message_id,
    )
    return found


async def by_request(link: Connection, tenant_id: UUID, request_id: str) -> UUID | None:
    """Give the message that a request_id made; reads the primary key of requests."""
    if "\0" in request_id:  # which PostgreSQL's text cannot hold
        return None
    found: UUID | None = await link.fetchval(
        "SELECT message_id FROM mailproxy.requests WHERE tenant_id = $1 AND request_id = $2",
        tenant_id,
        request_id,
    )
    return found


async def first_offset(
    link: Connection, tenant_id: UUID, not_before: datetime | None = None
) -> int | None:
    """Give the oldest offset that is kept (from `not_before` on), None when there is none."""
    if not_before is None:
        found: int | None = await link.fetchval(
            """SELECT log_offset FROM mailproxy.report_log WHERE tenant_id = $1
               ORDER BY log_offset LIMIT 1""",
            tenant_id,
        )
        return found
    since: int | None = await link.fetchval(
        """SELECT min(log_offset) FROM mailproxy.report_log
           WHERE tenant_id = $1 AND reported_at >= $2""",
        tenant_id,
        not_before,
    )
    return since


def reports(rows: Sequence[asyncpg.Record]) -> list[Report]:
    """Give the reports that rows of the columns REPORT and a transcript are."""
    return [Report(*row) for row in rows]
