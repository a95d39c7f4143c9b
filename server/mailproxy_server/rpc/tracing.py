"""The hook by which spans and metrics of calls are made. The edge itself records nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import grpc
import grpc.aio

Context = grpc.aio.ServicerContext[Any, Any]
Answer = Callable[[Any, Context], Awaitable[Any]]
"""Answers a call: what is given is the request's bytes, or the stream of them."""


class Tracer(Protocol):
    """Told of each call of a service when it begins and when its status is known."""

    def start(self, service: str, method: str, traceparent: str, size: int) -> Any:
        """A call of `method` of `service` ("mailproxy.v1.MessageService") began.

        `traceparent` is "" when the caller sent none, `size` the request's bytes. What is
        returned goes to `finish`.
        """

    def finish(self, started: Any, code: grpc.StatusCode) -> None:
        """The call ended with `code`; CANCELLED when its caller went away."""


def traced(tracer: Tracer, service: str, method: str, answer: Answer) -> Answer:
    """Give `answer`, telling `tracer` of each call."""

    async def tell(given: Any, context: Context) -> Any:
        size = len(given) if isinstance(given, bytes) else 0
        started = tracer.start(service, method, traceparent(context), size)
        code = grpc.StatusCode.OK
        try:
            return await answer(given, context)
        except asyncio.CancelledError:
            late = context.time_remaining() == 0
            code = grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED
            raise
        except grpc.aio.BaseError:  # refused by us, or the client went away
            code = _code(context) or grpc.StatusCode.CANCELLED
            raise
        finally:
            tracer.finish(started, code)

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
