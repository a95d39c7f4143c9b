"""Reading all that says whether the whole works, for `mailproxy diagnose`.

Each statement stands for itself and may fail by itself: a database that is half broken is looked
at as far as it goes. Nothing is locked, and nothing is changed but by `write_probe`, which is
rolled back.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

from mailproxy_server.queue.hot import Connection


@dataclass(frozen=True, slots=True)
class Counts:
    """Recipients to do, and what became of others within the last hour."""

    pending: int
    due: int
    oldest_due_seconds: float
    sent: int
    failed: int
    accounts: int
    tenants: int


class Stuck(NamedTuple):
    """Deliveries that somebody holds who is not alive: by whom, how many, for how long."""

    worker_id: str
    held: int
    seconds: float


class Dispatcher(NamedTuple):
    """A dispatcher that was not declared dead: since when it is silent, past its lease or not; the
    outcomes that it knows and could not write, and for how long."""

    host: str
    pid: int
    silent_seconds: float
    lease_seconds: float
    unwritten: int = 0
    unwritten_seconds: float = 0.0

    @property
    def alive(self) -> bool:
        """Whether it holds its lease."""
        return self.silent_seconds <= self.lease_seconds


class Broken(NamedTuple):
    """An account whose breaker is open."""

    tenant: str
    account_id: str
    kind: str
    reason: int
    code: int
    text: str
    detail: str
    since: datetime


class Waiting(NamedTuple):
    """A live account with due mail, or a pause: how much and how old, when it sent last, what
    holds it. `limits` and `usage` are JSON."""

    tenant: str
    account_id: str
    due: int
    oldest_seconds: float
    last_sent_at: datetime | None
    paused: bool
    note: str
    limits: str
    usage: str


class Holder(NamedTuple):
    """What keeps vacuum from cleaning up: a session, a slot, a prepared transaction."""

    kind: str
    name: str
    seconds: float
    age: int


class Replication(NamedTuple):
    """How many standbys are connected, the names that commits wait for, and whether this role can
    read what tells one database from another."""

    standbys: int
    synchronous: str
    known: bool


async def revision(link: Connection) -> str:
    """Give the schema's revision; "" of a database without one."""
    there = await link.fetchval("SELECT to_regclass('mailproxy.alembic_version') IS NOT NULL")
    if not there:
        return ""
    found = await link.fetchval("SELECT version_num FROM mailproxy.alembic_version")
    return str(found or "")


async def skew(link: Connection) -> float:
    """Give by how many seconds this machine's clock is ahead of the database's."""
    before = datetime.now(UTC)
    theirs: datetime = await link.fetchval("SELECT clock_timestamp()")
    middle = before + (datetime.now(UTC) - before) / 2
    return (middle - theirs).total_seconds()


async def counts(link: Connection) -> Counts:
    """Count. Looks at all of deliveries and at today's reports, and yesterday's near midnight."""
    row = await link.fetchrow(
        """SELECT (SELECT count(*) FROM mailproxy.deliveries),
                  d.due, coalesce(extract(epoch FROM now() - d.oldest)::float8, 0),
                  r.sent, r.failed,
                  (SELECT count(*) FROM mailproxy.accounts WHERE deleted_at IS NULL),
                  (SELECT count(*) FROM mailproxy.tenants)
           FROM (SELECT count(*) AS due, min(due_at) AS oldest FROM mailproxy.deliveries
                 WHERE worker_id IS NULL AND NOT held AND due_at <= now()) d,
                (SELECT count(*) FILTER (WHERE event = 2) AS sent,
                        count(*) FILTER (WHERE event IN (3, 4)) AS failed
                 FROM mailproxy.report_log WHERE reported_at > now() - interval '1 hour') r"""
    )
    assert row is not None, "counts are one row"
    return Counts(*row)


async def dispatchers(link: Connection) -> list[Dispatcher]:
    """List the dispatchers."""
    rows = await link.fetch(
        """SELECT host, pid, extract(epoch FROM clock_timestamp() - beat_at)::float8, lease_seconds,
                  unwritten, unwritten_seconds
           FROM mailproxy.workers ORDER BY started_at"""
    )
    return [Dispatcher(*row) for row in rows]


async def stuck(link: Connection) -> list[Stuck]:
    """List what is held by workers that are gone, or silent past their lease."""
    rows = await link.fetch(
        """SELECT d.worker_id::text, count(*),
                  coalesce(extract(epoch FROM now() - min(d.claimed_at))::float8, 0)
           FROM mailproxy.deliveries d LEFT JOIN mailproxy.workers w USING (worker_id)
           WHERE d.worker_id IS NOT NULL
             AND (w.worker_id IS NULL
                  OR w.beat_at + w.lease_seconds * interval '1 second' < clock_timestamp())
           GROUP BY 1 ORDER BY 2 DESC LIMIT 20"""
    )
    return [Stuck(*row) for row in rows]


async def broken(link: Connection) -> list[Broken]:
    """List the accounts whose breaker is open."""
    rows = await link.fetch(
        """SELECT coalesce(t.name, ''), h.account_id, h.kind, coalesce(h.reason, 0),
                  coalesce(h.reply_code, 0), coalesce(h.reply_text, ''), coalesce(h.detail, ''),
                  h.opened_at
           FROM mailproxy.relay_health h
           JOIN mailproxy.accounts a USING (tenant_id, account_id)
           LEFT JOIN mailproxy.tenants t USING (tenant_id)
           WHERE h.breaker = 'open' AND a.deleted_at IS NULL
           ORDER BY 1, 2 LIMIT 100"""
    )
    return [Broken(*row) for row in rows]


async def waiting(link: Connection) -> list[Waiting]:
    """List live accounts that have due mail."""
    rows = await link.fetch(
        """SELECT coalesce(t.name, ''), a.account_id, d.due,
                  extract(epoch FROM now() - d.oldest)::float8, r.last_sent_at,
                  p.note IS NOT NULL, coalesce(p.note, ''), a.limits::text,
                  coalesce(u.usage::text, '{}')
           FROM (SELECT tenant_id, account_id, count(*) AS due, min(due_at) AS oldest
                 FROM mailproxy.deliveries
                 WHERE worker_id IS NULL AND NOT held AND due_at <= now() GROUP BY 1, 2
                 ORDER BY 3 DESC LIMIT 100) d
           JOIN mailproxy.accounts a USING (tenant_id, account_id)
           LEFT JOIN mailproxy.tenants t USING (tenant_id)
           LEFT JOIN (  -- read once, for all of them: there is no index by account
               SELECT tenant_id, account_id, max(reported_at) AS last_sent_at
               FROM mailproxy.report_log
               WHERE event = 2 AND reported_at > now() - interval '1 day' GROUP BY 1, 2) r
             USING (tenant_id, account_id)
           LEFT JOIN LATERAL (
               SELECT p.note FROM mailproxy.pauses p
               WHERE p.tenant_id = a.tenant_id AND p.account_id IN ('', a.account_id)
                 AND p.labels = '{}' LIMIT 1) p ON true
           LEFT JOIN mailproxy.rate_usage u ON u.tenant_id = a.tenant_id AND u.rate_key =
               CASE WHEN a.rate_group = '' THEN 'account/' || a.account_id
                    ELSE 'group/' || a.rate_group END
           WHERE a.deleted_at IS NULL"""
    )
    return [Waiting(*row) for row in rows]


async def holders(link: Connection, seconds: float) -> list[Holder]:
    """List transactions that are open for longer than this, slots and prepared transactions."""
    rows = await link.fetch(
        """SELECT 'session', concat_ws(' ', 'pid', pid, usename, application_name, state),
                  extract(epoch FROM now() - xact_start)::float8, coalesce(age(backend_xmin), 0)
           FROM pg_stat_activity
           WHERE xact_start < now() - $1 * interval '1 second' AND pid <> pg_backend_pid()
             AND backend_type = 'client backend'
           UNION ALL
           SELECT 'slot', slot_name, 0, greatest(age(xmin), age(catalog_xmin), 0)
           FROM pg_replication_slots WHERE NOT active
           UNION ALL
           SELECT 'prepared', gid, extract(epoch FROM now() - prepared)::float8, age(transaction)
           FROM pg_prepared_xacts WHERE prepared < now() - $1 * interval '1 second'
           ORDER BY 3 DESC LIMIT 20""",
        seconds,
    )
    return [Holder(*row) for row in rows]


async def replication(link: Connection) -> Replication:
    """Look at the standbys. Which of them are synchronous is not shown to a plain role; the
    setting is."""
    row = await link.fetchrow(
        """SELECT (SELECT count(*) FROM pg_stat_replication),
                  current_setting('synchronous_standby_names'),
                  mailproxy.system_identifier() IS NOT NULL AND mailproxy.timeline() IS NOT NULL"""
    )
    assert row is not None, "a SELECT without FROM gives a row"
    return Replication(*row)


async def refused_rows(link: Connection) -> int:
    """Count rows of the outbox that were refused and are still there."""
    found: int = await link.fetchval(
        "SELECT count(*) FROM mailproxy.outbox WHERE refused_at IS NOT NULL"
    )
    return found


async def why_not_written(link: Connection, seconds: float) -> str:
    """Say why the server that this session leads to takes no writes, "" when it should."""
    row = await link.fetchrow(
        "SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only') AS only",
        timeout=seconds,
    )
    assert row is not None, "a SELECT without FROM gives a row"
    if row["standby"]:
        return "it is a standby"
    return "it is read-only" if row["only"] == "on" else ""


async def write_probe(link: Connection, rows: int = 20_000, seconds: float | None = None) -> None:
    """Write a little (some 60 octets a row) and take it back; raises what the database says when it
    cannot, or TimeoutError when a statement takes longer than so many seconds."""
    transaction = link.transaction()
    await transaction.start()
    try:
        await link.execute(
            "CREATE TEMP TABLE mailproxy_probe (octets bytea) ON COMMIT DROP", timeout=seconds
        )
        await link.execute(
            "INSERT INTO pg_temp.mailproxy_probe SELECT sha256(n::text::bytea) "
            "FROM generate_series(1, $1) n",
            rows,
            timeout=seconds,
        )
    except TimeoutError:
        raise  # it would not answer the rollback either: who made the session ends it
    except BaseException:
        await transaction.rollback()
        raise
    await transaction.rollback()


async def hears(listener: Connection, sender: Connection, patience: timedelta) -> bool:
    """Whether a notification of one connection reaches who listens on another one."""
    channel = f"mailproxy_{uuid4().hex[:12]}"
    heard = asyncio.Event()
    await listener.add_listener(channel, lambda *_: heard.set())
    await sender.execute("SELECT pg_notify($1, '')", channel)
    try:
        async with asyncio.timeout(patience.total_seconds()):
            await heard.wait()
    except TimeoutError:
        return False
    return True
