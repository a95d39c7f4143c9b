"""Whether a call is recorded, said before anything is made of it.

Most calls are not, and a span that records nothing costs a call as much as the rest of its way
through the edge. Imported only while tracing is on.
"""

from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import SpanKind, Tracer

from mailproxy_server.telemetry.context import parsed, text_of
from mailproxy_server.telemetry.tracing import by_parent


class DrawnIds(RandomIdGenerator):
    """Random ids. A trace id may be drawn before its span is begun, which then has it: samplers
    judge by the id."""

    def __init__(self) -> None:
        self._drawn: int | None = None

    def draw(self) -> int:
        """Give the id of the next trace that is begun."""
        self._drawn = super().generate_trace_id()
        return self._drawn

    def generate_trace_id(self) -> int:
        """Give the drawn id, once, or another."""
        drawn, self._drawn = self._drawn, None
        return super().generate_trace_id() if drawn is None else drawn


class Sampling:
    """By the sampler of `tracer`, where that asks for no more than the parent and the id.

    Of any other the spans are made, and it is asked as the SDK does.
    """

    def __init__(self, tracer: Tracer) -> None:
        ids = getattr(tracer, "id_generator", None)
        self._ids = ids if isinstance(ids, DrawnIds) and by_parent(tracer) else None
        self._sampler = getattr(tracer, "sampler", None)

    def passed_over(self, traceparent: str, name: str) -> str | None:
        """Give the context that a call which is not recorded passes on; None for one that is to
        have a span. `traceparent` is what its caller sent, or ""."""
        if self._ids is None or self._sampler is None:
            return None
        parent = parsed(traceparent) if traceparent else None
        if parent is not None:
            return None if parent.trace_flags.sampled else text_of(parent.trace_id, parent.span_id)
        trace_id = self._ids.draw()
        result = self._sampler.should_sample(None, trace_id, name, SpanKind.SERVER)
        if result.decision is not Decision.DROP:
            return None
        return text_of(trace_id, self._ids.generate_span_id())
