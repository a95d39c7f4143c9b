"""What is done to messages that are queued or over: cancel, reschedule, retry."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
from mailproxy.v1 import delivery_pb2, message_pb2
from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.mail.transcript import Reply, Stage

from tests.support.calling import Caller, ahead
from tests.support.emails import composed
from tests.support.served import Front, queue_of

FAILED = Outcome.failed(Reason.RECIPIENT_REFUSED, Reply(550, "5.1.1", "no such user"), Stage.RCPT)
TWO = [{"address": "ann@b.test"}, {"address": "bob@b.test"}]
QUEUED = delivery_pb2.DELIVERY_STATE_QUEUED
CANCELLED = message_pb2.CANCEL_RESULT_CANCELLED
IN_PROGRESS = message_pb2.CANCEL_RESULT_IN_PROGRESS
FINAL = message_pb2.CANCEL_RESULT_ALREADY_FINAL


async def cancel(caller: Caller, **target: Any) -> message_pb2.CancelMessageResponse:
    wanted = message_pb2.CancelMessageRequest(**target)
    response: message_pb2.CancelMessageResponse = await caller.call(
        caller.messages.CancelMessage, wanted
    )
    return response


async def retry(caller: Caller, message_id: str, **fields: Any) -> int:
    wanted = message_pb2.RetryMessageRequest(message_id=message_id, **fields)
    response: message_pb2.RetryMessageResponse = await caller.call(
        caller.messages.RetryMessage, wanted
    )
    return response.requeued


async def states(caller: Caller, message_id: str) -> list[str]:
    found = await caller.get(message_id)
    return [
        delivery_pb2.DeliveryState.Name(one.state).removeprefix("DELIVERY_STATE_")
        for one in found.recipients
    ]


async def test_a_queued_message_is_cancelled_and_reported_and_a_second_time_final(
    front: Front,
) -> None:
    sent = await front.first.submit(composed(to=TWO))
    found = await cancel(front.first, message_id=sent.message_id)
    assert [(each.recipient, each.result) for each in found.recipients] == [
        ("ann@b.test", CANCELLED),
        ("bob@b.test", CANCELLED),
    ]
    assert await states(front.first, sent.message_id) == ["CANCELLED", "CANCELLED"]
    again = await cancel(front.first, message_id=sent.message_id)
    assert [each.result for each in again.recipients] == [FINAL, FINAL]
    async with queue_of(front, front.first) as queue:
        assert await queue.claim() == []
        assert [report.event for report in await queue.reports()] == [5, 5]


async def test_what_is_under_way_is_told_and_ends_cancelled_in_place_of_a_retry(
    front: Front,
) -> None:
    sent = await front.first.submit(composed(to=TWO))
    async with queue_of(front, front.first) as queue:
        (one,) = await queue.claim(1)
        found = await cancel(front.first, message_id=sent.message_id)
        assert {each.recipient: each.result for each in found.recipients} == {
            "ann@b.test": IN_PROGRESS,
            "bob@b.test": CANCELLED,
        }
        assert (found.cancelled, found.in_progress) == (1, 1)
        await queue.settle([one], Outcome.deferred(Reason.RELAY_UNREACHABLE, 0.0))
        (again,) = await queue.claim()
        assert again.cancel_requested


async def test_what_was_under_way_and_sent_stays_sent(front: Front) -> None:
    sent = await front.first.submit()
    async with queue_of(front, front.first) as queue:
        rows = await queue.claim()
        await cancel(front.first, message_id=sent.message_id)
        await queue.settle(rows)
    assert await states(front.first, sent.message_id) == ["SENT"]


async def test_a_selector_cancels_what_matches_and_nothing_of_another_tenant(front: Front) -> None:
    for kind in ("news", "news", "code"):
        await front.first.submit(composed({"labels": {"kind": kind}}))
        await front.other.submit(composed({"labels": {"kind": kind}}))
    found = await cancel(front.first, selector=delivery_pb2.Selector(labels={"kind": "news"}))
    assert found.cancelled == 2
    (first,) = (await front.first.status()).accounts
    (other,) = (await front.other.status()).accounts
    assert (first.due, other.due) == (1, 3)


async def test_an_empty_target_an_empty_selector_and_an_unknown_message_are_refused(
    front: Front,
) -> None:
    ask = front.first.messages.CancelMessage
    for wanted, fields in (
        (message_pb2.CancelMessageRequest(), ("target",)),
        (message_pb2.CancelMessageRequest(selector=delivery_pb2.Selector()), ("selector",)),
        (message_pb2.CancelMessageRequest(message_id="x"), ("message_id",)),
    ):
        refusal = await front.first.refusal(ask, wanted)
        assert (refusal.reason, refusal.fields) == ("FIELD_INVALID", fields)
    sent = await front.first.submit()
    foreign = message_pb2.CancelMessageRequest(message_id=sent.message_id)
    refusal = await front.other.refusal(front.other.messages.CancelMessage, foreign)
    assert refusal.reason == "MESSAGE_NOT_FOUND"


async def test_a_message_is_rescheduled_and_its_date_follows_until_an_attempt_began(
    front: Front,
) -> None:
    sent = await front.first.submit(composed({"send_time": ahead(days=7)}))
    soon = ahead(hours=1)
    wanted = message_pb2.RescheduleMessageRequest(message_id=sent.message_id, send_time=soon)
    moved = await front.first.call(front.first.messages.RescheduleMessage, wanted)
    assert (moved.rescheduled, moved.in_progress) == (1, 0)
    assert moved.recipients[0].next_attempt_time.seconds == soon.seconds
    assert (await front.first.get(sent.message_id)).send_time.seconds == soon.seconds
    past = message_pb2.RescheduleMessageRequest(
        message_id=sent.message_id, send_time=ahead(hours=-1)
    )
    await front.first.call(front.first.messages.RescheduleMessage, past)
    async with queue_of(front, front.first) as queue:
        (row,) = await queue.claim()
        later = message_pb2.RescheduleMessageRequest(
            message_id=sent.message_id, send_time=ahead(days=2)
        )
        told = await front.first.call(front.first.messages.RescheduleMessage, later)
        assert (told.rescheduled, told.in_progress) == (0, 1)
        await queue.settle([row], Outcome.deferred(Reason.RELAY_UNREACHABLE, 60.0))
        before = (await front.first.get(sent.message_id)).send_time
        await front.first.call(front.first.messages.RescheduleMessage, later)
        assert (await front.first.get(sent.message_id)).send_time == before


async def test_a_time_that_is_too_far_or_past_the_expiry_is_refused(front: Front) -> None:
    sent = await front.first.submit(composed({"expire_time": ahead(hours=2)}))
    ask = front.first.messages.RescheduleMessage
    for fields, at in (
        ({}, "send_time"),
        ({"send_time": ahead(days=400)}, "send_time"),
        ({"send_time": ahead(hours=3)}, "send_time"),
        ({"send_time": ahead(hours=3), "expire_time": ahead(hours=2)}, "expire_time"),
    ):
        wanted = message_pb2.RescheduleMessageRequest(message_id=sent.message_id, **fields)  # type: ignore[arg-type]
        refusal = await front.first.refusal(ask, wanted)
        assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, (at,))
    await cancel(front.first, message_id=sent.message_id)
    wanted = message_pb2.RescheduleMessageRequest(
        message_id=sent.message_id, send_time=ahead(minutes=1)
    )
    assert (await front.first.refusal(ask, wanted)).reason == "TOO_LATE"


async def test_a_failed_recipient_comes_back_for_a_new_round_and_a_sent_one_does_not(
    front: Front,
) -> None:
    sent = await front.first.submit(composed(to=TWO))
    async with queue_of(front, front.first) as queue:
        one, two = await queue.claim()
        await queue.settle([one])
        await queue.settle([two], FAILED)
        assert await retry(front.first, sent.message_id) == 1
        assert await states(front.first, sent.message_id) == ["SENT", "QUEUED"]
        (back,) = await queue.claim()
        assert (back.recipient, back.attempts, back.claim_no) == ("bob@b.test", 0, 2)
        assert back.round_at is not None
        assert await queue.settle([two]) == 0, "the first round's fence holds no more"
        await queue.settle([back])
        reports = await queue.reports()
    assert [report.event for report in reports] == [2, 3, 7, 2]
    assert [report.log_offset for report in reports] == [1, 2, 3, 4]
    assert await retry(front.first, sent.message_id) == 0


async def test_two_retries_at_once_bring_a_recipient_back_once(front: Front) -> None:
    sent = await front.first.submit()
    async with queue_of(front, front.first) as queue:
        for _ in range(10):
            await queue.settle(await queue.claim(), FAILED)
            again = [retry(front.first, sent.message_id) for _ in range(5)]
            assert sum(await asyncio.gather(*again)) == 1
        offsets = [report.log_offset for report in await queue.reports()]
    assert offsets == list(range(1, 21))


async def test_an_expired_message_is_retried_with_another_expiry(front: Front) -> None:
    sent = await front.first.submit(composed({"expire_time": ahead(hours=1)}))
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim(), Outcome.expired())
        until = ahead(hours=5)
        assert await retry(front.first, sent.message_id, expire_time=until) == 1
        (row,) = await queue.claim()
        assert row.expire_at is not None
        wanted = until.ToDatetime(tzinfo=row.expire_at.tzinfo)
        assert abs(row.expire_at - wanted) < timedelta(milliseconds=1)


async def test_only_the_named_recipients_are_retried(front: Front) -> None:
    sent = await front.first.submit(composed(to=TWO))
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim(), FAILED)
    assert await retry(front.first, sent.message_id, recipients=["bob@b.test"]) == 1
    assert await states(front.first, sent.message_id) == ["FAILED", "QUEUED"]


async def test_without_its_content_a_message_cannot_be_retried(front: Front) -> None:
    sent = await front.first.submit()
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim(), FAILED)
        await queue.pool.execute("UPDATE mailproxy.messages SET content = ''")
    wanted = message_pb2.RetryMessageRequest(message_id=sent.message_id)
    refusal = await front.first.refusal(front.first.messages.RetryMessage, wanted)
    assert (refusal.code, refusal.reason) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "CONTENT_GONE",
    )
