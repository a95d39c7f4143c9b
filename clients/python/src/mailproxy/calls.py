"""When a failed call is sent again, after which pause, and which requests go out together.

Pure: time left and randomness are arguments; nothing here waits or sends.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

import grpc

from mailproxy.errors import MailProxyError, ServerError, from_status
from mailproxy.v1 import message_pb2

Answer: TypeAlias = message_pb2.SubmitMessageResponse | MailProxyError
"""What became of one submitted message; an error is data here, not raised."""

BATCH_BYTES = 4 * 1024 * 1024
"""Bytes of requests in one SubmitMessages; a larger single request goes alone."""
BATCH_MESSAGES = 500
"""Requests in one SubmitMessages (the server takes 1,000)."""
CALLS_IN_FLIGHT = 2
"""Submitting calls at once: while they are under way, the next batch collects."""
WORTH_SPLITTING = 16
"""Requests that fill a call of their own while another one is free."""

_NOT_CARRIED_OUT = frozenset({"DRAINING", "QUEUE_FULL", "INFLIGHT_BYTES", "TOO_MANY_STREAMS"})


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses before repetitions, in seconds: doubling from `first` up to `cap`."""

    first: float = 0.05
    cap: float = 2.0

    def pause(self, attempt: int, jitter: float) -> float:
        """Give the pause after attempt number `attempt` (from 1); `jitter` is in [0, 1)."""
        whole: float = min(self.cap, self.first * 2.0 ** min(attempt - 1, 30))
        return whole * (0.5 + jitter / 2)


UNARY = Backoff()
STREAM = Backoff(first=0.1, cap=5.0)


def pause_before_retry(
    error: MailProxyError, *, attempt: int, remaining: float, jitter: float, repeatable: bool = True
) -> float | None:
    """Give the seconds to wait before the same request is sent again, or None to give up.

    `remaining` seconds are left until the caller's deadline. `repeatable`: doing it twice
    is the same as doing it once; if not, only what was surely not carried out is repeated.
    """
    if not _passing(error) or not (repeatable or error.reason in _NOT_CARRIED_OUT):
        return None
    pause = UNARY.pause(attempt, jitter)
    if error.retry_after is not None:
        if error.retry_after < 0:
            return None
        pause = error.retry_after * (1 + jitter / 4) if error.retry_after else pause
    return pause if pause < remaining else None


def _passing(error: MailProxyError) -> bool:
    if error.code is grpc.StatusCode.UNAVAILABLE or _cut_short(error) or _lost(error):
        return True
    return error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.retry_after is not None


def _cut_short(error: MailProxyError) -> bool:
    """Whether gRPC itself ended the call: CANCELLED, and nobody gave a reason.

    So it ends those that a stopping server has not begun. A client that was closed has a reason.
    """
    return error.code is grpc.StatusCode.CANCELLED and not error.reason


def _lost(error: MailProxyError) -> bool:
    """Whether grpc.aio lost the status: an upload was refused while a part of it was being written,
    and the write failed before the refusal was read. The next attempt reads it.
    """
    return error.code is grpc.StatusCode.INTERNAL and error.message == "Internal error from Core"


class Attempts:
    """Requests of one caller on their way to an answer each, over as many attempts as it takes."""

    def __init__(
        self, requests: Sequence[message_pb2.SubmitMessageRequest], retry: bool = True
    ) -> None:
        self._requests = requests
        self._retry = retry
        self._attempt = 0
        self._open: Sequence[int] = range(len(requests))
        self._answers: list[Answer | None] = [None] * len(requests)

    def to_send(self) -> list[message_pb2.SubmitMessageRequest]:
        """Give the requests of the next attempt, unchanged from the one before."""
        self._attempt += 1
        return [self._requests[index] for index in self._open]

    def settle(self, answers: Sequence[Answer], *, remaining: float, jitter: float) -> float | None:
        """Take the answers to `to_send()`; give the pause before the next attempt, or None
        when every request has its final answer.
        """
        again: list[int] = []
        longest = 0.0
        for index, answer in zip(self._open, answers, strict=True):
            self._answers[index] = answer
            if self._retry and isinstance(answer, MailProxyError):
                pause = pause_before_retry(
                    answer, attempt=self._attempt, remaining=remaining, jitter=jitter
                )
                if pause is not None:
                    again.append(index)
                    longest = max(longest, pause)
        self._open = again
        return longest if again else None

    def answers(self) -> list[Answer]:
        """Give the answers, in the order of the requests."""
        return [answer for answer in self._answers if answer is not None]


def answers_of(results: Sequence[message_pb2.SubmitResult], count: int) -> list[Answer]:
    """Give the answers that a SubmitMessages response holds for `count` requests."""
    if len(results) != count:
        words = f"{len(results)} results came for {count} messages"
        return [ServerError(words) for _ in range(count)]
    return [
        each.response
        if each.HasField("response")
        else from_status(each.error, within=f"requests[{index}].")
        for index, each in enumerate(results)
    ]


class Waiting(Protocol):
    """A request that waits for its turn."""

    @property
    def size(self) -> int:
        """Its bytes."""

    @property
    def abandoned(self) -> bool:
        """Nobody waits for its answer any more."""


WaitingT = TypeVar("WaitingT", bound=Waiting)


def take_batch(queue: deque[WaitingT], free_calls: int = 1) -> list[WaitingT]:
    """Remove what goes out together from the head of the queue, skipping what was abandoned.

    A long queue is shared out evenly over the calls that are free, which then overlap.
    """
    batch: list[WaitingT] = []
    size = 0
    limit = min(BATCH_MESSAGES, max(WORTH_SPLITTING, -(-len(queue) // free_calls)))
    while queue and len(batch) < limit:
        head = queue[0]
        if not head.abandoned:
            size += head.size
            if batch and size > BATCH_BYTES:
                break
            batch.append(head)
        queue.popleft()
    return batch
