"""Messages go when they are over, old, and spoken of by no report; in small steps."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest
from mailproxy_server.dispatcher.custodian import Custodian, Kept
from mailproxy_server.queue import hot, purge
from mailproxy_server.queue.ids import first_id

from tests.support.aged import DAY, DEFERRED, attempt, finish, submit, today
from tests.support.queue import Queue

OLD = 40 * DAY


def bound() -> UUID:
    return first_id(int((datetime.now(UTC) - 30 * DAY).timestamp() * 1000))


async def step(mail_queue: Queue, over: str = purge.OVER) -> tuple[int, bool]:
    async with hot.connection(mail_queue.pool) as link:
        return await purge.purge(link, mail_queue.tenant_id, bound(), over)


async def ids(mail_queue: Queue, table: str = "messages") -> set[UUID]:
    rows = await mail_queue.pool.fetch(f"SELECT message_id FROM mailproxy.{table}")
    return {row[0] for row in rows}


async def forget_reports(mail_queue: Queue) -> None:
    """As if their days had been dropped."""
    await mail_queue.pool.execute(
        "DELETE FROM mailproxy.report_log WHERE reported_at < $1",
        datetime(today().year, today().month, today().day, tzinfo=UTC),
    )


async def put_over(mail_queue: Queue, count: int) -> None:
    """Put old messages with nothing left to do and no report."""
    await mail_queue.pool.execute(
        """INSERT INTO mailproxy.messages (tenant_id, message_id, account_id, priority,
             accepted_at, return_path, content, recipient_count)
           SELECT $1, ('00000000-0001-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'demo', 30,
                  now(), '', 'x', 1 FROM generate_series(1, $2::integer) n""",
        mail_queue.tenant_id,
        count,
    )


async def test_only_what_is_old_and_over_and_without_reports_goes(mail_queue: Queue) -> None:
    gone = await finish(mail_queue, OLD, request_id="gone")
    await forget_reports(mail_queue)
    reported = await finish(mail_queue, 35 * DAY, request_id="reported")
    young = await finish(mail_queue, 29 * DAY, request_id="young")
    live = await submit(mail_queue, OLD, request_id="live")
    claimed = await submit(mail_queue, OLD, request_id="claimed")
    await mail_queue.claim(1)
    assert await step(mail_queue) == (1, False)
    assert await ids(mail_queue) == {reported, young, live, claimed}
    assert await ids(mail_queue, "requests") == {reported, young, live, claimed}
    assert gone not in await ids(mail_queue)


async def test_control_by_age_alone_what_is_under_way_would_go(mail_queue: Queue) -> None:
    await submit(mail_queue, OLD)
    assert await step(mail_queue, over="true") == (1, False)


async def test_a_request_id_is_free_again_when_its_message_has_gone(mail_queue: Queue) -> None:
    first = await finish(mail_queue, OLD, request_id="order-17")
    await forget_reports(mail_queue)
    await step(mail_queue)
    assert await submit(mail_queue, 0 * DAY, request_id="order-17") != first
    assert len(await ids(mail_queue, "requests")) == 1


async def test_steps_are_small_and_a_pass_ends_until_the_next(mail_queue: Queue) -> None:
    await put_over(mail_queue, 2 * purge.BATCH + 1)
    steps = [await step(mail_queue) for _ in range(3)]
    assert steps == [(purge.BATCH, True), (purge.BATCH, True), (1, False)]
    await put_over(mail_queue, 1)
    assert await step(mail_queue) == (0, False)
    async with hot.connection(mail_queue.pool) as link:
        assert await purge.due(link) == []
        await link.execute("UPDATE mailproxy.retention SET sweep_at = now()")
        assert await purge.due(link) == [mail_queue.tenant_id]
    assert await step(mail_queue) == (1, False)


async def test_large_contents_make_a_step_smaller(
    mail_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put_over(mail_queue, 5)
    monkeypatch.setattr(purge, "OCTETS", 2)
    assert [await step(mail_queue) for _ in range(3)] == [(2, True), (2, True), (1, False)]


@pytest.mark.parametrize(
    ("sizes", "fits"), [([], 0), ([9], 1), ([9, 1], 1), ([2, 2, 0, 1], 3), ([0, 0, 4], 3)]
)
def test_so_many_fit_into_four_octets(sizes: list[int], fits: int) -> None:
    assert purge.within(4, sizes) == fits


async def test_what_must_stay_is_passed_over_and_hides_nothing_behind_it(
    mail_queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purge, "BATCH", 3)
    for _ in range(7):
        await submit(mail_queue, OLD)
    await attempt(mail_queue, 0 * DAY, DEFERRED, limit=4)
    await attempt(mail_queue, 0 * DAY, limit=1)
    await mail_queue.pool.execute("DELETE FROM mailproxy.report_log WHERE event = 2")
    kept = await ids(mail_queue)
    steps = [await step(mail_queue) for _ in range(3)]
    assert [more for _, more in steps] == [True, True, False]
    assert sum(gone for gone, _ in steps) == 1
    assert len(kept - await ids(mail_queue)) == 1


async def test_a_message_that_somebody_holds_is_not_waited_for(mail_queue: Queue) -> None:
    await put_over(mail_queue, 2)
    async with mail_queue.pool.acquire() as holder, holder.transaction():
        await holder.execute(
            "SELECT 1 FROM mailproxy.messages ORDER BY message_id LIMIT 1 FOR NO KEY UPDATE"
        )
        async with asyncio.timeout(5):
            assert await step(mail_queue) == (1, False)
    await mail_queue.pool.execute("UPDATE mailproxy.retention SET sweep_at = now()")
    assert await step(mail_queue) == (1, False)


async def test_custodians_of_two_replicas_share_a_pass(mail_queue: Queue) -> None:
    await put_over(mail_queue, 3 * purge.BATCH)
    live = await submit(mail_queue, OLD)
    both = [
        Custodian(mail_queue.pool, mail_queue.url, Kept(30, 30), lambda *_: None) for _ in range(2)
    ]
    async with asyncio.timeout(30):
        while len(await ids(mail_queue)) > 1:
            await asyncio.gather(*(one.purge() for one in both))
    assert await ids(mail_queue) == {live}


async def test_the_row_of_a_tenant_comes_with_it(mail_queue: Queue) -> None:
    assert await mail_queue.count("retention") == await mail_queue.count("tenants")
