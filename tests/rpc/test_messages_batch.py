"""SubmitMessages: one result each, in order; a bad one does not sink the rest."""

import grpc
import pytest
from mailproxy.v1 import message_pb2

from tests.support.calling import Request, request, told_by
from tests.support.emails import composed
from tests.support.refusals import unknown
from tests.support.served import Front

INVALID = grpc.StatusCode.INVALID_ARGUMENT


async def test_a_thousand_messages_are_a_thousand_results_in_order(front: Front) -> None:
    requests = [request(request_id=f"order-{number}") for number in range(1000)]
    results = await front.first.submit_all(requests)
    assert len({result.response.message_id for result in results}) == 1000
    last = await front.first.call(
        front.first.messages.GetMessage, message_pb2.GetMessageRequest(request_id="order-999")
    )
    assert last.message_id == results[999].response.message_id
    assert (await front.rows())["messages"] == 1000


@pytest.mark.parametrize("count", [0, 1001])
async def test_a_batch_of_none_or_too_many_is_refused_whole(front: Front, count: int) -> None:
    batch = message_pb2.SubmitMessagesRequest(requests=[request()] * count)
    refusal = await front.first.refusal(front.first.messages.SubmitMessages, batch)
    assert (refusal.code, refusal.reason) == (INVALID, "FIELD_INVALID")
    assert refusal.fields == ("requests",)
    assert (await front.rows())["messages"] == 0


async def test_a_bad_one_does_not_sink_the_rest(front: Front) -> None:
    strange = request()
    unknown(strange.email, 99)
    results = await front.first.submit_all(
        [
            request(),
            request(composed(to=[])),
            strange,
            request(composed({"account_id": "nobody"})),
            Request(),
            request(composed(subject="the last")),
        ]
    )
    assert [bool(result.response.message_id) for result in results] == [True, *[False] * 4, True]
    told = [told_by(result.error) for result in results[1:5]]
    assert [(one.reason, one.fields) for one in told] == [
        ("FIELD_INVALID", ("requests[1].email.composed.to",)),
        ("UNKNOWN_FIELD", ("requests[2].email",)),
        ("ACCOUNT_NOT_FOUND", ("requests[3].email.account_id",)),
        ("FIELD_INVALID", ("requests[4].email",)),
    ]
    last = await front.first.get(results[5].response.message_id)
    assert last.subject == "the last"
    assert (await front.rows())["messages"] == 2


async def test_the_same_request_twice_in_one_batch_is_one_message(front: Front) -> None:
    results = await front.first.submit_all([request(request_id="a")] * 3 + [request()] * 2)
    answers = [result.response for result in results]
    assert len({answer.message_id for answer in answers[:3]}) == 1
    assert sorted(answer.replayed for answer in answers[:3]) == [False, True, True]
    assert len({answer.message_id for answer in answers}) == 3
    assert (await front.rows())["messages"] == 3


async def test_one_id_for_two_emails_in_one_batch_is_refused_once(front: Front) -> None:
    results = await front.first.submit_all(
        [request(request_id="a"), request(composed(subject="Another"), request_id="a")]
    )
    (taken,) = [result.response for result in results if result.HasField("response")]
    (refused,) = [told_by(result.error) for result in results if result.HasField("error")]
    assert refused.reason == "REQUEST_ID_REUSED"
    assert refused.metadata["message_id"] == taken.message_id
    assert (await front.rows())["messages"] == 1


async def test_each_may_ask_to_be_validated_only(front: Front) -> None:
    results = await front.first.submit_all(
        [
            request(validate_only=True, request_id="a"),
            request(composed(to=[]), validate_only=True),
            request(request_id="a"),
        ]
    )
    assert results[0].response == message_pb2.SubmitMessageResponse()
    assert told_by(results[1].error).reason == "FIELD_INVALID"
    assert not results[2].response.replayed
    assert (await front.rows())["messages"] == 1


async def test_a_batch_of_large_messages_is_taken_in_parts(front: Front) -> None:
    body = "x" * (2 * 1024 * 1024)
    results = await front.first.submit_all(
        [request(composed(subject=str(n), text_body=body)) for n in range(12)]
    )
    ids = [result.response.message_id for result in results]
    assert len(set(ids)) == 12
    assert [(await front.first.get(one)).subject for one in ids] == [str(n) for n in range(12)]
