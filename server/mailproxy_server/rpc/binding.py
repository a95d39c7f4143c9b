"""Binds a servicer's methods to the chain that every call passes: a form for each kind of RPC."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc.aio
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from mailproxy_server.rpc.bodies import missing
from mailproxy_server.rpc.budget import Held
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
    edge, calls = bound.edge, bound.calls
    kind = GetMessageClass(bound.method.input_type)

    async def answer(_: object, context: Context, sizes: Sizes) -> bytes:
        try:
            with calls.open():
                call = await edge.admit(context)
                with await edge.bodies.room(call.tenant_id) as held:
                    response = await servicer(
                        await _request(bound, kind, context, call, held, sizes), call
                    )
                    octets = response.SerializeToString()
                    sizes.sent = len(octets)
                    return octets
        except grpc.aio.BaseError:  # the call was ended while its request came
            raise
        except Exception as error:
            await edge.refuse(context, error)

    return _told(bound, answer)


def streaming(bound: Bound, servicer: Streaming) -> Answer:
    """One request, a stream of responses."""
    edge = bound.edge
    kind = GetMessageClass(bound.method.input_type)

    async def answer(_: object, context: Context, sizes: Sizes) -> None:
        try:
            with contextlib.ExitStack() as room:
                with bound.calls.open():
                    call = await edge.admit(context)
                    held = room.enter_context(await edge.bodies.room(call.tenant_id))
                    request = await _request(bound, kind, context, call, held, sizes)
                with bound.streams.open():
                    responses = servicer(request, call)
                    del request
                    async with contextlib.aclosing(responses):
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

    async def parsed(context: Context, sizes: Sizes) -> AsyncGenerator[Message, None]:
        # Not grpc's iterator of requests: that keeps the last one until the garbage collector runs.
        while (raw := await context.read()) is not grpc.aio.EOF:
            sizes.received += len(raw)
            check_size(len(raw), PART_BYTES)
            request = parse(kind, raw, strict)
            del raw
            yield request

    async def answer(_: object, context: Context, sizes: Sizes) -> bytes:
        try:
            with contextlib.ExitStack() as room:
                with bound.calls.open():
                    call = await edge.admit(context)
                    room.enter_context(await edge.parts.hold(call.tenant_id, PART_BYTES))
                with bound.streams.open():
                    async with contextlib.aclosing(parsed(context, sizes)) as given:
                        octets = (await servicer(given, call)).SerializeToString()
                        sizes.sent = len(octets)
                        return octets
        except grpc.aio.BaseError:  # the client went away
            raise
        except Exception as error:
            await edge.refuse(context, error)

    return _told(bound, answer)


async def _request(
    bound: Bound, kind: type[Message], context: Context, call: Call, held: Held, sizes: Sizes
) -> Message:
    """Read and parse the one request of a call, for which `held` has room."""
    raw = await bound.edge.bodies.read(context, call.tenant_id, held)
    if raw is None:
        await asyncio.sleep(0)  # if its caller has just left, the cancellation comes first
        raise missing()
    sizes.received = call.size = len(raw)
    call.release = held.release
    check_size(len(raw), bound.edge.max_request_bytes)
    return parse(kind, raw, bound.strict)


def _told(bound: Bound, answer: Sized) -> Answer:
    if bound.edge.tracer is None:
        return untold(answer)
    service = bound.method.containing_service.full_name
    return traced(bound.edge.tracer, service, bound.method.name, answer)
