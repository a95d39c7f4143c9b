"""Where a message stands, in the words of the contract."""

import json
from collections.abc import Sequence
from dataclasses import replace

from mailproxy.v1 import delivery_pb2, message_pb2

from mailproxy_server.content.codec import restore
from mailproxy_server.mail.delivery import TRANSITIONS, Event, State
from mailproxy_server.queue.lineage import Head
from mailproxy_server.queue.read import Message, Report
from mailproxy_server.queue.standings import Standing
from mailproxy_server.reports.wire import reply_to_wire, to_wire

ATTEMPTS_LIMIT = 100
"""Dialogues in one response; the newest are given."""
ATTEMPTS_OCTETS = 512 * 1024
"""All of them together; reached only when a relay talks without end."""

_STATES = {event: state for (_, event), state in TRANSITIONS.items() if state.final}


def recipients(
    standings: Sequence[Standing], reports: Sequence[Report], head: Head
) -> list[delivery_pb2.RecipientStatus]:
    """Give one status a recipient, each with its newest report.

    Without the message's labels and metadata, which a thousand times over would make the
    response larger than other languages receive.
    """
    newest = {report.recipient_no: report for report in reports}
    statuses = []
    for one in standings:
        status = delivery_pb2.RecipientStatus(
            recipient=one.recipient,
            attempts=one.attempts,
            state=_state(one),  # type: ignore[arg-type]  # the contract's numbers
        )
        if one.due_at is not None and not one.sending:
            status.next_attempt_time.FromDatetime(one.due_at)
        if last := newest.get(one.recipient_no):
            status.last_report.CopyFrom(to_wire(replace(last, labels=None, metadata=None), head))
        statuses.append(status)
    return statuses


def message(
    stored: Message, statuses: Sequence[delivery_pb2.RecipientStatus]
) -> message_pb2.GetMessageResponse:
    """Give the message as GetMessage answers it, without attempts."""
    response = message_pb2.GetMessageResponse(
        message_id=str(stored.message_id),
        request_id=stored.request_id or "",
        account_id=stored.account_id,
        priority=stored.priority,  # type: ignore[arg-type]  # the numbers are the contract's
        return_path=stored.return_path,
        subject=restore(stored.content).composed.subject,
        labels=json.loads(stored.labels) if stored.labels else None,
        metadata=json.loads(stored.metadata) if stored.metadata else None,
        recipients=statuses,
        traceparent=stored.traceparent or "",
        delivery_guarantee=(
            message_pb2.DELIVERY_GUARANTEE_AT_MOST_ONCE
            if stored.at_most_once
            else message_pb2.DELIVERY_GUARANTEE_AT_LEAST_ONCE
        ),
    )
    response.accept_time.FromDatetime(stored.accepted_at)
    if stored.send_at:
        response.send_time.FromDatetime(stored.send_at)
    if stored.expire_at:
        response.expire_time.FromDatetime(stored.expire_at)
    return response


def attempts(reports: Sequence[Report]) -> list[message_pb2.Attempt]:
    """Give the newest dialogues, oldest first, as far as a response has room for them."""
    told: list[message_pb2.Attempt] = []
    room = ATTEMPTS_OCTETS
    for report in [report for report in reversed(reports) if report.transcript][:ATTEMPTS_LIMIT]:
        attempt = _attempt(report)
        room -= attempt.ByteSize()
        if room < 0 and told:
            break
        told.append(attempt)
    return told[::-1]


def _attempt(report: Report) -> message_pb2.Attempt:
    attempt = message_pb2.Attempt(
        attempt=report.attempt, relay_host=report.relay_host or "", recipient=report.recipient
    )
    attempt.end_time.FromDatetime(report.reported_at)
    for stage, command, elapsed_ms, code, second, text in json.loads(report.transcript or "[]"):
        exchange = attempt.exchanges.add(stage=stage, command=command, elapsed_ms=elapsed_ms)
        if code is None:
            exchange.fault = f"{second}: {text}" if text else second
        else:
            exchange.reply.CopyFrom(reply_to_wire(code, second, text, stage))
    return attempt


def _state(standing: Standing) -> State:
    if standing.event is not None:
        return _STATES[Event(standing.event)]
    return State.SENDING if standing.sending else State.QUEUED
