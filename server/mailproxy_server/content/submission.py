"""A submission beside its email: request_id and trace context, checked; JSON read. Pure."""

import re
from datetime import datetime
from typing import Final

from mailproxy.v1 import message_pb2

from mailproxy_server.content import from_json
from mailproxy_server.content.codec import Admitted, admit
from mailproxy_server.content.violations import Violations
from mailproxy_server.mail.errors import invalid

REQUEST_ID_LIMIT: Final = 128
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")


def check(
    request: message_pb2.SubmitMessageRequest,
    now: datetime,
    path: str = "",
    rendered: message_pb2.TemplatedContent | None = None,
) -> Admitted:
    """Check a request by everything but its account; raise `InvalidFields` naming each field.

    `rendered` is the templated content that the request's composed one came of.
    """
    request_id = request.request_id
    if len(request_id) > REQUEST_ID_LIMIT or not request_id.isprintable():
        raise invalid(
            f"{path}request_id",
            f"give printable text of at most {REQUEST_ID_LIMIT} characters, as order-17-confirm",
        )
    if request.traceparent and not is_traceparent(request.traceparent):
        raise invalid(f"{path}traceparent", "give a W3C traceparent, as 00-<32 hex>-<16 hex>-01")
    if not request.HasField("email"):
        raise invalid(f"{path}email", "is required")
    return admit(
        request.email,
        now=now,
        path=f"{path}email",
        fingerprint=bool(request_id),
        rendered=rendered,
    )


def is_traceparent(text: str) -> bool:
    """Whether this is a W3C trace context."""
    return _TRACEPARENT.match(text) is not None


def read_json(
    email: str, request_id: str | None, traceparent: str | None
) -> message_pb2.SubmitMessageRequest:
    """Give the request that a row of the outbox stands for; raise `InvalidFields`.

    Unknown fields are refused, as everywhere: what is not understood may be what matters.
    """
    request = message_pb2.SubmitMessageRequest(
        request_id=request_id or "", traceparent=traceparent or ""
    )
    request.email.SetInParent()
    violations = Violations("email")
    from_json.read(email, request.email, violations)
    violations.refuse()
    return request
