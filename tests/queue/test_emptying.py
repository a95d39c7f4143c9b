"""Contents go when they need not be kept as long as their messages; never one still needed."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from mailproxy_server.dispatcher.custodian import Custodian, Kept
from mailproxy_server.queue import emptying, hot
from mailproxy_server.queue.requeue import ContentGone

from tests.support.aged import (
    DAY,
    DEFERRED,
    FAILED,
    add_account,
    again,
    attempt,
    content_of,
    finish,
    submit,
)  # fmt: skip
from tests.support.queue import Queue, until_one_waits

HOUR = timedelta(hours=1)
FULL, GONE = b"content", b""


async def step(mail_queue: Queue, kept: timedelta = timedelta(0)) -> tuple[int, bool]:
    async with hot.connection(mail_queue.pool) as link:
        return await emptying.empty(link, mail_queue.tenant_id, kept.total_seconds())


async def test_a_content_goes_when_it_was_kept_for_long_enough(mail_queue: Queue) -> None:
    old = await finish(mail_queue, 3 * HOUR)
    young = await finish(mail_queue, 1 * HOUR)
    assert await step(mail_queue, 2 * HOUR) == (1, False)
    assert await content_of(mail_queue, old) == GONE
    assert await content_of(mail_queue, young) == FULL
    assert await step(mail_queue) == (1, False)
    assert await content_of(mail_queue, young) == GONE


async def test_what_any_recipient_still_waits_for_stays(mail_queue: Queue) -> None:
    message_id = await submit(mail_queue, 0 * DAY, ("a@b.test", "c@b.test"))
    deferred, claimed = await mail_queue.claim()
    await mail_queue.settle([deferred], DEFERRED)
    await mail_queue.settle([claimed])
    assert await step(mail_queue) == (0, False)
    assert await content_of(mail_queue, message_id) == FULL
    await mail_queue.pool.execute("UPDATE mailproxy.deliveries SET due_at = now()")
    await attempt(mail_queue)
    assert await step(mail_queue) == (1, False)
    assert await content_of(mail_queue, message_id) == GONE


async def test_a_message_goes_by_its_newest_final_report(mail_queue: Queue) -> None:
    message_id = await submit(mail_queue, 3 * HOUR, ("a@b.test", "c@b.test"))
    await attempt(mail_queue, 3 * HOUR, limit=1)
    await attempt(mail_queue, 1 * HOUR)
    assert await step(mail_queue, 2 * HOUR) == (0, False)
    assert await content_of(mail_queue, message_id) == FULL
    assert await step(mail_queue, HOUR / 2) == (1, False)
    assert await content_of(mail_queue, message_id) == GONE


async def test_each_report_is_looked_at_once_in_steps(
    mail_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emptying, "BATCH", 3)
    await mail_queue.submit_many(7)
    await attempt(mail_queue)
    assert [await step(mail_queue) for _ in range(4)] == [
        (3, True),
        (3, True),
        (1, False),
        (0, False),
    ]
    async with hot.connection(mail_queue.pool) as link:
        assert await emptying.behind(link) == []
    monkeypatch.setattr(emptying, "OCTETS", 2 * len(FULL))
    await mail_queue.submit_many(3)
    await attempt(mail_queue)
    assert [await step(mail_queue) for _ in range(2)] == [(2, True), (1, False)]


async def test_dropped_days_do_not_stop_it(mail_queue: Queue) -> None:
    first = await finish(mail_queue, 40 * DAY)
    await mail_queue.pool.execute("DELETE FROM mailproxy.report_log")
    second = await finish(mail_queue, 0 * DAY)
    assert await step(mail_queue) == (1, False)
    assert await content_of(mail_queue, first) == FULL, "it goes with its message"
    assert await content_of(mail_queue, second) == GONE


async def test_an_emptied_message_cannot_be_brought_back(mail_queue: Queue) -> None:
    await add_account(mail_queue)
    message_id = await submit(mail_queue, 0 * DAY)
    await attempt(mail_queue, outcome=FAILED)
    await step(mail_queue)
    with pytest.raises(ContentGone):
        await again(mail_queue, message_id)
    assert await mail_queue.count("deliveries") == 0


async def heedless(mail_queue: Queue) -> None:
    """Empty what is over in one statement, without a lock before it."""
    await mail_queue.pool.execute(
        """UPDATE mailproxy.messages m SET content = '' WHERE NOT EXISTS (
             SELECT 1 FROM mailproxy.deliveries d WHERE d.message_id = m.message_id)"""
    )


async def _emptied_while_requeued(
    mail_queue: Queue, emptying_by: Callable[[Queue], Coroutine[Any, Any, Any]]
) -> bytes | None:
    await add_account(mail_queue)
    message_id = await submit(mail_queue, 0 * DAY)
    await attempt(mail_queue, outcome=FAILED)
    async with mail_queue.pool.acquire() as link:
        async with link.transaction():
            assert await again(mail_queue, message_id, link) == ["demo"]
            emptied = asyncio.create_task(emptying_by(mail_queue))
            await until_one_waits(mail_queue)
        await emptied
    assert await mail_queue.count("deliveries") == 1
    return await content_of(mail_queue, message_id)


async def test_a_message_that_is_being_requeued_keeps_its_content(mail_queue: Queue) -> None:
    assert await _emptied_while_requeued(mail_queue, step) == FULL


async def test_control_without_the_lock_it_is_lost(mail_queue: Queue) -> None:
    """The one statement waits for the row, and still judges by what was before it waited."""
    assert await _emptied_while_requeued(mail_queue, heedless) == GONE


async def test_a_message_that_was_changed_while_it_was_waited_for_is_emptied(
    mail_queue: Queue,
) -> None:
    message_id = await finish(mail_queue, 0 * DAY)
    async with mail_queue.pool.acquire() as link:
        async with link.transaction():
            await link.execute("UPDATE mailproxy.messages SET expire_at = now()")
            emptied = asyncio.create_task(step(mail_queue))
            await until_one_waits(mail_queue)
        assert await emptied == (1, False)
    assert await content_of(mail_queue, message_id) == GONE


async def test_at_once_is_within_seconds_by_the_custodians_of_two_replicas(
    mail_queue: Queue,
) -> None:
    kept = Kept(30, 30, content_seconds=0)
    both = [Custodian(mail_queue.pool, mail_queue.url, kept, lambda *_: None) for _ in range(2)]
    running = [asyncio.create_task(one.run()) for one in both]
    try:
        for _ in range(3):
            await mail_queue.submit_many(20)
            await attempt(mail_queue)
            live = await submit(mail_queue, 0 * DAY)
            async with asyncio.timeout(10):
                while await _full(mail_queue) != {live}:
                    await asyncio.sleep(0.05)
            await attempt(mail_queue)
    finally:
        for one in running:
            one.cancel()
        await asyncio.wait(running)
    assert all(one.cancelled() for one in running)


async def _full(mail_queue: Queue) -> set[UUID]:
    rows = await mail_queue.pool.fetch(
        "SELECT message_id FROM mailproxy.messages WHERE content <> ''"
    )
    return {row[0] for row in rows}
