"""What a claim costs: it depends neither on what is dead in the table nor on a long transaction."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from mailproxy_server.queue import claim, hot
from mailproxy_server.queue.lowwater import LowWater

from tests.support import queue
from tests.support.queue import OPEN, Queue

DEAD = 500_000


async def _explain(mail_queue: Queue, bounds: Any, limit: int = 100) -> tuple[int, str]:
    """Run a claim and roll it back: the buffers that it read, and its plan."""
    async with hot.connection(mail_queue.pool) as link:
        transaction = link.transaction()
        await transaction.start()
        told = await link.fetchval(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {claim.CLAIM}",
            mail_queue.tenant_id,
            mail_queue.account_id,
            mail_queue.worker_id,
            *bounds,
            limit,
        )
        await transaction.rollback()
    return _blocks(json.loads(told)[0]["Plan"]), told


def _blocks(node: dict[str, Any]) -> int:
    return int(node["Shared Hit Blocks"]) + int(node["Shared Read Blocks"])


def _finding(told: str) -> int:
    """Give the buffers that finding and locking the due rows read, without their UPDATE."""
    (found,) = [
        node
        for node in json.loads(told)[0]["Plan"]["Plans"]
        if node.get("Subplan Name") == "CTE found"
    ]
    return _blocks(found)


async def _add_and_end(mail_queue: Queue, count: int) -> None:
    """Queue `count` deliveries of the account and end them all: dead rows and index entries."""
    await mail_queue.pool.execute(
        """INSERT INTO mailproxy.deliveries (tenant_id, message_id, recipient_no, account_id,
                                             recipient, priority, due_at)
           SELECT $1, gen_random_uuid(), 0, $2, 'u@b.test', 30, now() - interval '1 hour'
           FROM generate_series(1, $3)""",
        mail_queue.tenant_id,
        mail_queue.account_id,
        count,
        timeout=100,
    )
    await mail_queue.pool.execute("DELETE FROM mailproxy.deliveries", timeout=100)


@asynccontextmanager
async def _old_snapshot(url: str) -> AsyncIterator[None]:
    """Somebody's long transaction, which keeps vacuum from removing anything."""
    link = await asyncpg.connect(url)
    transaction = link.transaction(isolation="repeatable_read")
    await transaction.start()
    await link.fetchval("SELECT count(*) FROM mailproxy.deliveries")
    try:
        yield
    finally:
        await transaction.rollback()
        await link.close()


@pytest.mark.timeout(180)
async def test_half_a_million_dead_entries_under_a_held_snapshot_cost_a_claim_nothing(
    database_url: str,
) -> None:
    async with queue.opened(database_url, timeout=100) as mail_queue:
        await mail_queue.submit_many(100)
        fresh, _ = await _explain(mail_queue, OPEN)
        await mail_queue.settle(await mail_queue.claim())
        async with _old_snapshot(database_url):
            await _add_and_end(mail_queue, DEAD)
            low = LowWater(timedelta(0))
            async with hot.connection(mail_queue.pool) as link:
                now, _ = await claim.next_due(link, mail_queue.tenant_id, "demo", OPEN)
            low.exhausted(now)
            await mail_queue.submit_many(100)
            bounded, plan = await _explain(mail_queue, low.bounds)
            unbounded, _ = await _explain(mail_queue, OPEN)
    assert "deliveries_due" in plan
    assert "Seq Scan" not in plan
    assert bounded <= 3 * fresh
    assert unbounded > 20 * bounded, "the control: without the bound the dead are read"


async def test_finding_what_is_due_reads_no_more_beside_what_is_scheduled(
    mail_queue: Queue,
) -> None:
    await mail_queue.submit_many(100)
    _, fresh = await _explain(mail_queue, OPEN)
    later = datetime.now(UTC) + timedelta(days=1)
    await mail_queue.pool.execute(
        """INSERT INTO mailproxy.deliveries (tenant_id, message_id, recipient_no, account_id,
                                             recipient, priority, due_at)
           SELECT $1, gen_random_uuid(), 0, $2, 'u@b.test', p, $3
           FROM generate_series(1, 10000), unnest('{10,20,30,40}'::smallint[]) p""",
        mail_queue.tenant_id,
        mail_queue.account_id,
        later,
    )
    _, full = await _explain(mail_queue, OPEN)
    assert "Seq Scan" not in full
    assert _finding(full) <= 1.2 * _finding(fresh)


async def test_a_row_that_commits_behind_the_bound_is_found_from_the_beginning(
    mail_queue: Queue,
) -> None:
    """What the sweep is for; that a lane sweeps is shown in tests/behaviour."""
    low = LowWater(timedelta(0))
    late = await asyncpg.connect(mail_queue.url)
    transaction = late.transaction()
    await transaction.start()
    from mailproxy_server.queue import enqueue

    await enqueue.insert(late, [mail_queue.message()])
    await mail_queue.submit_many(1)
    (first,) = await mail_queue.claim()
    async with hot.connection(mail_queue.pool) as link:
        low.exhausted((await claim.next_due(link, mail_queue.tenant_id, "demo", OPEN))[0])
    await transaction.commit()
    await late.close()
    assert await mail_queue.claim(bounds=low.bounds) == []
    low.reset()
    (second,) = await mail_queue.claim(bounds=low.bounds)
    assert second.message_id != first.message_id
