"""The row under which limited claims go one by one: its lock, its clock, and what it keeps."""

import asyncio
import contextlib
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.policy import windows
from mailproxy_server.policy.usage import Usage
from mailproxy_server.policy.windows import Limit
from mailproxy_server.queue import hot, reserve

from tests.queue.test_plans import Explaining, scanned
from tests.support.queue import Queue, until_one_waits

LIMITS = [Limit(5, 1.0), Limit(30, 10.0)]
BEGIN = datetime(2030, 1, 1, tzinfo=UTC)


async def test_the_table_keeps_what_the_arithmetic_says(mail_queue: Queue) -> None:
    """One list of instants through both: they never differ."""
    dice = random.Random(4)
    expected, now = Usage(), BEGIN
    for _ in range(100):
        now += timedelta(seconds=dice.choice([0, 0.01, 0.7, 3, 70]))
        counts = {"recipients": dice.randint(1, 9), "messages": dice.randint(1, 3)}
        expected = windows.reserve(expected, LIMITS, now, **counts)
        async with hot.connection(mail_queue.pool) as link, link.transaction():
            usage = await reserve.lock(link, mail_queue.tenant_id, "account/a")
            usage = windows.reserve(usage, LIMITS, now, **counts)
            await reserve.write(link, mail_queue.tenant_id, "account/a", usage)
        async with hot.connection(mail_queue.pool) as link:
            found = await reserve.read(link, mail_queue.tenant_id, ["account/a", "account/b"])
        assert found == {"account/a": expected, "account/b": Usage()}
        for limit in LIMITS:
            assert windows.used(found["account/a"], limit, now) == windows.used(
                expected, limit, now
            )


async def test_two_that_come_first_go_one_by_one(mail_queue: Queue) -> None:
    async def add(number: int) -> None:
        async with hot.connection(mail_queue.pool) as link, link.transaction():
            usage = await reserve.lock(link, mail_queue.tenant_id, "group/g")
            usage = windows.reserve(usage, LIMITS, BEGIN, recipients=number, messages=1)
            await reserve.write(link, mail_queue.tenant_id, "group/g", usage)

    await asyncio.gather(*map(add, range(1, 9)))
    async with hot.connection(mail_queue.pool) as link:
        found = await reserve.read(link, mail_queue.tenant_id, ["group/g"])
    assert windows.used(found["group/g"], LIMITS[0], BEGIN) == sum(range(1, 9))


async def test_a_reading_waits_for_nobody(mail_queue: Queue) -> None:
    async with hot.connection(mail_queue.pool) as link, link.transaction():
        await reserve.lock(link, mail_queue.tenant_id, "account/a")
        async with asyncio.timeout(1), hot.connection(mail_queue.pool) as other:
            await reserve.read(other, mail_queue.tenant_id, ["account/a"])


async def _clocks_of_a_waiter(mail_queue: Queue) -> tuple[datetime, datetime, datetime]:
    """Give when a holder let the lock go, and what a waiter then takes for now by `clock`, and
    by now()."""

    async def wait() -> tuple[datetime, datetime]:
        async with hot.connection(mail_queue.pool) as link, link.transaction():
            await reserve.lock(link, mail_queue.tenant_id, "account/a")
            return await reserve.clock(link), await link.fetchval("SELECT now()")

    async with hot.connection(mail_queue.pool) as link, link.transaction():
        await reserve.lock(link, mail_queue.tenant_id, "account/a")
        waiter = asyncio.create_task(wait())
        await until_one_waits(mail_queue)
        released = await reserve.clock(link)
    return released, *(await waiter)


async def test_the_clock_is_from_after_the_lock(mail_queue: Queue) -> None:
    released, by_clock, _ = await _clocks_of_a_waiter(mail_queue)
    assert by_clock >= released


async def test_control_now_is_from_before_the_lock(mail_queue: Queue) -> None:
    released, _, by_now = await _clocks_of_a_waiter(mail_queue)
    assert by_now < released


async def test_a_holder_that_stops_keeps_others_waiting_for_three_seconds_at_most(
    mail_queue: Queue,
) -> None:
    key = mail_queue.tenant_id, "account/a"
    waited = []

    async def stop_inside() -> None:
        async with hot.connection(mail_queue.pool) as link, link.transaction():
            usage = await reserve.lock(link, *key)
            began = time.monotonic()
            async with hot.connection(mail_queue.pool) as other, other.transaction():
                await reserve.lock(other, *key)
            waited.append(time.monotonic() - began)
            await reserve.write(link, *key, usage)

    with pytest.raises((Unavailable, asyncpg.PostgresError)):
        await stop_inside()
    assert 1 < waited[0] < 3
    async with hot.connection(mail_queue.pool) as link:
        timeout = await link.fetchval("SHOW idle_in_transaction_session_timeout")
    assert timeout == "0", "the setting ended with the transaction"


async def test_control_a_mere_lock_is_held_for_as_long_as_its_holder_likes(
    mail_queue: Queue,
) -> None:
    key = mail_queue.tenant_id, "account/a"
    async with hot.connection(mail_queue.pool) as link:
        await reserve.lock(link, *key)
    async with hot.connection(mail_queue.pool) as link, link.transaction():
        await link.execute(
            "SELECT FROM mailproxy.rate_usage WHERE tenant_id = $1 FOR NO KEY UPDATE", key[0]
        )
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3), mail_queue.pool.acquire() as other, other.transaction():
                await reserve.lock(other, *key)


@pytest.mark.parametrize("analyzed", [False, True])
async def test_none_of_the_statements_scans_the_table(mail_queue: Queue, analyzed: bool) -> None:
    if analyzed:  # while it is empty: statistics that will be wrong
        await mail_queue.pool.execute("ANALYZE")
    async with hot.connection(mail_queue.pool) as link:
        explaining: Any = Explaining(link)
        explaining.fetchrow = explaining.execute = explaining.fetch
        asked = (
            reserve.lock(explaining, mail_queue.tenant_id, "a"),
            reserve.read(explaining, mail_queue.tenant_id, ["a"]),
            reserve.write(explaining, mail_queue.tenant_id, "a", Usage()),
        )
        for each in asked:
            with contextlib.suppress(TypeError):  # there is no row to read
                await each
            assert scanned(explaining.plan) == set()
