"""A request_id makes a submission safe to repeat, from any replica, also all at once."""

import asyncio
from datetime import UTC, datetime

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from mailproxy.v1 import account_pb2, delivery_pb2, message_pb2

from tests.support.calling import ahead, request, told_by
from tests.support.emails import composed, raw
from tests.support.eventually import eventually
from tests.support.served import Front, front_on, queue_of

ALREADY = grpc.StatusCode.ALREADY_EXISTS


async def test_the_same_request_a_hundred_times_at_once_is_one_message(front: Front) -> None:
    calls = [front.first.submit(request_id="order-17") for _ in range(100)]
    answers = await asyncio.gather(*calls)
    assert len({answer.message_id for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert len({answer.accept_time.ToNanoseconds() for answer in answers}) == 1
    rows = await front.rows()
    assert (rows["messages"], rows["deliveries"], rows["requests"]) == (1, 1, 1)


async def test_two_replicas_take_the_same_request_once(front: Front) -> None:
    async with front_on(front.url) as replica:
        callers = [front.first, replica.first] * 30
        calls = [caller.submit(request_id="order-17") for caller in callers]
        answers = await asyncio.gather(*calls)
    assert len({answer.message_id for answer in answers}) == 1
    assert (await front.rows())["messages"] == 1


async def test_a_replay_tells_how_it_stands_now(front: Front) -> None:
    email = composed(cc=[{"address": "bob@b.test"}])
    first = await front.first.submit(email, request_id="a")
    assert [r.recipient for r in first.recipients] == ["ann@example.net", "bob@b.test"]
    async with queue_of(front, front.first) as queue:
        rows = await queue.claim()
        await queue.settle(rows[:1])
    again = await front.first.submit(email, request_id="a")
    assert again.replayed
    assert again.message_id == first.message_id
    assert again.accept_time == first.accept_time
    assert [(r.recipient, r.state) for r in again.recipients] == [
        ("ann@example.net", 3),
        ("bob@b.test", 2),
    ]


async def test_the_same_id_with_another_email_is_refused_and_says_what_differs(
    front: Front,
) -> None:
    first = await front.first.submit(request_id="order-17")
    other = composed({"labels": {"a": "b"}}, subject="Another", to=[{"address": "b@b.test"}])
    refusal = await front.first.refusal(
        front.first.messages.SubmitMessage, request(other, request_id="order-17")
    )
    assert (refusal.code, refusal.reason) == (ALREADY, "REQUEST_ID_REUSED")
    assert refusal.metadata == {
        "message_id": first.message_id,
        "differing_fields": "email.composed.subject, email.composed.to, email.labels",
    }
    assert first.message_id in refusal.message
    assert (await front.rows())["messages"] == 1


async def test_a_batch_refuses_the_reused_id_alone(front: Front) -> None:
    first = await front.first.submit(request_id="a")
    reused = request(composed(subject="Another"), request_id="a")
    results = await front.first.submit_all([reused, request(request_id="b")])
    refusal = told_by(results[0].error)
    assert (refusal.code, refusal.reason) == (ALREADY, "REQUEST_ID_REUSED")
    assert refusal.metadata["message_id"] == first.message_id
    assert results[1].response.message_id


async def test_a_batch_that_is_sent_again_tells_how_each_stands(front: Front) -> None:
    to = [{"address": f"{name}@b.test"} for name in ("ann", "bob")]
    requests = [request(composed(to=to), request_id=f"order-{number}") for number in range(50)]
    first = await front.first.submit_all(requests)
    async with queue_of(front, front.first) as queue:
        assert await queue.settle(await queue.claim(30)) == 30
    new = request(request_id="new")
    again = await front.first.submit_all([*requests, new, requests[7]])
    assert [one.response.replayed for one in again] == [*[True] * 50, False, True]
    for answer, repeated in zip(first, again[:50], strict=True):
        assert repeated.response.message_id == answer.response.message_id
        stands = await front.first.get(answer.response.message_id)
        assert list(repeated.response.recipients) == list(stands.recipients)
    assert again[51] == again[7]
    states = [each.state for one in again[:50] for each in one.response.recipients]
    assert states.count(delivery_pb2.DELIVERY_STATE_SENT) == 30


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (composed(), composed({"priority": 30})),
        (composed(), composed({"envelope": {"return_path": "shop@example.com"}})),
        (
            composed(to=[{"address": "ann@bücher.test"}]),
            composed(to=[{"address": "ann@xn--bcher-kva.test"}]),
        ),
        (composed(to=[{"address": "ann@B.test"}]), composed(to=[{"address": "ann@b.test"}])),
        (raw(recipients=["a@b.test", "a@B.TEST"]), raw(recipients=["a@b.test"])),
        (
            composed({"send_time": Timestamp(seconds=1)}),
            composed({"send_time": Timestamp(seconds=1)}),
        ),
    ],
    ids=["priority", "return path", "A-label", "case", "twice", "past send_time"],
)
async def test_what_means_the_same_is_the_same(
    front: Front, one: message_pb2.Email, same: message_pb2.Email
) -> None:
    first = await front.first.submit(one, request_id="a")
    again = await front.first.submit(same, request_id="a")
    assert (again.message_id, again.replayed) == (first.message_id, True)


async def test_a_repeat_after_the_expiry_still_gets_the_first_answer(front: Front) -> None:
    """A client that lost the answer repeats when it can, and must not be told it was wrong."""
    soon = ahead(seconds=1)
    email = composed({"expire_time": soon})
    first = await front.first.submit(email, request_id="a")
    await eventually(lambda: datetime.now(UTC) > soon.ToDatetime(UTC), "it has expired")
    again = await front.first.submit(email, request_id="a")
    assert (again.message_id, again.replayed) == (first.message_id, True)
    refusal = await front.first.refusal(
        front.first.messages.SubmitMessage, request(email, request_id="b")
    )
    assert refusal.fields == ("email.expire_time",)


async def test_a_request_id_may_be_any_printable_text(front: Front) -> None:
    for name in ("order 17", "заказ-17", "x" * 128, "order\u2009".strip(), "{}'\"\\--"):
        first = await front.first.submit(request_id=name)
        found = await front.first.call(
            front.first.messages.GetMessage, message_pb2.GetMessageRequest(request_id=name)
        )
        assert (found.message_id, found.request_id) == (first.message_id, name)


async def test_without_an_id_each_submission_is_a_message_of_its_own(front: Front) -> None:
    answers = [await front.first.submit() for _ in range(3)]
    assert len({answer.message_id for answer in answers}) == 3


async def test_two_tenants_may_use_one_id(front: Front) -> None:
    mine = await front.first.submit(request_id="a")
    theirs = await front.other.submit(composed(subject="Another"), request_id="a")
    assert not theirs.replayed
    assert mine.message_id != theirs.message_id


async def test_a_replay_after_its_account_was_deleted_gets_the_first_answer(front: Front) -> None:
    first = await front.first.submit(request_id="order-17")
    await front.first.call(
        front.first.accounts.ManageAccount,
        account_pb2.ManageAccountRequest(
            action=account_pb2.ACCOUNT_ACTION_DELETE,
            account=account_pb2.Account(account_id="demo"),
            force=True,
        ),
    )
    again = await front.first.submit(request_id="order-17")
    assert (again.message_id, again.replayed) == (first.message_id, True)
