"""W3C trace context as text, to a parent of spans and back (https://www.w3.org/TR/trace-context).

Imported only while tracing is on.
"""

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)


def parsed(traceparent: str | None) -> SpanContext | None:
    """Give what a traceparent names; None for what is none."""
    parts = (traceparent or "").split("-")
    if len(parts) < 4 or len(parts[1]) != 32 or len(parts[2]) != 16:
        return None
    try:
        context = SpanContext(
            int(parts[1], 16), int(parts[2], 16), is_remote=True,
            trace_flags=TraceFlags(int(parts[3], 16)),
        )  # fmt: skip
    except ValueError:
        return None
    return context if context.is_valid else None


def parent_of(traceparent: str | None) -> Context:
    """Give a context whose spans are children of it; one that begins a trace without one."""
    found = parsed(traceparent)
    return Context() if found is None else set_span_in_context(NonRecordingSpan(found), Context())


def links_to(traceparent: str | None) -> list[Link]:
    """Give the link to it, where there is one."""
    found = parsed(traceparent)
    return [] if found is None else [Link(found)]


def traceparent_of(span: Span) -> str:
    """Give a span's own context as text."""
    context = span.get_span_context()
    return text_of(context.trace_id, context.span_id, context.trace_flags)


def text_of(trace_id: int, span_id: int, flags: int = 0) -> str:
    """Give a traceparent; one that is not recorded without `flags`."""
    return f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}"
