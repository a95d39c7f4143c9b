"""A span for every call: whose child it is, how long it took, and the status it truly ended with.

By OpenTelemetry's conventions for gRPC servers: a status that tells of a fault of the server, or
of time that ran out, makes the span an error; one that tells a caller of its own mistake is an
attribute. Imported only while tracing is on.
"""

from contextvars import Token
from dataclasses import dataclass

import grpc
from opentelemetry import context as current
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from mailproxy_server.rpc.tracing import Context, Sizes, traceparent
from mailproxy_server.telemetry.context import parent_of
from mailproxy_server.telemetry.sampling import Sampling
from mailproxy_server.telemetry.tracing import unrecorded

_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


@dataclass(frozen=True, slots=True)
class Spanned:
    """A call that began: its span, which is the current one until `finish`."""

    span: Span
    token: Token[current.Context]


class CallSpans:
    """A `rpc.tracing.Tracer` that makes spans."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._sampling = Sampling(tracer)

    def start(self, service: str, method: str, context: Context) -> Spanned | None:
        """Begin a span, of the caller's trace where it named one; none of what is not sampled."""
        name, given = f"{service}/{method}", traceparent(context)
        passed_on = self._sampling.passed_over(given)
        if passed_on is not None:
            unrecorded.set(passed_on)  # until the end of the call, which has a context of its own
            return None
        parent = parent_of(given)
        span = self._tracer.start_span(
            name,
            parent,
            SpanKind.SERVER,
            {"rpc.system.name": "grpc", "rpc.method": name},
        )
        return Spanned(span, current.attach(set_span_in_context(span, parent)))

    def finish(self, started: Spanned | None, code: grpc.StatusCode, sizes: Sizes) -> None:
        """End the span with the status of the call."""
        if started is None:
            return
        current.detach(started.token)
        span = started.span
        if span.is_recording():
            span.set_attribute("rpc.response.status_code", code.name)
            span.set_attribute("mailproxy.request.size", sizes.received)
            span.set_attribute("mailproxy.response.size", sizes.sent)
            if code in _FAULTS:
                span.set_attribute("error.type", code.name)
                span.set_status(Status(StatusCode.ERROR))
        span.end()
