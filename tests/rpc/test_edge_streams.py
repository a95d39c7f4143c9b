import asyncio
import gc
import types

import grpc

from tests.support.edge import calling, follow, raw_submit, refused, serving, until


async def test_a_drain_ends_streams_with_unavailable_and_closes_them() -> None:
    async with serving() as served, calling(served) as channel:
        streams = [follow(channel) for _ in range(20)]
        for stream in streams:
            await stream.read()
        async with asyncio.timeout(2):
            await served.server.drain(grace=30)
        for stream in streams:
            refusal = await refused(stream.read())
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
            assert refusal.retry_delay == 1.0
    assert served.reports.closed == 20


async def test_calls_after_a_drain_began_are_refused() -> None:
    async with serving() as served, calling(served) as channel:
        assert await raw_submit(channel, b"")
        served.registry.drain()
        unary = await refused(raw_submit(channel, b""))
        stream = await refused(follow(channel).read())
    assert unary.code is stream.code is grpc.StatusCode.UNAVAILABLE
    assert unary.reason == stream.reason == "DRAINING"


async def test_streams_past_the_limit_are_refused_and_unary_calls_are_not() -> None:
    async with serving(max_streams=2) as served, calling(served) as channel:
        held = [follow(channel) for _ in range(2)]
        for stream in held:
            await stream.read()
        refusal = await refused(follow(channel).read())
        assert await raw_submit(channel, b"")
        held[0].cancel()
        await until(lambda: served.reports.closed == 1)
        assert await follow(channel).read()
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (refusal.reason, refusal.metadata) == ("TOO_MANY_STREAMS", {"limit": "2"})


async def test_two_thousand_cancelled_streams_leave_nothing_behind() -> None:
    async with serving() as served, calling(served) as channel:

        async def come_and_go() -> None:
            stream = follow(channel)
            await stream.read()
            stream.cancel()

        async def round_of(count: int) -> int:
            begun = served.reports.begun
            for _ in range(count // 50):
                await asyncio.gather(*(come_and_go() for _ in range(50)))
            assert served.reports.begun == begun + count
            await until(lambda: served.reports.closed == served.reports.begun)
            await until(lambda: dict(served.registry.open_streams())[SERVICE] == 0)
            await until(lambda: served.registry.edge.budget.used == 0)
            return living()

        before = await round_of(200)
        await until(lambda: len(asyncio.all_tasks()) < 10)
        assert await round_of(2000) <= before + 5


SERVICE = "mailproxy.v1.ReportService"


def living() -> int:
    """Count generators and coroutines that are alive."""
    gc.collect()
    kinds = (types.AsyncGeneratorType, types.CoroutineType)
    return sum(isinstance(one, kinds) for one in gc.get_objects())


async def test_a_stream_that_a_client_leaves_is_closed_while_it_waits() -> None:
    async with serving() as served, calling(served) as channel:
        stream = follow(channel)
        await stream.read()
        stream.cancel()
        await until(lambda: served.reports.closed == 1)
        assert served.bugs == []
