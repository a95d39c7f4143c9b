"""WatchMessage in its three forms: one message's reports until all is final, then the end."""

import asyncio

import grpc
import pytest
from mailproxy.v1 import delivery_pb2, message_pb2
from mailproxy_server.mail.delivery import Outcome, Reason

from tests.support.calling import request
from tests.support.emails import composed
from tests.support.relay import ScriptedRelay, Seen
from tests.support.served import Front, dispatching, front_on, queue_of

SENT, FAILED = delivery_pb2.REPORT_EVENT_SENT, delivery_pb2.REPORT_EVENT_FAILED
DEFERRED = delivery_pb2.REPORT_EVENT_DEFERRED
TWO = composed(to=[{"address": "ann@b.test"}, {"address": "550@b.test"}])
AGAIN = Outcome.deferred(Reason.RELAY_UNREACHABLE, 0.0)


def refuses_550(seen: Seen) -> str | None:
    return "550 5.1.1 no such user" if "550@" in seen.line else None


def told(responses: list[message_pb2.WatchMessageResponse]) -> list[tuple[str, int]]:
    return [(one.recipient, one.event) for response in responses for one in response.reports]


async def test_submit_and_watch_in_one_call(database_url: str) -> None:
    async with ScriptedRelay({"RCPT": refuses_550}) as relay, front_on(database_url) as front:
        await front.first.make_account(relay.port)
        async with dispatching(front):
            responses = await front.first.watch(submit=request(TWO))
    submitted = responses[0].submitted
    assert [one.recipient for one in submitted.recipients] == ["ann@b.test", "550@b.test"]
    assert not any(response.HasField("submitted") for response in responses[1:])
    assert sorted(told(responses)) == [("550@b.test", FAILED), ("ann@b.test", SENT)]
    reports = [one for response in responses for one in response.reports]
    assert {one.message_id for one in reports} == {submitted.message_id}
    assert [one.offset for one in reports] == [1, 2]


@pytest.mark.parametrize("name", ["message_id", "request_id"])
async def test_a_message_is_watched_from_its_first_report_on(front: Front, name: str) -> None:
    answer = await front.first.submit(TWO, request_id="order-17")
    target = {"message_id": answer.message_id, "request_id": "order-17"}
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim(), AGAIN)
        watching = asyncio.create_task(front.first.watch(**{name: target[name]}))
        rows = await queue.claim()
        await queue.settle(rows[:1])
        await front.first.submit()  # another's report does not end it
        await queue.settle((await queue.claim())[:1])
        await queue.settle(rows[1:])
        responses = await watching
    assert [event for _, event in told(responses)] == [DEFERRED, DEFERRED, SENT, SENT]


async def test_what_is_final_already_is_told_and_the_stream_ends(front: Front) -> None:
    answer = await front.first.submit()
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim())
    responses = await front.first.watch(message_id=answer.message_id)
    assert told(responses) == [("ann@example.net", SENT)]


async def test_a_replayed_submission_is_watched_as_well(front: Front) -> None:
    first = await front.first.submit(request_id="a")
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim())
    responses = await front.first.watch(submit=request(request_id="a"))
    assert responses[0].submitted.replayed
    assert responses[0].submitted.message_id == first.message_id
    assert told(responses) == [("ann@example.net", SENT)]


async def test_what_is_only_validated_is_not_watched(front: Front) -> None:
    responses = await front.first.watch(submit=request(validate_only=True))
    assert responses == [
        message_pb2.WatchMessageResponse(submitted=message_pb2.SubmitMessageResponse())
    ]


async def test_a_thousand_recipients_are_all_told(front: Front) -> None:
    many = composed(to=[{"address": f"{number}@b.test"} for number in range(1000)])
    answer = await front.first.submit(many)
    async with queue_of(front, front.first) as queue:
        watching = asyncio.create_task(front.first.watch(message_id=answer.message_id))
        while rows := await queue.claim(300):
            await queue.settle(rows)
        responses = await watching
    assert [recipient for recipient, _ in told(responses)] == [f"{n}@b.test" for n in range(1000)]


@pytest.mark.parametrize(
    ("target", "code", "reason", "fields"),
    [
        ({}, grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID", ("message_id",)),
        ({"message_id": "x"}, grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID", ("message_id",)),
        ({"request_id": "none"}, grpc.StatusCode.NOT_FOUND, "MESSAGE_NOT_FOUND", ()),
        ({"request_id": "\0"}, grpc.StatusCode.NOT_FOUND, "MESSAGE_NOT_FOUND", ()),
        ({"message_id": "f" * 32}, grpc.StatusCode.NOT_FOUND, "MESSAGE_NOT_FOUND", ()),
        ({"message_id": "0" * 32}, grpc.StatusCode.NOT_FOUND, "MESSAGE_NOT_FOUND", ()),
    ],
    ids=["nothing", "no id", "no such request", "NUL", "the last id", "the first id"],
)
async def test_what_is_not_there_is_neither_watched_nor_got(
    front: Front,
    target: dict[str, str],
    code: grpc.StatusCode,
    reason: str,
    fields: tuple[str, ...],
) -> None:
    messages = front.first.messages
    for method, wanted in (
        (messages.WatchMessage, message_pb2.WatchMessageRequest(**target)),  # type: ignore[arg-type]
        (messages.GetMessage, message_pb2.GetMessageRequest(**target)),  # type: ignore[arg-type]
    ):
        refusal = await front.first.refusal(method, wanted)
        assert (refusal.code, refusal.reason, refusal.fields) == (code, reason, fields)
