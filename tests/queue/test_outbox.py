"""The outbox: what an application's transaction commits is queued, exactly once."""

import asyncio

import asyncpg
from mailproxy_server.dispatcher.judging import Judge
from mailproxy_server.dispatcher.mover import Mover
from mailproxy_server.queue import enqueue, hot, outbox

from tests.support.eventually import eventually
from tests.support.outbox_desk import LARGEST, Desk, email
from tests.support.queue import until_one_waits


async def test_a_row_is_invisible_until_its_transaction_commits(desk: Desk) -> None:
    transaction = desk.app.transaction()
    await transaction.start()
    await desk.submit()
    assert await desk.move() == 0
    await transaction.commit()
    assert await desk.move() == 1
    assert await desk.queue.count("deliveries") == 1
    assert await desk.queue.count("outbox") == 0
    assert desk.told == [({f"{desk.queue.tenant_id}/demo"}, set())]


async def test_what_is_rolled_back_is_never_queued(desk: Desk) -> None:
    transaction = desk.app.transaction()
    await transaction.start()
    await desk.submit()
    await transaction.rollback()
    assert await desk.move() == 0
    assert await desk.queue.count("messages") == 0


async def test_an_open_transaction_holds_up_neither_the_mover_nor_queue_nor_reports(
    desk: Desk,
) -> None:
    """Its length does not matter: nobody waits for it. The storm keeps one open for minutes."""
    other = await asyncpg.connect(desk.queue.url)
    transaction = other.transaction()
    await transaction.start()
    await desk.submit(request_id="late", link=other)
    async with asyncio.timeout(5):
        for _ in range(3):
            await desk.submit()
            await desk.submit({})
            assert await desk.move() == 2
            assert await desk.queue.settle(await desk.queue.claim()) == 1
    assert len(await desk.queue.reports()) == 6
    await transaction.commit()
    await other.close()
    assert await desk.move_late() == 1
    assert await desk.queue.count("messages") == 4


async def test_rows_are_sent_in_the_order_of_their_numbers(desk: Desk) -> None:
    for number in range(60):
        await desk.submit(email(to=[{"address": f"u{number}@b.test"}]), f"{-number}")
    await desk.move()
    claimed = await desk.queue.claim()
    assert [row.recipient for row in claimed] == [f"u{number}@b.test" for number in range(60)]


async def test_movers_side_by_side_queue_each_row_once(desk: Desk) -> None:
    for number in range(1200):
        await desk.submit(request_id=f"order-{number}" if number % 2 else None)

    async def drain(mover: Mover) -> None:
        while await mover.move():
            pass

    await asyncio.gather(*(drain(desk.another_mover()) for _ in range(4)))
    assert await desk.queue.count("messages") == await desk.queue.count("deliveries") == 1200
    assert await desk.queue.count("outbox") == 0


async def _seen_by_two(desk: Desk, statement: str) -> list[int]:
    """How many of one row each of two movers sees, while the first one is at it."""
    await desk.submit()
    async with (
        hot.connection(desk.queue.pool) as one,
        hot.connection(desk.queue.pool) as two,
        one.transaction(),
        two.transaction(),
    ):
        first = await outbox.take(one, 9, LARGEST, statement=statement)
        return [len(first), len(await outbox.take(two, 9, LARGEST, statement=statement))]


async def test_a_row_that_one_mover_has_is_passed_over_by_another(desk: Desk) -> None:
    assert await _seen_by_two(desk, outbox.TAKE) == [1, 0]


async def test_control_without_the_lock_two_movers_have_one_row(desk: Desk) -> None:
    unlocked = outbox.TAKE.replace("FOR UPDATE SKIP LOCKED", "")
    assert await _seen_by_two(desk, unlocked) == [1, 1]


async def test_a_mover_that_dies_between_queueing_and_removing_has_done_neither(
    desk: Desk,
) -> None:
    """One bad row among good ones makes it wait for the head that somebody holds; so it dies."""
    for _ in range(3):
        await desk.submit()
    await desk.submit({})
    async with desk.app.transaction():
        await desk.app.execute("SELECT 1 FROM mailproxy.report_heads FOR UPDATE")
        moving = asyncio.create_task(desk.mover.move())
        await until_one_waits(desk.queue)
        killed = await desk.app.fetchval(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE wait_event_type = 'Lock' AND datname = current_database()"""
        )
        assert killed
        await asyncio.wait([moving])
    assert moving.exception() is not None
    assert await desk.queue.count("messages") == 0
    assert await desk.queue.count("outbox") == 4
    assert await desk.move() == 4
    assert await desk.queue.count("messages") == 3
    assert await desk.queue.count("outbox") == 1


async def test_control_in_two_transactions_a_death_between_them_queues_twice(desk: Desk) -> None:
    await desk.submit()
    async with hot.connection(desk.queue.pool) as link:
        rows = await outbox.take(link, 9, LARGEST)
        judged = await Judge(link, LARGEST, lambda *_: None).all(rows)
        await enqueue.take(link, [message for _, message in judged.accepted])
        # and here it dies, before it has removed them
    await desk.move()
    assert await desk.queue.count("messages") == 2


async def test_a_repeated_request_id_queues_once_and_another_content_is_refused(
    desk: Desk,
) -> None:
    await desk.submit(request_id="order-1")
    await desk.submit(request_id="order-1")
    assert await desk.move() == 2
    await desk.submit(request_id="order-1")
    await desk.submit(email(subject="Another"), request_id="order-1")
    assert await desk.move() == 2
    assert await desk.queue.count("messages") == 1
    ((field, error),) = await desk.refused()
    assert field == "request_id"
    assert "email.composed.subject" in error


async def test_a_dispatcher_that_runs_waits_for_a_database_that_was_away(desk: Desk) -> None:
    running = asyncio.create_task(desk.mover.run())
    await desk.app.execute(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND pid <> pg_backend_pid()"""
    )
    await desk.submit()
    await eventually(lambda: desk.told, "the row is moved")
    running.cancel()
    await asyncio.wait([running])
