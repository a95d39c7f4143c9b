"""Binds a servicer's methods to the chain that every call passes: a form for each kind of RPC."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc.aio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from mailproxy_server.rpc.call import Call
from mailproxy_server.rpc.edge import Context, Edge, check_size, parse
from mailproxy_server.rpc.streams import Streams
from mailproxy_server.rpc.tracing import Answer, Sized, Sizes, traced, untold

PART_BYTES = 2**20 + 2**16
"""The largest request of a client's stream; so much is counted while the stream is open."""

Unary = Callable[[Any, Call], Awaitable[Message]]
Streaming = Callable[[Any, Call], AsyncGenerator[Message, None]]
Gathering = Callable[[AsyncIterator[Any], Call], Awaitable[Message]]


@dataclass(frozen=True, slots=True)
class Bound:
    """What a method is bound to: the chain, the open calls, its service's open streams.

    `strict`: its requests may hold no field that this server does not know.
    """

    edge: Edge
    calls: Streams
    streams: Streams
    method: MethodDescriptor
    strict: bool


def unary(bound: Bound, servicer: Unary) -> Answer:
    """One request, one response."""
    edge, calls, strict = bound.edge, bound.calls, bound.strict
    kind = GetMessageClass(bound.method.input_type)

    async def answer(raw: bytes, context: Context, sizes: Sizes) -> bytes:
        sizes.received = len(raw)
        try:
            with calls.open():
                call = await edge.admit(raw, context)
                with edge.budget.hold(call.size):
                    response = await servicer(parse(kind, raw, strict), call)
                    octets = response.SerializeToString()
                    sizes.sent = len(octets)
                    return octets
        except Exception as error:
            await edge.refuse(context, error)

    return _told(bound, answer)


def streaming(bound: Bound, servicer: Streaming) -> Answer:
    """One request, a stream of responses."""
    edge, strict = bound.edge, bound.strict
    kind = GetMessageClass(bound.method.input_type)

    async def answer(raw: bytes, context: Context, sizes: Sizes) -> None:
        sizes.received = len(raw)
        try:
            with bound.calls.open():
                call = await edge.admit(raw, context)
            # grpc keeps the request's bytes for as long as the stream, so they stay counted.
            with bound.streams.open(), edge.budget.hold(call.size):
                async with contextlib.aclosing(
                    servicer(parse(kind, raw, strict), call)
                ) as responses:
                    async for response in responses:
                        octets = response.SerializeToString()
                        sizes.sent += len(octets)
                        await context.write(octets)
        except grpc.aio.BaseError:  # the client went away while we wrote
            raise
        except Exception as error:
            await edge.refuse(context, error)

    return _told(bound, answer)


def gathering(bound: Bound, servicer: Gathering) -> Answer:
    """A stream of requests, one response."""
    edge, strict = bound.edge, bound.strict
    kind = GetMessageClass(bound.method.input_type)

    async def parsed(requests: AsyncIterator[bytes], sizes: Sizes) -> AsyncGenerator[Message, None]:
        async for raw in requests:
            sizes.received += len(raw)
            check_size(len(raw), PART_BYTES)
            yield parse(kind, raw, strict)

    async def answer(requests: AsyncIterator[bytes], context: Context, sizes: Sizes) -> bytes:
        try:
            with bound.calls.open():
                call = await edge.admit(b"", context)
            with bound.streams.open(), edge.budget.hold(PART_BYTES):
                async with contextlib.aclosing(parsed(requests, sizes)) as given:
                    octets = (await servicer(given, call)).SerializeToString()
                    sizes.sent = len(octets)
                    return octets
        except grpc.aio.BaseError:  # the client went away
            raise
        except Exception as error:
            await edge.refuse(context, error)

    return _told(bound, answer)


def _told(bound: Bound, answer: Sized) -> Answer:
    if bound.edge.tracer is None:
        return untold(answer)
    service = bound.method.containing_service.full_name
    return traced(bound.edge.tracer, service, bound.method.name, answer)
