"""Who follows the log across a day that was dropped is told so; what is kept is still read."""

import asyncio

import grpc
from mailproxy.v1 import report_pb2
from mailproxy_server.dispatcher.custodian import Custodian, Kept
from mailproxy_server.queue import emptying, hot, retention

from tests.support.aged import DAY, finish, today
from tests.support.emails import composed
from tests.support.queue import Queue
from tests.support.served import Front, dispatching, queue_of, report


async def drop_old_days(queue: Queue) -> None:
    custodian = Custodian(queue.pool, queue.url, Kept(30, 30), lambda *_: None)
    async with hot.connection(queue.pool) as link:
        while await retention.over(link, today() - 30 * DAY):
            await custodian.drop_days()


async def test_a_cursor_whose_day_was_dropped_has_expired(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        for age in (41, 40, 3):
            await finish(queue, age * DAY)
        async with front.first.stream(earliest=True) as stream:
            first, second, third = await stream.until(3)
        await drop_old_days(queue)
        wanted = report_pb2.StreamDeliveryReportsRequest(cursor=first.cursor)
        refusal = await front.first.refusal(front.first.reports.StreamDeliveryReports, wanted)
        assert refusal.code is grpc.StatusCode.OUT_OF_RANGE
        assert refusal.reason == "CURSOR_EXPIRED"
        assert refusal.metadata == {"first_offset": "3"}
        async with front.first.stream(cursor=second.cursor) as stream:
            assert [one.offset for one in await stream.until(1)] == [3]
        async with front.first.stream(cursor=third.cursor) as stream:
            await report(queue)
            assert [one.offset for one in await stream.until(1)] == [4]


async def test_a_stream_that_is_open_goes_on_while_days_are_dropped(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        await finish(queue, 40 * DAY)
        async with front.first.stream(earliest=True) as stream:
            await stream.until(1)
            await drop_old_days(queue)
            await report(queue, 2)
            assert [one.offset for one in await stream.until(3)] == [1, 2, 3]


async def test_a_message_without_its_content_is_still_told_of(front: Front) -> None:
    sent = await front.first.submit(composed(subject="secret"))
    assert (await front.first.get(sent.message_id)).subject == "secret"
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim())
        async with hot.connection(queue.pool) as link:
            assert await emptying.empty(link, queue.tenant_id, 0) == (1, False)
    found = await front.first.get(sent.message_id)
    assert (found.message_id, found.subject) == (sent.message_id, "")
    assert found.recipients[0].recipient


async def test_a_dispatcher_removes_what_is_over_by_its_settings(front: Front) -> None:
    """A content whose report is gone before it was looked at goes with its message."""
    async with queue_of(front, front.first) as queue:
        await finish(queue, 40 * DAY)
        await report(queue)
        left = "SELECT count(*) FROM mailproxy.messages WHERE octet_length(content) > 0"
        async with (
            dispatching(front, retention_report_days=7, retention_content_hours=0),
            asyncio.timeout(20),
        ):
            while await queue.count("report_log") > 1 or await front.link.fetchval(left) > 1:
                await asyncio.sleep(0.05)
        assert [one.log_offset for one in await queue.reports()] == [2]
