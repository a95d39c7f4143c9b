"""The request of a call is read when its caller is known and there is room for it, not before."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2
from mailproxy.v1 import message_pb2
from mailproxy_server.rpc.bodies import surplus
from mailproxy_server.rpc.call import Call

from tests.support.edge import (
    AUTH,
    SUBMIT,
    WATCH,
    Refusal,
    Served,
    accept,
    calling,
    follow,
    raw_submit,
    refused,
    serving,
    until,
)

CHECK = "/grpc.health.v1.Health/Check"
LIMIT = 64 * 1024
"""The largest request of `serving`."""
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def several(channel: grpc.aio.Channel, *requests: bytes, path: str = SUBMIT, **given: Any) -> Any:
    """Make a call of an RPC that takes one request with another number of them."""

    async def stream() -> AsyncIterator[bytes]:
        for raw in requests:
            yield raw

    method: Any = channel.stream_unary(path)
    return method(stream(), **{"metadata": AUTH, "timeout": 10, **given})


def bodiless(channel: grpc.aio.Channel, path: str = SUBMIT, metadata: Any = AUTH) -> Any:
    """Begin a call whose request never comes."""

    async def never() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    method: Any = channel.stream_unary(path)
    return method(never(), metadata=metadata, timeout=30)


async def stuck(served: Served, channel: grpc.aio.Channel, count: int) -> list[Any]:
    """Begin so many calls whose requests never come, and wait until each has its room."""
    held = served.registry.edge.budget.used
    calls = [bodiless(channel) for _ in range(count)]
    await until(lambda: served.registry.edge.budget.used == held + count * LIMIT)
    return calls


@pytest.mark.parametrize("path", [SUBMIT, WATCH, CHECK])
async def test_a_call_without_a_request_is_told_so(path: str) -> None:
    async with serving() as served, calling(served) as channel:
        refusal = await refused(several(channel, path=path))
        assert (refusal.code, refusal.reason) == (INVALID, "REQUEST_MALFORMED")
        assert "exactly one" in refusal.message
        assert await raw_submit(channel, b"")
    assert served.registry.edge.budget.used == 0


async def test_of_two_requests_the_first_is_answered() -> None:
    seen = []

    async def note(request: Any, call: Call) -> Any:
        seen.append(request.request_id)
        return await accept(request, call)

    first, second = (
        message_pb2.SubmitMessageRequest(request_id=name).SerializeToString() for name in "ab"
    )
    async with serving(note) as served, calling(served) as channel:
        assert await several(channel, first, second)
    assert seen == ["a"]


async def test_a_stranger_is_refused_before_its_request_is_here() -> None:
    async with serving() as served, calling(served) as channel:
        for metadata in (None, (("authorization", "Bearer mp_nobody"),)):
            refusal = await refused(bodiless(channel, metadata=metadata))
            assert refusal.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_request_that_does_not_come_ends_in_time_and_gives_its_room_back() -> None:
    async with serving(body_seconds=1) as served, calling(served) as channel:
        refusal = await refused(bodiless(channel))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE")
        assert "MAILPROXY_BODY_SECONDS" in refusal.message
        await until(lambda: served.registry.edge.budget.used == 0)
        assert await raw_submit(channel, b"")
    assert served.bugs == []


async def test_control_with_more_time_it_is_still_waited_for() -> None:
    async with serving(body_seconds=30) as served, calling(served) as channel:
        call = bodiless(channel)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await asyncio.shield(asyncio.ensure_future(refused(call)))
        call.cancel()


async def test_a_caller_who_leaves_while_its_request_comes_gives_its_room_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving() as served, calling(served) as channel:
        for call in await stuck(served, channel, 8):
            call.cancel()
        await until(lambda: served.registry.edge.budget.used == 0)
        assert await raw_submit(channel, b"")
    assert served.bugs == []
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_drain_ends_calls_whose_request_has_not_come() -> None:
    async with serving() as served, calling(served) as channel:
        (call,) = await stuck(served, channel, 1)
        await served.server.drain(grace=0)
        refusal = await refused(call)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")


async def test_requests_past_the_room_wait_and_are_answered() -> None:
    gate = asyncio.Event()

    async def wait(request: object, call: Call) -> object:
        await gate.wait()
        return await accept(request, call)

    raw = message_pb2.SubmitMessageRequest(request_id="x" * 60_000).SerializeToString()
    async with serving(wait, inflight=4 * LIMIT) as served, calling(served) as channel:
        budget = served.registry.edge.budget
        calls = [asyncio.create_task(raw_submit(channel, raw)) for _ in range(12)]
        await until(lambda: budget.crowded and budget.used > 2 * len(raw))
        assert budget.used <= budget.limit
        gate.set()
        assert all(await asyncio.gather(*calls))
        await until(lambda: budget.used == 0)


async def crowd(most_slow: int | None = None) -> tuple[Refusal | None, list[Any]]:
    """Fill all room with requests that do not come, then send a small one.

    Gives how the small one was refused, None when it was answered, and the calls that were ended.
    """
    async with serving(inflight=8 * LIMIT) as served, calling(served) as channel:
        edge = served.registry.edge
        edge.budget.patience = 4
        if most_slow is not None:
            edge.bodies.most_slow = most_slow
        held = await stuck(served, channel, 6)
        try:
            await raw_submit(channel, b"", timeout=20)
        except grpc.aio.AioRpcError:
            refusal: Refusal | None = await refused(raw_submit(channel, b"", timeout=20))
        else:
            refusal = None
        ended = [await refused(call) for call in held if call.done()]
        for call in held:
            call.cancel()
        return refusal, ended


async def test_slow_requests_leave_half_of_the_room_to_others() -> None:
    refusal, ended = await crowd()
    assert refusal is None
    assert len(ended) == 3
    for one in ended:
        assert (one.code, one.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "INFLIGHT_BYTES")
        assert one.retry_delay


async def test_control_slow_requests_that_may_fill_all_room_stop_a_small_one() -> None:
    refusal, ended = await crowd(most_slow=6)
    assert refusal
    assert (refusal.reason, refusal.retry_delay) == ("INFLIGHT_BYTES", 0.5)
    assert ended == []


async def test_a_stream_that_has_begun_holds_its_request_until_it_ends() -> None:
    async with serving() as served, calling(served) as channel:
        stream = follow(channel)
        await stream.read()
        assert served.registry.edge.budget.used == 0  # its request has no bytes
        stream.cancel()
        await until(lambda: served.reports.closed == 1)


async def test_health_is_answered_beside_strangers_whose_requests_do_not_come() -> None:
    async with serving() as served, calling(served) as channel:
        held = [bodiless(channel, CHECK, None) for _ in range(4)]
        await until(lambda: served.registry.edge.foreign.budget.crowded)
        method: Any = channel.unary_unary(CHECK)
        answer = health_pb2.HealthCheckResponse.FromString(await method(b"", timeout=20))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert await raw_submit(channel, b"")
        for call in held:
            call.cancel()


async def test_a_large_request_for_health_is_refused() -> None:
    async with serving(max_request_bytes=1 << 20) as served, calling(served) as channel:
        method: Any = channel.unary_unary(CHECK)
        refusal = await refused(method(b"\x0a" + b"x" * 100_000, timeout=10))
    assert refusal.reason == "REQUEST_TOO_LARGE"


async def test_a_connection_has_no_more_calls_open_than_its_streams() -> None:
    gate = asyncio.Event()

    async def wait(request: object, call: Call) -> object:
        await gate.wait()
        return await accept(request, call)

    async def insist(channel: grpc.aio.Channel) -> bytes:
        while True:
            try:
                return await raw_submit(channel, b"")
            except grpc.aio.AioRpcError as error:
                if "error code 7" not in (error.details() or ""):  # by which grpc refuses streams
                    raise

    async with (
        serving(wait, connection_streams=10) as served,
        calling(served) as channel,
        calling(served) as other,
    ):
        method: Any = channel.unary_unary(CHECK)
        await method(b"", timeout=10)  # by now the client knows the bound
        calls = [asyncio.create_task(insist(channel)) for _ in range(30)]
        await until(lambda: served.registry.calls == 10)
        calls.append(asyncio.create_task(insist(other)))
        await until(lambda: served.registry.calls == 11)
        gate.set()
        assert all(await asyncio.gather(*calls))


@pytest.mark.parametrize(
    ("callers", "most", "chosen"),
    [
        ("", 1, []),
        ("aa", 2, []),
        ("aaaa", 2, [3, 2]),
        ("baaa", 2, [3, 2]),
        ("aaab", 2, [2, 1]),
        ("ab", 1, [1]),
    ],
)
def test_who_has_most_of_the_slow_ones_loses_the_youngest(
    callers: str, most: int, chosen: list[int]
) -> None:
    assert surplus(callers, most) == chosen
