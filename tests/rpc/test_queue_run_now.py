"""RunNow ends the waiting of what matches, counts it, and never sends by itself."""

import grpc
import pytest
from mailproxy.v1 import delivery_pb2, queue_pb2
from mailproxy_server.mail.delivery import Outcome, Reason

from tests.support.calling import ahead
from tests.support.emails import composed
from tests.support.relay import ScriptedRelay
from tests.support.served import Front, dispatching, front_on, queue_of

Selector = delivery_pb2.Selector
DEMO = Selector(account_id="demo")
AGAIN_LATER = Outcome.deferred(Reason.RELAY_UNREACHABLE, 3600.0)


async def make_wait(front: Front) -> tuple[str, str]:
    """Leave one message waiting for its next attempt and one for its send_time."""
    retrying = await front.first.submit(composed({"labels": {"kind": "retry"}}))
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim(), AGAIN_LATER)
    later = {"send_time": ahead(hours=1), "labels": {"kind": "news", "issue": "7"}}
    two = [{"address": "ann@b.test"}, {"address": "bob@b.test"}]
    scheduled = await front.first.submit(composed(later, to=two))
    return retrying.message_id, scheduled.message_id


async def waiting(front: Front) -> tuple[int, int, int]:
    """Count what is due, retrying and scheduled."""
    (only,) = (await front.first.status()).accounts
    return only.due, only.retrying, only.scheduled


async def test_retries_and_schedules_are_ended_only_when_asked_for(front: Front) -> None:
    await make_wait(front)
    assert await front.first.run_now(selector=DEMO) == 0
    assert await waiting(front) == (0, 1, 2)
    assert await front.first.run_now(selector=DEMO, include_retries=True) == 1
    assert await waiting(front) == (1, 0, 2)
    assert await front.first.run_now(selector=DEMO, include_retries=True) == 0
    assert await front.first.run_now(selector=DEMO, include_scheduled=True) == 2
    assert await waiting(front) == (3, 0, 0)


async def test_both_at_once(front: Front) -> None:
    await make_wait(front)
    both = {"include_retries": True, "include_scheduled": True}
    assert await front.first.run_now(selector=DEMO, **both) == 3


async def test_a_selector_chooses_whose_waiting_is_ended(front: Front) -> None:
    retrying, scheduled = await make_wait(front)
    both = {"include_retries": True, "include_scheduled": True}
    for selector in (
        Selector(account_id="none"),
        Selector(labels={"kind": "news", "issue": "8"}),
        Selector(labels={"kind": "retry"}, message_ids=[scheduled]),
        Selector(message_ids=["f" * 32]),
    ):
        assert await front.first.run_now(selector=selector, **both) == 0
    assert await front.first.run_now(selector=Selector(labels={"kind": "news"}), **both) == 2
    assert await front.first.run_now(selector=Selector(message_ids=[retrying]), **both) == 1


async def test_scheduled_ones_need_a_selector(front: Front) -> None:
    await make_wait(front)
    for selector in (None, Selector()):
        wanted = queue_pb2.RunNowRequest(
            selector=selector, include_scheduled=True, include_retries=True
        )
        refusal = await front.first.refusal(front.first.queue.RunNow, wanted)
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        assert (refusal.reason, refusal.fields) == ("FIELD_INVALID", ("include_scheduled",))
    assert await waiting(front) == (0, 1, 2)


async def test_what_is_claimed_is_left_alone(front: Front) -> None:
    await make_wait(front)
    async with queue_of(front, front.first) as queue:
        await front.first.run_now(selector=DEMO, include_retries=True)
        assert len(await queue.claim()) == 1
        assert await front.first.run_now(selector=DEMO, include_retries=True) == 0


async def test_a_scheduled_message_is_sent_now(database_url: str) -> None:
    async with ScriptedRelay() as relay, front_on(database_url) as front:
        await front.first.make_account(relay.port)
        answer = await front.first.submit(composed({"send_time": ahead(days=300)}))
        async with dispatching(front, poll_seconds=60, sweep_seconds=60):
            chosen = Selector(message_ids=[answer.message_id])
            assert await front.first.run_now(selector=chosen, include_scheduled=True) == 1
            responses = await front.first.watch(message_id=answer.message_id)
        assert [r.event for one in responses for r in one.reports] == [
            delivery_pb2.REPORT_EVENT_SENT
        ]


@pytest.mark.parametrize(
    ("selector", "field"),
    [
        (Selector(message_ids=["x"]), "selector.message_ids[0]"),
        (Selector(labels={"a": "b\0"}), "selector.labels"),
        (Selector(account_id="\0"), "selector.account_id"),
        (Selector(message_ids=["f" * 32] * 1001), "selector.message_ids"),
    ],
)
async def test_a_selector_that_cannot_be_meant_is_refused(
    front: Front, selector: delivery_pb2.Selector, field: str
) -> None:
    wanted = queue_pb2.RunNowRequest(selector=selector, include_retries=True)
    refusal = await front.first.refusal(front.first.queue.RunNow, wanted)
    assert (refusal.reason, refusal.fields) == ("FIELD_INVALID", (field,))
