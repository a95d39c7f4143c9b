"""Emails of the contract for tests: a good one, and what a test wants otherwise."""

from datetime import UTC, datetime
from typing import Any

from mailproxy.v1 import message_pb2
from mailproxy_server.content.codec import admit, restore
from mailproxy_server.content.compose import Composed, compose

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
MESSAGE_ID = "0195f0c2-6e0b-7c3a-8000-123456789abc"

_COMPOSED: dict[str, Any] = {
    "from_address": {"address": "shop@example.com"},
    "to": [{"address": "ann@example.net"}],
    "subject": "Your order",
    "text_body": "It is on its way.\n",
}
RAW = (
    b"From: Shop <shop@example.com>\r\nTo: ann@example.net\r\nSubject: Your order\r\n"
    b"\r\nIt is on its way.\r\n"
)


def composed(email: dict[str, Any] | None = None, **content: Any) -> message_pb2.Email:
    """Give a good composed email with these fields of its content, and of itself, replaced."""
    fields: dict[str, Any] = {"composed": _COMPOSED | content} | (email or {})
    return message_pb2.Email(**fields)


def raw(octets: bytes = RAW, **envelope: Any) -> message_pb2.Email:
    """Give a raw email to one recipient."""
    envelope.setdefault("recipients", ["ann@example.net"])
    return message_pb2.Email(raw_mime=octets, envelope=message_pb2.Envelope(**envelope))


def sent(email: message_pb2.Email) -> Composed:
    """Give what a relay would get of an email: admitted, stored, restored, composed."""
    admitted = admit(email, now=NOW, fingerprint=False)
    return compose(restore(admitted.content), message_id=MESSAGE_ID, date=NOW)
