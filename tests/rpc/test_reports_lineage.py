"""A replica that has told of reports which the database lost since: none comes from memory."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import grpc
import pytest
from mailproxy.v1 import message_pb2
from mailproxy_server.mail.errors import CallerError
from mailproxy_server.queue import hot, read
from mailproxy_server.queue.lineage import Head
from mailproxy_server.reports.cursor import Cursor
from mailproxy_server.reports.follow import Batch, follow
from mailproxy_server.reports.tail import Tail

from tests.support.edge import refusal_of
from tests.support.emails import composed
from tests.support.queue import Queue, opened
from tests.support.served import Front, queue_of

TWO = composed(to=[{"address": "ann@b.test"}, {"address": "ben@b.test"}])


@pytest.fixture
async def mail_queue(database_url: str) -> AsyncIterator[Queue]:
    """A queue without a front: its tail is the test's."""
    async with opened(database_url) as queue:
        yield queue


async def lose(queue: Queue, after: int) -> None:
    """Take the log back to an offset and begin a new one, as a promoted standby has it."""
    async with queue.pool.acquire() as link, link.transaction():
        await link.execute("DELETE FROM mailproxy.report_log WHERE log_offset > $1", after)
        await link.execute("UPDATE mailproxy.report_heads SET last_offset = $1", after)
        await link.execute("UPDATE mailproxy.report_heads SET log_id = gen_random_uuid()")


async def report(queue: Queue, count: int) -> None:
    await queue.submit_many(count)
    assert await queue.settle(await queue.claim(count)) == count


async def head_of(queue: Queue) -> Head:
    async with hot.connection(queue.pool) as link:
        return await read.head(link, queue.tenant_id)


def at(head: Head, offset: int) -> Cursor:
    return Cursor(head.log_id, head.last_at.date(), offset)


async def test_a_new_stream_is_not_given_what_another_one_left_in_memory(mail_queue: Queue) -> None:
    tail = Tail(mail_queue.pool, poll_seconds=1000)  # it notices nothing by itself
    key, everything = mail_queue.tenant_id, lambda _: True
    await report(mail_queue, 2)
    start = at(await head_of(mail_queue), 2)
    async with aclosing(follow(tail, key, start, everything, 15.0)) as ahead:
        assert (await anext(ahead)).reports == ()
        await report(mail_queue, 3)
        tail.hint([str(key)])
        lost = (await anext(ahead)).reports
        assert [one.offset for one in lost] == [3, 4, 5]
        await lose(mail_queue, 3)
        await report(mail_queue, 4)
        start = at(await head_of(mail_queue), 2)
        async with aclosing(follow(tail, key, start, everything, 15.0)) as level:
            told = (await anext(level)).reports
        assert [one.offset for one in told] == [3, 4, 5, 6, 7]
        assert told[0] == lost[0]
        assert not {one.report_id for one in told[1:]} & {one.report_id for one in lost}
        with pytest.raises(CallerError) as caught:
            await anext(ahead)
    assert caught.value.metadata["common_offset"] == "3"


async def test_a_log_that_went_back_is_noticed_before_anything_new_is_written(
    mail_queue: Queue,
) -> None:
    tail = Tail(mail_queue.pool, poll_seconds=0.05)
    await report(mail_queue, 3)
    start = at(await head_of(mail_queue), 3)
    following = follow(tail, mail_queue.tenant_id, start, lambda _: True, 0.05)
    async with aclosing(following) as ahead:
        await anext(ahead)
        # A promoted standby, by way of PgBouncer: the first write will begin the new log.
        await mail_queue.pool.execute("UPDATE mailproxy.report_heads SET last_offset = 1")
        with pytest.raises(CallerError) as caught:
            await _read_on(ahead)
    assert caught.value.reason == "CURSOR_FOREIGN"
    assert caught.value.metadata["common_offset"] == "1"


async def _read_on(following: AsyncGenerator[Batch, None]) -> None:
    async with asyncio.timeout(10):
        async for _ in following:
            pass


async def test_a_watch_of_what_was_lost_is_to_be_begun_anew(front: Front) -> None:
    answer = await front.first.submit(TWO)
    wanted = message_pb2.WatchMessageRequest(message_id=answer.message_id)
    async with queue_of(front, front.first) as queue:
        first, second = await queue.claim()
        watching = front.first.messages.WatchMessage(wanted, metadata=front.first.auth)
        await queue.settle([first])
        while not (seen := (await anext(aiter(watching))).reports):
            pass
        await lose(queue, 0)
        await queue.settle([second])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in watching:
                pass
        assert refusal_of(caught.value).reason == "DATABASE_UNAVAILABLE"
        again = front.first.messages.WatchMessage(wanted, metadata=front.first.auth)
        (told,) = (await anext(aiter(again))).reports
        again.cancel()
    assert (told.offset, seen[0].offset) == (1, 1)
    assert told.report_id != seen[0].report_id
