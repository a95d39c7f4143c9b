"""The producer span of a message: from its admission to its commit, and what is stored of it.

Every attempt is a part of the trace that is stored here, however much later it is made. Without
tracing the caller's own context is stored, so that those who trace find it in the reports.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from mailproxy_server.mail.errors import MailProxyError
from mailproxy_server.queue.enqueue import Known, NewMessage, Taken
from mailproxy_server.rpc.call import Call
from mailproxy_server.telemetry.tracing import by_parent, sampled, unrecorded

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer


class Producing:
    """Of one front; does nothing while `tracer` is None."""

    def __init__(self, tracer: "Tracer | None") -> None:
        self._tracer = tracer
        self._by_parent = tracer is not None and by_parent(tracer)

    def enter(self, call: Call) -> None:
        """Have the messages of a call that is not sampled carry its context, so that nothing that
        is made of them later is sampled either."""
        if passed_on := unrecorded.get():
            call.traceparent = passed_on

    def begin(
        self, messages: Sequence[NewMessage], traceparent: str
    ) -> tuple[list[NewMessage], "Sequence[Span]"]:
        """Begin a span for each message; give them with its context in place of the caller's.

        `traceparent` is the call's own: a message that names it, or none, is the call's child.
        """
        if self._tracer is None:
            return list(messages), ()
        if self._by_parent and not any(sampled(each.traceparent) for each in messages):
            return list(messages), ()
        spans = [self._span(self._tracer, message, traceparent) for message in messages]
        from mailproxy_server.telemetry.context import traceparent_of

        traced = [
            replace(message, traceparent=traceparent_of(span))
            for message, span in zip(messages, spans, strict=True)
        ]
        return traced, spans

    def end(self, spans: "Sequence[Span]", taken: Sequence[Taken | BaseException]) -> None:
        """End the spans with what became of their messages."""
        for span, answer in zip(spans, taken, strict=True) if spans else ():
            if isinstance(answer, BaseException):
                from opentelemetry.trace import StatusCode

                reason = answer.reason if isinstance(answer, MailProxyError) else "INTERNAL"
                span.set_attribute("error.type", reason)
                span.set_status(StatusCode.ERROR)
            elif isinstance(answer, Known):
                span.set_attribute("mailproxy.replayed", True)
                span.set_attribute("messaging.message.id", str(answer.message_id))
            span.end()

    def _span(self, tracer: "Tracer", message: NewMessage, traceparent: str) -> "Span":
        from opentelemetry.trace import Link, SpanKind, get_current_span

        from mailproxy_server.telemetry.context import parent_of

        own = message.traceparent if message.traceparent != traceparent else None
        call = get_current_span().get_span_context()
        return tracer.start_span(
            f"send {message.account_id}",
            parent_of(own) if own else None,
            SpanKind.PRODUCER,
            {
                "messaging.system": "mailproxy",
                "messaging.operation.type": "send",
                "messaging.operation.name": "send",
                "messaging.destination.name": message.account_id,
                "messaging.message.id": str(message.message_id),
                "mailproxy.recipients": len(message.recipients),
            },
            [Link(call)] if own and call.is_valid else None,
        )
