"""How each account's relay fares: its breaker and its throttle, the same for all replicas.

A change names what it changes, so that replicas that notice the same thing make one step of it
together. Opening and closing a breaker append a report each in the same statement, under the
lock of the tenant's head as settling does. `probes` has what happens while one is open.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from mailproxy_server.mail.delivery import Event
from mailproxy_server.mail.transcript import Reply, Stage
from mailproxy_server.queue.append import appended, same
from mailproxy_server.queue.hot import Connection


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a breaker is open. `kind` is fault, auth or quota; `reason` the contract's number;
    `detail` our own words, "" for none."""

    kind: str
    reason: int
    reply: Reply | None = None
    stage: Stage | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """How one account fares; `now` is the database's time when it was read.

    `kind` is None while the breaker is closed, and all that belongs to an open one with it.
    `detail` are our own words where there was no reply.
    """

    account_id: str
    now: datetime
    paused_at: datetime | None
    pause_note: str | None
    kind: str | None
    reason: int | None
    reply_code: int | None
    reply_enhanced: str | None
    reply_text: str | None
    reply_stage: str | None
    detail: str | None
    opened_at: datetime | None
    probe_at: datetime | None
    probes: int
    account_revision: int | None
    generation: int
    connections: int | None
    gap_seconds: float
    throttled_at: datetime | None

    @property
    def reply(self) -> Reply | None:
        """The reply that opened the breaker, if one did."""
        if self.reply_code is None:
            return None
        return Reply(self.reply_code, self.reply_enhanced or "", self.reply_text or "")


_READ = """
SELECT a.account_id, now(), p.paused_at, p.note, h.kind, h.reason, h.reply_code, h.reply_enhanced,
       h.reply_text, h.reply_stage, h.detail, h.opened_at, h.probe_at, coalesce(h.probes, 0),
       h.account_revision, coalesce(h.generation, 0), h.connections, coalesce(h.gap_seconds, 0),
       h.throttled_at
FROM unnest($2::text[]) WITH ORDINALITY AS a(account_id, no)
LEFT JOIN mailproxy.relay_health h ON h.tenant_id = $1 AND h.account_id = a.account_id
LEFT JOIN mailproxy.pauses p
  ON p.tenant_id = $1 AND p.account_id = a.account_id AND p.labels = '{}'
ORDER BY a.no
"""

_SET_THROTTLE = """
INSERT INTO mailproxy.relay_health AS h
    (tenant_id, account_id, connections, gap_seconds, throttled_at)
VALUES ($1, $2, $5, $6, now())
ON CONFLICT (tenant_id, account_id) DO UPDATE
SET connections = excluded.connections, gap_seconds = excluded.gap_seconds,
    throttled_at = excluded.throttled_at
WHERE h.connections IS NOT DISTINCT FROM $3 AND h.gap_seconds = $4
  AND (h.throttled_at IS NULL OR h.throttled_at <= now() - $7 * interval '1 second')
"""


_COLUMNS = {
    **same("account_id", "reply_code", "reply_enhanced", "reply_text", "reply_stage", "detail"),
    "message_id": "'00000000-0000-0000-0000-000000000000'",
    "recipient_no": "0",
    "recipient": "''",
    "reason": "coalesce(e.reason, 0)",
    "attempt": "0",
    "possible_duplicate": "false",
}


def _append(event: Event) -> str:
    """Report the accounts that the CTE `events` holds, as rows of relay_health."""
    return f"), {appended({**_COLUMNS, 'event': f'{int(event)}'})}RETURNING log_offset"


ONCE = "h.breaker = 'closed'"
_OPEN = """
WITH events AS (
    INSERT INTO mailproxy.relay_health AS h (tenant_id, account_id, breaker, kind, reason,
        reply_code, reply_enhanced, reply_text, reply_stage, detail, opened_at, probe_at,
        account_revision)
    VALUES ($1, $2, 'open', $3, $4, $5, $6, $7, $8, $9, now(), now() + $10 * interval '1 second',
        $11)
    ON CONFLICT (tenant_id, account_id) DO UPDATE
    SET breaker = 'open', kind = excluded.kind, reason = excluded.reason, probes = 0,
        reply_code = excluded.reply_code, reply_enhanced = excluded.reply_enhanced,
        reply_text = excluded.reply_text, reply_stage = excluded.reply_stage,
        detail = excluded.detail, opened_at = excluded.opened_at, probe_at = excluded.probe_at,
        account_revision = excluded.account_revision
    WHERE {once}
    RETURNING h.*
"""


def opening(once: str = ONCE) -> str:
    """Give the SQL; with another condition only in a test that shows what it is good for."""
    return _OPEN.format(once=once) + _append(Event.BREAKER_OPENED)


OPEN = opening()

_CLOSE = f"""
WITH closing AS MATERIALIZED (
    SELECT * FROM mailproxy.relay_health
    WHERE tenant_id = $1 AND account_id = $2 AND breaker = 'open'
      AND ($3::bigint IS NULL OR account_revision < $3) FOR NO KEY UPDATE
), closed AS (
    UPDATE mailproxy.relay_health h
    SET breaker = 'closed', kind = NULL, reason = NULL, reply_code = NULL, reply_enhanced = NULL,
        reply_text = NULL, reply_stage = NULL, detail = NULL, opened_at = NULL, probe_at = NULL,
        probes = 0, account_revision = NULL, generation = h.generation + 1
    FROM closing c WHERE h.tenant_id = c.tenant_id AND h.account_id = c.account_id
    RETURNING h.tenant_id
), events AS (
    SELECT c.* FROM closing c WHERE EXISTS (SELECT 1 FROM closed)
{_append(Event.BREAKER_CLOSED)}
"""  # noqa: S608 - no input is in the text

_ACCUSE = """
UPDATE mailproxy.relay_health
SET kind = $3, reason = $4, reply_code = $5, reply_enhanced = $6, reply_text = $7,
    reply_stage = $8, detail = $9, probe_at = now() + $10 * interval '1 second', probes = 0
WHERE tenant_id = $1 AND account_id = $2 AND breaker = 'open' AND kind = 'fault'
"""


async def read(link: Connection, tenant_id: UUID, account_ids: Sequence[str]) -> list[Health]:
    """Read how these accounts fare, in their order. Takes no lock; relies on primary keys."""
    rows = await link.fetch(_READ, tenant_id, account_ids)
    return [Health(*row) for row in rows]


async def open_breaker(
    link: Connection,
    tenant_id: UUID,
    account_id: str,
    cause: Cause,
    wait: float,
    revision: int,
    sql: str = OPEN,
) -> bool:
    """Open the breaker and report it; False when it was open already.

    The first probe is `wait` seconds away; `revision` is the account's. Locks the account's
    row by its key, then the tenant's head.
    """
    key = tenant_id, account_id
    return bool(await link.fetchval(sql, *key, *columns(cause), wait, revision))


async def accuse(
    link: Connection, tenant_id: UUID, account_id: str, cause: Cause, wait: float
) -> bool:
    """Give a breaker that faults opened a graver cause; False when there is none such.

    No report: it is open already. Locks the account's row by its key.
    """
    status = await link.execute(_ACCUSE, tenant_id, account_id, *columns(cause), wait)
    return status == "UPDATE 1"


async def close_breaker(
    link: Connection, tenant_id: UUID, account_id: str, revision: int | None = None
) -> bool:
    """Close the breaker and report it; False when it was closed already.

    With a `revision` only if it was opened under an older one of the account. Locks the
    account's row by its key, then the tenant's head.
    """
    return bool(await link.fetchval(_CLOSE, tenant_id, account_id, revision))


async def set_throttle(
    link: Connection,
    tenant_id: UUID,
    account_id: str,
    before: tuple[int | None, float],
    after: tuple[int | None, float],
    quiet: float,
) -> bool:
    """Change connections and gap from `before` to `after`, if they are still so and were not
    changed for `quiet` seconds; give whether it was done. Locks the account's row by its key.
    """
    status = await link.execute(_SET_THROTTLE, tenant_id, account_id, *before, *after, quiet)
    return status == "INSERT 0 1"


def columns(cause: Cause) -> tuple[object, ...]:
    """Give the columns from kind to detail."""
    reply = cause.reply
    said = (reply.code, reply.enhanced, _clean(reply.text)) if reply else (None, None, None)
    return cause.kind, cause.reason, *said, cause.stage, _clean(cause.detail) or None


def _clean(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
