"""Reading what the whole queue looks like now, for those who watch over all tenants.

Everything here is true of the database, and so the same on every replica.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from mailproxy_server.queue.hot import Connection

ACCOUNTS_MOST = 1000
"""Accounts that are told apart; those with the most to do."""
_SECONDS = 5
"""How long one statement may take: numbers are not worth more."""


@dataclass(frozen=True, slots=True)
class Depth:
    """Recipients of one account and priority that are to do; how old the oldest due one is."""

    tenant_id: UUID
    tenant_name: str
    account_id: str
    priority: int
    count: int
    due: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Standing:
    """One live account: why its breaker is open ("" when it is not), whether it is paused, its
    limits and what was used of them, both as JSON."""

    tenant_id: UUID
    tenant_name: str
    account_id: str
    breaker: str
    paused: bool
    limits: str
    usage: str


@dataclass(frozen=True, slots=True)
class Hygiene:
    """What slows a database down: dead rows by table, and transactions that keep them.

    `oldest_seconds` is of the oldest open transaction, `xmin_age` counts transactions since the
    oldest one that anything still looks back to.
    """

    dead: dict[str, int]
    oldest_seconds: float
    xmin_age: int
    dispatchers: int
    outbox: int


@dataclass(frozen=True, slots=True)
class Reading:
    """All of it, as of `now`."""

    now: datetime
    depths: list[Depth]
    standings: list[Standing]
    hygiene: Hygiene


_DEPTHS = """
SELECT d.tenant_id, coalesce(t.name, ''), d.account_id, d.priority, d.count, d.due,
       coalesce(extract(epoch FROM now() - d.oldest)::float8, 0)
FROM (SELECT tenant_id, account_id, priority, count(*),
             count(*) FILTER (WHERE worker_id IS NULL AND NOT held AND due_at <= now()) AS due,
             min(due_at) FILTER (WHERE worker_id IS NULL AND NOT held AND due_at <= now()) AS oldest
      FROM mailproxy.deliveries GROUP BY 1, 2, 3) d
LEFT JOIN mailproxy.tenants t USING (tenant_id)
ORDER BY d.count DESC LIMIT 4 * $1
"""

_STANDINGS = """
SELECT a.tenant_id, coalesce(t.name, ''), a.account_id,
       CASE WHEN h.breaker = 'open' THEN h.kind ELSE '' END,
       EXISTS (SELECT 1 FROM mailproxy.pauses p WHERE p.tenant_id = a.tenant_id
               AND p.account_id IN ('', a.account_id) AND p.labels = '{}'),
       a.limits::text, coalesce(u.usage::text, '{}')
FROM mailproxy.accounts a
LEFT JOIN mailproxy.tenants t USING (tenant_id)
LEFT JOIN mailproxy.relay_health h USING (tenant_id, account_id)
LEFT JOIN mailproxy.rate_usage u ON u.tenant_id = a.tenant_id AND u.rate_key =
    CASE WHEN a.rate_group = '' THEN 'account/' || a.account_id ELSE 'group/' || a.rate_group END
WHERE a.deleted_at IS NULL
ORDER BY a.tenant_id, a.account_id LIMIT $1
"""

_DEAD = """
SELECT relname, n_dead_tup FROM pg_stat_user_tables
WHERE schemaname = 'mailproxy'
  AND relname IN ('deliveries', 'messages', 'requests', 'report_heads', 'rate_usage', 'workers')
"""

_AGES = """
SELECT now(),
       coalesce((SELECT extract(epoch FROM max(now() - xact_start))::float8 FROM pg_stat_activity
                 WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'), 0),
       greatest(
         coalesce((SELECT max(age(backend_xmin)) FROM pg_stat_activity
                   WHERE pid <> pg_backend_pid()), 0),
         coalesce((SELECT max(greatest(age(xmin), age(catalog_xmin)))
                   FROM pg_replication_slots), 0),
         coalesce((SELECT max(age(transaction)) FROM pg_prepared_xacts), 0)),
       (SELECT count(*) FROM mailproxy.workers
        WHERE beat_at + lease_seconds * interval '1 second' > clock_timestamp()),
       (SELECT count(*) FROM mailproxy.outbox WHERE refused_at IS NULL)
"""


async def read(link: Connection) -> Reading:
    """Read it. Takes no lock; looks at the whole of the small tables, and of deliveries."""
    async with link.transaction(readonly=True):
        await link.execute(
            f"SET LOCAL enable_seqscan = on; SET LOCAL statement_timeout = '{_SECONDS}s'"
        )
        ages = await link.fetchrow(_AGES)
        depths = await link.fetch(_DEPTHS, ACCOUNTS_MOST)
        standings = await link.fetch(_STANDINGS, ACCOUNTS_MOST)
        dead = await link.fetch(_DEAD)
    assert ages is not None, "a SELECT without FROM has a row"
    return Reading(
        ages[0],
        [Depth(*row) for row in depths],
        [Standing(*row) for row in standings],
        Hygiene({row[0]: row[1] for row in dead}, *ages[1:]),
    )
