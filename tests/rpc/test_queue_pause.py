"""PauseQueue holds an account's or labels' messages back; ResumeQueue lets them go in order."""

import grpc
import pytest
from mailproxy.v1 import queue_pb2
from mailproxy_server.mail.delivery import Outcome, Reason

from tests.support.calling import ahead
from tests.support.control import Selector, pause, resume, retry, states
from tests.support.emails import composed
from tests.support.relay import ScriptedRelay
from tests.support.served import Front, dispatching, front_on, queue_of

NEWS = {"kind": "news"}


async def test_a_paused_account_sends_nothing_and_then_all_in_order(database_url: str) -> None:
    async with ScriptedRelay() as relay, ScriptedRelay() as elsewhere, front_on(database_url) as f:
        await f.first.make_account(relay.port, max_connections=1)
        await f.first.make_account(elsewhere.port, account_id="other")
        assert await pause(f.first, account_id="demo") == (0, 0)
        async with dispatching(f, poll_seconds=60, sweep_seconds=60):
            for number in range(5):
                await f.first.submit(composed(subject=f"number {number}"))
            other = await f.first.submit(composed({"account_id": "other"}))
            await f.first.watch(message_id=other.message_id)
            assert relay.messages == []
            assert await resume(f.first, account_id="demo") == (True, 5)
            await relay.until(lambda: len(relay.messages) == 5, "all were sent")
    assert [m.header("Subject") for m in relay.messages] == [f"number {n}" for n in range(5)]


async def test_paused_labels_hold_theirs_and_let_the_rest_go(database_url: str) -> None:
    async with ScriptedRelay() as relay, front_on(database_url) as front:
        await front.first.make_account(relay.port)
        before = await front.first.submit(composed({"labels": NEWS}))
        assert await pause(front.first, labels=NEWS) == (1, 0)
        after = await front.first.submit(composed({"labels": {**NEWS, "issue": "7"}}))
        async with dispatching(front, poll_seconds=60, sweep_seconds=60):
            passing = await front.first.submit(composed({"labels": {"kind": "code"}}))
            await front.first.watch(message_id=passing.message_id)
            assert len(relay.messages) == 1
            (status,) = (await front.first.status()).accounts
            assert (status.held, status.due) == (2, 0)
            assert await resume(front.first, labels=NEWS) == (True, 2)
            for each in (before, after):
                await front.first.watch(message_id=each.message_id)
    assert len(relay.messages) == 3


async def test_two_pauses_of_one_message_must_both_end(front: Front) -> None:
    sent = await front.first.submit(composed({"labels": {**NEWS, "issue": "7"}}))
    assert await pause(front.first, labels=NEWS) == (1, 0)
    assert await pause(front.first, labels={"issue": "7"}, account_id="demo") == (1, 0)
    assert await resume(front.first, labels=NEWS) == (True, 0)
    async with queue_of(front, front.first) as queue:
        assert await queue.claim() == []
        both = {"labels": {"issue": "7"}, "account_id": "demo"}
        assert await resume(front.first, **both) == (True, 1)
        assert len(await queue.claim()) == 1
    assert await states(front.first, sent.message_id) == ["SENDING"]


async def test_what_is_under_way_is_told_and_held_when_it_comes_back(front: Front) -> None:
    await front.first.submit(composed({"labels": NEWS}))
    async with queue_of(front, front.first) as queue:
        rows = await queue.claim()
        assert await pause(front.first, labels=NEWS) == (0, 1)
        await queue.settle(rows, Outcome.deferred(Reason.RELAY_UNREACHABLE, 0.0))
        assert await queue.claim() == []
        assert await resume(front.first, labels=NEWS) == (True, 1)
        assert len(await queue.claim()) == 1


async def test_what_is_brought_back_while_its_labels_are_paused_is_held(front: Front) -> None:
    sent = await front.first.submit(composed({"labels": NEWS}))
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim(), Outcome.failed(Reason.RECIPIENT_REFUSED))
        await pause(front.first, labels=NEWS)
        assert await retry(front.first, sent.message_id) == 1
        assert await queue.claim() == []


async def test_what_is_held_is_hurried_by_nobody(front: Front) -> None:
    later = composed({"labels": NEWS, "send_time": ahead(hours=1)})
    await front.first.submit(later)
    await pause(front.first, labels=NEWS)
    chosen = Selector(labels=NEWS)
    assert await front.first.run_now(selector=chosen, include_scheduled=True) == 0
    await resume(front.first, labels=NEWS)
    assert await front.first.run_now(selector=chosen, include_scheduled=True) == 1


async def test_what_is_held_expires_all_the_same(database_url: str) -> None:
    async with ScriptedRelay() as relay, front_on(database_url) as front:
        await front.first.make_account(relay.port)
        await pause(front.first, account_id="demo")
        await pause(front.first, labels=NEWS)
        soon = {"expire_time": ahead(seconds=1)}
        sent = [await front.first.submit(composed({**soon, "labels": kind})) for kind in ({}, NEWS)]
        async with dispatching(front, lease_seconds=2):
            for each in sent:
                await front.first.watch(message_id=each.message_id)
        assert [await states(front.first, each.message_id) for each in sent] == [["EXPIRED"]] * 2
    assert relay.messages == []


async def test_pauses_are_shown_with_their_note_and_only_to_their_tenant(front: Front) -> None:
    await pause(front.first, note="first", labels=NEWS)
    await pause(front.first, note="the list was wrong", labels=NEWS)
    await pause(front.first, account_id="demo")
    shown = (await front.first.status()).pauses
    assert [(each.selector.account_id, dict(each.selector.labels)) for each in shown] == [
        ("", NEWS),
        ("demo", {}),
    ]
    assert [each.note for each in shown] == ["the list was wrong", ""]
    assert all(each.HasField("pause_time") for each in shown)
    assert list((await front.other.status()).pauses) == []
    await front.other.submit(composed({"labels": NEWS}))
    async with queue_of(front, front.other) as queue:
        assert len(await queue.claim()) == 1


async def test_what_is_not_paused_cannot_be_resumed(front: Front) -> None:
    assert await resume(front.first, labels=NEWS) == (False, 0)
    await pause(front.first, labels={**NEWS, "issue": "7"})
    assert await resume(front.first, labels=NEWS) == (False, 0)


@pytest.mark.parametrize(
    ("selector", "note", "field"),
    [
        (Selector(), "", "selector"),
        (Selector(message_ids=["f" * 32]), "", "selector.message_ids"),
        (Selector(account_id="demo"), "a" * 257, "note"),
        (Selector(account_id="demo"), "a\n", "note"),
        (Selector(labels={"a": "\0"}), "", "selector.labels"),
    ],
)
async def test_what_cannot_be_paused_is_refused(
    front: Front, selector: Selector, note: str, field: str
) -> None:
    wanted = queue_pb2.PauseQueueRequest(selector=selector, note=note)
    refusal = await front.first.refusal(front.first.queue.PauseQueue, wanted)
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, (field,))
    assert list((await front.first.status()).pauses) == []


async def test_an_account_that_there_is_not_is_not_paused(front: Front) -> None:
    wanted = queue_pb2.PauseQueueRequest(selector=Selector(account_id="dmeo"))
    refusal = await front.first.refusal(front.first.queue.PauseQueue, wanted)
    assert refusal.reason == "ACCOUNT_NOT_FOUND"
    assert "demo" in refusal.message
