"""The caller's trace, when OpenTelemetry is in use; it is never required.

A program that traces has loaded OpenTelemetry itself, so it is looked up and never imported. Nor
is grpc, which the outbox does without.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from mailproxy.v1 import message_pb2

_SERVICE = "mailproxy.v1.MessageService"


class Submitting:
    """A submission under way; it is told what came of it. This one keeps nothing."""

    def done(self, results: Sequence[object]) -> None:
        """Every message was accepted or refused."""


class _Spanned(Submitting):
    def __init__(self, span: Any, error: Any) -> None:
        self._span = span
        self._error = error

    def done(self, results: Sequence[object]) -> None:
        """One that failed makes the span an error, by its reason; no text of it is kept."""
        failed: list[Any] = [each for each in results if isinstance(each, Exception)]
        self._span.set_attribute("mailproxy.failed_count", len(failed))
        if failed:
            first = failed[0]
            self._span.set_attribute("error.type", first.reason)
            self._span.set_attribute("rpc.response.status_code", first.code.name)
            self._span.set_status(self._error)
        else:
            self._span.set_attribute("rpc.response.status_code", "OK")


@contextmanager
def submitting(count: int, target: str) -> Iterator[Submitting]:
    """Have a span around the submission of `count` messages, where the caller traces."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        yield Submitting()
        return
    method = f"{_SERVICE}/{'SubmitMessage' if count == 1 else 'SubmitMessages'}"
    attributes = {
        "rpc.system.name": "grpc",
        "rpc.method": method,
        "server.address": target,
        "messaging.batch.message_count": count,
    }
    with trace.get_tracer("mailproxy").start_as_current_span(
        method, kind=trace.SpanKind.CLIENT, attributes=attributes
    ) as span:
        yield _Spanned(span, trace.StatusCode.ERROR)


def current_traceparent() -> str:
    """Give the W3C traceparent of the current span, or ""."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return ""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return ""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"


def metadata_of(
    metadata: tuple[tuple[str, str], ...], requests: Sequence[message_pb2.SubmitMessageRequest]
) -> tuple[tuple[str, str], ...]:
    """Give a call's metadata, with the trace context that all its messages have in common."""
    first = requests[0].traceparent
    if not first or any(request.traceparent != first for request in requests):
        return metadata
    return (*metadata, ("traceparent", first))
