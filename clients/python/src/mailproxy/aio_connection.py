"""The asyncio client's channel, made when it is first used, and a unary call with its retries.

Thin: `calls` decides whether and when a call is repeated; this sends and waits.
"""

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

import grpc

from mailproxy import channel
from mailproxy.calls import pause_before_retry
from mailproxy.errors import closed, from_call
from mailproxy.v1 import (
    account_pb2_grpc,
    message_pb2_grpc,
    queue_pb2_grpc,
    report_pb2_grpc,
    template_pb2_grpc,
)

if TYPE_CHECKING:
    from mailproxy.v1.account_pb2_grpc import AccountServiceAsyncStub
    from mailproxy.v1.message_pb2_grpc import MessageServiceAsyncStub
    from mailproxy.v1.queue_pb2_grpc import QueueServiceAsyncStub
    from mailproxy.v1.report_pb2_grpc import ReportServiceAsyncStub
    from mailproxy.v1.template_pb2_grpc import TemplateServiceAsyncStub

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


class Stubs(NamedTuple):
    """The services on one channel."""

    messages: "MessageServiceAsyncStub"
    reports: "ReportServiceAsyncStub"
    accounts: "AccountServiceAsyncStub"
    queue: "QueueServiceAsyncStub"
    templates: "TemplateServiceAsyncStub"


Unary: TypeAlias = "Callable[[Stubs], grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]]"
"""Picks a unary method."""


class AioConnection:
    """One channel for as long as the event loop is the same, and what goes with every call."""

    def __init__(
        self, target: str, token: str | None, tls: channel.Tls, timeout: float, retry: bool
    ) -> None:
        self.target = target
        self.metadata = channel.call_metadata(token)
        self.timeout = timeout
        self.retry = retry
        self.closed = False
        self._credentials = channel.credentials(tls)
        self._channel: grpc.aio.Channel | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stubs: Stubs | None = None

    def stubs(self) -> Stubs:
        """Give the services; a new event loop gets a new channel."""
        if self._stubs is None or self._loop is not asyncio.get_running_loop():
            self._stubs = self._open()
        return self._stubs

    async def call(
        self,
        method: "Unary[RequestT, ResponseT]",
        request: RequestT,
        timeout: float | None,
        repeatable: bool = True,
    ) -> ResponseT:
        """Send a request until it is answered, refused, or `timeout` seconds are over."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + (self.timeout if timeout is None else timeout)
        attempt = 0
        while True:
            attempt += 1
            try:
                return await method(self.stubs())(
                    request, timeout=deadline - clock(), metadata=self.metadata
                )
            except grpc.aio.AioRpcError as failure:
                error = from_call(failure)
            pause = pause_before_retry(
                error,
                attempt=attempt,
                remaining=deadline - clock() if self.retry else 0.0,
                jitter=random.random(),  # noqa: S311
                repeatable=repeatable,
            )
            if pause is None:
                raise error
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Close the channel; calls that are under way end."""
        self.closed = True
        if self._channel is not None and self._loop is asyncio.get_running_loop():
            await self._channel.close()

    def _open(self) -> Stubs:
        if self.closed:
            raise closed()
        self._loop = asyncio.get_running_loop()
        if self._credentials is None:
            opened = grpc.aio.insecure_channel(self.target, options=channel.OPTIONS)
        else:
            opened = grpc.aio.secure_channel(
                self.target, self._credentials, options=channel.OPTIONS
            )
        self._channel = opened
        return Stubs(
            message_pb2_grpc.MessageServiceStub(opened),
            report_pb2_grpc.ReportServiceStub(opened),
            account_pb2_grpc.AccountServiceStub(opened),
            queue_pb2_grpc.QueueServiceStub(opened),
            template_pb2_grpc.TemplateServiceStub(opened),
        )
