"""A report as the contract words it. Pure; `mailproxy.v1` is allowed here.

Built once for each report, however many follow it.
"""

import json
from datetime import date
from uuid import UUID

from mailproxy.v1 import delivery_pb2

from mailproxy_server.mail.delivery import FINAL_EVENTS
from mailproxy_server.mail.transcript import REPLY_TEXT_LIMIT
from mailproxy_server.queue.read import Report
from mailproxy_server.reports.cursor import Cursor, encode


def to_wire(report: Report, log_id: UUID) -> delivery_pb2.DeliveryReport:
    """Give the DeliveryReport."""
    day: date = report.reported_at.date()
    wire = delivery_pb2.DeliveryReport(
        report_id=f"{log_id.hex}-{report.log_offset}",
        offset=report.log_offset,
        cursor=encode(Cursor(log_id, day, report.log_offset)),
        message_id=str(report.message_id),
        request_id=report.request_id or "",
        account_id=report.account_id,
        recipient=report.recipient,
        event=report.event,  # type: ignore[arg-type]  # the numbers are the contract's
        final=report.event in FINAL_EVENTS,
        reason=report.reason,  # type: ignore[arg-type]
        reply=_reply(report),
        relay_host=report.relay_host or "",
        relay_message_id=report.relay_message_id or "",
        attempt=report.attempt,
        traceparent=report.traceparent or "",
        labels=json.loads(report.labels) if report.labels else None,
        metadata=json.loads(report.metadata) if report.metadata else None,
        possible_duplicate=report.possible_duplicate,
    )
    wire.event_time.FromDatetime(report.reported_at)
    if report.next_attempt_at:
        wire.next_attempt_time.FromDatetime(report.next_attempt_at)
    return wire


def _reply(report: Report) -> delivery_pb2.SmtpReply | None:
    if report.reply_code is None:
        return None
    text = report.reply_text or ""
    return delivery_pb2.SmtpReply(
        code=report.reply_code,
        enhanced_code=report.reply_enhanced or "",
        text=text,
        stage=report.reply_stage or "",
        text_truncated=len(text.encode()) >= REPLY_TEXT_LIMIT,
    )
