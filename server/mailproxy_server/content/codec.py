"""Takes an Email of the contract in: what was admitted, as plain data, and back again.

Hot: runs once for every submission. Nothing here awaits, and no clock is read.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from mailproxy.v1 import message_pb2

from mailproxy_server.content import labels, raw, schedule
from mailproxy_server.content.admission import check_count, normalize_content
from mailproxy_server.content.attachments import external, named_blob
from mailproxy_server.content.compose import verify_headers
from mailproxy_server.content.fingerprint import fingerprint as digests_of
from mailproxy_server.content.fingerprint import pack
from mailproxy_server.content.naming import complete
from mailproxy_server.content.plain import text_of
from mailproxy_server.content.verify import HeaderMismatch
from mailproxy_server.content.violations import Violations
from mailproxy_server.mail.address import AddressInvalid, normalize
from mailproxy_server.mail.delivery import Priority

_ACCOUNT_ID_LIMIT: Final = 63

_GUARANTEES: Final = frozenset(message_pb2.DeliveryGuarantee.values())
_PRIORITIES: Final = {0: int(Priority.MEDIUM)} | {int(p): int(p) for p in Priority}


@dataclass(frozen=True, slots=True)
class Admitted:
    """An email that passed every check.

    `account_id` is as given, "" for the default account. `recipients` are distinct normal
    forms in the order of to, cc, bcc, or of the envelope. `send_time` is None for now.
    `content` is a serialized Email of what composing needs, without bcc; see `restore`.
    `blobs` stands for its external attachments in order, the SHA-256 of an upload that one names,
    else b""; None when there are none.
    `digests` is the fingerprint, {} when none was asked for.
    """

    account_id: str
    return_path: str
    recipients: tuple[str, ...]
    priority: int
    send_time: datetime | None
    expire_time: datetime | None
    ttl: timedelta | None
    labels: dict[str, str]
    metadata: dict[str, str]
    content: bytes
    blobs: tuple[bytes, ...] | None
    digests: dict[str, bytes]
    at_most_once: bool

    def queued(self, now: datetime) -> dict[str, Any]:
        """Give the fields of a message as the queue takes it (queue's `NewMessage`), accepted
        at `now`."""
        expire_at = self.expire_time
        if self.ttl is not None:
            expire_at = max(now, self.send_time or now) + self.ttl
        return {
            "digests": pack(self.digests),
            "priority": self.priority,
            "send_at": self.send_time,
            "expire_at": expire_at,
            "return_path": self.return_path,
            "content": self.content,
            "blobs": self.blobs,
            "labels": json.dumps(self.labels) if self.labels else None,
            "metadata": json.dumps(self.metadata) if self.metadata else None,
            "recipients": self.recipients,
            "at_most_once": self.at_most_once,
        }


def admit(
    email: message_pb2.Email,
    *,
    now: datetime,
    path: str = "email",
    fingerprint: bool,
    rendered: message_pb2.TemplatedContent | None = None,
) -> Admitted:
    """Give what is to be queued of an email, or raise `InvalidFields` with all that is wrong.

    `path` is the email's own, before all field paths; `fingerprint` asks for `digests`, in which
    `rendered` stands for what came of it.
    """
    violations = Violations(path)
    priority = _priority(email, violations)
    at_most_once = _at_most_once(email, violations)
    account_id = _account_id(email, violations)
    stored = message_pb2.Email()
    recipients, sender = _take_content(email, stored, violations)
    return_path = _return_path(email, stored, sender, violations)
    when = schedule.check(email, now, violations)
    labels.check(email, violations)
    violations.refuse()
    digests = {}
    if fingerprint:
        own_path = None if return_path == sender else return_path
        digests = digests_of(email, stored, recipients, own_path, priority, rendered)
    if stored.HasField("composed"):
        _seal(stored.composed, violations)
    return Admitted(
        *(account_id, return_path, recipients, priority, *when),
        labels=dict(email.labels) if email.labels else {},
        metadata=dict(email.metadata) if email.metadata else {},
        content=stored.SerializeToString(),
        blobs=_blobs(stored.composed),
        digests=digests,
        at_most_once=at_most_once,
    )


def restore(content: bytes) -> message_pb2.Email:
    """Give the Email that `Admitted.content` holds."""
    return message_pb2.Email.FromString(content)


def _account_id(email: message_pb2.Email, violations: Violations) -> str:
    account_id = email.account_id
    if len(account_id) > _ACCOUNT_ID_LIMIT or not account_id.isprintable():
        violations.add("account_id", f"is not an account's: at most {_ACCOUNT_ID_LIMIT} characters")
    return account_id


def _priority(email: message_pb2.Email, violations: Violations) -> int:
    priority = _PRIORITIES.get(email.priority)
    if priority is None:
        violations.add("priority", f"{email.priority} is not a priority that this server knows")
        violations.refuse("UNKNOWN_FIELD")
        raise AssertionError
    return priority


def _at_most_once(email: message_pb2.Email, violations: Violations) -> bool:
    guarantee = email.delivery_guarantee
    if guarantee not in _GUARANTEES:
        violations.add("delivery_guarantee", f"{guarantee} is not one that this server knows")
        violations.refuse("UNKNOWN_FIELD")
    return guarantee == message_pb2.DELIVERY_GUARANTEE_AT_MOST_ONCE


def _take_content(
    email: message_pb2.Email, stored: message_pb2.Email, violations: Violations
) -> tuple[tuple[str, ...], str]:
    """Copy the content into `stored` in normal form; give the recipients and From's address."""
    kind = email.WhichOneof("content")
    if kind == "composed":
        content = stored.composed
        content.CopyFrom(email.composed)
        if email.HasField("envelope") and email.envelope.recipients:
            violations.add("envelope.recipients", "is for raw_mime; use composed.to, cc and bcc")
        return normalize_content(content, violations), content.from_address.address
    if kind == "raw_mime":
        recipients = _envelope_recipients(email, violations)
        octets = email.raw_mime
        flaw = raw.flaw(octets)
        if flaw:
            violations.add("raw_mime", flaw)
            return recipients, ""
        stored.raw_mime = raw.strip(octets)
        return recipients, raw.sender(octets)
    if kind == "templated":
        violations.add("templated", "is for SubmitMessage and SubmitMessages; give composed here")
    else:
        words = "is required: give composed, templated, or raw_mime with envelope.recipients"
        violations.add("composed", words)
    return (), ""


def _envelope_recipients(email: message_pb2.Email, violations: Violations) -> tuple[str, ...]:
    given = email.envelope.recipients
    if not given:
        violations.add("envelope.recipients", "is required with raw_mime: 1 to 1,000 addresses")
    recipients: dict[str, None] = {}
    for number, text in enumerate(given):
        try:
            recipients[normalize(text)] = None
        except AddressInvalid as error:
            violations.add(f"envelope.recipients[{number}]", str(error))
            if violations.full:
                break
    check_count(len(recipients), "envelope.recipients", violations)
    return tuple(recipients)


def _return_path(
    email: message_pb2.Email, stored: message_pb2.Email, sender: str, violations: Violations
) -> str:
    if email.HasField("envelope") and email.envelope.HasField("return_path"):
        given = email.envelope.return_path
        try:
            return normalize(given) if given else ""
        except AddressInvalid as error:
            violations.add("envelope.return_path", f'{error}; "" is the null return path')
    elif stored.raw_mime and not sender:
        violations.add(
            "envelope.return_path", "is required: raw_mime's From does not name exactly one address"
        )
    return sender


def _blobs(composed: message_pb2.ComposedContent) -> tuple[bytes, ...] | None:
    """Stand for the external attachments; `composed` is empty where the message is raw."""
    files = external(composed) if composed.attachments else []
    return tuple([named_blob(file) or b"" for file in files]) or None


def _seal(composed: message_pb2.ComposedContent, violations: Violations) -> None:
    """Drop what no composed message may show, add what every one shall have, and see that it is
    read as it is meant."""
    composed.ClearField("bcc")
    if composed.html_body and not composed.text_body:
        composed.text_body = text_of(composed.html_body)
    complete(composed.headers)
    try:
        verify_headers(composed)
    except HeaderMismatch as mismatch:
        violations.add("composed", f"its headers would not be read as they are meant: {mismatch}")
        violations.refuse()
