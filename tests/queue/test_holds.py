"""Deliveries follow the pauses of labels, also those that slipped by when one began or ended."""

import asyncio
import json
from dataclasses import replace
from uuid import UUID

from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.queue import enqueue, holds, hot, pauses
from mailproxy_server.queue.enqueue import NewMessage
from mailproxy_server.queue.pauses import Paused

from tests.support.queue import Queue

NEWS = Paused(labels={"kind": "news"})
AGAIN = Outcome.deferred(Reason.RELAY_UNREACHABLE, 0.0)


def labelled(queue: Queue, **labels: str) -> NewMessage:
    return replace(queue.message(), labels=json.dumps(labels))


async def submit(queue: Queue, count: int, **labels: str) -> list[UUID]:
    return [(await queue.submit(labelled(queue, **labels))).message_id for _ in range(count)]


async def begin(queue: Queue, paused: Paused = NEWS) -> None:
    async with hot.connection(queue.pool) as link:
        await pauses.begin(link, queue.tenant_id, paused, "")


async def end(queue: Queue, paused: Paused = NEWS) -> None:
    async with hot.connection(queue.pool) as link:
        await pauses.end(link, queue.tenant_id, paused)


async def follow(queue: Queue, again: float = 0, sure: float = 0) -> None:
    async with hot.connection(queue.pool) as link:
        await holds.follow(link, again, sure)


async def test_what_matches_is_held_and_freed_with_its_due_time(mail_queue: Queue) -> None:
    news = await submit(mail_queue, 3, kind="news", issue="7")
    code = await submit(mail_queue, 1, kind="code")
    due = [row[:2] for row in await _deliveries(mail_queue)]
    async with hot.connection(mail_queue.pool) as link:
        assert await holds.hold(link, mail_queue.tenant_id, NEWS) == (3, 0)
        assert [row.message_id for row in await mail_queue.claim()] == code
        assert await holds.free(link, mail_queue.tenant_id, NEWS) == 3
    assert [row[:2] for row in await _deliveries(mail_queue)] == due
    assert [row.message_id for row in await mail_queue.claim()] == news


async def test_what_is_under_way_is_held_when_it_comes_back(mail_queue: Queue) -> None:
    await submit(mail_queue, 2, kind="news")
    rows = await mail_queue.claim()
    async with hot.connection(mail_queue.pool) as link:
        assert await holds.hold(link, mail_queue.tenant_id, NEWS) == (0, 2)
    assert await mail_queue.settle(rows, AGAIN) == 2
    assert await mail_queue.claim() == []


async def test_control_held_only_while_queued_it_comes_back_and_goes_on(mail_queue: Queue) -> None:
    await submit(mail_queue, 2, kind="news")
    rows = await mail_queue.claim()
    async with hot.connection(mail_queue.pool) as link:
        await holds.hold(link, mail_queue.tenant_id, NEWS, also="d.worker_id IS NULL")
    assert await mail_queue.settle(rows, AGAIN) == 2
    assert len(await mail_queue.claim()) == 2


async def test_what_was_being_taken_in_meanwhile_is_held_by_who_looks_again(
    mail_queue: Queue,
) -> None:
    async with hot.connection(mail_queue.pool) as link:
        transaction = link.transaction()
        await transaction.start()
        await enqueue.insert(link, [labelled(mail_queue, kind="news")])
        await begin(mail_queue)
        async with hot.connection(mail_queue.pool) as other:
            assert await holds.hold(other, mail_queue.tenant_id, NEWS) == (0, 0)
        await transaction.commit()
    assert await _held(mail_queue) == 0, "it slipped by"
    await follow(mail_queue)
    assert await _held(mail_queue) == 1


async def test_what_was_being_taken_in_when_a_pause_ended_is_freed_by_who_looks_again(
    mail_queue: Queue,
) -> None:
    await begin(mail_queue)
    async with hot.connection(mail_queue.pool) as link:
        transaction = link.transaction()
        await transaction.start()
        await enqueue.insert(link, [labelled(mail_queue, kind="news")])
        await end(mail_queue)
        async with hot.connection(mail_queue.pool) as other:
            assert await holds.free(other, mail_queue.tenant_id, NEWS) == 0
        await transaction.commit()
    assert await mail_queue.claim() == [], "it would be held for ever"
    await follow(mail_queue)
    assert len(await mail_queue.claim()) == 1


async def test_a_change_is_seen_to_until_nothing_from_before_it_can_be_left(
    mail_queue: Queue,
) -> None:
    await begin(mail_queue)
    await follow(mail_queue, again=15, sure=0)
    assert await mail_queue.count("pause_changes") == 1, "the front that made it sees to it"
    await _age(mail_queue, "looked_at")
    await follow(mail_queue, again=15, sure=60)
    assert await mail_queue.count("pause_changes") == 1, "but it is too young to be done with"
    await _age(mail_queue, "looked_at")
    await _age(mail_queue, "changed_at")
    await follow(mail_queue, again=15, sure=60)
    assert await mail_queue.count("pause_changes") == 0


async def test_a_change_that_is_made_anew_meanwhile_is_not_done_with(mail_queue: Queue) -> None:
    await submit(mail_queue, 1, kind="news")
    await begin(mail_queue)
    await end(mail_queue)
    await begin(mail_queue)
    await _age(mail_queue, "looked_at")
    await follow(mail_queue, again=15, sure=60)
    assert await _held(mail_queue) == 1
    await end(mail_queue)
    await follow(mail_queue)
    assert (await _held(mail_queue), await mail_queue.count("pause_changes")) == (0, 0)


async def test_many_see_to_one_change_once(mail_queue: Queue) -> None:
    await begin(mail_queue)
    await _age(mail_queue, "looked_at")
    async with hot.connection(mail_queue.pool) as link:
        taken = [await link.fetchrow(holds.TAKE, 15.0, 60.0) for _ in range(3)]
    assert [row is not None for row in taken] == [True, False, False]


async def test_a_pause_of_an_account_rewrites_no_delivery_and_ends_with_new_bounds(
    mail_queue: Queue,
) -> None:
    await submit(mail_queue, 2, kind="news")
    before = await _deliveries(mail_queue)
    await begin(mail_queue, Paused("demo"))
    await end(mail_queue, Paused("demo"))
    assert await _deliveries(mail_queue) == before
    assert await mail_queue.count("pause_changes") == 0


async def test_an_account_s_labels_are_held_there_alone(mail_queue: Queue) -> None:
    await submit(mail_queue, 1, kind="news")
    await mail_queue.submit(replace(labelled(mail_queue, kind="news"), account_id="other"))
    async with hot.connection(mail_queue.pool) as link:
        here = Paused("other", {"kind": "news"})
        assert await holds.hold(link, mail_queue.tenant_id, here) == (1, 0)
    assert len(await mail_queue.claim()) == 1


async def test_holding_and_settling_side_by_side_do_not_deadlock(mail_queue: Queue) -> None:
    await submit(mail_queue, 60, kind="news")

    async def work() -> None:
        for _ in range(10):
            if rows := await mail_queue.claim(20):
                await mail_queue.settle(rows, AGAIN)

    async def hold_and_free() -> None:
        async with hot.connection(mail_queue.pool) as link:
            for _ in range(20):
                await holds.hold(link, mail_queue.tenant_id, NEWS)
                await holds.free(link, mail_queue.tenant_id, NEWS)

    async with asyncio.timeout(60):
        await asyncio.gather(work(), work(), hold_and_free(), hold_and_free())
    async with hot.connection(mail_queue.pool) as link:
        await holds.free(link, mail_queue.tenant_id, NEWS)
    assert len(await mail_queue.claim()) == 60


async def _deliveries(queue: Queue) -> list[tuple[object, ...]]:
    rows = await queue.pool.fetch(
        "SELECT message_id, due_at, held, xmin::text FROM mailproxy.deliveries ORDER BY 1"
    )
    return [tuple(row) for row in rows]


async def _held(queue: Queue) -> int:
    found: int = await queue.pool.fetchval("SELECT count(*) FROM mailproxy.deliveries WHERE held")
    return found


async def _age(queue: Queue, column: str) -> None:
    await queue.pool.execute(
        f"UPDATE mailproxy.pause_changes SET {column} = {column} - interval '2 minutes'"
    )
