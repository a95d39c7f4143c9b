"""Listing messages, the newest first, by what was submitted and by where recipients stand.

A page looks at a bounded number of messages, however few of them fit: a list can be walked to
its end, and no single question reads the whole table.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from mailproxy_server.queue.chosen import Chosen
from mailproxy_server.queue.hot import Connection

EXAMINED = 5_000
"""Messages that one page looks at; at least what the largest page has."""


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


_LOOKED_AT = """
    SELECT message_id, request_id, account_id, priority, accepted_at, send_at, expire_at,
           return_path, labels
    FROM mailproxy.messages
    WHERE tenant_id = $1 AND message_id BETWEEN $3 AND $2 AND {ids}
    ORDER BY message_id DESC LIMIT $4"""
_BY_IDS = "message_id = ANY($5::uuid[])"
_ANY_ID = "cardinality($5::uuid[]) = 0"

_LIST = """
SELECT m.message_id, m.request_id, m.account_id, m.priority, m.accepted_at, m.send_at, m.expire_at,
       m.return_path, m.labels::text, s.states
FROM ({looked_at}) m CROSS JOIN LATERAL (
    SELECT json_object_agg(state, n) AS states, bool_or(fits) AS fits FROM (
        SELECT state, count(*) AS n, bool_or((cardinality($8::smallint[]) = 0
                 OR state = ANY($8)) AND ($9 = '' OR recipient = $9)) AS fits
        FROM (
            SELECT CASE WHEN d.worker_id IS NULL THEN 1 ELSE 2 END AS state, d.recipient
            FROM mailproxy.deliveries d
            WHERE d.tenant_id = $1 AND d.message_id = m.message_id
            UNION ALL
            SELECT r.event + 1, r.recipient FROM (
                SELECT DISTINCT ON (recipient_no) recipient_no, event, recipient
                FROM mailproxy.report_log
                WHERE tenant_id = $1 AND message_id = m.message_id
                  AND reported_at >= m.accepted_at - interval '1 day'
                ORDER BY recipient_no, log_offset DESC) r
            WHERE NOT EXISTS (
                SELECT 1 FROM mailproxy.deliveries d WHERE d.tenant_id = $1
                AND d.message_id = m.message_id AND d.recipient_no = r.recipient_no)
        ) recipients GROUP BY state) by_state) s
WHERE ($6 = '' OR m.account_id = $6) AND ($7::jsonb = '{{}}' OR m.labels @> $7)
  AND (s.fits OR (cardinality($8::smallint[]) = 0 AND $9 = ''))
ORDER BY m.message_id DESC LIMIT $10
"""
"""The state that an event made final has the number after the event's. A message whose reports
are no longer kept has no states."""

_LAST = "SELECT message_id FROM ({looked_at}) m OFFSET $4::bigint - 1"

_RARE = """
WITH labelled AS MATERIALIZED (
    SELECT tenant_id, message_id FROM mailproxy.messages WHERE labels IS NOT NULL AND labels @> $1
)
SELECT tenant_id, message_id FROM labelled LIMIT $2
"""


async def page(link: Connection, tenant_id: UUID, wanted: Wanted, size: int) -> Page:
    """Read up to `size` messages. Takes no lock; walks the primary key of messages backwards, and
    looks into deliveries and report_log_message for each that fits so far."""
    chosen = wanted.chosen
    ids = list(chosen.message_ids)
    if chosen.labels and not ids and (rare := await _rare(link, tenant_id, chosen)) is not None:
        ids = rare
        if not ids:
            return Page([], None)
    looked_at = _LOOKED_AT.format(ids=_BY_IDS if ids else _ANY_ID)
    walked = tenant_id, wanted.newest, wanted.oldest, EXAMINED, ids
    rows = await link.fetch(
        _LIST.format(looked_at=looked_at),
        *walked,
        chosen.account_id,
        json.dumps(dict(chosen.labels)),
        list(wanted.states),
        wanted.recipient,
        size,
    )
    found = [Listed(*(*row[:9], _states(row["states"]))) for row in rows]
    if len(found) == size:
        return Page(found, found[-1].message_id)
    return Page(found, await link.fetchval(_LAST.format(looked_at=looked_at), *walked))


async def _rare(link: Connection, tenant_id: UUID, chosen: Chosen) -> list[UUID] | None:
    """Give all messages with these labels where that is a handful; None where it is many.

    The index knows labels and no tenants, so it is asked for no more than a page may look at.
    Takes no lock; relies on messages_labels.
    """
    rows = await link.fetch(_RARE, json.dumps(dict(chosen.labels)), EXAMINED)
    if len(rows) == EXAMINED:
        return None
    return [row["message_id"] for row in rows if row["tenant_id"] == tenant_id]


def _states(counted: str | None) -> dict[int, int]:
    return {int(state): n for state, n in json.loads(counted or "{}").items()}
