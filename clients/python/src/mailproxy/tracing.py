"""The trace context of the caller, when OpenTelemetry is in use; it is never required."""

import sys


def current_traceparent() -> str:
    """Give the W3C traceparent of the current span, or "".

    A program that traces has loaded OpenTelemetry itself, so it is looked up and never imported.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return ""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return ""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
