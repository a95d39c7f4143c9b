"""Days of reports go when they are over: without anybody waiting, and never one that is needed."""

import asyncio
import time
from dataclasses import replace
from datetime import date
from uuid import UUID

import pytest
from mailproxy_server.dispatcher.custodian import Custodian, Kept
from mailproxy_server.queue import days, hot, retention
from mailproxy_server.queue.retention import Day, Fate, Place

from tests.support.aged import (
    DAY,
    DEFERRED,
    FAILED,
    add_account,
    again,
    attempt,
    dropping,
    finish,
    submit,
    today,
)
from tests.support.queue import Queue, add_tenant

OLD = 40 * DAY


async def over(mail_queue: Queue) -> list[Day]:
    async with hot.connection(mail_queue.pool) as link:
        return await retention.over(link, today() - 30 * DAY)


async def drop(mail_queue: Queue, needed: retention.Needed = retention.needed) -> list[Fate]:
    """Make a round as the custodian does, with another check where a test wants one."""
    fates: list[Fate] = []
    async with dropping(mail_queue.url) as link:
        for old in await over(mail_queue):
            fates.append(await retention.drop(link, old, needed))
            if fates[-1] is not Fate.DROPPED:
                break
    return fates


async def offsets(mail_queue: Queue) -> list[int]:
    return [report.log_offset for report in await mail_queue.reports()]


async def test_days_that_are_over_go_and_the_others_stay_without_a_gap(mail_queue: Queue) -> None:
    for age in (OLD, OLD - DAY, 29 * DAY, 0 * DAY):
        await finish(mail_queue, age)
    assert set(await drop(mail_queue)) == {Fate.DROPPED}
    assert await offsets(mail_queue) == [3, 4]
    assert await over(mail_queue) == []


async def test_a_day_stays_while_a_message_it_speaks_of_is_under_way(mail_queue: Queue) -> None:
    await submit(mail_queue, OLD)
    await attempt(mail_queue, OLD, DEFERRED)
    await mail_queue.pool.execute("UPDATE mailproxy.deliveries SET due_at = now()")
    assert (await drop(mail_queue))[-1] is Fate.NEEDED
    assert await offsets(mail_queue) == [1]
    await attempt(mail_queue)
    assert set(await drop(mail_queue)) == {Fate.DROPPED}
    assert await offsets(mail_queue) == [2]


async def test_control_without_the_check_what_is_under_way_loses_its_reports(
    mail_queue: Queue,
) -> None:
    async def never(_link: hot.Connection, _day: date) -> bool:
        return False

    await submit(mail_queue, OLD)
    await attempt(mail_queue, OLD, DEFERRED)
    await drop(mail_queue, never)
    assert await offsets(mail_queue) == []


async def test_a_day_stays_while_an_older_message_is_under_way(mail_queue: Queue) -> None:
    """Also one that only waits for its time and was never tried."""
    await finish(mail_queue, OLD - 2 * DAY)
    await submit(mail_queue, OLD)
    assert await drop(mail_queue) == [Fate.NEEDED]
    assert await offsets(mail_queue) == [1]


async def test_a_younger_message_under_way_keeps_no_day(mail_queue: Queue) -> None:
    await finish(mail_queue, OLD)
    await submit(mail_queue, OLD - 4 * DAY)
    fates = await drop(mail_queue)
    assert (fates[0], await offsets(mail_queue)) == (Fate.DROPPED, [])


async def test_a_message_of_another_tenant_counts_as_well(mail_queue: Queue) -> None:
    await finish(mail_queue, OLD)
    await submit(replace(mail_queue, tenant_id=await add_tenant(mail_queue.pool, "other")), OLD)
    assert await drop(mail_queue) == [Fate.NEEDED]


async def test_what_is_needed_is_found_by_one_probe_a_tenant(mail_queue: Queue) -> None:
    await mail_queue.submit_many(50)
    async with hot.connection(mail_queue.pool) as link:
        plan = await link.fetch(f"EXPLAIN {retention.OLDER}", UUID(int=2**127))
    lines = "\n".join(row[0] for row in plan)
    assert "deliveries_pkey" in lines
    assert "Seq Scan" not in lines.replace("Seq Scan on report_heads", "")


async def test_an_open_reader_is_not_waited_for_and_holds_nobody_up(mail_queue: Queue) -> None:
    await finish(mail_queue, OLD)
    async with mail_queue.pool.acquire() as reader:
        transaction = reader.transaction()
        await transaction.start()
        assert await reader.fetchval("SELECT count(*) FROM mailproxy.report_log") == 1
        dropped = asyncio.create_task(drop(mail_queue))
        waits: list[float] = []
        while not dropped.done():
            began = time.monotonic()
            await finish(mail_queue, 0 * DAY)
            assert await reader.fetchval("SELECT count(*) FROM mailproxy.report_log") >= 1
            waits.append(time.monotonic() - began)
        assert (await dropped)[-1] is Fate.LATER
        assert waits
        assert max(waits) < 1, "nobody waits longer than the drop itself does"
        while (await over(mail_queue))[0].place is not Place.LEAVING:
            assert (await drop(mail_queue))[-1] is Fate.LATER
        assert (await drop(mail_queue))[-1] is Fate.LATER
        await transaction.rollback()
    assert set(await drop(mail_queue)) == {Fate.DROPPED}
    assert await offsets(mail_queue) == list(range(2, len(waits) + 2))


async def test_control_a_plain_drop_waits_behind_a_reader_and_holds_up_writers(
    mail_queue: Queue,
) -> None:
    await finish(mail_queue, OLD)
    table = days.name(today() - OLD)
    async with mail_queue.pool.acquire() as reader, reader.transaction():
        await reader.fetchval("SELECT count(*) FROM mailproxy.report_log")
        async with mail_queue.pool.acquire() as link:
            blunt = asyncio.create_task(link.execute(f"DROP TABLE mailproxy.{table}", timeout=30))
            while not await reader.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                assert not blunt.done()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await finish(mail_queue, 0 * DAY)
            blunt.cancel()
            await asyncio.wait([blunt])


async def test_a_day_left_detached_by_a_crash_is_dropped_by_the_next_round(
    mail_queue: Queue,
) -> None:
    await finish(mail_queue, OLD)
    table = days.name(today() - OLD)
    async with dropping(mail_queue.url) as link:
        await link.execute(
            f"ALTER TABLE mailproxy.report_log DETACH PARTITION mailproxy.{table} CONCURRENTLY"
        )
    assert Place.OUT in {old.place for old in await over(mail_queue)}
    assert set(await drop(mail_queue)) == {Fate.DROPPED}
    assert await over(mail_queue) == []


async def test_a_message_requeued_between_check_and_detach_gets_its_day_back(
    mail_queue: Queue,
) -> None:
    await add_account(mail_queue)
    message_id = await submit(mail_queue, OLD)
    await attempt(mail_queue, OLD, FAILED)
    asked = 0

    async def too_early(link: hot.Connection, day: date) -> bool:
        nonlocal asked
        asked += 1
        if asked == 1:
            await again(mail_queue, message_id)
            return False
        return await retention.needed(link, day)

    async with dropping(mail_queue.url) as link:
        old = Day(today() - OLD, Place.IN)
        assert await retention.drop(link, old, too_early) is Fate.NEEDED
    assert asked == 2
    assert await offsets(mail_queue) == [1, 2]
    assert old in await over(mail_queue)


async def test_custodians_of_two_replicas_drop_each_day_once_and_in_order(
    mail_queue: Queue,
) -> None:
    for age in range(45, 31, -3):
        await finish(mail_queue, age * DAY)
    told: list[date] = []
    wanted = [old.day for old in await over(mail_queue)]
    both = [
        Custodian(mail_queue.pool, mail_queue.url, Kept(30, 30), lambda day, _: told.append(day))
        for _ in range(2)
    ]
    while await over(mail_queue):
        await asyncio.gather(*(one.drop_days() for one in both))
    assert told == wanted
    assert await offsets(mail_queue) == []


async def test_a_day_that_is_needed_is_told_of_once(mail_queue: Queue) -> None:
    await submit(mail_queue, OLD)
    await attempt(mail_queue, OLD, DEFERRED)
    told: list[Fate] = []
    kept = Kept(30, 30)
    one = Custodian(mail_queue.pool, mail_queue.url, kept, lambda _, fate: told.append(fate))
    for _ in range(3):
        await one.drop_days()
    assert told.count(Fate.NEEDED) == 1
