"""Traces: whether there are any, and where they go. All of it is set by the OTEL_* variables.

Off unless one of them asks for it; then a process of this run exports by OTLP, in batches, from a
thread of the SDK's own. Nothing of OpenTelemetry is in memory while it is off.
"""

import os
from collections.abc import Mapping
from contextvars import ContextVar
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_SCOPE = "mailproxy_server"
SERVICE = "mailproxy"

unrecorded: ContextVar[str] = ContextVar("unrecorded", default="")
"""The traceparent that the current call passes on, when it is not recorded and so has no span."""


class TracingError(Exception):
    """The OTEL_* variables ask for something that is not here; the text says what to set."""


class Tracing:
    """The spans of one process. `tracer` is None while tracing is off."""

    def __init__(self, provider: Any = None) -> None:
        self._provider = provider
        self.tracer: Tracer | None = None
        if provider is not None:
            self.tracer = provider.get_tracer(_SCOPE, version("mailproxy-server"))

    def close(self) -> None:
        """Export what is left; blocks for as long as the collector may take."""
        if self._provider is not None:
            self._provider.shutdown()


def by_parent(tracer: "Tracer") -> bool:
    """Whether what was not sampled is not sampled further on, as is usual."""
    from opentelemetry.sdk.trace.sampling import ParentBased

    return isinstance(getattr(tracer, "sampler", None), ParentBased)


def sampled(traceparent: str | None) -> bool:
    """Whether a traceparent says that its trace is recorded; one that is none begins its own."""
    flags = (traceparent or "").rpartition("-")[2]
    try:
        return not flags or bool(int(flags, 16) & 1)
    except ValueError:
        return True


def wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the OTEL_* variables ask for traces."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter:
        return exporter != "none"
    return any(environment.get(name) for name in _ENDPOINTS)


def begin(process: str) -> Tracing:
    """Begin to trace, where that is asked for; `process` is "front-0". Raises TracingError."""
    if not wanted():
        return Tracing()
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from mailproxy_server.telemetry.sampling import DrawnIds

    attributes = {
        "service.version": version("mailproxy-server"),
        "service.instance.id": f"{os.uname().nodename}/{process}/{os.getpid()}",
    }
    if "OTEL_SERVICE_NAME" not in os.environ:
        attributes["service.name"] = SERVICE
    provider = TracerProvider(
        resource=Resource.create(attributes), id_generator=DrawnIds(), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(_exporter()))
    return Tracing(provider)


def _exporter() -> Any:
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "otlp").strip().lower() or "otlp"
    if exporter == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if exporter != "otlp":
        raise TracingError(f"OTEL_TRACES_EXPORTER may be otlp, console or none, not {exporter}")
    protocol = os.environ.get(
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    )
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    if protocol == "http/protobuf":
        from opentelemetry.exporter.otlp.proto.http import trace_exporter

        return trace_exporter.OTLPSpanExporter()
    raise TracingError(
        f"OTEL_EXPORTER_OTLP_PROTOCOL may be grpc or http/protobuf, not {protocol[:40]}"
    )
