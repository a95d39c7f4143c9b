"""Shows that disk use levels off under a steady load: many days, each gone through in seconds.

A round is a day in the past. Messages are taken in, sent and reported by SQL with that day's
times; then the custodian's own statements run as if it were that day's end. Contents go at once,
reports and messages after `KEPT` days. Vacuum is left to autovacuum, as in life.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
from mailproxy_server.app.embedded import TUNING, Embedded
from mailproxy_server.app.place import prepare
from mailproxy_server.queue import days, emptying, hot, purge, retention
from mailproxy_server.queue.hot import Connection
from mailproxy_server.queue.ids import first_id
from mailproxy_server.queue.migrations import upgrade

from tests.bench.tables import number, say, show_table, show_targets
from tests.bench.targets import Target
from tests.support.postgres import open_folder

ROUNDS = 24
KEPT = 7
"""Days."""
MESSAGES = 10_000
BATCHES = 10
ROUND_SECONDS = 3.0
"""A round takes at least so long, so that autovacuum has its turns, once a second."""
GROWTH = 1.1
"""Peak of the last third of the rounds by that of the middle third: more is not level."""
TABLES = ("messages", "requests", "deliveries", "report_log")
_MIB = 2**20
_TUNING = {**TUNING, "autovacuum_naptime": "1s", "fsync": "off"}

_TAKE_IN = """
WITH born AS MATERIALIZED (
    SELECT n, $2::timestamptz + n * interval '1 second' AS at, md5($2::text || n) AS noise
    FROM generate_series($3::integer, $4::integer) n
), named AS MATERIALIZED (
    SELECT *, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
               || left(noise, 3) || '8' || substr(noise, 4, 15))::uuid AS message_id FROM born
), asked AS (
    INSERT INTO mailproxy.requests (tenant_id, request_id, message_id, digests, created_at)
    SELECT $1, noise, message_id, decode(noise, 'hex'), at FROM named
), queued AS (
    INSERT INTO mailproxy.deliveries (tenant_id, message_id, recipient_no, account_id, recipient,
                                      priority, due_at)
    SELECT $1, message_id, 0, 'demo', 'user-' || n || '@b.test', 30, at FROM named
)
INSERT INTO mailproxy.messages (tenant_id, message_id, account_id, request_id, priority,
                                accepted_at, return_path, content, recipient_count)
SELECT $1, message_id, 'demo', noise, 30, at, 'a@a.test', decode(repeat(noise, 128), 'hex'), 1
FROM named
"""

_SEND = """
WITH gone AS (
    DELETE FROM mailproxy.deliveries WHERE tenant_id = $1 RETURNING *
), raised AS (
    UPDATE mailproxy.report_heads SET last_offset = last_offset + (SELECT count(*) FROM gone)
    WHERE tenant_id = $1 RETURNING last_offset - (SELECT count(*) FROM gone) AS base
)
INSERT INTO mailproxy.report_log (tenant_id, log_offset, reported_at, message_id, recipient_no,
    account_id, recipient, event, reason, attempt, reply_code, reply_text, possible_duplicate)
SELECT $1, base + row_number() OVER (ORDER BY due_at), due_at, message_id, 0, account_id,
       recipient, 2, 0, 1, 250, '2.0.0 queued as 4bXyZ12345', false FROM gone CROSS JOIN raised
"""

_SIZE = """
SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c
WHERE c.relnamespace = 'mailproxy'::regnamespace AND c.relkind = 'r'
  AND (c.relname = $1 OR c.relname LIKE $1 || '\\_2%')
"""


@dataclass(frozen=True, slots=True)
class Round:
    """What the tables took on disk at a day's end, in bytes, and the seconds it was busy."""

    sizes: dict[str, int]
    seconds: float

    @property
    def total(self) -> int:
        """All tables together."""
        return sum(self.sizes.values())


def measure(rounds: int = ROUNDS, *, keep_all: bool = False) -> dict[str, object]:
    """Run the rounds, show their sizes, and give the figures; `keep_all`: without retention."""
    with open_folder() as folder:
        found = asyncio.run(_run(folder, rounds, keep_all=keep_all))
    ratio = growth([each.total for each in found])
    show(found)
    show_targets([Target("peak of the last rounds by that of those before", ratio, GROWTH, True)])
    say("disk use has levelled off" if ratio <= GROWTH else "disk use has NOT levelled off")
    return {"rounds": [each.sizes for each in found], "growth": ratio, "level": ratio <= GROWTH}


def growth(totals: list[int]) -> float:
    """Give the last third's peak by the middle third's."""
    third = len(totals) // 3
    return max(totals[-third:]) / max(totals[-2 * third : -third])


def show(found: list[Round]) -> None:
    """Print a row a round."""
    rows = [
        (
            f"day {day}",
            *(number(each.sizes[table] / _MIB, 1) for table in TABLES),
            number(each.total / _MIB, 1),
            number(each.seconds, 1),
        )
        for day, each in enumerate(found, 1)
    ]
    title = f"MiB on disk, {MESSAGES:,} messages a day, kept for {KEPT} days, contents not at all"
    show_table(title, ("", *TABLES, "all", "seconds"), rows)


async def _run(folder: Path, rounds: int, *, keep_all: bool) -> list[Round]:
    database = Embedded(prepare(folder), tuning=_TUNING)
    await database.start()
    try:
        await upgrade(database.url)
        settings = hot.SETTINGS | retention.SETTINGS
        link = await asyncpg.connect(database.url, server_settings=settings)
        try:
            return await _days(link, rounds, keep_all=keep_all)
        finally:
            await link.close()
    finally:
        await database.stop()


async def _days(link: Connection, rounds: int, *, keep_all: bool) -> list[Round]:
    tenant_id = uuid4()
    await link.execute(
        "INSERT INTO mailproxy.tenants (tenant_id, name) VALUES ($1, 'steady')", tenant_id
    )
    first = datetime.now(UTC).date() - timedelta(days=rounds + 1)
    await days.ensure(link, first, rounds)
    found = []
    for passed in range(rounds):
        began = time.monotonic()
        await _day(link, tenant_id, first + timedelta(days=passed), keep_all=keep_all)
        busy = time.monotonic() - began
        await asyncio.sleep(ROUND_SECONDS - busy)
        sizes = {table: int(await link.fetchval(_SIZE, table)) for table in TABLES}
        found.append(Round(sizes, busy))
    return found


async def _day(link: Connection, tenant_id: UUID, day: date, *, keep_all: bool) -> None:
    begin, size = datetime(day.year, day.month, day.day, tzinfo=UTC), MESSAGES // BATCHES
    for batch in range(BATCHES):
        await link.execute(_TAKE_IN, tenant_id, begin, batch * size, (batch + 1) * size - 1)
        await link.execute(_SEND, tenant_id)
        while not keep_all and (await emptying.empty(link, tenant_id, 0))[1]:
            pass
    if keep_all:
        return
    kept_from = begin - timedelta(days=KEPT - 1)
    for old in await retention.over(link, kept_from.date()):
        await retention.drop(link, old)
    await link.execute("UPDATE mailproxy.retention SET sweep_at = now()")
    before = first_id(int(kept_from.timestamp() * 1000))
    while (await purge.purge(link, tenant_id, before))[1]:
        pass
