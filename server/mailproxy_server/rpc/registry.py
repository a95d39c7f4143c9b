"""Which servicer answers which RPC: binds servicers to the chain, once, at registration."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncGenerator, Collection, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from mailproxy_server.mail.errors import MailProxyError
from mailproxy_server.rpc.binding import Bound, Unary, gathering, streaming, unary
from mailproxy_server.rpc.bodies import missing
from mailproxy_server.rpc.edge import Context, Edge, check_size, parse
from mailproxy_server.rpc.streams import Streams

if TYPE_CHECKING:
    RpcHandler = grpc.RpcMethodHandler[Any, Any]
else:
    RpcHandler = grpc.RpcMethodHandler  # not subscriptable at run time

_LOOK_SECONDS = 0.02

_FOREIGN_BYTES = 64 * 1024
"""The largest request of health and reflection: it names a service or a symbol."""


class Registry(grpc.GenericRpcHandler):
    """All RPCs of a server, found by one look-up."""

    def __init__(self, edge: Edge):
        self.edge = edge
        self._handlers: dict[str, RpcHandler] = {}
        self._unary: dict[str, tuple[type[Message], Unary]] = {}
        self._streams: dict[str, Streams] = {}
        self._calls = Streams(sys.maxsize)

    @property
    def services(self) -> tuple[str, ...]:
        """Full names of the services that were added."""
        return tuple(self._streams)

    @property
    def calls(self) -> int:
        """How many calls are under way that are no streams."""
        return len(self._calls)

    def open_streams(self) -> Iterator[tuple[str, int]]:
        """Give each service and how many streams of it are open."""
        return ((name, len(streams)) for name, streams in self._streams.items())

    def add(
        self, service: ServiceDescriptor, servicer: object, *, strict: Collection[str] = ()
    ) -> None:
        """Register `servicer`, which has a method for each RPC of `service`.

        Requests of the RPCs in `strict` may hold no field that this server does not know. To grpc
        they all take a stream of requests: see `bodies`.
        """
        streams = self.streams(service.full_name)
        for method in service.methods:
            bound = Bound(self.edge, self._calls, streams, method, method.name in strict)
            answer = getattr(servicer, method.name)
            one: RpcHandler
            if method.client_streaming:
                one = grpc.stream_unary_rpc_method_handler(gathering(bound, answer))
            elif method.server_streaming:
                one = grpc.stream_stream_rpc_method_handler(streaming(bound, answer))
            else:
                one = grpc.stream_unary_rpc_method_handler(unary(bound, answer))
                kind = GetMessageClass(method.input_type)
                self._unary[f"{service.name}/{method.name}"] = (kind, answer)
            self._handlers[f"/{service.full_name}/{method.name}"] = one

    def add_foreign(self, path: str, handler: RpcHandler) -> None:
        """Register one RPC that passes no chain: health and reflection."""
        self._handlers[path] = handler

    def unary(self, path: str) -> tuple[type[Message], Unary] | None:
        """Give a unary method by "MessageService/GetMessage": its request's class, its servicer."""
        return self._unary.get(path)

    async def foreign_requests(
        self, context: Context, kind: type[Message]
    ) -> AsyncGenerator[Any, None]:
        """Read the requests of a call of `add_foreign`, which anybody may send.

        They have room of their own, in which callers are told apart by their address.
        """
        bodies, caller = self.edge.foreign, context.peer().rpartition(":")[0]
        while True:
            with await bodies.room(caller) as held:
                raw = await bodies.read(context, caller, held)
                if raw is None:
                    return
                check_size(len(raw), _FOREIGN_BYTES)
                request = parse(kind, raw, strict=False)
            yield request

    async def foreign_request(self, context: Context, kind: type[Message]) -> Any:
        """Read the one request of a call of `add_foreign`; ends the call without one."""
        async with contextlib.aclosing(self.foreign_requests(context, kind)) as requests:
            try:
                async for request in requests:
                    return request
                raise missing()
            except MailProxyError as error:
                await self.edge.refuse(context, error)

    async def foreign_stream(
        self, streams: Streams, answering: Coroutine[Any, Any, None], context: Context
    ) -> None:
        """Run a stream of `add_foreign` so that it is counted, bounded and drained."""
        try:
            with contextlib.closing(answering), streams.open():
                await answering
        except MailProxyError as error:
            await self.edge.refuse(context, error)

    def streams(self, name: str) -> Streams:
        """Give the open streams of a service, which is made known by this."""
        return self._streams.setdefault(name, Streams(self.edge.max_streams))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> RpcHandler | None:
        """Find the RPC of a call (grpc's look-up)."""
        return self._handlers.get(handler_call_details.method)

    def drain(self) -> None:
        """Refuse new calls from now on and end every stream with UNAVAILABLE."""
        self.edge.draining = True
        for streams in self._streams.values():
            streams.drain()

    async def finish(self, seconds: float) -> None:
        """Give unary calls `seconds` to be answered, then end them with UNAVAILABLE too.

        Left to grpc they would end CANCELLED, which tells a caller nothing.
        """
        deadline = time.monotonic() + seconds
        while len(self._calls) and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_SECONDS)
        self._calls.drain()
