"""A gRPC server on a real socket whose servicers do what a test tells them."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2
from mailproxy.v1 import message_pb2, report_pb2
from mailproxy_server.mail.errors import CallerError
from mailproxy_server.rpc.call import Call
from mailproxy_server.rpc.edge import Edge
from mailproxy_server.rpc.faults import Faults
from mailproxy_server.rpc.registry import Registry
from mailproxy_server.rpc.server import GrpcServer, TlsFiles
from mailproxy_server.rpc.tracing import Tracer

TOKEN = "mp_" + "t" * 43
TENANT = uuid.UUID(int=7)
AUTH = (("authorization", f"Bearer {TOKEN}"),)
SUBMIT = "/mailproxy.v1.MessageService/SubmitMessage"
WATCH = "/mailproxy.v1.MessageService/WatchMessage"
REPORTS = "/mailproxy.v1.ReportService/StreamDeliveryReports"

Submit = Callable[[Any, Call], Awaitable[Any]]


async def accept(request: Any, call: Call) -> message_pb2.SubmitMessageResponse:
    return message_pb2.SubmitMessageResponse(message_id=str(call.tenant_id))


@dataclass
class Messages:
    """MessageService: SubmitMessage does `submit`, the rest is not there."""

    submit: Submit = accept

    async def SubmitMessage(self, request: Any, call: Call) -> Any:  # noqa: N802
        return await self.submit(request, call)

    SubmitMessages = GetMessage = ListMessages = ExplainMessage = SubmitMessage
    CancelMessage = RescheduleMessage = RetryMessage = UploadAttachment = SubmitMessage

    async def WatchMessage(  # noqa: N802
        self, request: Any, call: Call
    ) -> AsyncGenerator[Any, None]:
        yield message_pb2.WatchMessageResponse()


@dataclass
class Reports:
    """ReportService: one empty response, then silence. Counts its generators."""

    begun: int = 0
    closed: int = 0

    async def StreamDeliveryReports(  # noqa: N802
        self, request: Any, call: Call
    ) -> AsyncGenerator[Any, None]:
        self.begun += 1
        try:
            yield report_pb2.StreamDeliveryReportsResponse(cursor="first")
            await asyncio.Event().wait()
        finally:
            self.closed += 1


@dataclass
class Served:
    port: int
    server: GrpcServer
    registry: Registry
    reports: Reports
    bugs: list[tuple[str, BaseException]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


async def authenticate(token: str) -> uuid.UUID:
    if token != TOKEN:
        raise CallerError("TOKEN_INVALID", "the bearer token is not known here")
    return TENANT


@asynccontextmanager
async def serving(
    submit: Submit = accept,
    *,
    max_request_bytes: int = 64 * 1024,
    inflight: int = 1 << 20,
    body_seconds: float = 60,
    max_streams: int = 5000,
    ping_interval: float = 10.0,
    connection_streams: int = 1000,
    tracer: Tracer | None = None,
    tls: TlsFiles | None = None,
) -> AsyncIterator[Served]:
    """Serve on a free port until the block ends."""
    bugs: list[tuple[str, BaseException]] = []
    edge = Edge(
        authenticate,
        Faults(lambda bug, error: bugs.append((bug, error))),
        inflight,
        max_request_bytes=max_request_bytes,
        max_streams=max_streams,
        body_seconds=body_seconds,
        tracer=tracer,
    )
    registry, reports = Registry(edge), Reports()
    messages = message_pb2.DESCRIPTOR.services_by_name["MessageService"]
    registry.add(messages, Messages(submit), strict={"SubmitMessage"})
    registry.add(report_pb2.DESCRIPTOR.services_by_name["ReportService"], reports)
    server = GrpcServer(
        registry, ping_interval=ping_interval, connection_streams=connection_streams
    )
    port = server.bind("127.0.0.1:0", tls)
    await server.start()
    try:
        yield Served(port, server, registry, reports, bugs)
    finally:
        await server.drain(grace=0)


@asynccontextmanager
async def calling(served: Served, **options: int) -> AsyncIterator[grpc.aio.Channel]:
    """A raw channel to the server; options by their names without "grpc."."""
    named = [(f"grpc.{name}", value) for name, value in options.items()]
    named.append(("grpc.use_local_subchannel_pool", 1))
    async with grpc.aio.insecure_channel(served.address, options=named) as channel:
        yield channel


def follow(channel: grpc.aio.Channel) -> Any:
    """Open StreamDeliveryReports; responses are bytes."""
    method: Any = channel.unary_stream(REPORTS)
    return method(b"", metadata=AUTH)


async def raw_submit(
    channel: grpc.aio.Channel, raw: bytes, metadata: Any = AUTH, timeout: float = 10
) -> bytes:
    """SubmitMessage with these bytes."""
    method: Any = channel.unary_unary(SUBMIT)
    answer: bytes = await method(raw, metadata=metadata, timeout=timeout)
    return answer


@dataclass(frozen=True)
class Refusal:
    """What a client saw of an error, its rich status unpacked."""

    code: grpc.StatusCode
    message: str
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    retry_delay: float | None = None
    pushback: str = ""


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    trailers = dict(error.trailing_metadata() or ())
    found: dict[str, Any] = {}
    status = status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b""))
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        bad = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            assert info.domain == "mailproxy.v1"
            found |= {"reason": info.reason, "metadata": dict(info.metadata)}
        elif detail.Unpack(bad):
            found["fields"] = tuple(one.field for one in bad.field_violations)
        elif detail.Unpack(retry):
            found["retry_delay"] = retry.retry_delay.ToMilliseconds() / 1000
    pushback = str(trailers.get("grpc-retry-pushback-ms", ""))
    return Refusal(error.code(), error.details() or "", pushback=pushback, **found)


async def refused(call: Awaitable[Any]) -> Refusal:
    """Await a call that must fail, and give how."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return refusal_of(error)
    raise AssertionError("the call was not refused")


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
