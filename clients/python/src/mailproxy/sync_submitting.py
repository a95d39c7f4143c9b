"""How the threaded client submits: concurrent calls travel together in SubmitMessages.

Its rule: at most `CALLS_IN_FLIGHT` calls at once; what comes meanwhile collects and goes out
as soon as one returns. There are no timers and no threads of its own: a caller that finds a
call free starts it and waits like all others, and a call that returns, on gRPC's thread,
hands out its answers and starts the next one.
"""

import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

import grpc

from mailproxy.calls import CALLS_IN_FLIGHT, Answer, Attempts, answers_of, take_batch
from mailproxy.errors import MailProxyError, closed, deadline, from_call
from mailproxy.forking import Survivor, calls, survive_forks
from mailproxy.sync_connection import SyncConnection
from mailproxy.tracing import metadata_of
from mailproxy.v1 import message_pb2


class _Waiting:
    __slots__ = ("abandoned", "answer", "answered", "deadline", "request", "size")

    def __init__(self, request: message_pb2.SubmitMessageRequest, until: float) -> None:
        self.request = request
        self.deadline = until
        self.size = request.ByteSize()
        self.abandoned = False
        self.answer: Answer | None = None
        self.answered = threading.Event()


class SyncSubmitting(Survivor):
    """Submits requests over one connection. With `coalesce` false, each call goes by itself."""

    def __init__(self, connection: SyncConnection, coalesce: bool) -> None:
        self._connection = connection
        self._coalesce = coalesce
        self._lock = threading.Lock()
        self._queue: deque[_Waiting] = deque()
        self._in_flight = 0
        survive_forks(self)

    def forget(self) -> list[object]:
        """Begin anew in a child; whoever waited is not there."""
        owned: list[object] = [self._queue]
        self._lock, self._queue, self._in_flight = threading.Lock(), deque(), 0
        return owned

    def resume(self) -> None:
        """Start in the parent what a fork has held up."""
        self._dispatch(wait=False)

    def submit(
        self, requests: Sequence[message_pb2.SubmitMessageRequest], timeout: float | None
    ) -> list[Answer]:
        """Give one answer for each request, within `timeout` seconds."""
        clock = time.monotonic
        seconds = self._connection.timeout if timeout is None else timeout
        until = clock() + seconds
        attempts = Attempts(requests, self._connection.retry)
        while True:
            answers = self._attempt(attempts.to_send(), until, seconds)
            pause = attempts.settle(
                answers,
                remaining=until - clock(),
                jitter=random.random(),  # noqa: S311
            )
            if pause is None:
                return attempts.answers()
            time.sleep(pause)

    def _attempt(
        self, requests: list[message_pb2.SubmitMessageRequest], until: float, seconds: float
    ) -> list[Answer]:
        waiting = [_Waiting(request, until) for request in requests]
        if self._coalesce:
            with self._lock:
                self._queue.extend(waiting)
            self._dispatch()
        else:
            own = deque(waiting)
            while batch := take_batch(own):
                calls.begin()
                self._send(batch)
        try:
            for each in waiting:
                each.answered.wait(max(0.0, until - time.monotonic()))
            return [each.answer or deadline(seconds) for each in waiting]
        finally:
            for each in waiting:
                each.abandoned = True

    def _dispatch(self, *, wait: bool = True) -> None:
        """Start what can start; during a fork wait, or leave it to `resume`."""
        while self._queue and calls.begin(wait=wait):
            with self._lock:
                free = CALLS_IN_FLIGHT - self._in_flight
                batch = take_batch(self._queue, free) if free else []
                self._in_flight += bool(batch)
            if not batch:
                calls.end()
                return
            self._send(batch)

    def _send(self, batch: list[_Waiting]) -> None:
        """Start a call; its answers are handed out when it returns."""
        try:
            call = self._start(batch)
        except (MailProxyError, ValueError):  # ValueError: closed just now by another thread
            self._hand_out(batch, [closed() for _ in batch])
        else:
            call.add_done_callback(partial(self._returned, batch))

    def _start(self, batch: list[_Waiting]) -> "grpc.Future[Any]":
        seconds = max(each.deadline for each in batch) - time.monotonic()
        metadata = metadata_of(self._connection.metadata, [each.request for each in batch])
        stub = self._connection.stubs().messages
        if len(batch) == 1:
            return stub.SubmitMessage.future(batch[0].request, timeout=seconds, metadata=metadata)
        request = message_pb2.SubmitMessagesRequest(requests=[each.request for each in batch])
        return stub.SubmitMessages.future(request, timeout=seconds, metadata=metadata)

    def _returned(self, batch: list[_Waiting], call: "grpc.Future[Any]") -> None:
        try:
            response = call.result()
        except grpc.RpcError as failure:
            answers: list[Answer] = [from_call(failure) for _ in batch]
        except grpc.FutureCancelledError:
            answers = [closed() for _ in batch]
        else:
            answers = [response] if len(batch) == 1 else answers_of(response.results, len(batch))
        self._hand_out(batch, answers)

    def _hand_out(self, batch: list[_Waiting], answers: list[Answer]) -> None:
        for each, answer in zip(batch, answers, strict=True):
            each.answer = answer
            each.answered.set()
        calls.end()
        if self._coalesce:
            with self._lock:
                self._in_flight -= 1
            self._dispatch(wait=False)
