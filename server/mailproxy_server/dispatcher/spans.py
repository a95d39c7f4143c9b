"""The spans of an attempt, made of its facts once it is over: a consumer span, child of what was
stored with the message and linked to it, and in it the SMTP dialogue.

Of the dialogue it holds stages, times and codes: no addresses, no words of the relay, no content.
Imported only while tracing is on.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context

from mailproxy_server.dispatcher.sending import Attempt, Sent
from mailproxy_server.mail.delivery import Event
from mailproxy_server.mail.transcript import Exchange, Reply
from mailproxy_server.queue.contents import Origin
from mailproxy_server.queue.settle import Settlement
from mailproxy_server.telemetry.context import links_to, parent_of
from mailproxy_server.telemetry.tracing import by_parent, sampled


class AttemptSpans:
    """Of one dispatcher."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._by_parent = by_parent(tracer)

    def attempted(self, attempt: Attempt, sent: Sent) -> None:
        """An attempt is over."""
        if self._by_parent and not sampled(attempt.content.traceparent):
            return
        first = attempt.rows[0]
        span = self._consumer(
            attempt.content.origin, attempt.account.account_id, str(first.message_id), attempt.began
        )
        if span.is_recording():
            span.set_attribute("mailproxy.attempt", first.attempts + 1)
            span.set_attribute("mailproxy.recipients", len(attempt.rows))
            _judge(span, sent.settlements)
            self._dialogue(attempt, span)
        span.end()

    def rescued(self, batch: Sequence[Settlement]) -> None:
        """Attempts were cut off by the death of their process: nobody else tells of them."""
        for each in batch:
            row = each.claimed
            if each.origin is None:
                continue
            began = row.claimed_at or datetime.now(UTC)
            span = self._consumer(each.origin, row.account_id, str(row.message_id), began)
            if span.is_recording():
                span.set_attribute("mailproxy.attempt", row.attempts + 1)
                _judge(span, [each])
            span.end()

    def _consumer(self, origin: Origin, account_id: str, message_id: str, began: datetime) -> Span:
        return self._tracer.start_span(
            f"process {account_id}",
            parent_of(origin.traceparent),
            SpanKind.CONSUMER,
            {
                "messaging.system": "mailproxy",
                "messaging.operation.type": "process",
                "messaging.operation.name": "deliver",
                "messaging.destination.name": account_id,
                "messaging.message.id": message_id,
            },
            links_to(origin.traceparent),
            _nanoseconds(began),
        )

    def _dialogue(self, attempt: Attempt, parent: Span) -> None:
        exchanges = attempt.transcript.exchanges
        host, _, port = attempt.transcript.relay_host.rpartition(":")
        span = self._tracer.start_span(
            "smtp transaction",
            set_span_in_context(parent),
            SpanKind.CLIENT,
            {
                "network.protocol.name": "smtp",
                "server.address": host,
                "server.port": int(port) if port.isdigit() else 0,
            },
            start_time=_nanoseconds(attempt.asked),
        )
        at = attempt.asked
        for exchange in exchanges:
            at = attempt.asked + timedelta(milliseconds=exchange.elapsed_ms)
            span.add_event(exchange.stage.value, _said(exchange), _nanoseconds(at))
        if exchanges:
            last = exchanges[-1].answer
            if isinstance(last, Reply):
                span.set_attribute("smtp.reply.code", last.code)
            if not (isinstance(last, Reply) and last.positive):
                span.set_attribute(
                    "error.type", str(last.code) if isinstance(last, Reply) else last.kind.value
                )
                span.set_status(StatusCode.ERROR)
        span.end(_nanoseconds(at))


def _said(exchange: Exchange) -> dict[str, str | int]:
    answer = exchange.answer
    if not isinstance(answer, Reply):
        return {"error.type": answer.kind.value}
    said: dict[str, str | int] = {"smtp.reply.code": answer.code}
    if answer.enhanced:
        said["smtp.reply.enhanced_code"] = answer.enhanced
    return said


def _judge(span: Span, settlements: Sequence[Settlement]) -> None:
    """Say what the attempt came to; one that did not end well for all is an error."""
    events = {each.outcome.event for each in settlements}
    outcome = ",".join(sorted(event.name.lower() for event in events)) or "returned"
    span.set_attribute("mailproxy.outcome", outcome)
    if events - {Event.SENT, Event.CAPTURED, Event.CANCELLED} or not events:
        reasons = {each.outcome.reason.name for each in settlements if each.outcome.reason}
        span.set_attribute("error.type", ",".join(sorted(reasons)) or outcome)
        span.set_status(StatusCode.ERROR)


def _nanoseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1_000_000) * 1000
