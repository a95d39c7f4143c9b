"""A submission on its way in: from the request to what the queue takes, and the answer back."""

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from mailproxy.v1 import delivery_pb2, message_pb2

from mailproxy_server.content.codec import Admitted
from mailproxy_server.content.fingerprint import differing, unpack
from mailproxy_server.content.submission import is_traceparent
from mailproxy_server.mail.errors import CallerError
from mailproxy_server.queue.enqueue import Accepted, Known, NewMessage
from mailproxy_server.queue.ids import uuid7_in_order
from mailproxy_server.rpc.outlook import Outlook


def new_message(
    tenant_id: UUID,
    account_id: str,
    request: message_pb2.SubmitMessageRequest,
    admitted: Admitted,
    now: datetime,
    traceparent: str,
) -> NewMessage:
    """Give what the queue takes, under a new message id. `traceparent` is the call's own."""
    given = request.traceparent or (traceparent if is_traceparent(traceparent) else "")
    return NewMessage(
        tenant_id=tenant_id,
        message_id=uuid7_in_order(time.time_ns(), os.urandom(8)),
        account_id=account_id,
        request_id=request.request_id or None,
        traceparent=given or None,
        **admitted.queued(now),
    )


def accepted(
    message: NewMessage, answer: Accepted, outlook: Outlook
) -> message_pb2.SubmitMessageResponse:
    """Give the answer for a message that was queued just now."""
    accepted_at, send_at = answer.accepted_at, message.send_at
    due_at = send_at if send_at is not None and send_at > accepted_at else accepted_at
    due = _stamp(due_at)
    moment = outlook.estimate((message.tenant_id, message.account_id), due_at)
    likely = _stamp(moment) if moment is not None else None
    response = message_pb2.SubmitMessageResponse(
        message_id=str(answer.message_id),
        accept_time=due if due_at is accepted_at else _stamp(accepted_at),
    )
    for recipient in message.recipients:
        response.recipients.add(
            recipient=recipient,
            state=delivery_pb2.DELIVERY_STATE_QUEUED,
            next_attempt_time=due,
            estimated_attempt_time=likely,
        )
    return response


@lru_cache(maxsize=128)
def _stamp(instant: datetime) -> Timestamp:
    """Give an instant as the contract has it, for copying: those of a batch are all the same."""
    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp


def known(
    answer: Known, statuses: Sequence[delivery_pb2.RecipientStatus]
) -> message_pb2.SubmitMessageResponse:
    """Give the answer for a message that was queued before, with how it fares."""
    response = message_pb2.SubmitMessageResponse(
        message_id=str(answer.message_id), replayed=True, recipients=statuses
    )
    response.accept_time.FromDatetime(answer.accepted_at)
    return response


def same_or_refused(answer: Known, message: NewMessage) -> None:
    """Pass when a repeated request_id came with the same content, else raise the refusal."""
    fields = differing(unpack(answer.digests), unpack(message.digests))
    if fields:
        names = ", ".join(f"email.{field}" for field in fields)
        raise CallerError(
            "REQUEST_ID_REUSED",
            f"request_id was used before, for message {answer.message_id}, and these fields "
            f"differ: {names}; give another message another request_id",
            {"message_id": str(answer.message_id), "differing_fields": names},
        )


def utc_now() -> datetime:
    """Give the present by this process's clock."""
    return datetime.now(UTC)
