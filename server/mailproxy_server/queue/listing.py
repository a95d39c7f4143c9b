"""Listing messages, the newest first, by what was submitted and by where recipients stand.

A page looks at a bounded number of messages, however few of them fit: a list can be walked to
its end, and no single question reads the whole table.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from mailproxy_server.queue.control import Chosen
from mailproxy_server.queue.hot import Connection

EXAMINED = 1_000
"""Messages that one page looks at, when it must look at their recipients to know whether they
fit."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages. `states` are the contract's numbers, none for any; `newest` and `oldest`
    bound the message ids, both included."""

    chosen: Chosen
    newest: UUID
    oldest: UUID
    states: Sequence[int] = ()
    recipient: str = ""


@dataclass(frozen=True, slots=True)
class Listed:
    """One message; `states` counts its recipients by state, the contract's numbers."""

    message_id: UUID
    request_id: str | None
    account_id: str
    priority: int
    accepted_at: datetime
    send_at: datetime | None
    expire_at: datetime | None
    return_path: str
    labels: str | None
    states: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """Messages that fit, and the oldest one that was looked at, None when that was the last."""

    messages: list[Listed]
    reached: UUID | None


_EXAMINED = """SELECT m.* FROM mailproxy.messages m
    WHERE m.tenant_id = $1 AND m.message_id BETWEEN $3 AND $2
      AND ($4 = '' OR m.account_id = $4)
      AND (cardinality($5::uuid[]) = 0 OR m.message_id = ANY($5))
      AND ($6::jsonb = '{}' OR (m.labels IS NOT NULL AND m.labels @> $6))
    ORDER BY m.message_id DESC"""

_LIST = f"""
WITH examined AS MATERIALIZED (
    {_EXAMINED} LIMIT $9
), told AS (
    SELECT m.*, s.states, s.fits
    FROM examined m CROSS JOIN LATERAL (
        SELECT json_object_agg(state, n) AS states, bool_or(fits) AS fits FROM (
            SELECT state, count(*) AS n, bool_or((cardinality($7::smallint[]) = 0
                     OR state = ANY($7)) AND ($8 = '' OR recipient = $8)) AS fits
            FROM (
                SELECT CASE WHEN d.worker_id IS NULL THEN 1 ELSE 2 END AS state, d.recipient
                FROM mailproxy.deliveries d
                WHERE d.tenant_id = m.tenant_id AND d.message_id = m.message_id
                UNION ALL
                SELECT r.event + 1, r.recipient FROM (
                    SELECT DISTINCT ON (recipient_no) recipient_no, event, recipient
                    FROM mailproxy.report_log
                    WHERE tenant_id = m.tenant_id AND message_id = m.message_id
                      AND reported_at >= m.accepted_at - interval '1 day'
                    ORDER BY recipient_no, log_offset DESC) r
                WHERE NOT EXISTS (
                    SELECT 1 FROM mailproxy.deliveries d WHERE d.tenant_id = m.tenant_id
                    AND d.message_id = m.message_id AND d.recipient_no = r.recipient_no)
            ) recipients GROUP BY state) by_state) s
)
SELECT message_id, request_id, account_id, priority, accepted_at, send_at, expire_at, return_path,
       labels::text, states
FROM told WHERE fits ORDER BY message_id DESC LIMIT $10
"""  # noqa: S608 - no input is in the text
"""The state that an event made final has the number after the event's."""

_LAST = f"""
SELECT message_id FROM ({_EXAMINED} OFFSET $7 LIMIT 1) last
"""  # noqa: S608 - no input is in the text


async def page(link: Connection, tenant_id: UUID, wanted: Wanted, size: int) -> Page:
    """Read up to `size` messages. Takes no lock; walks the primary key of messages backwards,
    or messages_labels, and looks into deliveries and report_log_message for each."""
    chosen = wanted.chosen
    which = (
        tenant_id,
        wanted.newest,
        wanted.oldest,
        chosen.account_id,
        list(chosen.message_ids),
        json.dumps(dict(chosen.labels)),
    )
    examined = EXAMINED if wanted.states or wanted.recipient else size
    rows = await link.fetch(_LIST, *which, list(wanted.states), wanted.recipient, examined, size)
    found = [Listed(*(*row[:9], _states(row["states"]))) for row in rows]
    if len(found) == size:
        return Page(found, found[-1].message_id)
    return Page(found, await link.fetchval(_LAST, *which, examined - 1))


def _states(counted: str | None) -> dict[int, int]:
    return {int(state): n for state, n in json.loads(counted or "{}").items()}
