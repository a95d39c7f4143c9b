"""Claiming: in order, never twice, at a cost that does not depend on what else is there."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.queue import claim, hot

from tests.support.queue import OPEN, Queue, until_ended_or_waiting

UNLOCKED = claim.CLAIM.replace("FOR UPDATE SKIP LOCKED", "").replace("ctid", "message_id")
"""A claim by key that locks nothing: who waits for the first one's commit takes the same rows."""


async def test_priority_goes_first_then_due_time_then_submission(mail_queue: Queue) -> None:
    earlier = datetime.now(UTC) - timedelta(minutes=1)
    low = await mail_queue.submit(mail_queue.message(priority=40))
    first = await mail_queue.submit(mail_queue.message())
    second = await mail_queue.submit(mail_queue.message())
    urgent = await mail_queue.submit(mail_queue.message(priority=10))
    await mail_queue.pool.execute(
        "UPDATE mailproxy.deliveries SET due_at = $2 WHERE message_id = $1",
        second.message_id,
        earlier,
    )
    rows = await mail_queue.claim()
    assert [row.message_id for row in rows] == [
        urgent.message_id,
        second.message_id,
        first.message_id,
        low.message_id,
    ]


async def test_a_claim_takes_no_more_than_its_limit_and_the_most_urgent(mail_queue: Queue) -> None:
    await mail_queue.submit_many(5, priority=40)
    await mail_queue.submit_many(2, priority=10)
    rows = await mail_queue.claim(limit=3)
    assert [row.priority for row in rows] == [10, 10, 40]


async def test_what_is_scheduled_is_not_claimed_before_its_time(mail_queue: Queue) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    await mail_queue.submit(mail_queue.message(send_at=later))
    assert await mail_queue.claim() == []
    async with hot.connection(mail_queue.pool) as link:
        now, due_at = await claim.next_due(link, mail_queue.tenant_id, "demo", OPEN)
    assert due_at == later
    assert now < later


async def test_two_claims_at_once_share_and_take_nothing_twice(mail_queue: Queue) -> None:
    await mail_queue.submit_many(500)
    claims = await asyncio.gather(*(mail_queue.claim(70, worker_id=uuid4()) for _ in range(8)))
    taken = [row.message_id for rows in claims for row in rows]
    assert len(taken) == len(set(taken)) == 500


async def _claim_while_another_is_open(mail_queue: Queue, sql: str) -> tuple[int, int]:
    """One claim pauses before its commit while a second one runs: how many did each take?"""
    await mail_queue.submit_many(10)
    async with hot.connection(mail_queue.pool) as link:
        async with link.transaction():
            first = await mail_queue.claim(10, link=link, sql=sql)
            second = asyncio.create_task(mail_queue.claim(10, worker_id=uuid4(), sql=sql))
            await until_ended_or_waiting(second, mail_queue)
        return len(first), len(await second)


async def test_a_second_claim_skips_what_an_open_one_has_locked(mail_queue: Queue) -> None:
    assert await _claim_while_another_is_open(mail_queue, claim.CLAIM) == (10, 0)


async def test_control_without_the_claim_lock_both_take_everything(mail_queue: Queue) -> None:
    assert await _claim_while_another_is_open(mail_queue, UNLOCKED) == (10, 10)


async def test_a_released_delivery_comes_back_as_it_was(mail_queue: Queue) -> None:
    await mail_queue.submit_many(1)
    (row,) = await mail_queue.claim()
    async with hot.connection(mail_queue.pool) as link:
        await claim.release(link, mail_queue.worker_id, [row])
    (again,) = await mail_queue.claim()
    assert (again.due_at, again.attempts) == (row.due_at, row.attempts)
    assert again.claim_no == row.claim_no + 1
    assert await mail_queue.reports() == []


async def test_a_release_of_what_somebody_else_holds_changes_nothing(mail_queue: Queue) -> None:
    await mail_queue.submit_many(1)
    (row,) = await mail_queue.claim()
    successor = uuid4()
    async with hot.connection(mail_queue.pool) as link:
        (taken,) = await claim.take_over(link, mail_queue.worker_id, successor, 10)
        await claim.release(link, mail_queue.worker_id, [row])
    assert await mail_queue.claim() == []
    outcome = Outcome.deferred(Reason.INTERRUPTED, 0.0, possible_duplicate=True)
    assert await mail_queue.settle([taken], outcome, worker_id=successor) == 1
