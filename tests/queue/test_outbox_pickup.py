"""How soon a row is taken: at its commit's notification, else by the poll, whatever is open."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg
import pytest
from mailproxy_server.dispatcher.mover import Mover
from mailproxy_server.queue import hot, outbox
from mailproxy_server.queue.wake import Ear

from tests.queue.test_plans import scanned
from tests.support.eventually import eventually
from tests.support.outbox_desk import EMAIL, Desk

NEVER = 3600.0
MANY = 20_000


@asynccontextmanager
async def running(desk: Desk, mover: Mover, *, ear: bool) -> AsyncIterator[None]:
    """Let a mover run, with what hears notifications or without."""
    heard = asyncio.Event()

    def hint(lines: Sequence[str]) -> None:
        mover.hint(lines)
        heard.set()

    works = [mover.run()]
    if ear:
        works.append(Ear(desk.queue.url, desk.queue.pool, {outbox.CHANNEL: hint}).run())
    tasks = [asyncio.create_task(work) for work in works]
    try:
        if ear:
            await heard.wait()
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_a_notification_at_commit_has_the_row_taken_within_milliseconds(desk: Desk) -> None:
    took = []
    async with running(desk, desk.another_mover(NEVER), ear=True):
        for _ in range(20):
            desk.told.clear()
            await desk.submit()
            began = time.monotonic()
            await eventually(lambda: desk.told, "the row is moved")
            took.append(time.monotonic() - began)
    assert sorted(took)[10] < 0.1, "half of them; a poll would take an hour"


async def test_a_plain_insert_is_found_by_the_poll_alone(desk: Desk) -> None:
    async with running(desk, desk.another_mover(0.05), ear=False):
        await desk.insert(1)
        await eventually(lambda: desk.told, "the row is moved")


async def test_control_without_poll_and_notification_a_row_waits(desk: Desk) -> None:
    async with running(desk, desk.another_mover(NEVER), ear=False):
        waited = False
        for _ in range(5):  # the mover may just have been looking
            before = len(desk.told)
            await desk.insert(1)
            await asyncio.sleep(0.2)
            waited = waited or len(desk.told) == before
    assert waited


async def test_one_transaction_notifies_once_however_many_rows_it_has(desk: Desk) -> None:
    heard: list[object] = []
    listener = await asyncpg.connect(desk.queue.url)
    await listener.add_listener(outbox.CHANNEL, lambda *given: heard.append(given[3]))
    async with desk.app.transaction():
        for _ in range(100):
            await desk.submit()
    await eventually(lambda: heard, "the notification")
    await listener.fetch("SELECT 1")
    await listener.close()
    assert heard == [""]


async def test_a_row_committed_after_later_ones_is_taken_at_its_notification(desk: Desk) -> None:
    late = await asyncpg.connect(desk.queue.url)
    async with running(desk, desk.another_mover(NEVER), ear=True):
        transaction = late.transaction()
        await transaction.start()
        await desk.submit(link=late)
        await desk.submit()
        await eventually(lambda: desk.told, "the later one is moved")
        await transaction.commit()
        await eventually(lambda: len(desk.told) == 2, "the late one is moved", seconds=20)
    await late.close()


async def _buffers(desk: Desk, after: int) -> int:
    """Pages that a look past `after` reads, when there is nothing."""
    async with hot.connection(desk.queue.pool) as link:
        plan = await link.fetchval(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {outbox.ANY}",
            after,
        )
    root = json.loads(plan)[0]["Plan"]
    return int(root["Shared Hit Blocks"] + root["Shared Read Blocks"])


async def test_what_was_moved_costs_nothing_while_a_long_transaction_keeps_it(desk: Desk) -> None:
    """And the control arm: looked for from the beginning, it costs more with each row."""
    held = await asyncpg.connect(desk.queue.url)
    transaction = held.transaction()
    await transaction.start()
    await desk.submit(link=held)
    await desk.insert(MANY)
    assert await desk.move() == MANY
    assert await _buffers(desk, desk.mover.newest) < 20
    assert await _buffers(desk, 0) > 100
    await transaction.rollback()
    await held.close()


@pytest.mark.parametrize("statement", [outbox.ANY, outbox.TAKE])
async def test_its_rows_are_found_by_their_index(desk: Desk, statement: str) -> None:
    await desk.insert(100, EMAIL)
    arguments: list[object] = [0] if statement == outbox.ANY else [500, 9, None, 9, 0, 9]
    async with hot.connection(desk.queue.pool) as link:
        plan = await link.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *arguments)
    assert scanned(plan) == set()
    assert "outbox_waiting" in plan
