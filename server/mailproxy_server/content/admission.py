"""Checks of a composed content, and its normal form: limits as message.proto writes them."""

from collections.abc import Sequence
from typing import Final

from mailproxy.v1 import message_pb2

from mailproxy_server.content import attachments, text
from mailproxy_server.content.naming import ONCE, name_flaw
from mailproxy_server.content.violations import Violations
from mailproxy_server.mail.address import AddressInvalid, normalize

RECIPIENT_LIMIT: Final = 1000
"""Distinct recipients of one email."""
MAILBOX_LIMIT: Final = 10_000
"""Mailboxes in all lists of one email, repeated ones counted: bounds the work of a check."""
DISPLAY_NAME_LIMIT: Final = 256
SUBJECT_LIMIT: Final = 2000
HEADER_LIMIT: Final = 100
HEADER_VALUE_LIMIT: Final = 16_384


def normalize_content(
    content: message_pb2.ComposedContent, violations: Violations
) -> tuple[str, ...]:
    """Check a content and put its addresses into normal form, in place.

    Gives the distinct recipients in the order of to, cc, bcc.
    """
    lists = (("to", content.to), ("cc", content.cc), ("bcc", content.bcc))
    total = len(content.to) + len(content.cc) + len(content.bcc) + len(content.reply_to)
    if total > MAILBOX_LIMIT:
        violations.add("composed.to", f"{total} mailboxes in all; at most {MAILBOX_LIMIT:,}")
        return ()
    _check_from(content, violations)
    recipients: dict[str, None] = {}
    for name, boxes in lists:
        for address in _mailboxes(boxes, f"composed.{name}", violations):
            recipients[address] = None
    _mailboxes(content.reply_to, "composed.reply_to", violations)
    if not total - len(content.reply_to):
        violations.add("composed.to", "is required: give at least one recipient in to, cc or bcc")
    check_count(len(recipients), "composed.to", violations)
    if content.subject:
        _check_text(content.subject, "composed.subject", SUBJECT_LIMIT, violations)
    if content.headers:
        _check_headers(content.headers, violations)
    if content.attachments:
        attachments.check(content.attachments, violations)
    elif not (content.text_body or content.html_body):
        violations.add("composed.text_body", "is required: give text, HTML or an attachment")
    return tuple(recipients)


def check_count(count: int, field: str, violations: Violations) -> None:
    """Note more recipients than one email may have."""
    if count > RECIPIENT_LIMIT:
        violations.add(
            field, f"{count:,} distinct recipients; at most {RECIPIENT_LIMIT:,}: split the message"
        )


def _check_from(content: message_pb2.ComposedContent, violations: Violations) -> None:
    if content.HasField("from_address"):
        _mailbox(content.from_address, "composed.from_address", violations)
    else:
        violations.add("composed.from_address", "is required: who the message is from")


def _mailboxes(
    boxes: Sequence[message_pb2.Mailbox], path: str, violations: Violations
) -> list[str]:
    found = []
    for number, box in enumerate(boxes):
        address = _mailbox(box, path, violations, number)
        if address:
            found.append(address)
        elif violations.full:
            break
    return found


def _mailbox(
    box: message_pb2.Mailbox, path: str, violations: Violations, number: int | None = None
) -> str | None:
    """Check one mailbox and give its address in normal form, or None."""
    display = box.display_name
    if display and (
        len(display) > DISPLAY_NAME_LIMIT or not display.isprintable() or "=?" in display
    ):
        field = f"{_at(path, number)}.display_name"
        _check_text(display, field, DISPLAY_NAME_LIMIT, violations)
    given = box.address
    try:
        address = normalize(given)
    except AddressInvalid as error:
        violations.add(f"{_at(path, number)}.address", str(error))
        return None
    if address != given:
        box.address = address
    return address


def _at(path: str, number: int | None) -> str:
    return path if number is None else f"{path}[{number}]"


def _check_text(
    value: str, field: str, limit: int, violations: Violations, *, tab: bool = False
) -> None:
    if len(value) > limit:
        violations.add(field, f"is {len(value):,} characters long; at most {limit:,}")
        return
    flaw = text.flaw(value, tab=tab)
    if flaw:
        violations.add(field, flaw)


def _check_headers(headers: Sequence[message_pb2.Header], violations: Violations) -> None:
    if len(headers) > HEADER_LIMIT:
        violations.add("composed.headers", f"{len(headers)} headers; at most {HEADER_LIMIT}")
        return
    seen: set[str] = set()
    for number, header in enumerate(headers):
        path = f"composed.headers[{number}]"
        flaw = name_flaw(header.name)
        lower = header.name.lower()
        if not flaw and lower in ONCE and lower in seen:
            flaw = "may occur only once in a message"
        if flaw:
            violations.add(f"{path}.name", flaw)
        seen.add(lower)
        _check_text(header.value, f"{path}.value", HEADER_VALUE_LIMIT, violations, tab=True)
