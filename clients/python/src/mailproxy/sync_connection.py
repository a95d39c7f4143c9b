"""The threaded client's channel, made when it is first used, and a unary call with its retries.

Thin: `calls` decides whether and when a call is repeated; this sends and waits. In a child
made by fork the channel is another one: the parent's would be shared with it.
"""

import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

import grpc

from mailproxy import channel
from mailproxy.calls import pause_before_retry
from mailproxy.errors import closed, from_call
from mailproxy.forking import Survivor, calls, survive_forks
from mailproxy.v1 import (
    account_pb2_grpc,
    message_pb2_grpc,
    queue_pb2_grpc,
    report_pb2_grpc,
    template_pb2_grpc,
)

if TYPE_CHECKING:
    from mailproxy.v1.account_pb2_grpc import AccountServiceStub
    from mailproxy.v1.message_pb2_grpc import MessageServiceStub
    from mailproxy.v1.queue_pb2_grpc import QueueServiceStub
    from mailproxy.v1.report_pb2_grpc import ReportServiceStub
    from mailproxy.v1.template_pb2_grpc import TemplateServiceStub

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


class Stubs(NamedTuple):
    """The services on one channel."""

    messages: "MessageServiceStub"
    reports: "ReportServiceStub"
    accounts: "AccountServiceStub"
    queue: "QueueServiceStub"
    templates: "TemplateServiceStub"


Unary: TypeAlias = "Callable[[Stubs], grpc.UnaryUnaryMultiCallable[RequestT, ResponseT]]"
"""Picks a unary method."""


class SyncConnection(Survivor):
    """One channel a process, and what goes with every call."""

    def __init__(
        self, target: str, token: str | None, tls: channel.Tls, timeout: float, retry: bool
    ) -> None:
        self.target = target
        self.metadata = channel.call_metadata(token)
        self.timeout = timeout
        self.retry = retry
        self.closed = False
        self._credentials = channel.credentials(tls)
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._stubs: Stubs | None = None
        survive_forks(self)

    def stubs(self) -> Stubs:
        """Give the services, connecting when they are first used."""
        if self._stubs is None:
            with self._lock:
                self._stubs = self._stubs or self._open()
        return self._stubs

    def call(
        self,
        method: "Unary[RequestT, ResponseT]",
        request: RequestT,
        timeout: float | None,
        repeatable: bool = True,
    ) -> ResponseT:
        """Send a request until it is answered, refused, or `timeout` seconds are over."""
        clock = time.monotonic
        deadline = clock() + (self.timeout if timeout is None else timeout)
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._send(method, request, deadline - clock())
            except grpc.RpcError as failure:
                error = closed() if self.closed else from_call(failure)
            pause = pause_before_retry(
                error,
                attempt=attempt,
                remaining=deadline - clock() if self.retry else 0.0,
                jitter=random.random(),  # noqa: S311
                repeatable=repeatable,
            )
            if pause is None:
                raise error
            time.sleep(pause)

    def _send(
        self, method: "Unary[RequestT, ResponseT]", request: RequestT, seconds: float
    ) -> ResponseT:
        calls.begin()
        try:
            sent = method(self.stubs()).future(request, timeout=seconds, metadata=self.metadata)
        except BaseException:
            calls.end()
            raise
        sent.add_done_callback(lambda _: calls.end())
        return sent.result()

    def close(self) -> None:
        """Close the channel; calls that are under way end."""
        with self._lock:
            self.closed, self._stubs = True, None
            opened, self._channel = self._channel, None
        if opened is not None:
            opened.close()

    def _open(self) -> Stubs:
        if self.closed:
            raise closed()
        if self._credentials is None:
            opened = grpc.insecure_channel(self.target, options=channel.OPTIONS)
        else:
            opened = grpc.secure_channel(self.target, self._credentials, options=channel.OPTIONS)
        self._channel = opened
        return Stubs(
            message_pb2_grpc.MessageServiceStub(opened),
            report_pb2_grpc.ReportServiceStub(opened),
            account_pb2_grpc.AccountServiceStub(opened),
            queue_pb2_grpc.QueueServiceStub(opened),
            template_pb2_grpc.TemplateServiceStub(opened),
        )

    def forget(self) -> list[object]:
        """Begin anew in a child."""
        owned: list[object] = [self._channel, self._stubs]
        self._lock, self._channel, self._stubs = threading.Lock(), None, None
        return owned
