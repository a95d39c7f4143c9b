"""What a caller writes in plain Python, and the request that it becomes.

No network and no clock; an attachment given as a path is read here.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict
from uuid import uuid4

from mailproxy.attachment import AttachmentLike, attachment
from mailproxy.fault import invalid
from mailproxy.tracing import current_traceparent
from mailproxy.v1 import delivery_pb2, message_pb2
from mailproxy.values import Mailboxes, MailboxLike, duration, mailbox, mailboxes, number, timestamp


class Message(TypedDict, total=False):
    """One email: `from_address`, `to` and a body; or `raw_mime` and `recipients`.

    None in a field is the same as leaving it out.
    """

    from_address: MailboxLike | None
    """The From header, and MAIL FROM unless `return_path` is given."""
    to: Mailboxes | None
    cc: Mailboxes | None
    bcc: Mailboxes | None
    """Recipients that no header names."""
    reply_to: Mailboxes | None
    subject: str | None
    text: str | None
    html: str | None
    headers: Mapping[str, str] | Iterable[tuple[str, str]] | None
    """Further header fields."""
    attachments: Iterable[AttachmentLike] | None
    """Attachments, or paths of files to read; large ones are uploaded first."""
    template: str | None
    """A template of the tenant, in place of `subject`, `text` and `html`."""
    variables: Mapping[str, Any] | None
    """What the template is given: all of its variables, and no others."""
    raw_mime: bytes | None
    """A finished RFC 5322 message with CRLF line ends, in place of all of the above."""
    recipients: Iterable[str] | None
    """RCPT TO, with `raw_mime` only."""
    return_path: str | None
    """MAIL FROM; "" is the null reverse-path."""
    account: str | None
    """The account to send by; without it the default one."""
    priority: str | int | None
    """"immediate", "high", "medium" (the default), "low", or a `Priority`."""
    send_time: datetime | None
    """Not before this time; with a time zone."""
    expire_time: datetime | None
    """Until when it may be sent; with a time zone."""
    ttl: timedelta | None
    """The same, counted from the later of acceptance and `send_time`."""
    at_most_once: bool
    """Never repeat an attempt whose outcome is not known: it ends failed, and may have arrived."""
    labels: Mapping[str, str] | None
    """Indexed and selectable."""
    metadata: Mapping[str, str] | None
    """Opaque, echoed in reports."""
    request_id: str | None
    """Makes repeating safe across processes, as "order-17-confirm". Without one the client
    makes one, which covers its own retries."""
    validate_only: bool
    """Check everything and queue nothing."""


_COMPOSED = (
    *("from_address", "to", "cc", "bcc", "reply_to"),
    *("subject", "text", "html", "headers", "attachments", "template", "variables"),
)


def to_request(message: Message) -> message_pb2.SubmitMessageRequest:
    """Give the request for a message, with a request_id."""
    if unknown := message.keys() - Message.__annotations__.keys():
        raise TypeError(f"unknown fields of a message: {', '.join(sorted(unknown))}")
    given: dict[str, Any] = {name: value for name, value in message.items() if value is not None}
    return message_pb2.SubmitMessageRequest(
        email=_email(given),
        request_id=given.get("request_id") or str(uuid4()),
        validate_only=given.get("validate_only", False),
    )


def prepared(request: message_pb2.SubmitMessageRequest) -> message_pb2.SubmitMessageRequest:
    """Give a request with what makes it safe to repeat, and the caller's trace context; the
    caller's own request stays as it is."""
    traceparent = request.traceparent or current_traceparent()
    if request.request_id and request.traceparent == traceparent:
        return request
    own = message_pb2.SubmitMessageRequest()
    own.CopyFrom(request)
    own.request_id = request.request_id or str(uuid4())
    own.traceparent = traceparent
    return own


def _email(given: dict[str, Any]) -> message_pb2.Email:
    email = message_pb2.Email(
        account_id=given.get("account", ""),
        labels=given.get("labels"),
        metadata=given.get("metadata"),
    )
    if "raw_mime" in given:
        if both := [name for name in _COMPOSED if name in given]:
            raise invalid("email.raw_mime", f"is the whole message; leave out {', '.join(both)}")
        email.raw_mime = given["raw_mime"]
    elif "template" in given:
        email.templated.message.CopyFrom(_composed(given))
        email.templated.template_id = given["template"]
        email.templated.variables.update(given.get("variables", {}))
    elif "variables" in given:
        raise invalid("email.templated.template_id", "is required with variables")
    else:
        email.composed.CopyFrom(_composed(given))
    if "return_path" in given:
        email.envelope.return_path = given["return_path"]
    if "recipients" in given:
        email.envelope.recipients.extend(given["recipients"])
    if "priority" in given:
        email.priority = number(
            delivery_pb2.Priority, "PRIORITY_", given["priority"], "email.priority"
        )
    if given.get("at_most_once"):
        email.delivery_guarantee = message_pb2.DELIVERY_GUARANTEE_AT_MOST_ONCE
    _set_times(email, given)
    return email


def _set_times(email: message_pb2.Email, given: dict[str, Any]) -> None:
    if "send_time" in given:
        email.send_time.CopyFrom(timestamp(given["send_time"], "email.send_time"))
    if "expire_time" in given:
        email.expire_time.CopyFrom(timestamp(given["expire_time"], "email.expire_time"))
        if "ttl" in given:
            raise invalid("email.ttl", "cannot be given together with expire_time")
    if "ttl" in given:
        email.ttl.CopyFrom(duration(given["ttl"]))


def _composed(given: dict[str, Any]) -> message_pb2.ComposedContent:
    composed = message_pb2.ComposedContent(
        from_address=mailbox(given["from_address"]) if "from_address" in given else None,
        to=mailboxes(given.get("to", ())),
        cc=mailboxes(given.get("cc", ())),
        bcc=mailboxes(given.get("bcc", ())),
        reply_to=mailboxes(given.get("reply_to", ())),
        subject=given.get("subject", ""),
        text_body=given.get("text", ""),
        html_body=given.get("html", ""),
    )
    headers = given.get("headers", ())
    for name, value in headers.items() if isinstance(headers, Mapping) else headers:
        composed.headers.add(name=name, value=value)
    for each in given.get("attachments", ()):
        composed.attachments.append(attachment(each).to_proto())
    return composed
