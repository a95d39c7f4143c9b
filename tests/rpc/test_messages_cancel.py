"""CancelMessage withdraws what is queued, and says what was under way."""

import asyncio
from uuid import UUID, uuid4

from mailproxy.v1 import delivery_pb2, message_pb2
from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.queue import cancel as cancelling
from mailproxy_server.queue import hot
from mailproxy_server.queue.chosen import LOOKED_AT, Chosen, walk

from tests.support.control import TWO, Selector, cancel, pause, resume, states
from tests.support.emails import composed
from tests.support.relay import Say, ScriptedRelay
from tests.support.served import Front, dispatching, front_on, queue_of

CANCELLED = message_pb2.CANCEL_RESULT_CANCELLED
IN_PROGRESS = message_pb2.CANCEL_RESULT_IN_PROGRESS
FINAL = message_pb2.CANCEL_RESULT_ALREADY_FINAL


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
    found = await cancel(front.first, selector=Selector(labels={"kind": "news"}))
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


async def test_many_are_cancelled_in_batches_and_counted_and_not_named(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        await queue.submit_many(LOOKED_AT + 50)
        await queue.claim(2)
        found = await cancel(front.first, selector=Selector(account_id="demo"))
        assert (found.cancelled, found.in_progress) == (LOOKED_AT + 48, 2)
        assert [each.result for each in found.recipients] == [IN_PROGRESS, IN_PROGRESS]
        offsets = [report.log_offset for report in await queue.reports()]
        assert offsets == list(range(1, LOOKED_AT + 49))


async def test_what_is_being_sent_ends_cancelled_in_place_of_a_retry(database_url: str) -> None:
    go_on = asyncio.Event()
    script = {"DOT": Say("451 4.3.0 try later", after=go_on)}
    async with ScriptedRelay(script) as relay, front_on(database_url) as front:
        await front.first.make_account(relay.port)
        sent = await front.first.submit()
        async with dispatching(front, lease_seconds=2):
            await relay.until(lambda: relay.messages, "the message is at the relay")
            found = await cancel(front.first, message_id=sent.message_id)
            assert [each.result for each in found.recipients] == [IN_PROGRESS]
            go_on.set()
            responses = await front.first.watch(message_id=sent.message_id)
    events = [report.event for one in responses for report in one.reports]
    assert events == [
        delivery_pb2.REPORT_EVENT_DEFERRED,
        delivery_pb2.REPORT_EVENT_CANCELLED,
    ]
    assert len(relay.messages) == 1


async def test_what_was_seized_by_a_front_that_died_ends_cancelled(database_url: str) -> None:
    async with ScriptedRelay() as relay, front_on(database_url) as front:
        await front.first.make_account(relay.port)
        sent = await front.first.submit(composed(to=TWO))
        chosen = Chosen(message_ids=[UUID(sent.message_id)])
        async with queue_of(front, front.first) as queue, hot.connection(queue.pool) as link:
            async for found in walk(link, queue.tenant_id, chosen):
                seized = await cancelling.withdraw(link, queue.tenant_id, found, uuid4())
                assert len(seized.seized) == 2
        assert await states(front.first, sent.message_id) == ["SENDING", "SENDING"]
        async with dispatching(front, lease_seconds=2):
            await front.first.watch(message_id=sent.message_id)
    assert relay.messages == []


async def test_a_held_delivery_is_cancelled_too(front: Front) -> None:
    sent = await front.first.submit(composed({"labels": {"kind": "news"}}))
    await pause(front.first, labels={"kind": "news"})
    assert (await cancel(front.first, message_id=sent.message_id)).cancelled == 1
    assert await resume(front.first, labels={"kind": "news"}) == (True, 0)


async def test_a_cancelled_message_is_named_by_its_request_id_too(front: Front) -> None:
    await front.first.submit(request_id="order-17")
    assert (await cancel(front.first, request_id="order-17")).cancelled == 1
    wanted = message_pb2.CancelMessageRequest(request_id="order-18")
    refusal = await front.first.refusal(front.first.messages.CancelMessage, wanted)
    assert refusal.reason == "MESSAGE_NOT_FOUND"
