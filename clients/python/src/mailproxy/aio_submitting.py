"""How the asyncio client submits: concurrent calls travel together in SubmitMessages.

Its rule: at most `CALLS_IN_FLIGHT` calls at once; what comes meanwhile collects and goes out
as soon as one returns. There are no timers, so a lone message goes at once, as SubmitMessage.
A caller that gives up is taken off the queue; once its message is on its way, the answer is
dropped.
"""

import asyncio
import random
from collections import deque
from collections.abc import Sequence

import grpc

from mailproxy.aio_connection import AioConnection
from mailproxy.calls import CALLS_IN_FLIGHT, Answer, Attempts, answers_of, take_batch
from mailproxy.errors import MailProxyError, closed, deadline, from_call
from mailproxy.tracing import metadata_of
from mailproxy.v1 import message_pb2


class _Waiting:
    __slots__ = ("answer", "deadline", "request", "size")

    def __init__(
        self,
        request: message_pb2.SubmitMessageRequest,
        until: float,
        answer: asyncio.Future[Answer],
    ) -> None:
        self.request = request
        self.deadline = until
        self.answer = answer
        self.size = request.ByteSize()

    @property
    def abandoned(self) -> bool:
        return self.answer.done()


class AioSubmitting:
    """Submits requests over one connection. With `coalesce` false, each call goes by itself."""

    def __init__(self, connection: AioConnection, coalesce: bool) -> None:
        self._connection = connection
        self._coalesce = coalesce
        self._queue: deque[_Waiting] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._in_flight: set[asyncio.Task[None]] = set()
        self._to_dispatch = False

    async def submit(
        self, requests: Sequence[message_pb2.SubmitMessageRequest], timeout: float | None
    ) -> list[Answer]:
        """Give one answer for each request, within `timeout` seconds."""
        clock = asyncio.get_running_loop().time
        seconds = self._connection.timeout if timeout is None else timeout
        until = clock() + seconds
        attempts = Attempts(requests, self._connection.retry)
        while True:
            answers = await self._attempt(attempts.to_send(), until, seconds)
            pause = attempts.settle(
                answers,
                remaining=until - clock(),
                jitter=random.random(),  # noqa: S311
            )
            if pause is None:
                return attempts.answers()
            await asyncio.sleep(pause)

    async def _attempt(
        self, requests: list[message_pb2.SubmitMessageRequest], until: float, seconds: float
    ) -> list[Answer]:
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(request, until, loop.create_future()) for request in requests]
        self._enqueue(loop, waiting)
        try:
            if waiting:
                await asyncio.wait([each.answer for each in waiting], timeout=until - loop.time())
            return [
                each.answer.result() if each.answer.done() else deadline(seconds)
                for each in waiting
            ]
        finally:
            for each in waiting:
                each.answer.cancel()

    def _enqueue(self, loop: asyncio.AbstractEventLoop, waiting: list[_Waiting]) -> None:
        if loop is not self._loop:
            self._loop, self._in_flight, self._to_dispatch = loop, set(), False
            self._queue.clear()
        if not self._coalesce:
            own = deque(waiting)
            while batch := take_batch(own):
                self._send(loop, batch)
            return
        self._queue.extend(waiting)
        self._dispatch_soon(loop)

    def _dispatch_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let all callers that can run now add their messages first."""
        if self._queue and len(self._in_flight) < CALLS_IN_FLIGHT and not self._to_dispatch:
            self._to_dispatch = True
            loop.call_soon(self._dispatch, loop)

    def _dispatch(self, loop: asyncio.AbstractEventLoop) -> None:
        self._to_dispatch = False
        while free := CALLS_IN_FLIGHT - len(self._in_flight):
            batch = take_batch(self._queue, free)
            if not batch:
                return
            self._send(loop, batch)

    def _send(self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting]) -> None:
        task = loop.create_task(self._answer(batch))
        self._in_flight.add(task)
        task.add_done_callback(self._returned)

    def _returned(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        loop = task.get_loop()
        if self._coalesce and loop is self._loop:
            self._dispatch_soon(loop)

    async def _answer(self, batch: list[_Waiting]) -> None:
        try:
            answers = await self._call(batch)
        except grpc.aio.AioRpcError as failure:
            answers = [from_call(failure) for _ in batch]
        except asyncio.CancelledError:
            answers = [closed() for _ in batch]
        except MailProxyError:
            answers = [closed() for _ in batch]
        for each, answer in zip(batch, answers, strict=True):
            if not each.answer.done():
                each.answer.set_result(answer)

    async def _call(self, batch: list[_Waiting]) -> list[Answer]:
        loop = asyncio.get_running_loop()
        stub = self._connection.stubs().messages
        metadata = metadata_of(self._connection.metadata, [each.request for each in batch])
        seconds = max(each.deadline for each in batch) - loop.time()
        if len(batch) == 1:
            return [await stub.SubmitMessage(batch[0].request, timeout=seconds, metadata=metadata)]
        request = message_pb2.SubmitMessagesRequest(requests=[each.request for each in batch])
        response = await stub.SubmitMessages(request, timeout=seconds, metadata=metadata)
        return answers_of(response.results, len(batch))
