"""grpc.health.v1 for each service and for the server as a whole (""), open to all callers."""

import grpc
from grpc_health.v1 import health, health_pb2

from mailproxy_server.rpc.edge import Context
from mailproxy_server.rpc.registry import Registry

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name


class Health:
    """Whether this server takes calls; `add_to` a registry makes it answer."""

    def __init__(self) -> None:
        self._servicer = health.aio.HealthServicer()
        self._services: tuple[str, ...] = ("",)

    def add_to(self, registry: Registry) -> None:
        """Answer for every service that `registry` has by now; not serving until `set_serving`."""
        self._services = ("", *registry.services)
        streams = registry.streams(SERVICE)

        async def watch(request: health_pb2.HealthCheckRequest, context: Context) -> None:
            await registry.foreign_stream(streams, self._servicer.Watch(request, context), context)

        parse = health_pb2.HealthCheckRequest.FromString
        write = health_pb2.HealthCheckResponse.SerializeToString
        check = grpc.unary_unary_rpc_method_handler(self._servicer.Check, parse, write)
        registry.add_foreign(f"/{SERVICE}/Check", check)
        watching = grpc.unary_stream_rpc_method_handler(watch, parse, write)
        registry.add_foreign(f"/{SERVICE}/Watch", watching)

    async def set_serving(self, serving: bool) -> None:
        """Say of all services whether they are served; watchers are told at once."""
        words = health_pb2.HealthCheckResponse
        status = words.SERVING if serving else words.NOT_SERVING
        for service in self._services:
            await self._servicer.set(service, status)
