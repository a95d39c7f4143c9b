"""ExplainMessage is right for each cause, put in on purpose, and so is what a pause does."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mailproxy.v1 import account_pb2, delivery_pb2, message_pb2, queue_pb2
from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.mail.transcript import Reply, Stage
from mailproxy_server.queue import health, hot
from mailproxy_server.queue.health import Cause

from tests.support.calling import Caller, ahead
from tests.support.emails import composed
from tests.support.eventually import eventually
from tests.support.relay import ScriptedRelay
from tests.support.served import Front, dispatching, queue_of

Selector = delivery_pb2.Selector
GREY = Reply(451, "4.7.1", "greylisted, come again")


async def explain(caller: Caller, message_id: str) -> message_pb2.RecipientExplanation:
    wanted = message_pb2.ExplainMessageRequest(message_id=message_id)
    response = await caller.call(caller.messages.ExplainMessage, wanted)
    (only,) = response.recipients
    assert isinstance(only, message_pb2.RecipientExplanation)
    return only


def kinds(told: message_pb2.RecipientExplanation) -> list[str]:
    return [message_pb2.WaitKind.Name(w.kind).removeprefix("WAIT_KIND_") for w in told.waits]


async def pause(caller: Caller, **selector: Any) -> queue_pb2.PauseQueueResponse:
    wanted = queue_pb2.PauseQueueRequest(selector=Selector(**selector), note="audit")
    response: queue_pb2.PauseQueueResponse = await caller.call(caller.queue.PauseQueue, wanted)
    return response


async def resume(caller: Caller, **selector: Any) -> queue_pb2.ResumeQueueResponse:
    wanted = queue_pb2.ResumeQueueRequest(selector=Selector(**selector))
    response: queue_pb2.ResumeQueueResponse = await caller.call(caller.queue.ResumeQueue, wanted)
    return response


@pytest.fixture
async def alive(front: Front) -> None:
    """A dispatcher that holds its lease and does nothing."""
    await front.link.execute(
        """INSERT INTO mailproxy.workers
             (worker_id, host, birthplace, pid, pid_birth, lease_seconds)
           VALUES (gen_random_uuid(), 'elsewhere', 'elsewhere', 1, 1, 3600)"""
    )


async def test_without_a_dispatcher_that_is_what_it_waits_for(front: Front) -> None:
    sent = await front.first.submit()
    told = await explain(front.first, sent.message_id)
    assert kinds(told) == ["DISPATCHER"]
    assert not told.HasField("estimated_attempt_time")


async def test_a_schedule_is_told_with_its_time(front: Front, alive: None) -> None:
    at = ahead(hours=3)
    sent = await front.first.submit(composed({"send_time": at}))
    told = await explain(front.first, sent.message_id)
    assert kinds(told) == ["SCHEDULE"]
    assert told.waits[0].until.seconds == at.seconds
    assert told.estimated_attempt_time.seconds == at.seconds


async def test_a_back_off_is_told_with_the_reply_that_caused_it(front: Front, alive: None) -> None:
    sent = await front.first.submit()
    async with queue_of(front, front.first) as queue:
        outcome = Outcome.deferred(Reason.RECIPIENT_REFUSED, 600.0, GREY, Stage.RCPT)
        await queue.settle(await queue.claim(), outcome)
    told = await explain(front.first, sent.message_id)
    assert kinds(told) == ["BACKOFF"]
    (wait,) = told.waits
    assert (wait.reply.code, wait.reply.text, wait.reply.stage) == (451, GREY.text, "RCPT")
    assert wait.reason == delivery_pb2.FAILURE_REASON_RECIPIENT_REFUSED
    assert told.estimated_attempt_time == wait.until


async def test_an_attempt_that_is_being_made_and_one_that_is_over(
    front: Front, alive: None
) -> None:
    sent = await front.first.submit()
    async with queue_of(front, front.first) as queue:
        rows = await queue.claim()
        told = await explain(front.first, sent.message_id)
        assert (kinds(told), told.state) == (["ATTEMPT"], delivery_pb2.DELIVERY_STATE_SENDING)
        await queue.settle(rows)
    told = await explain(front.first, sent.message_id)
    assert (kinds(told), told.state) == ([], delivery_pb2.DELIVERY_STATE_SENT)


async def test_what_goes_first_is_counted_by_priority_and_age(front: Front, alive: None) -> None:
    low = [await front.first.submit(composed({"priority": 40})) for _ in range(3)]
    await front.first.submit(composed({"priority": 10}))
    await front.first.submit(composed({"priority": 20, "send_time": ahead(hours=1)}))
    told = await explain(front.first, low[2].message_id)
    assert kinds(told) == ["TURN"]
    assert told.waits[0].ahead == 3
    assert kinds(await explain(front.first, low[0].message_id)) == ["TURN"]


async def test_a_pause_of_the_account_is_told_and_ends(front: Front, alive: None) -> None:
    sent = await front.first.submit()
    held = await pause(front.first, account_id="demo")
    assert (held.held, held.in_progress) == (1, 0)
    told = await explain(front.first, sent.message_id)
    assert kinds(told) == ["PAUSE"]
    assert "audit" in told.waits[0].words
    (status,) = (await front.first.status()).accounts
    assert (status.health.paused, status.health.pause_note) == (True, "audit")
    assert (await resume(front.first, account_id="demo")).resumed
    assert kinds(await explain(front.first, sent.message_id)) == []
    assert not (await resume(front.first, account_id="demo")).resumed


async def test_a_pause_of_labels_holds_old_and_new_ones_and_gives_them_back_in_place(
    front: Front, alive: None
) -> None:
    news = composed({"labels": {"kind": "news"}})
    old = await front.first.submit(news)
    other = await front.first.submit(composed({"labels": {"kind": "code"}}))
    held = await pause(front.first, labels={"kind": "news"})
    assert held.held == 1
    new = await front.first.submit(news)
    for sent in (old, new):
        assert kinds(await explain(front.first, sent.message_id)) == ["PAUSE"]
    async with queue_of(front, front.first) as queue:
        rows = await queue.claim()
        assert [str(row.message_id) for row in rows] == [other.message_id]
        (status,) = (await front.first.status()).accounts
        assert (status.held, status.due) == (2, 0)
        freed = await resume(front.first, labels={"kind": "news"})
        assert (freed.resumed, freed.released) == (True, 2)
        rows = await queue.claim()
        assert [str(row.message_id) for row in rows] == [old.message_id, new.message_id]


async def test_two_pauses_that_overlap_hold_until_both_end(front: Front) -> None:
    await front.first.submit(composed({"labels": {"kind": "news", "lang": "de"}}))
    await pause(front.first, labels={"kind": "news"})
    await pause(front.first, labels={"lang": "de"}, account_id="demo")
    assert (await resume(front.first, labels={"kind": "news"})).released == 0
    assert len((await front.first.status()).pauses) == 1
    assert (await resume(front.first, labels={"lang": "de"}, account_id="demo")).released == 1


async def test_a_breaker_is_told_with_its_reply_and_the_next_probe(
    front: Front, alive: None
) -> None:
    sent = await front.first.submit()
    tenant_id = await front.tenant_of(front.first)
    async with queue_of(front, front.first) as queue, hot.connection(queue.pool) as link:
        reply = Reply(535, "5.7.8", "bad credentials")
        cause = Cause("auth", int(Reason.RELAY_AUTH), reply, Stage.AUTH)
        assert await health.open_breaker(link, tenant_id, "demo", cause, 900.0, 1)
    told = await explain(front.first, sent.message_id)
    assert kinds(told) == ["BREAKER"]
    (wait,) = told.waits
    assert (wait.reply.code, wait.reply.stage) == (535, "AUTH")
    assert wait.reason == delivery_pb2.FAILURE_REASON_RELAY_AUTH
    assert told.estimated_attempt_time.seconds == wait.until.seconds
    (status,) = (await front.first.status()).accounts
    assert status.health.breaker == account_pb2.BREAKER_STATE_OPEN
    assert "mailproxy account set demo" in status.health.remedy


async def test_a_throttle_is_told(front: Front, alive: None) -> None:
    sent = await front.first.submit()
    tenant_id = await front.tenant_of(front.first)
    async with queue_of(front, front.first) as queue, hot.connection(queue.pool) as link:
        assert await health.set_throttle(link, tenant_id, "demo", (None, 0.0), (2, 0.0), 5.0)
    assert kinds(await explain(front.first, sent.message_id)) == ["THROTTLE"]


async def test_a_limit_is_told_with_when_there_is_room(front: Front) -> None:
    limits = json.dumps([{"count": 2, "window": 60, "unit": "recipients"}])
    async with ScriptedRelay() as relay, dispatching(front):
        await front.first.make_account(relay.port, "limited")
        await front.link.execute(
            "UPDATE mailproxy.accounts SET limits = $1 WHERE account_id = 'limited'", limits
        )
        sent = [await front.first.submit(composed({"account_id": "limited"})) for _ in range(4)]
        await eventually(lambda: len(relay.messages) == 2, "the limit is used up")
        told = await explain(front.first, sent[3].message_id)
        assert kinds(told)[0] == "RATE_LIMIT"
        now = datetime.now(UTC)
        until = told.waits[0].until.ToDatetime(tzinfo=UTC)
        assert timedelta(seconds=30) < until - now < timedelta(seconds=80)
        assert told.estimated_attempt_time.ToDatetime(tzinfo=UTC) >= until
        (_, status) = (await front.first.status()).accounts
        (use,) = status.health.limits
        assert (use.used, use.limit.count) == (2, 2)


async def test_what_cannot_be_paused_is_refused(front: Front) -> None:
    ask = front.first.queue.PauseQueue
    for selector, note, at in (
        (Selector(), "", "selector"),
        (Selector(message_ids=["0" * 32]), "", "selector.message_ids"),
        (Selector(account_id="demo"), "x" * 257, "note"),
        (Selector(account_id="demo"), "a\nb", "note"),
    ):
        wanted = queue_pb2.PauseQueueRequest(selector=selector, note=note)
        refusal = await front.first.refusal(ask, wanted)
        assert (refusal.reason, refusal.fields) == ("FIELD_INVALID", (at,))


async def test_the_answer_to_a_submission_carries_the_estimate(front: Front, alive: None) -> None:
    at = ahead(hours=2)
    async with asyncio.timeout(20):
        while True:  # the first ones find nothing out yet: they wait for nobody
            sent = await front.first.submit(composed({"send_time": at}))
            if sent.recipients[0].HasField("estimated_attempt_time"):
                break
            await asyncio.sleep(0.05)
    assert sent.recipients[0].estimated_attempt_time.seconds == at.seconds
