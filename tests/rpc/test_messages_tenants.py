"""A tenant can neither read, watch, count nor hurry what belongs to another."""

from typing import Any

import grpc
import pytest
from mailproxy.v1 import delivery_pb2, message_pb2

from tests.support.calling import ahead
from tests.support.emails import composed
from tests.support.queue import SENT
from tests.support.served import Front, queue_of, report

NOT_FOUND = grpc.StatusCode.NOT_FOUND
LABELS = {"kind": "news"}


@pytest.mark.parametrize("by", ["message_id", "request_id"])
async def test_it_is_not_there_for_another_to_get_or_to_watch(front: Front, by: str) -> None:
    mine = await front.first.submit(request_id="order-17")
    name: dict[str, Any] = {by: mine.message_id if by == "message_id" else "order-17"}
    for method, wanted in (
        (front.other.messages.GetMessage, message_pb2.GetMessageRequest(**name)),
        (front.other.messages.WatchMessage, message_pb2.WatchMessageRequest(**name)),
    ):
        refusal = await front.other.refusal(method, wanted)
        assert (refusal.code, refusal.reason) == (NOT_FOUND, "MESSAGE_NOT_FOUND")


async def test_it_is_in_no_report_of_another(front: Front) -> None:
    mine = await front.first.submit(composed({"labels": LABELS}))
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim(), SENT)
    async with queue_of(front, front.other) as queue:
        await report(queue)
    everything: list[dict[str, Any]] = [
        {},
        {"selector": delivery_pb2.Selector(account_id="demo")},
    ]
    for fields in everything:
        async with front.other.stream(**fields) as stream:
            (only,) = await stream.until(1)
        assert (only.offset, stream.responses[-1].head_offset) == (1, 1)
        assert only.message_id != mine.message_id
    for selector in ({"message_ids": [mine.message_id]}, {"labels": LABELS}):
        async with front.other.stream(selector=delivery_pb2.Selector(**selector)) as stream:
            assert len((await stream.next()).reports) == 0


async def test_another_neither_counts_nor_hurries_it(front: Front) -> None:
    later = composed({"labels": LABELS, "send_time": ahead(hours=1)})
    mine = await front.first.submit(later)
    for selector in (
        {"account_id": "demo"},
        {"message_ids": [mine.message_id]},
        {"labels": LABELS},
    ):
        wanted = delivery_pb2.Selector(**selector)
        hurry = {"include_scheduled": True, "include_retries": True}
        assert await front.other.run_now(selector=wanted, **hurry) == 0
    (theirs,) = (await front.other.status()).accounts
    assert (theirs.account_id, theirs.scheduled, theirs.due) == ("demo", 0, 0)
    (ours,) = (await front.first.status()).accounts
    assert (ours.scheduled, ours.due) == (1, 0)


async def test_accounts_of_another_are_not_there(front: Front) -> None:
    await front.first.make_account(account_id="mine")
    refusal = await front.other.refusal(
        front.other.messages.SubmitMessage,
        message_pb2.SubmitMessageRequest(email=composed({"account_id": "mine"})),
    )
    assert (refusal.code, refusal.reason) == (NOT_FOUND, "ACCOUNT_NOT_FOUND")
    assert "known accounts: demo;" in refusal.message


async def test_a_full_queue_of_one_is_no_matter_of_another(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        await queue.submit_many(2000)
    assert (await front.other.submit()).message_id
    (theirs,) = (await front.other.status()).accounts
    assert theirs.due == 1
