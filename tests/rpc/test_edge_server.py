import asyncio
from collections.abc import Iterable
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from mailproxy_server.rpc.call import Call
from mailproxy_server.rpc.tracing import Context, Sizes, traceparent

from tests.support.edge import AUTH, accept, calling, follow, raw_submit, refused, serving, until

PING = {"keepalive_time_ms": 300, "keepalive_timeout_ms": 5000, "keepalive_permit_without_calls": 1}


async def idle(ping_interval: float) -> grpc.StatusCode | None:
    """Hold an idle stream whose client pings, and give its status when it is ended."""
    async with serving(ping_interval=ping_interval) as served:
        named = PING | {"http2.max_pings_without_data": 0}
        async with calling(served, **named) as channel:
            stream = follow(channel)
            await stream.read()
            try:
                async with asyncio.timeout(6):
                    await stream.read()
            except TimeoutError:
                return None
            except grpc.aio.AioRpcError as error:
                return error.code()
    raise AssertionError("the stream has only one response")


async def test_an_idle_stream_of_a_client_that_pings_is_left_alone() -> None:
    assert await idle(ping_interval=0.1) is None


async def test_without_the_ping_setting_such_a_client_would_be_cut_off() -> None:
    assert await idle(ping_interval=300) is grpc.StatusCode.UNAVAILABLE


async def test_a_health_watcher_hears_not_serving_before_a_drain_ends_it() -> None:
    async with serving() as served, calling(served) as channel:
        method: Any = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        watch = method(b"")
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        await served.server.drain(grace=5)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        refusal = await refused(watch.read())
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")


async def test_a_drain_lets_unary_calls_finish() -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    async def wait(request: object, call: Call) -> object:
        begun.set()
        await gate.wait()
        return await accept(request, call)

    async with serving(wait) as served, calling(served) as channel:
        call = asyncio.create_task(raw_submit(channel, b""))
        await begun.wait()
        drain = asyncio.create_task(served.server.drain(grace=10))
        await until(lambda: served.registry.edge.draining)
        gate.set()
        assert await call
        async with asyncio.timeout(5):
            await drain


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_lists_and_describes_every_service(version: str) -> None:
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"

    async def ask(
        channel: grpc.aio.Channel, requests: Iterable[reflection_pb2.ServerReflectionRequest]
    ) -> list[reflection_pb2.ServerReflectionResponse]:
        call = channel.stream_stream(
            path,
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )(iter(requests))
        return [response async for response in call]

    async with serving() as served, calling(served) as channel:
        [listed] = await ask(channel, [reflection_pb2.ServerReflectionRequest(list_services="")])
        names = [service.name for service in listed.list_services_response.service]
        assert {
            "mailproxy.v1.MessageService",
            "mailproxy.v1.ReportService",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        } == set(names)
        described = await ask(
            channel,
            [reflection_pb2.ServerReflectionRequest(file_containing_symbol=name) for name in names],
        )
    assert all(one.HasField("file_descriptor_response") for one in described)


async def test_a_port_that_cannot_be_bound_is_an_os_error() -> None:
    async with serving() as served:
        with pytest.raises(OSError, match=r"cannot bind 192\.0\.2\.1:1"):
            served.server.bind("192.0.2.1:1")


async def test_the_tracer_is_told_of_each_call_and_its_code() -> None:
    told: list[tuple[str, grpc.StatusCode, int]] = []

    class Told:
        def start(self, service: str, method: str, context: Context) -> str:
            return f"{service}/{method} {traceparent(context)}"

        def finish(self, started: str, code: grpc.StatusCode, sizes: Sizes) -> None:
            told.append((started, code, sizes.received))

    async with serving(tracer=Told()) as served, calling(served) as channel:
        await raw_submit(channel, b"", metadata=(*AUTH, ("traceparent", "00-a-b-01")))
        await refused(raw_submit(channel, b"", metadata=()))
    name = "mailproxy.v1.MessageService/SubmitMessage"
    assert told == [
        (f"{name} 00-a-b-01", grpc.StatusCode.OK, 0),
        (f"{name} ", grpc.StatusCode.UNAUTHENTICATED, 0),
    ]
