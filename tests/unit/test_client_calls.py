from collections import deque
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from mailproxy.calls import (
    BATCH_BYTES,
    BATCH_MESSAGES,
    Attempts,
    answers_of,
    pause_before_retry,
    take_batch,
)
from mailproxy.errors import MailProxyError, ServerError
from mailproxy.v1 import message_pb2

U, R, BAD = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INVALID_ARGUMENT,
)


def pause(
    code: grpc.StatusCode, after: float | None = None, reason: str = "", **given: Any
) -> float | None:
    error = MailProxyError("", code=code, reason=reason, retry_after=after)
    arguments: dict[str, Any] = {
        "attempt": 1,
        "remaining": 10.0,
        "jitter": 0.0,
        "repeatable": True,
        **given,
    }
    return pause_before_retry(error, **arguments)


def test_pauses_double_up_to_two_seconds() -> None:
    pauses = [pause(U, attempt=n, jitter=1.0) for n in (1, 2, 3, 6, 7, 50)]
    assert pauses == [0.05, 0.1, 0.2, 1.6, 2.0, 2.0]


@pytest.mark.parametrize(
    ("code", "after", "given", "expected"),
    [
        (U, None, {}, 0.025),
        (U, 3.0, {}, 3.0),
        (U, 0.0, {}, 0.025),
        (U, -1.0, {}, None),
        (U, 30.0, {}, None),
        (U, None, {"remaining": 0.01}, None),
        (U, None, {"remaining": -5.0}, None),
        (R, 0.5, {}, 0.5),
        (R, None, {}, None),
        (BAD, None, {}, None),
        (BAD, 1.0, {}, None),
        (U, None, {"repeatable": False}, None),
    ],
)
def test_only_what_passes_is_repeated_and_when_the_server_says(
    code: grpc.StatusCode, after: float | None, given: dict[str, Any], expected: float | None
) -> None:
    assert pause(code, after, **given) == expected


def test_a_refusal_that_grpc_lost_is_asked_for_again_and_no_other_internal_error_is() -> None:
    codes = (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
    lost = [MailProxyError("Internal error from Core", code=code) for code in codes]
    other = MailProxyError("Exception deserializing response!", code=grpc.StatusCode.INTERNAL)
    pauses = [
        pause_before_retry(each, attempt=1, remaining=9.0, jitter=0.0) for each in (*lost, other)
    ]
    assert pauses == [0.025, None, None]


@pytest.mark.parametrize("reason", ["DRAINING", "QUEUE_FULL", "INFLIGHT_BYTES"])
def test_what_was_surely_not_carried_out_is_always_repeated(reason: str) -> None:
    assert pause(U, 0.1, reason, repeatable=False) == 0.1


@dataclass
class Item:
    size: int
    abandoned: bool = False


def sizes(queue: deque[Item], free: int = 1) -> list[int]:
    return [each.size for each in take_batch(queue, free)]


def test_a_batch_ends_before_the_limit_of_bytes_and_a_giant_goes_alone() -> None:
    half = BATCH_BYTES // 2
    queue = deque(map(Item, (half, half, 1, 9 * half, 1)))
    assert [sizes(queue) for _ in range(5)] == [[half, half], [1], [9 * half], [1], []]


def test_a_batch_ends_at_the_limit_of_messages() -> None:
    queue = deque(Item(1) for _ in range(BATCH_MESSAGES + 1))
    assert [len(take_batch(queue)) for _ in range(3)] == [BATCH_MESSAGES, 1, 0]


def test_what_was_abandoned_is_dropped() -> None:
    queue = deque([Item(1, abandoned=True), Item(2), Item(3, abandoned=True)])
    assert sizes(queue) == [2]
    assert not queue


def test_a_long_queue_is_shared_out_over_the_free_calls() -> None:
    queue = deque(Item(1) for _ in range(64))
    assert [len(take_batch(queue, free)) for free in (2, 1)] == [32, 32]
    assert len(take_batch(deque(Item(1) for _ in range(10)), 2)) == 10


def test_only_what_failed_in_passing_is_sent_again_and_answers_keep_their_order() -> None:
    requests = [message_pb2.SubmitMessageRequest(request_id=str(n)) for n in range(3)]
    attempts = Attempts(requests)
    done = message_pb2.SubmitMessageResponse(message_id="m")
    passing, final = MailProxyError("", code=U), MailProxyError("", code=BAD)
    assert attempts.to_send() == requests
    assert attempts.settle([passing, final, done], remaining=9, jitter=0.0) == 0.025
    assert attempts.to_send() == requests[:1]
    assert attempts.settle([done], remaining=9, jitter=0.0) is None
    assert attempts.answers() == [done, final, done]


def test_a_response_of_another_length_is_the_servers_fault() -> None:
    answers = answers_of([message_pb2.SubmitResult()], 2)
    assert [type(each) for each in answers] == [ServerError, ServerError]


def test_a_field_is_named_as_if_its_message_had_come_alone() -> None:
    result = message_pb2.SubmitResult()
    result.error.message = "requests[1].email.to: is empty"
    (_, error) = answers_of([message_pb2.SubmitResult(), result], 2)
    assert isinstance(error, MailProxyError)
    assert error.message == "email.to: is empty"
