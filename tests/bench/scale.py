"""Shows that a claim costs what it claims, not what else is in the tables.

A claim of 100 due deliveries, in a queue with nothing else in it, and in one that is filled as
`filling` says. What is explained is the plan that hot connections use: that of a prepared
statement, generic. A statement that is explained with its arguments is planned for these.
"""

import asyncio
import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from mailproxy_server.app.embedded import TUNING, Embedded
from mailproxy_server.app.place import prepare
from mailproxy_server.queue import claim, hot
from mailproxy_server.queue.migrations import upgrade

from tests.bench.filling import Due, Filling, due
from tests.bench.tables import number, say, show_table, show_targets
from tests.bench.targets import Target
from tests.support import queue
from tests.support.queue import OPEN, Queue

LIMIT = 100
MOST = 1.5
"""Times the buffers that a claim may read beside all the rest."""
ROUNDS = 21
_FAST = {
    "fsync": "off", "full_page_writes": "off", "wal_level": "minimal", "max_wal_senders": "0",
    "shared_buffers": "512MB", "maintenance_work_mem": "128MB", "autovacuum": "off",
}  # fmt: skip

_READ = """
SELECT 'rows' AS name, heap_blks_hit + heap_blks_read AS buffers FROM pg_statio_all_tables
WHERE relid = 'mailproxy.deliveries'::regclass
UNION ALL
SELECT indexrelname, idx_blks_hit + idx_blks_read FROM pg_statio_all_indexes
WHERE relid = 'mailproxy.deliveries'::regclass
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a claim read: buffers in all, those of the rows and of each index, and its plan."""

    buffers: int
    parts: Mapping[str, int]
    plan: dict[str, Any]

    @property
    def scans(self) -> set[str]:
        """How its plan finds rows of the queue: each index by name, other ways by kind."""
        nodes = [one for one in walk(self.plan) if one.get("Relation Name") == "deliveries"]
        return {one.get("Index Name", one["Node Type"]) for one in nodes} - {"ModifyTable"}

    @property
    def sorted_rows(self) -> float:
        """The most rows that one of its sorts got."""
        sorts = [one for one in walk(self.plan) if "Sort" in one["Node Type"]]
        return max((one["Actual Rows"] * one["Actual Loops"] for one in sorts), default=0)


def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Go through a plan's nodes."""
    yield node
    for child in node.get("Plans", ()):
        yield from walk(child)


async def cost(mail_queue: Queue, sql: str = claim.CLAIM) -> Cost:
    """Make a claim, see what it reads, and roll it back."""
    which = mail_queue.tenant_id, mail_queue.account_id, mail_queue.worker_id, *OPEN
    words = ", ".join(f"'{each}'" for each in which)
    async with hot.connection(mail_queue.pool) as link:
        await link.execute(f"PREPARE claiming AS {sql}")
        before = await _read(link)
        transaction = link.transaction()
        await transaction.start()
        told = await link.fetchval(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE claiming ({words}, {LIMIT})"
        )
        await transaction.rollback()
        after = await _read(link)
        await link.execute("DEALLOCATE claiming")
    plan = json.loads(told)[0]["Plan"]
    parts = {name: read - before[name] for name, read in after.items()}
    return Cost(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], parts, plan)


async def _read(link: hot.Connection) -> dict[str, int]:
    """Give the buffers that were read of the queue's rows and indexes until now."""
    await link.execute("SELECT pg_stat_force_next_flush()")
    return {row["name"]: row["buffers"] for row in await link.fetch(_READ)}


async def seconds(mail_queue: Queue) -> float:
    """Make a claim, and release what it took; how long the claim was under way."""
    began = time.perf_counter()
    rows = await mail_queue.claim(LIMIT)
    took = time.perf_counter() - began
    assert len(rows) == LIMIT
    async with hot.connection(mail_queue.pool) as link:
        await claim.release(link, mail_queue.worker_id, rows)
    return took


def measure(scratch: Path) -> dict[str, object]:
    """Fill, measure, print tables, and give the figures for programs."""
    return asyncio.run(_measure(scratch))


async def _measure(scratch: Path) -> dict[str, object]:
    folder = scratch / "scale"
    folder.mkdir(mode=0o711)
    embedded = Embedded(prepare(folder), tuning={**TUNING, **_FAST})
    await embedded.start()
    try:
        rows = due(LIMIT, datetime.now(UTC))
        async with AsyncExitStack() as stack:
            few = await stack.enter_async_context(queue.opened(await _database(embedded, "few")))
            await Filling(few.url, few.tenant_id, few.account_id).put_due(rows)
            many = await stack.enter_async_context(queue.opened(await _database(embedded, "many")))
            await _fill(many, rows)
            alone, beside = await cost(few), await cost(many)
            times = [(await seconds(few), await seconds(many)) for _ in range(ROUNDS)]
    finally:
        await embedded.stop()
    return show(alone, beside, statistics.median(many / few for few, many in times[1:]))


async def _database(embedded: Embedded, name: str) -> str:
    link = await asyncpg.connect(embedded.url_of("postgres"))
    await link.execute(f"CREATE DATABASE {name}")
    await link.close()
    url = embedded.url_of(name)
    await upgrade(url)
    return url


async def _fill(mail_queue: Queue, rows: Sequence[Due]) -> None:
    began = time.monotonic()
    filling = Filling(mail_queue.url, mail_queue.tenant_id, mail_queue.account_id)
    await filling.fill(rows, 1, lambda how: say(f"{time.monotonic() - began:4.0f} s: {how}"))


def show(alone: Cost, beside: Cost, slower: float) -> dict[str, object]:
    """Print what a claim read, and whether that is as it should be."""
    read = {"in all": (alone.buffers, beside.buffers)} | {
        name: (alone.parts[name], beside.parts[name]) for name in alone.parts
    }
    rows = [
        (name, number(few), number(many), number(many / few, 2) if few else number(None))
        for name, (few, many) in read.items()
        if few or many
    ]
    show_table(f"Buffers of a claim of {LIMIT}", ("", "alone", "beside all", "times"), rows)
    say(f"The plan goes by {', '.join(sorted(beside.scans))}; it sorts {beside.sorted_rows:.0f}.")
    wanted = [
        Target("buffers of a claim, times", beside.buffers / alone.buffers, MOST, at_most=True),
        Target("sequential scans", float("Seq Scan" in beside.scans), 0, at_most=True),
        Target("rows sorted", beside.sorted_rows, LIMIT, at_most=True),
    ]
    show_targets(wanted)
    say(f"A claim takes {number(slower, 2)} times as long.")
    return {
        "buffers": {name: {"alone": few, "beside": many} for name, (few, many) in read.items()},
        "scans": sorted(beside.scans),
        "time_ratio": slower,
        "targets": [each.facts() for each in wanted],
    }
