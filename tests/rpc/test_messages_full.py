"""Past a tenant's queue depth nothing is let in, and the caller is told when to come again."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest

from tests.support.calling import request
from tests.support.emails import composed
from tests.support.served import Front, front_on, queue_of, report

FULL = grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture
async def front(database_url: str) -> AsyncIterator[Front]:
    """A front whose tenants may have 5 recipients waiting each."""
    async with front_on(database_url, queue_depth=5) as one:
        await one.first.make_account()
        await one.other.make_account()
        yield one


async def test_a_message_past_the_depth_is_asked_to_come_again(front: Front) -> None:
    for _ in range(5):
        await front.first.submit()
    refusal = await front.first.refusal(front.first.messages.SubmitMessage, request())
    assert (refusal.code, refusal.reason) == (FULL, "QUEUE_FULL")
    assert refusal.metadata == {"queued": "5", "limit": "5"}
    assert refusal.retry_delay
    assert float(refusal.pushback) == refusal.retry_delay * 1000
    assert (await front.other.submit()).message_id


async def test_recipients_are_what_counts(front: Front) -> None:
    six = composed(to=[{"address": f"{number}@b.test"} for number in range(6)])
    refusal = await front.first.refusal(front.first.messages.SubmitMessage, request(six))
    assert refusal.reason == "QUEUE_FULL"
    assert (await front.rows())["deliveries"] == 0


async def test_never_half_a_batch_is_let_in(front: Front) -> None:
    await front.first.submit()
    batch = front.first.batch([request()] * 5)
    refusal = await front.first.refusal(front.first.messages.SubmitMessages, batch)
    assert (refusal.code, refusal.reason) == (FULL, "QUEUE_FULL")
    assert refusal.retry_delay
    assert (await front.rows())["messages"] == 1
    results = await front.first.submit_all([request()] * 4)
    assert all(result.response.message_id for result in results)


async def test_what_is_only_validated_takes_no_room(front: Front) -> None:
    for _ in range(5):
        await front.first.submit()
    await front.first.submit(validate_only=True)
    results = await front.first.submit_all([request(validate_only=True)] * 3)
    assert all(result.HasField("response") for result in results)


async def test_the_first_calls_of_a_front_share_the_room_that_there_is(front: Front) -> None:
    """Callers that all come before the depth is known: none is let in on a count of its own."""
    calls = [front.first.submit() for _ in range(40)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 5
    assert (await front.rows())["deliveries"] == 5


async def test_there_is_room_again_when_some_were_sent(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        await report(queue, 5)
        for _ in range(5):
            await front.first.submit()
        assert await front.first.refusal(front.first.messages.SubmitMessage, request())
        await queue.settle(await queue.claim())
        async with asyncio.timeout(100):  # a count that took a second is not made for fifty
            while await refused(front):
                pass


async def refused(front: Front) -> bool:
    (result,) = await asyncio.gather(front.first.submit(), return_exceptions=True)
    return isinstance(result, grpc.aio.AioRpcError)
