"""What one message costs the database: WAL that is written, and how often it is flushed.

The statements of the hot path as they are, in batches of different sizes, on a PostgreSQL with its
ordinary settings. This is what replicas and backups copy, and where one server ends.
"""

import asyncio
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import asyncpg
from mailproxy_server.app.embedded import TUNING, Embedded
from mailproxy_server.app.place import prepare
from mailproxy_server.mail.delivery import Outcome
from mailproxy_server.mail.transcript import Exchange, Reply, Stage, Transcript
from mailproxy_server.queue import hot
from mailproxy_server.queue.enqueue import NewMessage
from mailproxy_server.queue.migrations import upgrade
from mailproxy_server.queue.settle import Settlement, settle

from tests.bench.tables import number, say, show_table
from tests.support import queue
from tests.support.queue import Queue

MESSAGES = 4_000
SIZE = 2048
SENT = Outcome.sent(Reply(250, "2.0.0", "Ok: queued as 4bXy7z1Kq2z9"), "4bXy7z1Kq2z9")
DIALOGUE = Transcript(
    "smtp.example.com:587",
    (
        Exchange(Stage.MAIL, "MAIL FROM:<a@a.test> SIZE=2148", Reply(250, "2.1.0", "Ok"), 1),
        Exchange(Stage.RCPT, "RCPT TO:<user-4711@example.net>", Reply(250, "2.1.5", "Ok"), 1),
        Exchange(Stage.DATA, "DATA", Reply(354, "", "End data with <CR><LF>.<CR><LF>"), 2),
        Exchange(Stage.DOT, ".", Reply(250, "2.0.0", "Ok: queued as 4bXy7z1Kq2z9"), 40),
    ),
)
BATCHES = (1, 10, 100)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one message: octets of WAL, records of it, and flushes to disk."""

    octets: float
    records: float
    flushes: float


def measure(scratch: Path) -> dict[str, object]:
    """Measure, print, and give the figures."""
    costs = asyncio.run(_measure(scratch))
    rows = [
        (
            str(batch),
            number(cost.octets / 1024, 2),
            number(cost.records, 1),
            number(cost.flushes, 3),
        )
        for batch, cost in costs.items()
    ]
    heads = ("batch", "KiB of WAL a message", "records", "flushes")
    show_table("Taken in, claimed and settled, raw messages of 2 KB", heads, rows)
    return {"costs": {str(batch): cost.octets for batch, cost in costs.items()}}


async def _measure(scratch: Path) -> dict[int, Cost]:
    folder = scratch / "database"
    folder.mkdir()
    database = Embedded(prepare(folder), tuning={**TUNING})
    await database.start()
    try:
        await upgrade(database.url)
        async with queue.opened(database.url) as one:
            return {batch: await _cost(one, batch) for batch in BATCHES}
    finally:
        await database.stop()


async def _cost(one: Queue, batch: int) -> Cost:
    say(f"batches of {batch}")
    link = await asyncpg.connect(one.url)
    await link.execute("CHECKPOINT")
    before = await _wal(link)
    for _ in range(MESSAGES // batch):
        await one.intake.submit_all([_message(one) for _ in range(batch)])
        rows = await one.claim(batch)
        said = [Settlement(row, SENT, True, DIALOGUE, datetime.now(UTC)) for row in rows]
        async with hot.connection(one.pool) as hot_link:
            await settle(hot_link, one.worker_id, said)
    after = await _wal(link)
    await link.close()
    octets, records, flushes = (b - a for a, b in zip(before, after, strict=True))
    return Cost(octets / MESSAGES, records / MESSAGES, flushes / MESSAGES)


def _message(one: Queue) -> NewMessage:
    """Give a message of 2 KB that does not compress, with a request_id."""
    plain = one.message(request_id=uuid4().hex, digests=os.urandom(160))
    return replace(plain, content=os.urandom(SIZE))


async def _wal(link: "asyncpg.Connection[asyncpg.Record]") -> tuple[float, float, float]:
    """Give the WAL written so far: octets, records, and commits that waited for the disk."""
    row = await link.fetchrow(
        "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn, w.wal_records, d.xact_commit "
        "FROM pg_stat_wal w, pg_stat_database d WHERE d.datname = current_database()"
    )
    assert row is not None, "it is one row"
    return float(row[0]), float(row[1]), float(row[2])
