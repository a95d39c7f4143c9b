"""grpc.health.v1 for each service and for the server as a whole (""), open to all callers."""

import asyncio

import grpc
from grpc_health.v1 import health_pb2

from mailproxy_server.rpc.edge import Context
from mailproxy_server.rpc.registry import Registry, RpcHandler

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

_Response = health_pb2.HealthCheckResponse


class Health:
    """Whether this server takes calls; `add_to` a registry makes it answer.

    Setting it waits for no watcher: one that does not read what it is told must not keep the
    others from hearing of a drain. (grpc_health's own servicer writes to each under a lock.)
    """

    def __init__(self) -> None:
        self._services: frozenset[str] = frozenset([""])
        self._serving = False
        self._ended = False
        self._changed = asyncio.Event()

    def add_to(self, registry: Registry) -> None:
        """Answer for every service that `registry` has by now; not serving until `set_serving`."""
        self._services = frozenset(["", *registry.services])
        streams = registry.streams(SERVICE)

        kind, write = health_pb2.HealthCheckRequest, _Response.SerializeToString

        async def check(_: object, context: Context) -> _Response:
            request = await registry.foreign_request(context, kind)
            return await self._check(request, context)

        async def watch(_: object, context: Context) -> None:
            request = await registry.foreign_request(context, kind)
            await registry.foreign_stream(streams, self._watch(request, context), context)

        # To grpc both take a stream of requests: see `bodies`.
        checking: RpcHandler = grpc.stream_unary_rpc_method_handler(
            check, response_serializer=write
        )
        registry.add_foreign(f"/{SERVICE}/Check", checking)
        watching: RpcHandler = grpc.stream_stream_rpc_method_handler(
            watch, response_serializer=write
        )
        registry.add_foreign(f"/{SERVICE}/Watch", watching)

    def set_serving(self, serving: bool) -> None:
        """Say of all services whether they are served; watchers are told at once."""
        if not self._ended and serving != self._serving:
            self._serving = serving
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    def end(self) -> None:
        """Say that none is served, whatever is said after this."""
        self.set_serving(False)
        self._ended = True

    async def _check(self, request: health_pb2.HealthCheckRequest, context: Context) -> _Response:
        if request.service not in self._services:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return _response(self._status(request.service))

    async def _watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:
        told = ""
        while True:
            changed, status = self._changed, self._status(request.service)
            if status != told:
                await context.write(_response(status))
                told = status
            await changed.wait()

    def _status(self, service: str) -> str:
        if service not in self._services:
            return "SERVICE_UNKNOWN"
        return "SERVING" if self._serving else "NOT_SERVING"


def _response(status: str) -> _Response:
    return _Response(status=_Response.ServingStatus.Value(status))
