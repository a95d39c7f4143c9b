"""A stream may ask for some reports only; its cursor still goes past the others."""

import asyncio
from dataclasses import replace

import grpc
import pytest
from mailproxy.v1 import delivery_pb2, report_pb2
from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.mail.transcript import Reply, Stage
from mailproxy_server.reports.follow import follow
from mailproxy_server.reports.tail import Tail

from tests.support.emails import composed
from tests.support.eventually import eventually
from tests.support.served import Front, queue_of, report

Selector = delivery_pb2.Selector
DEFERRED = Outcome.deferred(Reason.RELAY_UNREACHABLE, 0.0)
REFUSED = Outcome.failed(Reason.RECIPIENT_REFUSED, Reply(550, "5.1.1", "no"), Stage.RCPT)


async def sent(front: Front, **email: object) -> str:
    """Submit an email, have it sent, and give its id."""
    answer = await front.first.submit(composed(dict(email)))
    async with queue_of(front, front.first) as queue:
        queue = replace(queue, account_id=str(email.get("account_id", "demo")))
        await queue.settle(await queue.claim())
    return answer.message_id


async def ids(front: Front, count: int, **fields: object) -> list[str]:
    """Follow with this filter until so many reports have come; give their messages."""
    async with front.first.stream(**fields) as stream:
        return [one.message_id for one in await stream.until(count)]


async def test_a_selector_chooses_by_account_message_and_labels(front: Front) -> None:
    await front.first.make_account(account_id="bulk")
    plain = await sent(front)
    bulk = await sent(front, account_id="bulk", labels={"kind": "news"})
    both = await sent(front, labels={"kind": "news", "issue": "7"})
    assert await ids(front, 1, selector=Selector(account_id="bulk")) == [bulk]
    assert await ids(front, 2, selector=Selector(message_ids=[plain, both])) == [plain, both]
    assert await ids(front, 2, selector=Selector(labels={"kind": "news"})) == [bulk, both]
    all_set = Selector(account_id="demo", message_ids=[bulk, both], labels={"kind": "news"})
    assert await ids(front, 1, selector=all_set) == [both]
    assert await ids(front, 0, selector=Selector(labels={"kind": "other"})) == []


async def test_events_choose_what_happened(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        await front.first.submit()
        for outcome in (DEFERRED, DEFERRED, REFUSED):
            await queue.settle(await queue.claim(), outcome)
        await report(queue)
    assert len(await ids(front, 4)) == 4
    failed = await events(front, delivery_pb2.REPORT_EVENT_FAILED)
    assert [(one.offset, one.final, one.reply.code) for one in failed] == [(3, True, 550)]
    two = await events(front, delivery_pb2.REPORT_EVENT_FAILED, delivery_pb2.REPORT_EVENT_SENT)
    assert [one.offset for one in two] == [3, 4]


async def events(
    front: Front, *wanted: delivery_pb2.ReportEvent.ValueType
) -> list[delivery_pb2.DeliveryReport]:
    async with front.first.stream(events=wanted) as stream:
        await stream.until(len(wanted))
    return stream.reports


async def test_the_cursor_goes_past_what_was_filtered_out(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        await report(queue, 3)
        async with front.first.stream(selector=Selector(account_id="none")) as stream:
            first = await stream.next(2)
        assert (len(first.reports), first.head_offset) == (0, 3)
        async with front.first.stream(cursor=first.cursor) as stream:
            await report(queue)
            assert [one.offset for one in await stream.until(1)] == [4]


async def test_a_busy_log_does_not_keep_a_filtered_stream_silent(front: Front) -> None:
    """Progress comes regularly also while all that moves is filtered out."""
    async with queue_of(front, front.first) as queue:
        tail = Tail(queue.pool, poll_seconds=0.01)
        start = (await tail.follow(queue.tenant_id, 0))[0].cursor
        following = follow(tail, queue.tenant_id, start, lambda _: False, beat_seconds=1.0)
        assert (await anext(following)).cursor.offset == 0
        for _ in range(3):
            beat = asyncio.ensure_future(anext(following))
            written = 0
            while not beat.done():
                await report(queue)
                written += 1
            assert written > 3
            assert beat.result().cursor.offset > 0
        await following.aclose()


@pytest.mark.parametrize(
    ("fields", "at", "reason"),
    [
        ({"selector": Selector(message_ids=["x"])}, "selector.message_ids[0]", "FIELD_INVALID"),
        (
            {"selector": Selector(message_ids=[f"{n:032x}" for n in range(1001)])},
            "selector.message_ids",
            "FIELD_INVALID",
        ),
        (
            {"selector": Selector(labels={str(n): "" for n in range(17)})},
            "selector.labels",
            "FIELD_INVALID",
        ),
        ({"selector": Selector(labels={"a": "\0"})}, "selector.labels", "FIELD_INVALID"),
        ({"selector": Selector(account_id="\0")}, "selector.account_id", "FIELD_INVALID"),
        ({"events": [2, 99]}, "events[1]", "UNKNOWN_FIELD"),
        ({"events": [0]}, "events[0]", "UNKNOWN_FIELD"),
    ],
)
async def test_a_filter_that_cannot_be_meant_is_refused(
    front: Front, fields: dict[str, object], at: str, reason: str
) -> None:
    wanted = report_pb2.StreamDeliveryReportsRequest(**fields)  # type: ignore[arg-type]
    refusal = await front.first.refusal(front.first.reports.StreamDeliveryReports, wanted)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert (refusal.reason, refusal.fields) == (reason, (at,))


async def test_a_follower_that_takes_nothing_lags_until_it_does(front: Front) -> None:
    async with queue_of(front, front.first) as queue:
        tail = Tail(queue.pool, poll_seconds=0.01)
        feed, mine = await tail.follow(queue.tenant_id, 0)
        following = follow(tail, queue.tenant_id, feed.cursor, lambda _: True, beat_seconds=0.05)
        await anext(following)
        tail.leave(feed, mine)
        assert tail.lags() == {queue.tenant_id: 0.0}
        await report(queue, 3)
        await eventually(lambda: tail.lags()[queue.tenant_id] > 0.1, "what waits grows older")
        while (await anext(following)).cursor.offset < 3 or tail.lags()[queue.tenant_id] > 0:
            pass
        await following.aclose()
        assert tail.lags() == {}
