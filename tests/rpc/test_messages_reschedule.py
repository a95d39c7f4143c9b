"""RescheduleMessage gives what has not been sent another time."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import grpc
from mailproxy.v1 import delivery_pb2, message_pb2
from mailproxy_server.mail.delivery import Outcome, Reason

from tests.support.calling import ahead
from tests.support.control import TWO, cancel, reschedule, retry
from tests.support.emails import composed
from tests.support.relay import ScriptedRelay
from tests.support.served import Front, dispatching, front_on, queue_of


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


async def test_without_a_recipient_left_to_move_the_date_stays(front: Front) -> None:
    sent = await front.first.submit(composed(to=TWO))
    async with queue_of(front, front.first) as queue:
        await queue.claim(1)
        moved = await reschedule(front.first, sent.message_id, send_time=ahead(hours=1))
    assert (moved.rescheduled, moved.in_progress) == (1, 1)
    assert not (await front.first.get(sent.message_id)).HasField("send_time")


async def test_a_new_expiry_holds_and_is_shown(front: Front) -> None:
    sent = await front.first.submit(composed({"expire_time": ahead(hours=2)}))
    until = ahead(hours=9)
    await reschedule(front.first, sent.message_id, send_time=ahead(hours=8), expire_time=until)
    assert (await front.first.get(sent.message_id)).expire_time.seconds == until.seconds
    async with queue_of(front, front.first) as queue:
        stored = await queue.pool.fetchval("SELECT expire_at FROM mailproxy.deliveries")
    assert int(stored.timestamp()) == until.seconds


async def test_the_expiry_of_an_earlier_round_is_in_nobodys_way(front: Front) -> None:
    sent = await front.first.submit(composed({"expire_time": ahead(hours=1)}))
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim(), Outcome.expired())
    assert await retry(front.first, sent.message_id) == 1
    assert not (await front.first.get(sent.message_id)).HasField("expire_time")
    moved = await reschedule(front.first, sent.message_id, send_time=ahead(hours=3))
    assert moved.rescheduled == 1


async def test_a_retry_that_was_rescheduled_waits_for_its_time_and_for_no_attempt(
    front: Front,
) -> None:
    sent = await front.first.submit()
    async with queue_of(front, front.first) as queue:
        again = Outcome.deferred(Reason.RELAY_UNREACHABLE, 600.0)
        await queue.settle(await queue.claim(), again)
        assert await front.first.run_now(include_retries=True) == 1
        await reschedule(front.first, sent.message_id, send_time=ahead(hours=1))
        (status,) = (await front.first.status()).accounts
        assert (status.scheduled, status.retrying) == (1, 0)
        assert await front.first.run_now(include_retries=True) == 0
        chosen = delivery_pb2.Selector(message_ids=[sent.message_id])
        assert await front.first.run_now(selector=chosen, include_scheduled=True) == 1
        await queue.settle(await queue.claim(), again)
        assert await front.first.run_now(include_retries=True) == 1


async def test_moved_to_now_it_is_sent_with_the_new_date(database_url: str) -> None:
    async with ScriptedRelay() as relay, front_on(database_url) as front:
        await front.first.make_account(relay.port)
        sent = await front.first.submit(composed({"send_time": ahead(days=300)}))
        async with dispatching(front, poll_seconds=60, sweep_seconds=60):
            await reschedule(front.first, sent.message_id, send_time=ahead(seconds=-5))
            await front.first.watch(message_id=sent.message_id)
    found = _date(relay)
    assert abs((found - datetime.now(UTC)).total_seconds()) < 60


def _date(relay: ScriptedRelay) -> datetime:
    (message,) = relay.messages
    return parsedate_to_datetime(message.header("Date") or "")
