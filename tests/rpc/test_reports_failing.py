"""A fault of ours in the reading of reports is told to who follows them: no stream falls silent."""

import asyncio

import grpc
import pytest
from mailproxy_server.app import front as front_role
from mailproxy_server.app.ports import hold
from mailproxy_server.reports.tail import Tail
from mailproxy_server.web.watcher import Watcher

from tests.support.eventually import eventually
from tests.support.served import ANYWHERE, Front, Tie, queue_of, report, settings_of

TRIGGER = """
CREATE FUNCTION mailproxy.spoil() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.labels = '{"kind": 1}'; RETURN NEW; END $$;
CREATE TRIGGER spoil BEFORE INSERT ON mailproxy.messages
FOR EACH ROW EXECUTE FUNCTION mailproxy.spoil();
"""
"""Messages get labels that the contract has no words for, as if an operator had written them."""


async def test_who_follows_learns_that_a_report_cannot_be_read(front: Front) -> None:
    async with queue_of(front, front.first) as queue, front.first.stream() as stream:
        await report(queue)
        assert [one.offset for one in await stream.until(1)] == [1]
        await front.link.execute(TRIGGER)
        await report(queue)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            async with asyncio.timeout(20):
                await stream.until(2)
        assert failed.value.code() is grpc.StatusCode.INTERNAL
        await front.link.execute("UPDATE mailproxy.messages SET labels = NULL")
        cursor = stream.responses[-1].cursor
        async with front.first.stream(cursor=cursor) as anew:
            assert [one.offset for one in await anew.until(1)] == [2]


async def test_a_tail_forgets_a_feed_whose_reader_failed(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        tail = Tail(queue.pool, poll_seconds=0.01)
        feed, place = await tail.follow(queue.tenant_id, 0)
        await front.link.execute(TRIGGER)
        await report(queue)
        async with asyncio.timeout(20):
            await feed.moved.wait()
        with pytest.raises(TypeError):
            feed.check()
        again, mine = await tail.follow(queue.tenant_id, 1)
        assert again is not feed
        tail.leave(feed, place)
        assert queue.tenant_id in tail.lags(), "who left the old one left the new one alone"
        tail.leave(again, mine)
        assert tail.lags() == {}


async def test_the_page_goes_on_when_the_report_is_mended(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        watcher = Watcher(queue.pool, Tail(queue.pool, poll_seconds=0.01))
        async with watcher.watching(queue.tenant_id) as watched:
            await front.link.execute(TRIGGER)
            await report(queue)
            before = watched.flow
            await eventually(lambda: watched.flow is not before, "it begins anew")
            assert watched.flow.rows() == []
            await front.link.execute("UPDATE mailproxy.messages SET labels = NULL")
            await eventually(lambda: watched.flow.rows(), "it shows what was sent")


@pytest.mark.parametrize("name", ["ear", "days"])
async def test_a_front_drains_and_ends_when_a_part_of_it_does(database_url: str, name: str) -> None:
    """Its supervisor begins another one."""
    held, listen = hold(ANYWHERE, "MAILPROXY_GRPC_LISTEN")
    tie = Tie()
    running = asyncio.create_task(
        front_role.run(settings_of(grpc_listen=listen), tie, database_url)
    )
    async with asyncio.timeout(20):
        await tie.served.wait()
        (part,) = (task for task in asyncio.all_tasks() if task.get_name() == name)
        part.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert tie.draining
    held.close()
