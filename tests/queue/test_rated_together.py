"""Claims under limits by several workers: together never more than there is room for."""

import asyncio
import random
import time
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from mailproxy_server.accounts.account import Account
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.policy.sliding import worst
from mailproxy_server.policy.usage import Usage
from mailproxy_server.policy.windows import Limit
from mailproxy_server.queue import hot, reserve

from tests.support.queue import Queue
from tests.support.rated import account, claimed, taken, unclaimed, unwritten

HOUR = 3600.0


async def test_accounts_of_a_group_use_up_what_they_share(mail_queue: Queue) -> None:
    await mail_queue.submit_many(10)
    limit = Limit(6, HOUR)
    one = account(mail_queue, limit, group="g")
    other = account(mail_queue, limit, group="g", account_id="other")
    alone = account(mail_queue, limit)
    assert taken(await claimed(mail_queue, one)) == 6
    assert (await claimed(mail_queue, other)).room.recipients == 0
    assert taken(await claimed(mail_queue, alone)) == 4


async def _claimed_by_many(mail_queue: Queue, by: Account, **seams: Any) -> int:
    await mail_queue.submit_many(200)
    found = await asyncio.gather(*(claimed(mail_queue, by, ready=7, **seams) for _ in range(16)))
    return sum(map(taken, found))


async def test_many_at_once_take_no_more_than_the_limit(mail_queue: Queue) -> None:
    assert await _claimed_by_many(mail_queue, account(mail_queue, Limit(50, HOUR))) == 50


async def test_control_many_at_once_without_the_reservation_take_more(mail_queue: Queue) -> None:
    by = account(mail_queue, Limit(50, HOUR))
    assert await _claimed_by_many(mail_queue, by, write=unwritten) == 112


async def _mails_of_two(mail_queue: Queue, by: Account, **seams: Any) -> list[datetime]:
    """Two workers claim for some seconds; their MAILs leave whenever their reservation allows."""
    await mail_queue.submit_many(600)
    end, dice = time.monotonic() + 4.5, random.Random(1)
    mails: list[datetime] = []

    async def work() -> None:
        while time.monotonic() < end:
            try:
                found = await claimed(mail_queue, by, ready=7, **seams)
            except Unavailable:  # the machine was so slow that the reservation came late
                continue
            if found.reservation:
                hold = found.reservation.hold
                late = (dice.choice((0, hold, hold * dice.random())) for _ in range(taken(found)))
                mails.extend(found.now + timedelta(seconds=each) for each in late)
            elif found.room.opens_at:
                await asyncio.sleep((found.room.opens_at - found.now).total_seconds())

    await asyncio.gather(work(), work())
    return sorted(mails)


async def test_no_window_is_exceeded_by_two_that_claim_as_fast_as_they_may(
    mail_queue: Queue,
) -> None:
    by = account(mail_queue, Limit(20, 1.0))
    mails = await _mails_of_two(mail_queue, by)
    assert worst(mails, 1.0).count <= 20
    assert len(mails) >= 0.8 * 20 * 4


async def test_control_without_the_reservation_the_window_is_exceeded(mail_queue: Queue) -> None:
    by = account(mail_queue, Limit(20, 1.0))
    mails = await _mails_of_two(mail_queue, by, write=unwritten)
    assert worst(mails, 1.0).count > 20


async def test_a_worker_that_stops_inside_its_claim_holds_others_up_for_three_seconds_at_most(
    mail_queue: Queue,
) -> None:
    await mail_queue.submit_many(10)
    by = account(mail_queue, Limit(5, HOUR))
    inside, resumed = asyncio.Event(), asyncio.Event()

    async def stop(link: hot.Connection, tenant_id: UUID, key: str, usage: Usage) -> None:
        inside.set()
        await resumed.wait()
        await reserve.write(link, tenant_id, key, usage)

    stopped = asyncio.create_task(claimed(mail_queue, by, write=stop))
    await inside.wait()
    began = time.monotonic()
    other = await claimed(mail_queue, by)
    assert time.monotonic() - began < 3
    assert taken(other) == 5
    resumed.set()
    with pytest.raises((Unavailable, asyncpg.PostgresError)):
        await stopped
    assert await unclaimed(mail_queue) == 5
