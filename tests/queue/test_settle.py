"""Settling: exactly one outcome a claim, offsets without a gap, in the order of commits."""

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import asyncpg
import pytest
from mailproxy_server.mail.delivery import Event, Outcome, Reason
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.mail.transcript import Exchange, Reply, Stage, Transcript
from mailproxy_server.queue import claim, hot, settle
from mailproxy_server.queue.append import HEADS
from mailproxy_server.queue.settle import Settlement

from tests.support.queue import (
    OPEN,
    SENT,
    Queue,
    add_tenant,
    until_ended_or_waiting,
    until_one_waits,
)

INTERRUPTED = Outcome.deferred(Reason.INTERRUPTED, 0.0, possible_duplicate=True)


async def test_a_final_outcome_leaves_the_queue_and_enters_the_log(mail_queue: Queue) -> None:
    taken = await mail_queue.submit(mail_queue.message())
    (row,) = await mail_queue.claim()
    said = Exchange(Stage.DOT, ".", Reply(250, "2.0.0", "queued"), 12)
    settlement = Settlement(row, SENT, transcript=Transcript("relay.test:25", (said,)))
    async with hot.connection(mail_queue.pool) as link:
        await settle.settle(link, mail_queue.worker_id, [settlement])
    assert await mail_queue.count("deliveries") == 0
    (report,) = await mail_queue.reports()
    assert (report.log_offset, report.message_id, report.event) == (
        1,
        taken.message_id,
        Event.SENT,
    )
    assert (report.attempt, report.relay_host) == (1, "relay.test:25")
    assert (report.reply_code, report.relay_message_id) == (250, "id-of-the-relay")


async def test_a_deferred_one_is_due_again_and_doubt_is_remembered(mail_queue: Queue) -> None:
    await mail_queue.submit_many(1)
    rows = await mail_queue.claim()
    unknown = Outcome.deferred(Reason.OUTCOME_UNKNOWN, 0.0, possible_duplicate=True)
    await mail_queue.settle(rows, unknown)
    (again,) = await mail_queue.claim()
    assert (again.attempts, again.doubtful) == (1, True)
    await mail_queue.settle([again])
    first, second = await mail_queue.reports()
    assert (first.event, second.event) == (Event.DEFERRED, Event.SENT)
    assert (second.attempt, second.possible_duplicate) == (2, True)


async def _settle_after_rescue(mail_queue: Queue, sql: str) -> list[int]:
    """A worker stalls, its delivery is rescued and claimed by another, then it settles late."""
    await mail_queue.submit_many(1)
    late = await mail_queue.claim()
    successor = uuid4()
    async with hot.connection(mail_queue.pool) as link:
        taken = await claim.take_over(link, mail_queue.worker_id, successor, 10)
    await mail_queue.settle(taken, INTERRUPTED, worker_id=successor)
    current = await mail_queue.claim(worker_id=successor)
    await mail_queue.settle(late, sql=sql)
    await mail_queue.settle(current, worker_id=successor)
    return [report.event for report in await mail_queue.reports()]


async def test_a_late_settlement_is_fenced_off(mail_queue: Queue) -> None:
    events = await _settle_after_rescue(mail_queue, settle.SETTLE)
    assert events == [Event.DEFERRED, Event.SENT]


async def test_control_without_the_fence_the_late_one_takes_the_place(mail_queue: Queue) -> None:
    """The delivery that somebody is sending vanishes under him, and his outcome is lost."""
    unfenced = settle.statement(fence="$1::uuid IS NOT NULL")
    events = await _settle_after_rescue(mail_queue, unfenced)
    assert events == [Event.DEFERRED, Event.SENT]
    (_, sent) = await mail_queue.reports()
    assert sent.attempt == 1, "the late one's report; the second attempt's is missing"


async def test_offsets_have_no_gap_with_six_writers_and_twenty_tenants(mail_queue: Queue) -> None:
    tenants = [await add_tenant(mail_queue.pool, f"t{number}") for number in range(20)]
    claimed = await _claimed_of(mail_queue, tenants, each=30)
    batches = [claimed[start::60] for start in range(60)]
    gate = asyncio.Semaphore(6)

    async def write(batch: list[claim.Claimed]) -> None:
        async with gate:
            await mail_queue.settle(batch)

    await asyncio.gather(*map(write, batches))
    rows = await mail_queue.pool.fetch(
        """SELECT tenant_id, count(*), min(log_offset), max(log_offset),
                  count(DISTINCT log_offset) AS distinct_offsets
           FROM mailproxy.report_log GROUP BY tenant_id"""
    )
    assert [tuple(row)[1:] for row in rows] == [(30, 1, 30, 30)] * 20


async def _claimed_of(mail_queue: Queue, tenants: list[UUID], each: int) -> list[claim.Claimed]:
    rows: list[claim.Claimed] = []
    for tenant_id in tenants:
        messages = [replace(mail_queue.message(), tenant_id=tenant_id) for _ in range(each)]
        await mail_queue.intake.submit_all(messages)
        async with hot.connection(mail_queue.pool) as link:
            got = await claim.claim(link, tenant_id, "demo", mail_queue.worker_id, OPEN, each)
        assert got
        rows += got.rows
    return rows


async def _settle_two_tenants_beside(mail_queue: Queue, sql: str) -> None:
    """Somebody holds the first head and then wants the second, while a settle wants both."""
    first, second = sorted(
        [await add_tenant(mail_queue.pool, "one"), await add_tenant(mail_queue.pool, "two")],
        key=lambda tenant: tenant.bytes,
    )
    rows = await _claimed_of(mail_queue, [first, second], each=1)
    lock = "SELECT 1 FROM mailproxy.report_heads WHERE tenant_id = $1 FOR NO KEY UPDATE"
    async with hot.connection(mail_queue.pool) as link, link.transaction():
        await link.execute("SET LOCAL deadlock_timeout = '10s'")  # the settle is the victim
        await link.execute(lock, first)
        settling = asyncio.create_task(mail_queue.settle(rows, sql=sql))
        await until_one_waits(mail_queue)
        await link.execute(lock, second)
    await settling


async def test_heads_are_locked_in_order_so_that_writers_never_deadlock(mail_queue: Queue) -> None:
    await _settle_two_tenants_beside(mail_queue, settle.SETTLE)
    assert await mail_queue.count("report_log") == 2


async def test_control_without_the_ordered_lock_writers_deadlock(mail_queue: Queue) -> None:
    unordered = settle.statement(heads=HEADS.replace("ORDER BY tenant_id", "ORDER BY 1 DESC"))
    assert unordered != settle.SETTLE
    with pytest.raises(Unavailable) as caught:
        await _settle_two_tenants_beside(mail_queue, unordered)
    assert isinstance(caught.value.__cause__, asyncpg.DeadlockDetectedError)


async def _read_while_a_settle_is_open(mail_queue: Queue, sql: str) -> list[int]:
    """A settle pauses before its commit while a second one runs: what does a reader see?"""
    await mail_queue.submit_many(2)
    one, two = await mail_queue.claim()
    async with hot.connection(mail_queue.pool) as link:
        async with link.transaction():
            await settle.settle(link, mail_queue.worker_id, [Settlement(one, SENT)], sql)
            second = asyncio.create_task(mail_queue.settle([two], sql=sql))
            await until_ended_or_waiting(second, mail_queue)
            seen = [report.log_offset for report in await mail_queue.reports()]
        await second
    return seen


async def test_a_reader_never_sees_an_offset_before_its_predecessors(mail_queue: Queue) -> None:
    assert await _read_while_a_settle_is_open(mail_queue, settle.SETTLE) == []


async def test_control_with_a_bare_sequence_a_reader_skips_a_report(mail_queue: Queue) -> None:
    await mail_queue.pool.execute("CREATE SEQUENCE mailproxy.bare")
    start = settle.SETTLE.index("raised AS (")
    end = settle.SETTLE.index("INSERT INTO mailproxy.report_log")
    bare = (
        settle.SETTLE[:start].replace(HEADS, "SELECT 1")
        + """raised AS (SELECT tenant_id, nextval('mailproxy.bare') - 1 AS base,
                    clock_timestamp() AS last_at FROM events)\n"""
        + settle.SETTLE[end:]
    )
    assert await _read_while_a_settle_is_open(mail_queue, bare) == [2]
