"""While the database is away every call says so, in time, and all is well when it is back."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from mailproxy.v1 import account_pb2, message_pb2, queue_pb2, report_pb2

from tests.support.between import Between, between
from tests.support.calling import Caller, request, told_by
from tests.support.edge import Refusal
from tests.support.emails import composed
from tests.support.served import Front, front_on, queue_of, report

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


@dataclass
class Place:
    """A front, and what stands between it and its database."""

    front: Front
    wire: Between


@pytest.fixture
async def place(database_url: str) -> AsyncIterator[Place]:
    async with (
        between(database_url) as wire,
        front_on(database_url, wire.url, statement_timeout_seconds=1) as front,
    ):
        await front.first.make_account()
        await front.first.submit()
        yield Place(front, wire)
        await wire.restore()


async def refusals(caller: Caller) -> list[Refusal]:
    """Make every kind of call at once."""
    calls: list[tuple[Any, Any]] = [
        (caller.messages.SubmitMessage, request(request_id="a")),
        (caller.messages.WatchMessage, message_pb2.WatchMessageRequest(request_id="a")),
        (caller.messages.WatchMessage, message_pb2.WatchMessageRequest(submit=request())),
        (caller.messages.GetMessage, message_pb2.GetMessageRequest(request_id="a")),
        (caller.reports.StreamDeliveryReports, report_pb2.StreamDeliveryReportsRequest()),
        (caller.queue.RunNow, queue_pb2.RunNowRequest(include_retries=True)),
        (caller.queue.GetQueueStatus, queue_pb2.GetQueueStatusRequest()),
        (caller.accounts.GetAccount, account_pb2.GetAccountRequest(account_id="demo")),
        (caller.accounts.ListAccounts, account_pb2.ListAccountsRequest()),
    ]
    return await asyncio.gather(*(caller.refusal(*call) for call in calls))


def assert_all_unavailable(found: list[Refusal]) -> None:
    for refusal in found:
        assert (refusal.code, refusal.reason) == (UNAVAILABLE, "DATABASE_UNAVAILABLE")
        assert refusal.retry_delay


async def test_a_database_that_refuses_connections_is_unavailable(place: Place) -> None:
    await place.wire.cut()
    async with asyncio.timeout(10):
        assert_all_unavailable(await refusals(place.front.first))
    await place.wire.restore()
    again = await place.front.first.submit(request_id="a")
    assert not again.replayed
    assert (await place.front.first.get(again.message_id)).request_id == "a"


async def test_a_database_that_does_not_answer_is_unavailable_in_time(place: Place) -> None:
    place.wire.freeze()
    async with asyncio.timeout(15):
        assert_all_unavailable(await refusals(place.front.first))
    await place.wire.restore()
    assert (await place.front.first.submit(request_id="a")).message_id


async def test_each_message_of_a_batch_is_told_to_come_again(place: Place) -> None:
    await place.wire.cut()
    results = await place.front.first.submit_all([request(), request(composed(to=[])), request()])
    told = [told_by(result.error) for result in results]
    assert_all_unavailable([told[0], told[2]])
    assert told[1].reason == "FIELD_INVALID"
    await place.wire.restore()
    assert (await place.front.rows())["messages"] == 1


async def test_a_stranger_is_not_told_that_the_token_is_wrong(place: Place) -> None:
    """A token that is not remembered cannot be judged: the caller must not throw it away."""
    await place.wire.cut()
    refusal = await place.front.other.refusal(place.front.other.messages.SubmitMessage, request())
    assert (refusal.code, refusal.reason) == (UNAVAILABLE, "DATABASE_UNAVAILABLE")
    await place.wire.restore()


async def test_an_open_stream_goes_on_when_the_database_is_back(place: Place) -> None:
    async with (
        queue_of(place.front, place.front.first) as queue,
        place.front.first.stream() as stream,
    ):
        await stream.next()
        await place.wire.cut()
        await report(queue, 3)
        await place.wire.restore()
        assert [one.offset for one in await stream.until(3)] == [1, 2, 3]


async def test_a_hundred_callers_are_all_told_and_none_waits_for_the_others(place: Place) -> None:
    place.wire.freeze()
    caller = place.front.first
    async with asyncio.timeout(15):
        found = await asyncio.gather(
            *(caller.refusal(caller.messages.SubmitMessage, request()) for _ in range(100))
        )
    assert_all_unavailable(found)
    await place.wire.restore()
