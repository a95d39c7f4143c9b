"""Who would read reports of days that were dropped is told so; nothing is skipped in silence."""

from contextlib import aclosing
from datetime import timedelta

import grpc
import pytest
from mailproxy.v1 import report_pb2
from mailproxy_server.dispatcher.custodian import Custodian, Kept
from mailproxy_server.mail.errors import CallerError
from mailproxy_server.queue import hot, read
from mailproxy_server.reports.cursor import Cursor
from mailproxy_server.reports.follow import Batch, follow
from mailproxy_server.reports.tail import PAGE, Tail

from tests.support.aged import DAY, attempt, finish, today
from tests.support.queue import Queue
from tests.support.served import Front, queue_of


async def drop_days(queue: Queue) -> None:
    await Custodian(queue.pool, queue.url, Kept(30, 30), lambda *_: None).drop_days()


async def test_a_cursor_from_before_the_days_that_were_dropped_has_expired(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        for age in (40 * DAY, 40 * DAY, 31 * DAY, 2 * DAY, 0 * DAY):
            await finish(queue, age)
        async with front.first.stream() as stream:
            cursors = [one.cursor for one in await stream.until(5)]
        await drop_days(queue)
    for cursor in cursors[:2]:
        refusal = await front.first.refusal(
            front.first.reports.StreamDeliveryReports,
            report_pb2.StreamDeliveryReportsRequest(cursor=cursor),
        )
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.OUT_OF_RANGE, "CURSOR_EXPIRED")
        assert refusal.metadata == {"first_offset": "4"}
    for start in ({"cursor": cursors[2]}, {"earliest": True}):
        async with front.first.stream(**start) as stream:
            assert [one.offset for one in await stream.until(2)] == [4, 5]


async def test_the_cursor_of_earliest_goes_on_when_all_was_dropped(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        await finish(queue, 40 * DAY)
        await drop_days(queue)
        async with front.first.stream(earliest=True) as stream:
            cursor = (await stream.next()).cursor
        async with front.first.stream(cursor=cursor) as stream:
            await finish(queue, 0 * DAY)
            assert [one.offset for one in await stream.until(1)] == [2]


async def _read(queue: Queue, dropped: int) -> list[Batch]:
    """Follow 2 pages and a bit from the beginning; `dropped` go when the first was read."""
    await queue.submit_many(2 * PAGE + 1)
    while await attempt(queue, limit=PAGE):
        pass
    async with hot.connection(queue.pool) as link:
        head = await read.head(link, queue.tenant_id)
    start = Cursor(head.log_id, today() - timedelta(days=1), 0)
    following = follow(Tail(queue.pool), queue.tenant_id, start, lambda _: True, 15.0)
    async with aclosing(following) as batches:
        read_so_far = [await anext(batches)]
        await queue.pool.execute("DELETE FROM mailproxy.report_log WHERE log_offset <= $1", dropped)
        while read_so_far[-1].cursor.offset < head.last_offset:
            read_so_far.append(await anext(batches))
    return read_so_far


@pytest.mark.parametrize("dropped", [PAGE + 1, 2 * PAGE + 1])
async def test_a_slow_reader_that_is_overtaken_by_retention_is_told(
    front: Front, dropped: int
) -> None:
    async with queue_of(front, front.first) as queue:
        with pytest.raises(CallerError) as caught:
            await _read(queue, dropped)
    assert caught.value.reason == "CURSOR_EXPIRED"
    assert caught.value.metadata == {"first_offset": str(dropped + 1)}


async def test_a_slow_reader_that_is_not_overtaken_goes_on(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        batches = await _read(queue, PAGE)
    offsets = [report.offset for batch in batches for report in batch.reports]
    assert offsets == list(range(1, 2 * PAGE + 2))
