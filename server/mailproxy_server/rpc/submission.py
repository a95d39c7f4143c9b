"""A submission on its way in: from the request to what the queue takes, and the answer back."""

import json
import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from mailproxy.v1 import delivery_pb2, message_pb2

from mailproxy_server.content.codec import Admitted, admit
from mailproxy_server.content.fingerprint import differing
from mailproxy_server.mail.errors import CallerError, invalid
from mailproxy_server.queue.enqueue import Accepted, Known, NewMessage
from mailproxy_server.queue.ids import uuid7

REQUEST_ID_LIMIT = 128
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")


def check(request: message_pb2.SubmitMessageRequest, now: datetime, path: str = "") -> Admitted:
    """Check a request by everything but its account; raise `InvalidFields` naming each field."""
    request_id = request.request_id
    if len(request_id) > REQUEST_ID_LIMIT or not request_id.isprintable():
        raise invalid(
            f"{path}request_id",
            f"give printable text of at most {REQUEST_ID_LIMIT} characters, as order-17-confirm",
        )
    if request.traceparent and not _TRACEPARENT.match(request.traceparent):
        raise invalid(f"{path}traceparent", "give a W3C traceparent, as 00-<32 hex>-<16 hex>-01")
    if not request.HasField("email"):
        raise invalid(f"{path}email", "is required")
    return admit(request.email, now=now, path=f"{path}email", fingerprint=bool(request_id))


def new_message(
    tenant_id: UUID,
    account_id: str,
    request: message_pb2.SubmitMessageRequest,
    admitted: Admitted,
    now: datetime,
    traceparent: str,
) -> NewMessage:
    """Give what the queue takes, under a new message id. `traceparent` is the call's own."""
    expire_at = admitted.expire_time
    if admitted.ttl is not None:
        expire_at = max(now, admitted.send_time or now) + admitted.ttl
    given = request.traceparent or (traceparent if _TRACEPARENT.match(traceparent) else "")
    return NewMessage(
        tenant_id=tenant_id,
        message_id=uuid7(time.time_ns() // 1_000_000, os.urandom(10)),
        account_id=account_id,
        request_id=request.request_id or None,
        digests=_pack(admitted.digests),
        priority=admitted.priority,
        send_at=admitted.send_time,
        expire_at=expire_at,
        return_path=admitted.return_path,
        content=admitted.content,
        labels=json.dumps(admitted.labels) if admitted.labels else None,
        metadata=json.dumps(admitted.metadata) if admitted.metadata else None,
        traceparent=given or None,
        recipients=admitted.recipients,
        at_most_once=admitted.at_most_once,
    )


def accepted(message: NewMessage, answer: Accepted) -> message_pb2.SubmitMessageResponse:
    """Give the answer for a message that was queued just now."""
    response = message_pb2.SubmitMessageResponse(message_id=str(answer.message_id))
    response.accept_time.FromDatetime(answer.accepted_at)
    due = response.accept_time
    if message.send_at and message.send_at > answer.accepted_at:
        due = type(due)()
        due.FromDatetime(message.send_at)
    for recipient in message.recipients:
        response.recipients.add(
            recipient=recipient,
            state=delivery_pb2.DELIVERY_STATE_QUEUED,
            next_attempt_time=due,
        )
    return response


def same_or_refused(known: Known, message: NewMessage) -> None:
    """Pass when a repeated request_id came with the same content, else raise the refusal."""
    fields = differing(_unpack(known.digests), _unpack(message.digests))
    if fields:
        names = ", ".join(f"email.{field}" for field in fields)
        raise CallerError(
            "REQUEST_ID_REUSED",
            f"request_id was used before, for message {known.message_id}, and these fields "
            f"differ: {names}; give another message another request_id",
            {"message_id": str(known.message_id), "differing_fields": names},
        )


def utc_now() -> datetime:
    """Give the present by this process's clock."""
    return datetime.now(UTC)


def _pack(digests: Mapping[str, bytes]) -> bytes:
    return b"\n".join(
        [b"%b %b" % (key.encode(), value.hex().encode()) for key, value in digests.items()]
    )


def _unpack(packed: bytes) -> dict[str, bytes]:
    pairs = (line.decode().split(" ") for line in packed.split(b"\n") if line)
    return {key: bytes.fromhex(value) for key, value in pairs}
