"""A report as the contract words it. Pure; `mailproxy.v1` is allowed here.

Built once for each report, however many follow it.
"""

import json
from datetime import date

from mailproxy.v1 import delivery_pb2

from mailproxy_server.mail.delivery import FINAL_EVENTS, Event, Reason
from mailproxy_server.mail.transcript import REPLY_TEXT_LIMIT
from mailproxy_server.queue.lineage import Head
from mailproxy_server.queue.read import Report
from mailproxy_server.reports.cursor import Cursor, encode

_LONGEST_CHARACTER = 4
"""Octets that a cut at the limit, which never splits a character, may leave unused."""

_OF_AN_ATTEMPT = frozenset({Event.DEFERRED, Event.SENT, Event.FAILED, Event.CAPTURED})


def to_wire(report: Report, head: Head) -> delivery_pb2.DeliveryReport:
    """Give the DeliveryReport. It is named after the log that it was first written to."""
    log_id = head.log_of(report.log_offset)
    day: date = report.reported_at.date()
    wire = delivery_pb2.DeliveryReport(
        report_id=f"{log_id.hex}-{report.log_offset}",
        offset=report.log_offset,
        cursor=encode(Cursor(log_id, day, report.log_offset)),
        message_id=str(report.message_id) if report.message_id.int else "",
        request_id=report.request_id or "",
        account_id=report.account_id,
        recipient=report.recipient,
        event=report.event,  # type: ignore[arg-type]  # the numbers are the contract's
        final=report.event in FINAL_EVENTS,
        reason=report.reason,  # type: ignore[arg-type]
        reply=_reply(report),
        relay_host=report.relay_host or "",
        relay_message_id=report.relay_message_id or "",
        attempt=report.attempt if _of_an_attempt(report) else 0,
        traceparent=report.traceparent or "",
        labels=json.loads(report.labels) if report.labels else None,
        metadata=json.loads(report.metadata) if report.metadata else None,
        possible_duplicate=report.possible_duplicate,
        detail=report.detail or "",
    )
    wire.event_time.FromDatetime(report.reported_at)
    if report.next_attempt_at:
        wire.next_attempt_time.FromDatetime(report.next_attempt_at)
    return wire


def _of_an_attempt(report: Report) -> bool:
    """Whether an attempt ended by this event; the log keeps the count with every other one too."""
    return report.event in _OF_AN_ATTEMPT and report.reason != Reason.ACCOUNT_DELETED


def _reply(report: Report) -> delivery_pb2.SmtpReply | None:
    if report.reply_code is None:
        return None
    return reply_to_wire(
        report.reply_code,
        report.reply_enhanced or "",
        report.reply_text or "",
        report.reply_stage or "",
    )


def reply_to_wire(code: int, enhanced: str, text: str, stage: str) -> delivery_pb2.SmtpReply:
    """Give a kept reply as the contract words it."""
    return delivery_pb2.SmtpReply(
        code=code,
        enhanced_code=enhanced,
        text=text,
        stage=stage,
        text_truncated=len(text.encode()) > REPLY_TEXT_LIMIT - _LONGEST_CHARACTER,
    )
