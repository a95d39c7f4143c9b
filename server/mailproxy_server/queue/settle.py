"""Settling: the only writer of outcomes.

One autocommit statement deletes or reschedules the deliveries, fenced by their claim, and
appends a report for each under the lock of the tenants' heads, so that offsets have no gap
and their order is the order of commits. A settlement whose fence no longer holds came too
late: it changes nothing and leaves no report.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from mailproxy_server.mail.delivery import Outcome
from mailproxy_server.mail.transcript import Exchange, Reply, Transcript
from mailproxy_server.queue.append import HEADS, appended, same
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.contents import Origin
from mailproxy_server.queue.hot import Connection


class Settlement(NamedTuple):
    """The outcome of one attempt at one claimed delivery.

    `attempted` is false when nothing was tried (it expired, its account is gone): the
    count of attempts stays; nor does a spared attempt count. `transcript` is this recipient's
    part of the dialogue. `origin` is for those who are told of it; nothing of it is written.
    """

    claimed: Claimed
    outcome: Outcome
    attempted: bool = True
    transcript: Transcript | None = None
    mail_at: datetime | None = None
    origin: Origin | None = None


FENCE = "d.claim_no = v.claim_no AND d.worker_id = $1"

_KEY = """d.tenant_id = v.tenant_id AND d.message_id = v.message_id
      AND d.recipient_no = v.recipient_no"""


_SQL = """
WITH v AS MATERIALIZED (
    SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::smallint[], $5::integer[], $6::smallint[],
        $7::smallint[], $8::integer[], $9::double precision[], $10::boolean[], $11::smallint[],
        $12::text[], $13::text[], $14::text[], $15::text[], $16::text[], $17::timestamptz[],
        $18::json[], $19::boolean[], $20::text[])
      WITH ORDINALITY AS t(tenant_id, message_id, recipient_no, claim_no, event, reason, attempt,
        retry_in, possible_duplicate, reply_code, reply_enhanced, reply_text, reply_stage,
        relay_host, relay_message_id, mail_at, transcript, spared, detail, no)
), gone AS (
    DELETE FROM mailproxy.deliveries d USING v
    WHERE {key} AND {fence} AND v.retry_in IS NULL
    RETURNING v.*, d.account_id, d.recipient, d.doubtful, NULL::timestamptz AS due_at
), kept AS (
    UPDATE mailproxy.deliveries d
    SET worker_id = NULL, attempts = v.attempt - v.spared::integer, marked = false,
        doubtful = d.doubtful OR v.possible_duplicate, spared = d.spared + v.spared::integer,
        due_at = CASE WHEN v.spared THEN d.due_at
                      ELSE clock_timestamp() + v.retry_in * interval '1 second' END
    FROM v WHERE {key} AND {fence} AND v.retry_in IS NOT NULL
    RETURNING v.*, d.account_id, d.recipient, d.doubtful, d.due_at
), events AS MATERIALIZED (
    SELECT * FROM gone UNION ALL SELECT * FROM kept
), {appended}
RETURNING tenant_id, message_id, recipient_no
"""
_COLUMNS = {
    **same("message_id", "recipient_no", "account_id", "recipient", "event", "reason", "attempt"),
    **same("reply_code", "reply_enhanced", "reply_text", "reply_stage", "relay_host"),
    **same("relay_message_id", "mail_at", "transcript", "claim_no", "detail"),
    "next_attempt_at": "e.due_at",
    "possible_duplicate": "e.doubtful OR e.possible_duplicate",
}


def statement(fence: str = FENCE, heads: str = HEADS) -> str:
    """Give the SQL; with other parts only in tests that show what each part is good for."""
    end = appended(_COLUMNS, "e.no", heads)
    return _SQL.format(key=_KEY, fence=fence, appended=end)


SETTLE = statement()


async def settle(
    link: Connection, worker_id: UUID, settlements: Sequence[Settlement], sql: str = SETTLE
) -> set[tuple[UUID, UUID, int]]:
    """Write outcomes and their reports; give the keys of those whose fence held.

    Locks the deliveries by their primary key, in its order, then the tenants' heads, in
    theirs, until its commit.
    """
    ordered = sorted(
        settlements,
        key=lambda s: (s.claimed.tenant_id.int, s.claimed.message_id.int, s.claimed.recipient_no),
    )
    columns = zip(*(_row(s) for s in ordered), strict=True)
    rows = await link.fetch(sql, worker_id, *(list(column) for column in columns))
    return {(row[0], row[1], row[2]) for row in rows}


def _row(settlement: Settlement) -> tuple[object, ...]:
    claimed, outcome = settlement.claimed, settlement.outcome
    reply = outcome.reply or _NO_REPLY
    transcript = settlement.transcript
    return (
        claimed.tenant_id,
        claimed.message_id,
        claimed.recipient_no,
        claimed.claim_no,
        outcome.event,
        outcome.reason,
        claimed.attempts + settlement.attempted,
        outcome.retry_in,
        outcome.possible_duplicate,
        reply.code or None,
        reply.enhanced or None,
        reply.text.replace("\0", "\N{REPLACEMENT CHARACTER}") or None,
        outcome.stage,
        transcript.relay_host if transcript else None,
        outcome.relay_message_id or None,
        settlement.mail_at,
        to_json(transcript.exchanges) if transcript else None,
        outcome.spared,
        outcome.detail.replace("\0", "\N{REPLACEMENT CHARACTER}") or None,
    )


_NO_REPLY = Reply(0)


def to_json(exchanges: Sequence[Exchange]) -> str:
    """Give a dialogue as the JSON that the report log keeps.

    An array of [stage, command, elapsed_ms, code, enhanced, text] for a reply, and of
    [stage, command, elapsed_ms, null, kind, detail] for a fault.
    """
    return json.dumps([_exchange(e) for e in exchanges], ensure_ascii=False, separators=(",", ":"))


def _exchange(exchange: Exchange) -> tuple[object, ...]:
    answer = exchange.answer
    begin = (exchange.stage, exchange.command, exchange.elapsed_ms)
    if isinstance(answer, Reply):
        return (*begin, answer.code, answer.enhanced, answer.text)
    return (*begin, None, answer.kind, answer.detail)
