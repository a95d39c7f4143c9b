"""The database's clock is set back, of a real PostgreSQL: what was due is due, and found.

By an hour and by a day; what waited by the old clock waits for no longer than was meant.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta

import pytest
from mailproxy_server.dispatcher.claims import Claims, Drawn, Scope
from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.policy.windows import Limit
from mailproxy_server.queue import claim, hot
from mailproxy_server.queue.lowwater import LowWater

from tests.queue.test_plans import Explaining, scanned
from tests.support import queue
from tests.support.postgres import Cluster
from tests.support.queue import Queue
from tests.support.rated import account, claimed, taken, unwritten
from tests.support.set_clock import Clock, settable_cluster

pytestmark = pytest.mark.needs_debian("faketime", "postgresql-15")

HOUR, DAY = 3600, 86400
MARGIN = timedelta(seconds=12)


@pytest.fixture(scope="module")
def settable() -> Iterator[tuple[Cluster, Clock]]:
    with settable_cluster() as both:
        yield both


@pytest.fixture
def clock(settable: tuple[Cluster, Clock]) -> Iterator[Clock]:
    """The database's clock, which is right when a test begins."""
    settable[1].set(0)
    yield settable[1]
    settable[1].set(0)


@pytest.fixture
async def mail_queue(settable: tuple[Cluster, Clock], clock: Clock) -> AsyncIterator[Queue]:
    url = settable[0].make_database()
    async with queue.opened(url) as one:
        yield one
    settable[0].drop_database(url)


def claims_of(mail_queue: Queue) -> Claims:
    scope = Scope(mail_queue.worker_id, poll_seconds=1, sweep_seconds=1e6, margin=MARGIN)
    return Claims((mail_queue.tenant_id, mail_queue.account_id), scope)


async def take(mail_queue: Queue, claims: Claims, room: int = 100) -> Drawn:
    async with hot.connection(mail_queue.pool) as link:
        return await claims.take(link, room)


async def database_now(mail_queue: Queue) -> datetime:
    found: datetime = await mail_queue.pool.fetchval("SELECT clock_timestamp()")
    return found


async def waits(mail_queue: Queue) -> list[float]:
    """Give for how many seconds each delivery waits, by the database."""
    rows = await mail_queue.pool.fetch(
        "SELECT extract(epoch FROM due_at - now())::float8 FROM mailproxy.deliveries ORDER BY 1"
    )
    return [row[0] for row in rows]


@pytest.mark.parametrize("by", [-HOUR, -DAY])
async def test_what_is_submitted_after_the_step_goes_at_once(
    mail_queue: Queue, clock: Clock, by: int
) -> None:
    claims = claims_of(mail_queue)
    assert (await take(mail_queue, claims)).rows == []
    clock.set(by)
    await mail_queue.submit_many(3)
    first = await take(mail_queue, claims)
    assert first.pause == 0, "it asks again at once"
    assert len(first.rows) + len((await take(mail_queue, claims)).rows) == 3
    assert (await take(mail_queue, claims)).rows == []
    await mail_queue.submit_many(2)
    assert len((await take(mail_queue, claims)).rows) == 2


@pytest.mark.parametrize("by", [-HOUR, -DAY])
async def test_control_a_bound_from_before_the_step_hides_it(
    mail_queue: Queue, clock: Clock, by: int
) -> None:
    low = LowWater(MARGIN)
    low.exhausted(await database_now(mail_queue))
    clock.set(by)
    await mail_queue.submit_many(3)
    assert await mail_queue.claim(bounds=low.bounds) == []
    async with hot.connection(mail_queue.pool) as link:
        key = mail_queue.tenant_id, mail_queue.account_id
        assert (await claim.next_due(link, *key, low.bounds))[1] is None


@pytest.mark.parametrize("by", [-HOUR, -DAY])
async def test_what_was_due_before_the_step_is_due_after_it(
    mail_queue: Queue, clock: Clock, by: int
) -> None:
    claims = claims_of(mail_queue)
    await take(mail_queue, claims)
    await mail_queue.submit_many(5)
    assert len((await take(mail_queue, claims, 2)).rows) == 2
    clock.set(by)
    assert await mail_queue.claim() == [], "by the clock alone nothing is due"
    await take(mail_queue, claims)
    assert len((await take(mail_queue, claims)).rows) == 3


async def test_a_retry_waits_as_long_as_was_meant_and_a_schedule_for_its_time(
    mail_queue: Queue, clock: Clock
) -> None:
    claims = claims_of(mail_queue)
    await mail_queue.submit_many(1)
    rows = (await take(mail_queue, claims)).rows
    await mail_queue.settle(rows, Outcome.deferred(Reason.THROTTLED, 600.0))
    at = await database_now(mail_queue) + timedelta(seconds=60)
    await mail_queue.submit(mail_queue.message(send_at=at))
    await take(mail_queue, claims)
    clock.set(-HOUR)
    others = claims_of(mail_queue)
    others._clock = claims._clock
    for _ in range(2):
        await take(mail_queue, claims)
        await take(mail_queue, others)
        retry, scheduled = await waits(mail_queue)
        assert 590 < retry <= 600, "another replica that notices later moves it no further"
        assert HOUR < scheduled <= HOUR + 60


async def test_a_step_forward_moves_nothing(mail_queue: Queue, clock: Clock) -> None:
    claims = claims_of(mail_queue)
    await take(mail_queue, claims)
    clock.set(HOUR)
    await mail_queue.submit_many(3)
    assert len((await take(mail_queue, claims)).rows) == 3


@pytest.mark.parametrize("by", [-DAY, -HOUR, HOUR, DAY])
async def test_a_limit_holds_and_frees_its_room_after_its_window(
    mail_queue: Queue, clock: Clock, by: int
) -> None:
    await mail_queue.submit_many(20)
    by_limit = account(mail_queue, Limit(5, 60.0))
    assert taken(await claimed(mail_queue, by_limit)) == 5
    clock.set(by)
    found = await claimed(mail_queue, by_limit)
    assert taken(found) == 0, "its window is as full as before"
    assert found.room.opens_at is not None
    assert found.room.opens_at - found.now <= timedelta(seconds=68)
    clock.set(0)
    found = await claimed(mail_queue, by_limit)
    assert taken(found) == 0
    assert found.room.opens_at is not None
    assert found.room.opens_at - found.now <= timedelta(seconds=68)


@pytest.mark.parametrize("by", [HOUR, DAY])
async def test_control_without_a_look_a_step_forward_frees_the_window(
    mail_queue: Queue, clock: Clock, by: int
) -> None:
    await mail_queue.submit_many(20)
    by_limit = account(mail_queue, Limit(5, 60.0))
    assert taken(await claimed(mail_queue, by_limit, looked=lambda usage, _: usage)) == 5
    clock.set(by)
    assert taken(await claimed(mail_queue, by_limit, looked=lambda usage, _: usage)) == 5


@pytest.mark.parametrize("by", [-HOUR, -DAY])
async def test_control_without_a_look_a_step_back_blocks_for_as_long(
    mail_queue: Queue, clock: Clock, by: int
) -> None:
    await mail_queue.submit_many(5)
    by_limit = account(mail_queue, Limit(5, 60.0))
    assert taken(await claimed(mail_queue, by_limit, looked=lambda usage, _: usage)) == 5
    clock.set(by)
    found = await claimed(mail_queue, by_limit, looked=lambda usage, _: usage)
    assert found.room.opens_at is not None
    assert found.room.opens_at - found.now > timedelta(seconds=-by)


async def test_a_look_that_shows_a_step_is_written_though_nothing_is_reserved(
    mail_queue: Queue, clock: Clock
) -> None:
    await mail_queue.submit_many(20)
    by_limit = account(mail_queue, Limit(5, 60.0))
    assert taken(await claimed(mail_queue, by_limit)) == 5
    clock.set(-HOUR)
    first = await claimed(mail_queue, by_limit)
    kept = await mail_queue.pool.fetchval("SELECT usage FROM mailproxy.rate_usage")
    await claimed(mail_queue, by_limit, write=unwritten)
    again = await claimed(mail_queue, by_limit)
    assert first.room.opens_at is not None
    assert again.room.opens_at is not None
    assert abs(again.room.opens_at - first.room.opens_at) < timedelta(seconds=1)
    assert kept == await mail_queue.pool.fetchval("SELECT usage FROM mailproxy.rate_usage")


async def test_moving_what_waits_scans_no_table(mail_queue: Queue) -> None:
    from mailproxy_server.queue.setback import ADVANCE

    async with hot.connection(mail_queue.pool) as link:
        explaining = Explaining(link)
        key = mail_queue.tenant_id, mail_queue.account_id
        await explaining.fetch(ADVANCE, *key, timedelta(hours=1), 100)
    assert scanned(explaining.plan) == set()
