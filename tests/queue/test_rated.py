"""The claim under limits: what there is room for, what can leave, and that reserved with it."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from mailproxy_server.dispatcher.clock import boottime
from mailproxy_server.dispatcher.parcels import pack
from mailproxy_server.dispatcher.rated import Reservation
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.policy.windows import Limit, Unit
from mailproxy_server.queue import hot
from mailproxy_server.queue.contents import Content
from mailproxy_server.queue.rest import rest

from tests.queue.test_plans import Explaining, scanned
from tests.support.queue import Queue
from tests.support.rated import NOW, account, claimed, in_use, taken, unclaimed

HOUR = 3600.0


async def test_a_claim_takes_what_there_is_room_for_and_reserves_it(mail_queue: Queue) -> None:
    await mail_queue.submit_many(10)
    limit = Limit(7, HOUR)
    by = account(mail_queue, limit)
    found = await claimed(mail_queue, by)
    assert (taken(found), found.parcels, found.room.recipients) == (7, 7, 7)
    assert found.reservation is not None
    assert found.reservation.hold == 6.0
    assert await in_use(mail_queue, by, limit) == 7
    again = await claimed(mail_queue, by)
    assert (again.claim, again.reservation) == (None, None)
    assert again.room.opens_at is not None
    assert timedelta(hours=1) < again.room.opens_at - again.now < timedelta(hours=1, minutes=2)
    assert await unclaimed(mail_queue) == 3


async def test_it_takes_no_more_than_can_leave(mail_queue: Queue) -> None:
    await mail_queue.submit_many(10)
    by = account(mail_queue, Limit(100, HOUR))
    assert taken(await claimed(mail_queue, by, ready=4)) == 4
    assert taken(await claimed(mail_queue, by, rows=3)) == 3
    assert await in_use(mail_queue, by, by.limits[0]) == 7


async def test_nothing_due_reserves_nothing(mail_queue: Queue) -> None:
    by = account(mail_queue, Limit(5, HOUR))
    found = await claimed(mail_queue, by)
    assert (found.claim, found.reservation, found.room.opens_at) == (None, None, None)
    assert await in_use(mail_queue, by, by.limits[0]) == 0


async def test_the_last_claimed_is_how_far_everything_was_taken(mail_queue: Queue) -> None:
    await mail_queue.submit_many(3, priority=10)
    await mail_queue.submit_many(5, priority=40)
    found = await claimed(mail_queue, account(mail_queue, Limit(5, HOUR)))
    assert found.claim is not None
    assert [row.priority for row in found.claim.rows] == [10, 10, 10, 40, 40]


@pytest.mark.parametrize(
    ("recipients", "limits", "ready", "rows", "parcels"),
    [
        ([50], [Limit(100, HOUR)], 1, 50, 1),
        ([120, 1], [Limit(1000, HOUR)], 2, 100, 2),
        ([30, 1], [Limit(8, HOUR)], 4, 8, 1),
        ([2] * 10, [Limit(1000, HOUR)], 4, 8, 4),
        ([2] * 10, [Limit(3, HOUR, Unit.MESSAGES)], 9, 6, 3),
        ([2] * 10, [Limit(3, HOUR, Unit.MESSAGES), Limit(5, HOUR)], 9, 5, 3),
        ([120], [Limit(2, HOUR, Unit.MESSAGES)], 9, 100, 2),
        ([1, 60, 1, 1], [Limit(3, HOUR, Unit.MESSAGES)], 9, 61, 3),
        ([1] * 20, [Limit(3, HOUR, Unit.MESSAGES)], 9, 3, 3),
    ],
)
async def test_recipients_of_a_message_come_together_and_parcels_are_counted(
    mail_queue: Queue,
    recipients: list[int],
    limits: list[Limit],
    ready: int,
    rows: int,
    parcels: int,
) -> None:
    for count in recipients:
        await mail_queue.submit(mail_queue.message([f"u{n}@b.test" for n in range(count)]))
    by = account(mail_queue, *limits)
    found = await claimed(mail_queue, by, rows=1000, ready=ready)
    assert (taken(found), found.parcels) == (rows, parcels)
    assert found.claim is not None
    contents = {
        row.message_id: Content(row.message_id, NOW, None, "", 1, b"", None, at_most_once=False)
        for row in found.claim.rows
    }
    assert len(list(pack(found.claim.rows, contents, 50))) == parcels
    for limit in limits:
        expected = rows if limit.unit is Unit.RECIPIENTS else parcels
        assert await in_use(mail_queue, by, limit) == expected


async def test_a_claim_that_fails_half_way_leaves_nothing(mail_queue: Queue) -> None:
    await mail_queue.submit_many(10)
    by = account(mail_queue, Limit(5, HOUR))

    async def fail(*_: object) -> None:
        raise asyncpg.PostgresError("cut")

    with pytest.raises(asyncpg.PostgresError):
        await claimed(mail_queue, by, write=fail)
    assert await unclaimed(mail_queue) == 10
    assert taken(await claimed(mail_queue, by)) == 5


async def test_a_reservation_that_is_late_before_its_commit_is_not_made(
    mail_queue: Queue,
) -> None:
    await mail_queue.submit_many(1)
    by = account(mail_queue, Limit(5, 1.0))

    async def slowly(link: hot.Connection, *_: object) -> None:
        await link.execute("SELECT pg_sleep(0.15)")

    with pytest.raises(Unavailable):
        await claimed(mail_queue, by, write=slowly)
    assert await unclaimed(mail_queue) == 1
    assert taken(await claimed(mail_queue, by)) == 1


async def test_a_cancelled_claim_leaves_its_connection_clean(mail_queue: Queue) -> None:
    await mail_queue.submit_many(5)
    by = account(mail_queue, Limit(5, HOUR))
    inside = asyncio.Event()

    async def forever(link: hot.Connection, *_: object) -> None:
        inside.set()
        await link.execute("SELECT pg_sleep(60)")

    task = asyncio.create_task(claimed(mail_queue, by, write=forever))
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert taken(await claimed(mail_queue, by)) == 5


def test_a_reservation_is_late_after_its_hold_and_tells_the_time_of_the_database() -> None:
    reservation = Reservation(NOW, base=100.0, hold=0.1)
    assert [reservation.late(now) for now in (100.0, 100.099, 100.1, 101.0)] == [
        False,
        False,
        True,
        True,
    ]
    assert reservation.at(100.05) == NOW + timedelta(seconds=0.05)


def test_the_clock_of_a_reservation_is_the_one_that_goes_on_while_a_process_is_stopped() -> None:
    assert abs(boottime() - time.clock_gettime(time.CLOCK_BOOTTIME)) < 1


async def test_claiming_the_rest_of_a_message_scans_nothing(mail_queue: Queue) -> None:
    await mail_queue.submit(mail_queue.message(["a@b.test", "b@b.test"]))
    (row,) = await mail_queue.claim(1)
    async with hot.connection(mail_queue.pool) as link:
        explaining: Any = Explaining(link)
        await rest(explaining, mail_queue.worker_id, row, 10)
    assert scanned(explaining.plan) == set()
