"""The hook by which spans and metrics of calls are made. The edge itself records nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import grpc.aio

Context = grpc.aio.ServicerContext[Any, Any]
Answer = Callable[[Any, Context], Awaitable[Any]]
"""Answers a call, as grpc calls it: what is given is the request's bytes, or the stream of them."""


@dataclass(slots=True)
class Sizes:
    """Bytes of a call so far, before compression."""

    received: int = 0
    sent: int = 0


Sized = Callable[[Any, Context, Sizes], Awaitable[Any]]
"""Answers a call, and counts its bytes."""


class Tracer(Protocol):
    """Told of each call of a service when it begins and when its status is known."""

    def start(self, service: str, method: str, context: Context) -> Any:
        """A call of `method` of `service` ("mailproxy.v1.MessageService") began.

        What is returned goes to `finish`.
        """

    def finish(self, started: Any, code: grpc.StatusCode, sizes: Sizes) -> None:
        """The call ended with `code`; CANCELLED when its caller went away."""


class Tracers:
    """Several that are told of the same calls, the last one first when a call ends."""

    def __init__(self, *tracers: Tracer) -> None:
        self._tracers = tracers

    def start(self, service: str, method: str, context: Context) -> list[Any]:
        """Tell all of them."""
        return [each.start(service, method, context) for each in self._tracers]

    def finish(self, started: list[Any], code: grpc.StatusCode, sizes: Sizes) -> None:
        """Tell all of them."""
        for each, own in zip(reversed(self._tracers), reversed(started), strict=True):
            each.finish(own, code, sizes)


def untold(answer: Sized) -> Answer:
    """Give `answer`, telling nobody."""

    async def tell(given: Any, context: Context) -> Any:
        return await answer(given, context, Sizes())

    return tell


def traced(tracer: Tracer, service: str, method: str, answer: Sized) -> Answer:
    """Give `answer`, telling `tracer` of each call."""

    async def tell(given: Any, context: Context) -> Any:
        sizes = Sizes()
        started = tracer.start(service, method, context)
        code = grpc.StatusCode.OK
        try:
            return await answer(given, context, sizes)
        except asyncio.CancelledError:
            late = context.time_remaining() == 0
            code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            raise
        except grpc.aio.BaseError:  # refused by us, or the client went away
            code = _code(context) or grpc.StatusCode.CANCELLED
            raise
        finally:
            tracer.finish(started, code, sizes)

    return tell


def traceparent(context: Context) -> str:
    """Give the caller's W3C trace context, or ""."""
    for key, value in context.invocation_metadata() or ():
        if key == "traceparent":
            return str(value)
    return ""


def _code(context: Context) -> grpc.StatusCode | None:
    code: Any = context.code()  # None until one is set, whatever its annotation says
    return code if isinstance(code, grpc.StatusCode) else None
